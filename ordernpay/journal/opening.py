"""Opening the journal: begun, looked at, brought to this version's schema, salvaged where it is damaged.

What is wrong is told apart by what SQLite says, and by nothing else:

| SQLite says                    | it is                                                        | what is done               |
|--------------------------------|--------------------------------------------------------------|----------------------------|
| CORRUPT, NOTADB; a check fails | damage                                                       | salvage; the file is kept  |
| IOERR, also within a check     | a disk that does not answer: the file may be whole           | nothing is moved; try again|
| FULL, READONLY, CANTOPEN, …    | a disk or a directory that cannot be written now             | nothing is moved; try again|
"""

import contextlib
import errno
import os
import re
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Final

import structlog
from attrs import frozen

from ordernpay.clock import Clock, SystemClock
from ordernpay.journal import lookups, schema, store
from ordernpay.journal.pages import Image, WalIndex, later_commits, read_wal_index, wal_salts
from ordernpay.journal.pruning import FILE, Lived
from ordernpay.journal.salvage import Salvage, Salvaged
from ordernpay.journal.schema import (
    COMPANIONS,
    FILE_NAME,
    SQLITE_RAISES,
    DamagedFile,
    DiskFailing,
    JournalTooNew,
    JournalUnavailable,
    connect_reader,
    connect_writer,
    migrate,
    missing_columns,
)

_MOVED: Final = ".damaged-"
_READ_AHEAD: Final = 2**20
_ROOM: Final = 64 * 2**10
"""Bytes without which SQLite cannot even open its log and the index of that."""
_CORRUPT, _NOTADB, _IOERR = 11, 26, 10

log = structlog.get_logger(__name__)


@frozen
class Opened:
    """An open journal.

    Attributes:
        connection: for its one writer.
        journal: identifies the events' numbers: another one means that they began anew, or that some are missing.
        moved_aside: the damaged file in whose place it is.
        lived: how long daemons have run on it.
    """

    connection: sqlite3.Connection
    journal: str
    moved_aside: Path | None
    lived: Lived


def is_damage(error: Exception) -> bool:
    """Whether what SQLite raised says that the file is damaged, and not that the disk does not answer."""
    return isinstance(error, UnicodeDecodeError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in {_CORRUPT, _NOTADB}


def open_journal(directory: Path, clock: Clock | None = None) -> Opened:
    """Open the journal for writing. What can be read of a damaged one goes on into a new one; the file is kept.

    Raises:
        JournalTooNew: never touched, since nothing is wrong with it.
        JournalUnavailable: the file cannot be opened or written now.
    """
    path, clock = directory / FILE_NAME, clock or SystemClock()
    moved_aside = None
    if path.exists() and not path.is_file():
        raise JournalUnavailable(f"journal {path}: not a file")
    try:
        _finish_salvage(path)
        try:
            complaint = _complaint(path) if path.exists() else None
        except DamagedFile as error:
            complaint = str(error)
        if complaint is not None:
            moved_aside = _salvage(path, complaint, clock.wall())
        if not path.exists():
            _begin(path)
        connection = connect_writer(path)
        try:
            return _prepare(connection, directory, clock, moved_aside)
        except BaseException:
            connection.close()
            raise
    except JournalUnavailable:
        raise
    except OSError as error:
        raise DiskFailing(f"journal {path}: {error.strerror or error}") from None
    except SQLITE_RAISES as error:
        failing = getattr(error, "sqlite_errorcode", 0) & 0xFF == _IOERR
        raise (DiskFailing if failing else JournalUnavailable)(f"journal {path}: {error}") from None


def check_writable(directory: Path) -> None:
    """Find out cheaply whether there is any use in trying to open the journal again; raises `JournalUnavailable` if not."""
    disk = os.statvfs(directory)
    if disk.f_flag & os.ST_RDONLY:
        raise JournalUnavailable(f"journal {directory / FILE_NAME}: {os.strerror(errno.EROFS)}")
    if disk.f_bavail * disk.f_frsize < _ROOM:
        raise JournalUnavailable(f"journal {directory / FILE_NAME}: {os.strerror(errno.ENOSPC)}")


def _complaint(path: Path) -> str | None:
    """What is wrong with the file; None where nothing is. It is only read: what is damaged stays as it is."""
    if path.stat().st_size == 0:  # to SQLite a new file; to us one that has lost everything
        raise DamagedFile("the file is empty")
    _read_ahead(path)
    log_file, index = (path.with_name(path.name + companion) for companion in COMPANIONS)
    before, salts = read_wal_index(index), wal_salts(log_file)
    try:
        connection = connect_reader(path.parent)
        try:
            complaint = _check(connection)
            return complaint or _lost_log(log_file, salts, before, read_wal_index(index))
        finally:
            connection.close()
    except SQLITE_RAISES as error:
        if not is_damage(error):
            raise
        return str(error)


def _check(connection: sqlite3.Connection) -> str | None:
    # Not the quick one, which takes an index for whole that holds other keys than its table: they would act again.
    complaint = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if complaint != "ok":
        code = re.search(r"error code[= ](\d+)", complaint)
        if code is not None and int(code[1]) & 0xFF not in {_CORRUPT, _NOTADB}:
            raise DiskFailing(f"the journal cannot be read: {complaint}")
        return f"integrity check: {complaint}"
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(schema.MIGRATIONS):
        raise JournalTooNew(
            f"the journal has schema version {version}, this ordernpay knows {len(schema.MIGRATIONS)}: "
            "install the version that wrote it, or a later one"
        )
    missing = missing_columns(connection, version)
    if missing:
        return f"no column {', '.join(sorted(missing))}"
    return None


def _lost_log(file: Path, salts: bytes | None, before: WalIndex | None, after: WalIndex | None) -> str | None:
    """What was in the write-ahead log and is not found there: SQLite takes it up to the first damaged page, silently.

    Args:
        file: the log.
        salts: of the log, before SQLite has looked at it; None where there is no log.
        before: what the last life knew of it, where that was killed and the machine was not.
        after: what SQLite finds in it now.
    """
    read = after.frames if after is not None else 0
    if before is not None and before.frames > before.copied and salts in {None, before.salts} and read < before.frames:
        return f"write-ahead log: {before.frames} pages were in it, {read} can be read"
    if before is not None and before.salts == salts and read >= before.frames:
        # All that anybody was told of. What lies behind is of writes whose flush failed, over which the next one began.
        return None
    if salts is not None and later_commits(file, read) > 1:  # one alone may be of a write that a power cut broke off
        return f"write-ahead log: damaged behind page {read}"
    return None


def _read_ahead(path: Path) -> None:
    """Read the file from front to end: the check goes by its tree, for which a disk just powered up needs much longer."""
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:  # whatever is wrong, the check will tell
        while file.read(_READ_AHEAD):
            pass


def _prepare(connection: sqlite3.Connection, directory: Path, clock: Clock, moved_aside: Path | None) -> Opened:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    migrate(connection, version)
    lived, wall = Lived(clock), clock.wall()
    lived.begin(connection)
    connection.execute("BEGIN IMMEDIATE")
    for seq in lookups.suspects(connection):
        put_aside = store.set_aside(connection, seq, wall)
        if put_aside is not None:
            log.error(
                "journal_record_damaged", record=f"command {put_aside[0].command_id}", reason=put_aside[0].damaged
            )
    for file in sorted(directory.glob(f"{FILE_NAME}{_MOVED}*")):
        what = FILE + file.name
        if not connection.execute("SELECT 1 FROM damaged WHERE what = ?", (what,)).fetchone():
            store.keep(connection, what, "damaged journal", "", wall)
    journal = connection.execute("SELECT journal FROM identity").fetchone()
    identity = uuid.uuid4().hex if journal is None else str(journal[0])
    if journal is None:
        connection.execute("INSERT INTO identity VALUES (?)", (identity,))
    connection.execute("COMMIT")
    return Opened(connection, identity, moved_aside, lived)


# A new file


def _begin(path: Path, source: Image | None = None, *, complete: bool = True) -> Salvaged:
    """Make a journal whole under another name, then give it its own.

    A process that is killed meanwhile, or that a full disk stops, leaves nothing that looks like a damaged journal.

    Args:
        path: where it will be.
        source: a damaged one, of which it takes what can be read; that one still is at `path`.
        complete: whether nothing is known to be missing besides what the source itself shows.
    """
    draft, whole = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.salvaged")
    leftovers = [draft, *(draft.with_name(draft.name + companion) for companion in ("-journal", *COMPANIONS))]
    if source is None:
        leftovers += [path.with_name(path.name + companion) for companion in COMPANIONS]  # of a file that was deleted
    salvaged = Salvaged()
    try:
        for one in leftovers:
            one.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            draft.chmod(0o600)
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection, 0)
            if source is not None:
                salvaged = Salvage(connection, time.time()).run(source, complete=complete)
            elif any(path.parent.glob(f"{path.name}{_MOVED}*")):
                # The numbers of events go on above all that the lost file can have given.
                connection.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (int(time.time() * 1000),))
            # Not once it has its name: a kill meanwhile would leave a rollback journal, which no reader can play back.
            connection.execute("PRAGMA journal_mode = WAL")
        draft.rename(path if source is None else whole)
        _keep_names(path.parent)
    except (sqlite3.Error, OSError):
        for one in leftovers:
            one.unlink(missing_ok=True)
        raise
    return salvaged


def _salvage(path: Path, reason: str, wall: float) -> Path:
    """Put a new journal with all that can be read into the place of a damaged one; where that one is now."""
    companions = [path.with_name(path.name + companion) for companion in COMPANIONS]
    try:
        image = Image(path, companions[0])
        try:
            salvaged = _begin(path, image, complete=not reason.startswith("write-ahead log"))
        finally:
            image.close()
    except (sqlite3.OperationalError, OSError):
        raise
    except Exception:  # better to begin anew, with every number above the old ones, than not at all
        log.exception("journal_not_salvaged", file=str(path))
        salvaged = Salvaged(lost=["everything"])
    moved_aside = _move_aside(path, wall)
    _finish_salvage(path)
    log.error(
        "journal_damaged",
        file=str(path),
        moved_to=str(moved_aside),
        reason=reason,
        commands=salvaged.commands,
        keys_alone=salvaged.keys,
        events=salvaged.events,
        lost=salvaged.lost[:20],
    )
    return moved_aside


def _finish_salvage(path: Path) -> None:
    """Give a salvaged journal its name; one that was made while the damaged file still was there is made again."""
    whole = path.with_name(f"{path.name}.salvaged")
    if not whole.exists():
        return
    if path.exists():
        whole.unlink()
        return
    moved = max(path.parent.glob(f"{path.name}{_MOVED}*"), default=None)
    for companion in COMPANIONS:  # a log of the old file must not come into the new one
        left = path.with_name(path.name + companion)
        if left.exists() and moved is not None:
            left.rename(moved.with_name(moved.name + companion))
    whole.rename(path)
    _keep_names(path.parent)


def _keep_names(directory: Path) -> None:
    """Make a renaming durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_aside(path: Path, wall: float) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(wall))
    name = f"{path.name}{_MOVED}{stamp}"
    taken = sum(1 for other in path.parent.iterdir() if other.name.startswith(name))
    target = path.with_name(f"{name}-{taken}" if taken else name)
    for companion in ("", *COMPANIONS):
        source = path.with_name(path.name + companion)
        if source.exists():
            source.rename(target.with_name(target.name + companion))
    return target
