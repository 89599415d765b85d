"""Installing, upgrading, going back and uninstalling: nothing is half done, and no command is forgotten."""

import grp
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.systemd.machine import (
    COMMAND,
    ENVIRON,
    SERVICE,
    SOCKET,
    Ended,
    as_user,
    is_active,
    main_pid,
    run,
    systemctl,
    until,
)
from tests.systemd.venue import (
    CONFIG,
    ETC,
    INSTALL,
    JOURNAL,
    RELEASES,
    ROOT,
    STATE,
    Venue,
    acts,
    call,
    install,
    order,
    release,
    uninstall,
    wheels,
)

pytestmark = [pytest.mark.box, pytest.mark.timeout(300)]

OPT = RELEASES.parent
COMMAND_FILE = Path("/usr/local/bin/ordernpay")
OUTSIDE = [
    COMMAND_FILE,
    Path("/usr/local/lib/systemd/system/ordernpay.service"),
    Path("/usr/local/lib/systemd/system/ordernpay.socket"),
    Path("/usr/local/lib/sysusers.d/ordernpay.conf"),
    Path("/usr/local/lib/tmpfiles.d/ordernpay.conf"),
    *(
        Path("/usr/local/share/man") / f"man{page.suffix[1:]}" / f"{page.name}.gz"
        for page in sorted((ROOT / "systemd" / "man").glob("*.[158]"))
    ),
    Path("/usr/local/share/bash-completion/completions/ordernpay"),
    Path("/usr/local/share/zsh/site-functions/_ordernpay"),
    Path("/usr/local/share/fish/vendor_completions.d/ordernpay.fish"),
]


def releases() -> set[str]:
    """What is there of releases, whole or not."""
    return {path.name for path in RELEASES.iterdir()}


def source_tree(place: Path) -> Path:
    """A copy of the project that a test may change."""
    for name in ("ordernpay", "systemd"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, place)
    return place


def is_as_before(before: tuple[str, set[str], int]) -> bool:
    """Whether release and process are those of `as_it_is()` then."""
    return as_it_is() == before


def as_it_is() -> tuple[str, set[str], int]:
    """The release in use, all releases, the daemon's process."""
    return release(), releases(), main_pid()


def test_a_second_install_changes_nothing(venue: Venue) -> None:
    before = as_it_is()
    told = install().done().out
    assert "is installed already and runs; nothing to do" in told
    assert is_as_before(before)


def test_a_second_install_brings_back_what_was_taken_away(venue: Venue) -> None:
    before = as_it_is()
    for path in OUTSIDE:
        path.unlink()
    systemctl("disable", SOCKET).done()
    systemctl("daemon-reload").done()
    install().done()
    assert [path for path in OUTSIDE if not path.exists()] == []
    assert systemctl("is-enabled", SOCKET).out == "enabled\n"
    assert (release(), releases()) == before[:2]
    assert call("kiosk", "daemon.status").status == 0


def test_a_second_install_builds_a_damaged_release_anew(venue: Venue) -> None:
    """As after a new version of Debian, whose Python does not look where the old one's packages are."""
    damaged = release()
    [packages] = (RELEASES / damaged / "lib").glob("python3.*")
    packages.rename(packages.with_name("python2.7"))
    told = install().done().out
    assert f"release {damaged} is damaged; it is built anew" in told
    assert release() != damaged
    assert runs(release())
    assert call("kiosk", "daemon.status").status == 0
    packages.with_name("python2.7").rename(packages)


def test_an_upgrade_keeps_the_release_before_and_no_other_and_a_rollback_goes_back(
    venue: Venue, tmp_path: Path
) -> None:
    """Upgraded as told, then without being told, since the source is another."""
    other = source_tree(tmp_path)
    (other / "ordernpay" / "added.py").write_text('"""Added."""\n')
    made = call("kiosk", "order.create", **order("upgrade")).json()
    socket_before, names = Path("/run/ordernpay/ordernpay.sock").stat().st_ino, [release()]
    (RELEASES / "what-a-power-cut-left" / "bin").mkdir(parents=True)
    for options, tree in ((["--upgrade"], ROOT), ([], other)):
        before = main_pid()
        assert f"before: {names[-1]}, which is kept" in install(*options, tree=tree).done().out
        assert main_pid() != before
        names.append(release())
    assert len(set(names)) == 3
    assert releases() == set(names[1:])
    run(str(INSTALL), "--rollback").done()
    assert (release(), releases()) == (names[1], set(names[1:]))
    assert runs(names[1])
    assert call("kiosk", "order.create", **order("upgrade")).json() == made
    assert (len(acts("upgrade")), Path("/run/ordernpay/ordernpay.sock").stat().st_ino) == (1, socket_before)


def runs(name: str) -> bool:
    """Whether the daemon's process is of a release."""
    return Path(f"/proc/{main_pid()}/cmdline").read_text().startswith(f"{RELEASES}/{name}/")


@pytest.fixture
def cut_off(venue: Venue) -> tuple[str, str]:
    """An upgrade that a power cut ended between the link and the restart: the release before and the new one."""
    before = release()
    held = Path("/usr/local/sbin/systemd-sysusers")  # called in between
    held.write_text("#!/bin/sh\nexec sleep 600\n")
    held.chmod(0o755)
    words = [str(INSTALL), "--wheels", wheels(), "--upgrade"]
    upgrade = subprocess.Popen(words, env=ENVIRON, cwd="/", stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        until(lambda: release() != before, 90)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.killpg(upgrade.pid, number)
        with pytest.raises(subprocess.TimeoutExpired):  # a person or a lost connection does not end it there
            upgrade.wait(1)
    finally:
        held.unlink()
        os.killpg(upgrade.pid, signal.SIGKILL)
        upgrade.wait()
    fresh = release()
    assert runs(before)
    return before, fresh


def test_a_switch_that_was_cut_off_is_made_again(cut_off: tuple[str, str]) -> None:
    before, fresh = cut_off
    assert f"the switch to release {fresh} was cut off; it is made again" in install().done().out
    assert (release(), runs(fresh), releases()) == (fresh, True, {before, fresh})
    assert "nothing to do" in install().done().out
    run(str(INSTALL), "--rollback").done()
    assert (release(), runs(before), releases()) == (before, True, {before, fresh})


def test_one_can_go_back_from_a_switch_that_was_cut_off(cut_off: tuple[str, str]) -> None:
    before, fresh = cut_off
    run(str(INSTALL), "--rollback").done()
    assert (release(), runs(before)) == (before, True)
    assert fresh not in releases()
    assert "nothing to do" in install().done().out


def test_an_upgrade_after_a_switch_that_was_cut_off_keeps_the_release_that_ran(cut_off: tuple[str, str]) -> None:
    before, _ = cut_off
    assert f"before: {before}, which is kept" in install("--upgrade").done().out
    assert releases() == {before, release()}


def test_a_release_that_does_not_start_gives_way_to_the_one_before(venue: Venue, tmp_path: Path) -> None:
    before, there = release(), releases()
    tree = source_tree(tmp_path)
    run_command = tree / "ordernpay" / "cli" / "run.py"
    run_command.write_text(run_command.read_text() + "\nrun.callback = lambda **_: exit(9)\n")
    unit = tree / "systemd" / SERVICE
    unit.write_text(unit.read_text().replace("Order daemon", "Broken daemon"))
    refused = install("--upgrade", tree=tree)
    assert refused.status == 1
    assert "DOES NOT START; the reason stands above. BACK ON" in refused.err
    assert "status=9" in refused.err
    assert (release(), releases()) == (before, there)
    assert "Broken" not in systemctl("cat", SERVICE).out
    assert is_active()
    assert call("kiosk", "daemon.status").status == 0


def refused_and_unchanged(ended: Ended, *words: str) -> None:
    assert ended.status == 1, ended
    for word in words:
        assert word in ended.err
    assert "Traceback" not in ended.err


def test_a_release_that_refuses_the_configuration_is_not_switched_to(venue: Venue) -> None:
    before = as_it_is()
    CONFIG.write_text(CONFIG.read_text() + "\n[unheard]\nof = 1\n")
    ended = install("--upgrade")
    assert "unheard: unknown table" in ended.out
    refused_and_unchanged(ended, f"refuses {CONFIG}; mend it, then try again. Nothing was changed")
    assert is_as_before(before)


def test_packages_that_cannot_be_had_leave_nothing_behind(venue: Venue, tmp_path: Path) -> None:
    before = as_it_is()
    ended = run(str(INSTALL), "--upgrade", "--wheels", str(tmp_path), PIP_CONFIG_FILE="/dev/null")
    refused_and_unchanged(ended, "the packages could not be installed; the reason stands above. Nothing was changed\n")
    ended = run(str(INSTALL), "--upgrade", PIP_CONFIG_FILE="/dev/null", PIP_NO_INDEX="1")
    refused_and_unchanged(ended, "A machine without internet takes them from a folder: see --wheels")
    assert is_as_before(before)


def fake_python(place: Path, script: str) -> str:
    path = place / "python3"
    path.write_text(f'#!/bin/sh\n{script}\nexec /usr/bin/python3 "$@"\n')
    path.chmod(0o755)
    return str(path)


def test_what_is_missing_is_named_with_what_to_do(venue: Venue, tmp_path: Path) -> None:
    before = as_it_is()
    readable = Path("/var/tmp/install")
    shutil.copy(INSTALL, readable)
    refused_and_unchanged(as_user("kiosk", str(readable)), f"has to be run as root: sudo {readable}")
    refused_and_unchanged(install("--upgrade", "--python", "/usr/bin/python9"), "there is no /usr/bin/python9")
    old = fake_python(tmp_path, 'case "$*" in *version_info*) exit 1 ;; *python_version*) echo 3.9.2; exit ;; esac')
    refused_and_unchanged(install("--upgrade", "--python", old), "Python 3.11 or later is needed", "is 3.9.2")
    bare = fake_python(tmp_path, 'case "$*" in *ensurepip*) exit 1 ;; esac')
    refused_and_unchanged(install("--upgrade", "--python", bare), "apt install python3-venv")
    home = fake_python(tmp_path, 'case "$*" in *base_prefix*) echo /root/python; exit ;; esac')
    refused_and_unchanged(install("--upgrade", "--python", home), "is under a home directory")
    COMMAND_FILE.unlink()
    COMMAND_FILE.symlink_to("/opt/pipx/venvs/ordernpay/bin/ordernpay")
    for options in (["--upgrade"], ["--rollback"], []):
        refused_and_unchanged(
            install(*options), f"{COMMAND_FILE} is there and not ours; move it away. Nothing was changed"
        )
        assert COMMAND_FILE.is_symlink()
    COMMAND_FILE.unlink()
    install().done()
    for words in (["--upgrade", "--rollback"], ["--wheels"], ["--purge"], ["--unheard-of"]):
        assert run(str(INSTALL), *words).status == 2
    assert run(str(INSTALL), "--help").done().out.startswith("Installs ordernpay as a systemd service")
    assert is_as_before(before)


def test_an_uninstall_keeps_journal_and_configuration_and_a_new_install_finds_them(venue: Venue) -> None:
    made = call("kiosk", "order.create", **order("kept")).json()
    config = CONFIG.read_bytes()
    assert "kept: /etc/ordernpay" in uninstall().done().out
    assert [path for path in [*OUTSIDE, OPT, Path("/run/ordernpay/ordernpay.sock")] if path.exists()] == []
    assert systemctl("cat", SERVICE).status != 0
    assert (JOURNAL.exists(), CONFIG.read_bytes()) == (True, config)
    assert run("sh", "-c", f"command -v {COMMAND}").status != 0
    assert "not installed" in uninstall().done().out
    install().done()
    venue.wait_for_sessions()
    assert call("kiosk", "order.create", **order("kept")).json() == made
    assert len(acts("kept")) == 1


def test_a_purge_leaves_nothing_and_a_full_disk_installs_nothing(venue: Venue) -> None:
    uninstall("--purge").done()
    assert [path for path in [*OUTSIDE, OPT, ETC, STATE] if path.exists()] == []
    assert [user.pw_name for user in pwd.getpwall() if user.pw_name.startswith("ordernpay")] == []
    assert [group.gr_name for group in grp.getgrall() if group.gr_name.startswith("ordernpay")] == []
    uninstall("--purge").done()

    RELEASES.mkdir(parents=True)
    run("mount", "-t", "tmpfs", "-o", "size=40M", "tmpfs", str(RELEASES)).done()
    try:
        refused_and_unchanged(install(), "has 40 MiB left on its disk, a release needs 200; nothing was changed")
        run("umount", str(RELEASES)).done()
        run("mount", "-t", "tmpfs", "-o", "size=300M,nr_inodes=1500", "tmpfs", str(RELEASES)).done()
        ended = install()
        refused_and_unchanged(ended, "the reason stands above. Nothing was changed")
        assert "No space left on device" in ended.out + ended.err
        assert releases() == set()
    finally:
        run("umount", str(RELEASES)).done()
    assert [path for path in [*OUTSIDE, ETC, STATE] if path.exists()] == []
    venue.install()
