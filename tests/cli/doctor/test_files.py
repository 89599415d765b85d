"""Who may read and write what, and the space that is left."""

import os
import stat
from pathlib import Path

import pytest

from ordernpay.cli.doctor import files
from ordernpay.cli.doctor.files import look_at_disk, look_at_permissions, look_at_state
from ordernpay.cli.doctor.findings import command
from ordernpay.cli.doctor.situation import situation_of
from ordernpay.rpc.condition import Disk
from tests.cli.doctor.conftest import NOBODY, Becoming
from tests.cli.doctor.given import situation, verdicts
from tests.support.venues import listening

GB = 10**9


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "CREDENTIALS", tmp_path / "credentials")


# Permissions


@pytest.mark.parametrize(
    ("mode", "plain", "verdict"),
    [
        (0o640, True, "ok"),
        (0o644, False, "ok"),
        (0o644, True, "wrong"),
        (0o602, False, "wrong"),
    ],
)
def test_a_configuration_with_plain_secrets_is_for_its_owners_alone(
    tmp_path: Path,
    mode: int,
    plain: bool,  # noqa: FBT001 - a case
    verdict: str,
) -> None:
    given = situation(tmp_path, {"bar": listening()} if plain else {})
    given.path.chmod(mode)
    [finding] = look_at_permissions(given)
    assert finding.verdict == verdict
    if verdict == "wrong":
        assert finding.remedy is not None
        assert finding.remedy.startswith(f"chmod 640 {given.path}")


@pytest.mark.parametrize(("mode", "verdict"), [(0o600, "wrong"), (0o640, "wrong"), (0o604, "ok")])
def test_a_configuration_that_the_service_may_not_read_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, verdict: str
) -> None:
    """As it is after an editor of root's made it anew; root itself, and `ordernpay check`, can read it."""
    given = situation(tmp_path, {})
    given.path.chmod(mode)
    monkeypatch.setattr(files, "CONFIGURATION", given.path)
    monkeypatch.setattr(files, "SERVICE_USER", "nobody")
    [finding] = look_at_permissions(given)
    assert finding.verdict == verdict
    if verdict == "wrong":
        assert finding.found.startswith("the service's user nobody may not read it (")
        assert finding.remedy == f"chgrp ordernpay-daemon {given.path}; chmod 640 {given.path}"


def test_a_file_with_a_secret_and_the_credentials_are_for_their_owners_alone(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x", encoding="utf-8")
    secret.chmod(0o644)
    credentials = tmp_path / "credentials"
    credentials.mkdir(mode=0o755)
    given = situation(tmp_path, {"bar": listening() | {"auth_secret": {"file": str(secret)}}})
    _, found, reached = look_at_permissions(given)
    assert (found.verdict, found.remedy) == ("doubtful", f"chmod 600 {secret}")
    assert (reached.verdict, reached.remedy) == ("wrong", f"chmod 700 {credentials}")
    secret.chmod(0o600)
    credentials.chmod(0o700)
    assert verdicts(look_at_permissions(given)) == ["ok"]


def test_without_a_file_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    none = situation_of(tmp_path / "none.toml")
    assert look_at_permissions(none) + look_at_state(none) + look_at_disk(none) == []


# The journal


def test_a_directory_that_is_not_there_is_made_by_the_daemon(tmp_path: Path) -> None:
    [finding] = look_at_state(situation(tmp_path))
    assert (finding.verdict, finding.found) == ("doubtful", "not there yet; the daemon makes it at its first start")


@pytest.mark.parametrize(
    ("mode", "verdict"), [(0o700, "ok"), (0o750, "ok"), (0o755, "doubtful"), (0o770, "wrong"), (0o500, "wrong")]
)
def test_the_directory_is_for_the_daemon_alone(tmp_path: Path, mode: int, verdict: str) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    directory, journal = look_at_state(situation(tmp_path))
    assert (directory.verdict, journal.found) == (verdict, "none yet")
    assert (directory.remedy or "").startswith("chmod 700") is (verdict != "ok")


def test_something_else_than_a_directory_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert verdicts(look_at_state(situation(tmp_path))) == ["wrong"]


def test_a_file_system_that_is_read_only_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    monkeypatch.setattr(files, "_read_only", lambda _: True)
    finding = look_at_state(situation(tmp_path))[0]
    assert (finding.verdict, finding.found) == ("wrong", "is on a file system that is read-only")


def test_the_services_own_directory_belongs_to_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    monkeypatch.setattr(files, "STATE", state)
    monkeypatch.setattr(files, "known_user", {"ordernpay": os.geteuid() + 1}.get)
    finding = look_at_state(situation(tmp_path))[0]
    assert (finding.verdict, finding.remedy) == ("wrong", f"chown -Rh ordernpay: {state}")


@pytest.mark.parametrize(("content", "verdict"), [(files.SQLITE + b"rest", "ok"), (b"", "ok"), (b"junk" * 9, "wrong")])
def test_a_damaged_journal_is_told(tmp_path: Path, content: bytes, verdict: str) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "journal.sqlite3").write_bytes(content)
    assert verdicts(look_at_state(situation(tmp_path))) == ["ok", verdict]


def test_a_log_that_is_not_written_back_and_a_damaged_copy_are_doubts(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "journal.sqlite3").write_bytes(files.SQLITE)
    with (state / "journal.sqlite3-wal").open("wb") as log:
        log.truncate(files.LOG_BYTES + 1)
    (state / "journal.sqlite3.damaged-20270115T080000Z").write_bytes(b"")
    assert verdicts(look_at_state(situation(tmp_path))) == ["ok", "ok", "doubtful", "doubtful"]


def test_what_a_run_by_hand_as_root_left_behind_is_told(tmp_path: Path, as_nobody: Becoming) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, NOBODY, -1)
    journal = state / "journal.sqlite3"
    journal.write_bytes(files.SQLITE)
    finding = look_at_state(situation(tmp_path))[1]
    assert finding.verdict == "wrong"
    assert finding.found.startswith("belongs to root, while the directory belongs to nobody")
    assert finding.remedy == f"chown -h --from=root nobody: {journal}"


def test_a_journal_that_is_not_for_this_user_is_no_fault(open_path: Path, as_nobody: Becoming) -> None:
    (open_path / "state").mkdir(mode=0o700)
    given = situation(open_path)
    with as_nobody():
        directory_found, journal = look_at_state(given)
    assert (directory_found.verdict, journal.verdict) == ("ok", "ok")
    assert journal.found == "not for this user to look at; it is for root alone"


# The disk


@pytest.mark.parametrize(
    ("disk", "verdict"),
    [(Disk(100 * GB, 50 * GB), "ok"), (Disk(10 * GB, GB // 10), "doubtful"), (Disk(10 * GB, 10**6), "wrong")],
)
def test_the_space_that_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Disk, verdict: str) -> None:
    monkeypatch.setattr(files, "disk_of", lambda _: disk)
    [finding] = look_at_disk(situation(tmp_path))
    assert finding.verdict == verdict
    assert (finding.remedy is None) is (verdict == "ok")


def test_the_disk_is_that_of_the_nearest_directory_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def measure(place: Path) -> Disk:
        asked.append(place)
        return Disk(1, 1)

    monkeypatch.setattr(files, "disk_of", measure)
    look_at_disk(situation(tmp_path, daemon={"state_dir": str(tmp_path / "a" / "b")}))
    assert asked == [tmp_path]


# What others may have planted


@pytest.mark.parametrize("planted", ["link", "pipe", "socket", "directory", "second name"])
@pytest.mark.parametrize("name", ["journal.sqlite3", "journal.lock", "journal.sqlite3-wal"])
def test_what_the_daemon_does_not_make_is_told_and_neither_followed_nor_opened(
    tmp_path: Path, planted: str, name: str
) -> None:
    state, victim = tmp_path / "state", tmp_path / "victim"
    state.mkdir(mode=0o700)
    victim.write_text("root's own")
    place = state / name
    match planted:
        case "link":
            place.symlink_to(victim)
        case "pipe":
            os.mkfifo(place)
        case "socket":
            os.mknod(place, stat.S_IFSOCK | 0o600)
        case "directory":
            place.mkdir()
        case _:
            place.hardlink_to(victim)
    finding = look_at_state(situation(tmp_path))[1]
    assert finding.verdict == "wrong"
    assert finding.found.endswith("which the daemon does not make")
    assert finding.remedy is not None
    assert not any(word in finding.remedy for word in ("chown", "chmod", "*"))


def test_advice_for_root_is_quoted_and_names_nothing_that_others_can_replace(tmp_path: Path) -> None:
    ours = tmp_path / "a b; reboot"
    assert command("chmod 600", ours) == f"chmod 600 '{ours}'"
    tmp_path.chmod(0o777)
    assert command("chmod 600", ours).startswith(f"look at it first (`ls -l '{ours}'`)")
    assert command("chmod 600", Path("/etc/a b; reboot")) == "chmod 600 '/etc/a b; reboot'"
    assert "cannot be typed" in command("chmod 600", Path("/etc/a\nreboot"))


@pytest.mark.parametrize("kind", ["secret", "configuration"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    if kind == "configuration":
        [fault] = situation_of(tmp_path / "pipe").faults
        assert "expected a regular file" in fault.message
        return
    given = situation(tmp_path, {"bar": listening() | {"auth_secret": {"file": str(tmp_path / "pipe")}}})
    assert "expected a regular file" in given.withheld["sessions.bar.auth_secret"]
