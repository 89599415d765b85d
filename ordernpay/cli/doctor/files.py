"""Who may read and write what: the configuration, the secrets, the journal; and the space that is left for it."""

import os
import shlex
import stat
from pathlib import Path
from typing import Final

from ordernpay.cli.accounts import group_name, known_user, may_read, user_name
from ordernpay.cli.doctor.findings import Finding, command, doubtful, kind_of, ok, wrong
from ordernpay.cli.doctor.situation import Situation
from ordernpay.cli.terminal import size
from ordernpay.config import DEFAULT_PATH
from ordernpay.journal.schema import FILE_NAME
from ordernpay.rpc.condition import disk_of

CONFIGURATION: Final = DEFAULT_PATH
CREDENTIALS: Final = Path("/etc/ordernpay/credentials")
STATE: Final = Path("/var/lib/ordernpay")
SERVICE_USER: Final = "ordernpay"
SERVICE_GROUP: Final = "ordernpay-daemon"
SQLITE: Final = b"SQLite format 3\x00"
FULL_BYTES: Final = 16_000_000
"""Under this, the journal cannot be relied upon to grow by another transaction."""
LOG_BYTES: Final = 64 * 2**20
"""Over this, the write-ahead log grows since somebody keeps it from being written back."""

CHECK: Final = "permissions"


def look_at_permissions(situation: Situation) -> list[Finding]:
    """Files that others should not read or write."""
    findings = [*_configuration(situation)]
    for key, file in situation.secret_files.items():
        mode = _mode(file)
        if mode is not None and mode & 0o077:
            findings.append(
                doubtful(
                    CHECK,
                    f"{file} ({key})",
                    f"a secret that others may read (mode {mode:04o})",
                    command("chmod 600", file),
                )
            )
    mode = _mode(CREDENTIALS)
    if mode is not None and mode & 0o077:
        findings.append(
            wrong(
                CHECK,
                str(CREDENTIALS),
                f"secrets that others may reach (mode {mode:04o})",
                command("chmod 700", CREDENTIALS),
            )
        )
    return findings


def _configuration(situation: Situation) -> list[Finding]:
    file, mode = situation.path, _mode(situation.path)
    if mode is None:
        return []
    if mode & 0o002:
        return [
            wrong(CHECK, str(file), f"every local user may change it (mode {mode:04o})", command("chmod 640", file))
        ]
    if mode & 0o004 and situation.plain_secrets:
        found = f"every local user may read it (mode {mode:04o}), and it holds secrets: {', '.join(situation.plain_secrets)}"
        return [
            wrong(
                CHECK, str(file), found, f"{command('chmod 640', file)}, and better move them out: {{ credential = … }}"
            )
        ]
    if file == CONFIGURATION and known_user(SERVICE_USER) is not None and not may_read(SERVICE_USER, file.stat()):
        found = f"the service's user {SERVICE_USER} may not read it ({_owners(file)}, mode {mode:04o})"
        return [
            wrong(CHECK, str(file), found, f"{command(f'chgrp {SERVICE_GROUP}', file)}; {command('chmod 640', file)}")
        ]
    return [ok(CHECK, str(file), f"{_owners(file)}, mode {mode:04o}")]


def look_at_state(situation: Situation) -> list[Finding]:
    """The directory of the journal, its owner, and the journal itself."""
    if situation.config is None:
        return []
    directory = Path(situation.config.daemon.state_dir).absolute()
    try:
        status = os.lstat(directory)
        if stat.S_ISLNK(status.st_mode) and status.st_uid in {0, os.geteuid()}:
            status = directory.stat()  # another disk, as root has arranged it
    except FileNotFoundError:
        return [doubtful("journal", str(directory), "not there yet; the daemon makes it at its first start")]
    except OSError as error:
        return [doubtful("journal", str(directory), f"cannot be looked at ({error.strerror})", "run this as root")]
    if not stat.S_ISDIR(status.st_mode):
        return [wrong("journal", str(directory), "no directory", "name a directory as daemon.state_dir")]
    return [*_directory(directory, status), *_journal_files(directory, status)]


def _directory(directory: Path, status: os.stat_result) -> list[Finding]:
    mode, owner = stat.S_IMODE(status.st_mode), user_name(status.st_uid)
    service = known_user(SERVICE_USER)
    expected = service if service is not None and directory == STATE else None
    if expected is not None and status.st_uid != expected:
        remedy = command(f"chown -Rh {SERVICE_USER}:", directory)
        return [wrong("journal", str(directory), f"belongs to {owner}, so the service cannot write it", remedy)]
    if mode & 0o300 != 0o300 or _read_only(directory):
        found = (
            f"cannot be written (mode {mode:04o})" if mode & 0o300 != 0o300 else "is on a file system that is read-only"
        )
        return [
            wrong(
                "journal",
                str(directory),
                found,
                f"{command('chmod 700', directory)}; see `mount` and `dmesg` for the disk",
            )
        ]
    if mode & 0o022:
        return [
            wrong("journal", str(directory), f"others may write it (mode {mode:04o})", command("chmod 700", directory))
        ]
    if mode & 0o004:
        found = f"every local user may read what was ordered (mode {mode:04o})"
        return [doubtful("journal", str(directory), found, command("chmod 700", directory))]
    return [ok("journal", str(directory), f"belongs to {owner}, mode {mode:04o}")]


def _journal_files(directory: Path, status: os.stat_result) -> list[Finding]:
    journal = directory / FILE_NAME
    try:
        with os.scandir(directory) as entries:
            found = {entry.name: entry.stat(follow_symlinks=False) for entry in entries if entry.name[:8] == "journal."}
        planted = [finding for name in sorted(found) for finding in _planted(directory / name, found[name], status)]
        if planted:
            return planted
        head = _head(journal)
    except FileNotFoundError:
        return [ok("journal", str(journal), "none yet")]
    except PermissionError:
        owner = user_name(status.st_uid)
        return [ok("journal", str(journal), f"not for this user to look at; it is for {owner} alone")]
    except OSError as error:
        remedy = "see `dmesg` for the disk"
        return [wrong("journal", str(journal), f"cannot be read: {error.strerror}", remedy)]
    if head and head != SQLITE:
        remedy = "nothing: at its next start the daemon saves what can be read of it"
        return [wrong("journal", str(journal), "damaged: not a SQLite file", remedy)]
    sizes = {name: one.st_size for name, one in found.items()}
    log_size, log_file = sizes.get(f"{FILE_NAME}-wal", 0), directory / f"{FILE_NAME}-wal"
    findings = [ok("journal", str(journal), size(sizes.get(FILE_NAME, 0) + log_size))]
    if log_size > LOG_BYTES:
        remedy = "end the program that reads the journal for so long (a shell, a backup): `fuser -v` names it"
        findings.append(doubtful("journal", str(log_file), f"{size(log_size)}: it cannot be written back", remedy))
    copies = sorted(name for name in sizes if name.startswith(f"{FILE_NAME}.damaged-"))
    if copies:
        remedy = "look at the disk (`dmesg`); the daemon removes it when it is as old as journal.keep_days"
        findings.append(doubtful("journal", str(directory / copies[-1]), "a damaged journal was set aside", remedy))
    return findings


def _planted(file: Path, status: os.stat_result, directory: os.stat_result) -> list[Finding]:
    """What the daemon has not made itself. It is told, not touched: whoever made it waits for root to do that."""
    kind = kind_of(status.st_mode)
    if kind is not None or status.st_nlink > 1:
        found = f"is {kind or 'a file with a second name elsewhere'}, which the daemon does not make"
        remedy = (
            "find out who made it; stop the daemon and move the whole directory away, and change nothing in it as root"
        )
        return [wrong("journal", str(file), found, remedy)]
    if status.st_uid == directory.st_uid:
        return []
    owner, other = user_name(directory.st_uid), user_name(status.st_uid)
    found = f"belongs to {other}, while the directory belongs to {owner}: was the daemon once run by hand?"
    path = shlex.quote(str(file)) if str(file).isprintable() else "THE FILE"
    return [wrong("journal", str(file), found, f"chown -h --from={other} {owner}: {path}")]


def _head(file: Path) -> bytes:
    """The first bytes of a regular file, through no link, and without waiting for whoever may write to a pipe."""
    opened = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(opened, len(SQLITE)) if stat.S_ISREG(os.fstat(opened).st_mode) else b""
    finally:
        os.close(opened)


def look_at_disk(situation: Situation) -> list[Finding]:
    """The space that is left for the journal."""
    if situation.config is None:
        return []
    directory = Path(situation.config.daemon.state_dir).absolute()
    place = next(place for place in (directory, *directory.parents) if place.exists())
    disk = disk_of(place)
    found = f"{size(disk.free)} free of {size(disk.total)}"
    remedy = f"make room: `du -xh --max-depth=2 {place.anchor} | sort -h`, `journalctl --disk-usage`"
    if disk.free < FULL_BYTES:
        return [wrong("disk", str(directory), f"{found}: no order can be taken", remedy)]
    return [doubtful("disk", str(directory), found, remedy) if disk.low else ok("disk", str(directory), found)]


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _owners(path: Path) -> str:
    status = path.stat()
    return f"{user_name(status.st_uid)}:{group_name(status.st_gid)}"


def _read_only(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & os.ST_RDONLY)
