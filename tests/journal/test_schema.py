"""The journal's file: begun, locked, brought up to date, left alone when too new, moved aside when damaged."""

import asyncio
import contextlib
import os
import random
import resource
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ordernpay.journal import Journal, JournalInUse, JournalTooNew, JournalUnavailable, lookups, opening, schema, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.schema import FILE_NAME, MIGRATIONS, connect_reader, lock
from ordernpay.outcomes import succeeded
from tests.support.fakes import WALL, new_command

NOISE = random.Random(7)


def fill(directory: Path, commands: int = 50) -> None:
    db = open_journal(directory).connection
    for _ in range(commands):
        row, _ = store.accept(db, new_command())
        store.mark_sent(db, row.command_id, WALL)
        store.settle(db, row.command_id, succeeded({"order": {"id": "x" * 500}}), WALL)
    db.close()


def version(path: Path) -> int:
    with sqlite3.connect(path) as db:
        number: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return number


def test_an_empty_directory_becomes_a_journal_of_this_version(tmp_path: Path) -> None:
    opened = open_journal(tmp_path)
    assert opened.moved_aside is None
    assert len(opened.journal) == 32
    for pragma, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)):
        assert opened.connection.execute(f"PRAGMA {pragma}").fetchone()[0] == value
    opened.connection.close()
    assert version(tmp_path / FILE_NAME) == len(MIGRATIONS)
    assert stat.S_IMODE((tmp_path / FILE_NAME).stat().st_mode) == 0o600


def test_opened_again_it_is_the_same_journal(tmp_path: Path) -> None:
    first = open_journal(tmp_path)
    store.accept(first.connection, new_command(idempotency_key="k"))
    first.connection.close()
    second = open_journal(tmp_path)
    assert second.journal == first.journal
    assert [row.idempotency_key for row in lookups.open_commands(second.connection)] == ["k"]
    second.connection.close()


def test_each_version_is_migrated_to_the_next_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 3)
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, "ALTER TABLE commands ADD COLUMN shelf TEXT"))
    for _ in range(2):
        db = open_journal(tmp_path).connection
        assert db.execute("SELECT count(shelf), count(*) FROM commands").fetchone()[:] == (0, 3)
        db.close()
    assert version(tmp_path / FILE_NAME) == len(MIGRATIONS) + 1


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 3)
    broken = "ALTER TABLE commands ADD COLUMN shelf TEXT; SELECT * FROM nowhere"
    monkeypatch.setattr(schema, "MIGRATIONS", (*MIGRATIONS, broken))
    with pytest.raises(JournalUnavailable, match="no such table: nowhere"):
        open_journal(tmp_path)
    monkeypatch.undo()
    db = open_journal(tmp_path).connection
    assert "shelf" not in [row["name"] for row in db.execute("PRAGMA table_info(commands)")]
    assert lookups.figures(db).states == {"succeeded": 3}
    db.close()


def test_a_journal_of_a_later_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(JournalTooNew, match="install the version that wrote it"):
        open_journal(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert [path.name for path in tmp_path.glob("*damaged*")] == []


def damage_header(path: Path) -> None:
    path.write_bytes(b"This is no database at all." * 200)


def damage_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 * 2 : 4096 * 8] = NOISE.randbytes(4096 * 6)
    path.write_bytes(content)


def damage_schema(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = NOISE.randbytes(3996)
    path.write_bytes(content)


def damage_one_leaf(path: Path) -> None:
    """What nobody would notice until that very command is read."""
    content = bytearray(path.read_bytes())
    last = len(content) // 4096 - 4
    content[4096 * last : 4096 * last + 16] = NOISE.randbytes(16)
    path.write_bytes(content)


def damage_columns(path: Path) -> None:
    """A sound file of somebody else's: whatever was read from it or written to it would fail."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("ALTER TABLE commands DROP COLUMN note")
        db.commit()


@pytest.mark.parametrize("damage", [damage_header, damage_pages, damage_schema, damage_one_leaf, damage_columns])
def test_a_damaged_file_is_kept_and_what_can_be_read_of_it_goes_on(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    fill(tmp_path)
    damage(tmp_path / FILE_NAME)
    content = (tmp_path / FILE_NAME).read_bytes()
    with capture_logs() as logs:
        opened = open_journal(tmp_path)
    assert opened.moved_aside is not None
    assert opened.moved_aside.read_bytes() == content
    [loud] = [entry for entry in logs if entry["event"] == "journal_damaged"]
    assert (loud["log_level"], loud["moved_to"]) == ("error", str(opened.moved_aside))
    kept = lookups.figures(opened.connection)
    assert sum(kept.states.values()) == loud["commands"] + loud["keys_alone"]
    assert f"file {opened.moved_aside.name}" in kept.newest_damaged[0]
    # Numbers of events go on above all that the damaged file can have given.
    event = store.add_event(opened.connection, "bar", "session.up", {}, None, WALL)
    assert event.seq > 50
    opened.connection.close()
    assert open_journal(tmp_path).moved_aside is None


@contextlib.contextmanager
def no_room() -> Iterator[None]:
    """No file of this process can grow."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_could_not_be_begun_leaves_nothing_that_the_next_start_takes_for_damage(tmp_path: Path) -> None:
    for _ in range(2):
        with no_room(), pytest.raises(JournalUnavailable, match=r"journal\.sqlite3: "):
            open_journal(tmp_path)
    assert list(tmp_path.iterdir()) == []
    opened = open_journal(tmp_path)
    assert opened.moved_aside is None
    opened.connection.close()


@pytest.mark.parametrize("at", [1_000, 10_000, 20_000, 40_000, 60_000, 80_000, 120_000, 200_000])
def test_a_process_killed_while_it_begins_leaves_nothing_that_the_next_start_takes_for_damage(
    at: int, tmp_path: Path
) -> None:
    dying = """
import os, signal, sys, threading, time
from pathlib import Path
from ordernpay.journal.opening import open_journal
threading.Thread(target=lambda: (time.sleep(int(sys.argv[2]) / 1e6), os.kill(os.getpid(), signal.SIGKILL))).start()
while True:
    open_journal(Path(sys.argv[1])).connection.close()
    for one in Path(sys.argv[1]).iterdir():
        one.unlink()
"""
    ended = subprocess.run([sys.executable, "-c", dying, str(tmp_path), str(at)], check=False)
    assert ended.returncode == -9
    with capture_logs() as logs:
        opened = open_journal(tmp_path)
    opened.connection.close()
    assert (opened.moved_aside, logs) == (None, [])
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]


@pytest.mark.parametrize("point", ["migrate", "_keep_names"])
def test_what_a_dead_beginning_left_behind_is_begun_anew(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(opening, point, dies)
        with pytest.raises(KeyboardInterrupt):
            open_journal(tmp_path)
    opened = open_journal(tmp_path)
    assert (opened.moved_aside, len(opened.journal)) == (None, 32)
    opened.connection.close()


def test_the_log_of_a_deleted_journal_does_not_come_into_the_next(tmp_path: Path) -> None:
    db = open_journal(tmp_path).connection
    row, _ = store.accept(db, new_command())
    kept = (tmp_path / f"{FILE_NAME}-wal").read_bytes()
    db.close()
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(kept)
    opened = open_journal(tmp_path)
    assert opened.moved_aside is None
    assert lookups.get(opened.connection, row.command_id) is None
    opened.connection.close()


def test_a_damaged_file_stays_while_there_is_no_room_for_what_can_be_read_of_it(tmp_path: Path) -> None:
    fill(tmp_path)
    damage_header(tmp_path / FILE_NAME)
    with capture_logs():
        for _ in range(3):
            with no_room(), pytest.raises(JournalUnavailable, match=r"journal\.sqlite3: "):
                open_journal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]  # moved only once there is something in its place
    opened = open_journal(tmp_path)
    assert len(list(tmp_path.glob(f"{FILE_NAME}.damaged-*"))) == 1
    event = store.add_event(opened.connection, "bar", "session.up", {}, None, WALL)
    assert event.seq > time.time() * 1000 - 60_000
    opened.connection.close()


def test_its_companions_are_moved_with_it(tmp_path: Path) -> None:
    fill(tmp_path)
    damage_header(tmp_path / FILE_NAME)
    (tmp_path / f"{FILE_NAME}-wal").write_bytes(b"of the damaged one")
    with capture_logs():
        opened = open_journal(tmp_path)
    opened.connection.close()
    assert opened.moved_aside is not None
    moved = opened.moved_aside.with_name(opened.moved_aside.name + "-wal")
    assert not moved.exists() or moved.read_bytes() == b"of the damaged one"


@pytest.mark.parametrize("name", ["plain", "with space", "100%25", "a#b?c=d", "ümlaut"])
def test_a_directory_may_have_any_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    fill(directory, 1)
    reader = connect_reader(directory)
    assert lookups.figures(reader).states == {"succeeded": 1}
    reader.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    reader = connect_reader(tmp_path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM commands")
    reader.close()


def test_a_second_holder_of_the_lock_is_told_so_and_the_first_lives(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(JournalInUse, match="stop that one first"):
        lock(tmp_path)
    other = f"from ordernpay.journal.schema import *; from pathlib import Path\nlock(Path({str(tmp_path)!r}))"
    ended = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
    assert "JournalInUse" in ended.stderr
    os.close(held)
    os.close(lock(tmp_path))


def test_a_directory_that_cannot_be_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalUnavailable, match=r"state directory .*/file/state: Not a directory"):
        lock(tmp_path / "file" / "state")


async def test_a_journal_in_use_is_not_opened(tmp_path: Path) -> None:
    first, second = Journal(tmp_path / "a"), Journal(tmp_path / "a")
    await first.open()
    with pytest.raises(JournalInUse):
        await second.open()
    await second.close()
    assert (await first.accept(new_command()))[1]
    await first.close()
    third = Journal(tmp_path / "a")
    await third.open()
    assert third.identity == first.identity
    assert len(await third.open_commands()) == 1
    await third.close()


async def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    journal = Journal(tmp_path)
    with pytest.raises(JournalUnavailable, match="not a file"):
        await journal.open()
    with pytest.raises(JournalUnavailable, match="not open"):
        await journal.figures()
    await asyncio.wait_for(journal.close(), 5)


def test_a_new_journal_writes_ahead_before_it_has_its_name(tmp_path: Path) -> None:
    opening._begin(tmp_path / FILE_NAME)
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_bytes()[18:20] == b"\2\2"
