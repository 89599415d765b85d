"""Salvage: of a damaged journal goes on what can be read, and what cannot is named; nothing of it acts twice."""

import contextlib
import random
import sqlite3
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ordernpay.journal import JournalUnavailable, Row, lookups, opening, store
from ordernpay.journal.opening import Opened, open_journal
from ordernpay.journal.pages import Image, read_wal_index
from ordernpay.journal.schema import FILE_NAME
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import Failure, ended, succeeded, unknown
from tests.support.fakes import WALL, HandClock, new_command

NOISE = random.Random(11)
PAGE = 4_096


def fill(db: sqlite3.Connection, commands: int = 40, size: int = 700) -> list[Row]:
    """Settled commands, one of them larger than a page; then one that failed, one unknown, one open, one not yet sent."""
    rows = []
    for number in range(commands):
        row, _ = store.accept(db, new_command(idempotency_key=f"key-{number}"))
        store.mark_sent(db, row.command_id, WALL)
        result: JsonObject = {"order": {"id": "x" * (9 * PAGE if number == 7 else size)}}
        rows.append(store.settle(db, row.command_id, succeeded(result), WALL)[0])
    for key, outcome in (("failed", ended(Failure("expired", "late"))), ("unknown", unknown("?"))):
        row, _ = store.accept(db, new_command(idempotency_key=key))
        store.mark_sent(db, row.command_id, WALL)
        rows.append(store.settle(db, row.command_id, outcome, WALL)[0])
    row, _ = store.accept(db, new_command(idempotency_key="sent"))
    store.mark_sent(db, row.command_id, WALL)
    sent = lookups.get(db, row.command_id)
    assert sent is not None
    rows += [sent, store.accept(db, new_command(idempotency_key="accepted"))[0]]
    store.publish(db, "bar", [], "ros:1", WALL)
    return rows


def filled(directory: Path) -> tuple[Path, list[Row], str]:
    """A journal that was cleanly closed; its file, its commands, its identity."""
    opened = open_journal(directory)
    rows = fill(opened.connection)
    opened.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    opened.connection.close()
    return directory / FILE_NAME, rows, opened.journal


def pages_of(file: Path, name: str) -> list[int]:
    with contextlib.closing(sqlite3.connect(file)) as db:
        return [page for (page,) in db.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY pageno", (name,))]


def overwrite(file: Path, page: int, data: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek((page - 1) * PAGE)
        opened.write(data)


def reopened(directory: Path) -> tuple[Opened, MutableMapping[str, Any]]:
    """The journal after a salvage, and what the log said of that."""
    with capture_logs() as logs:
        opened = open_journal(directory, HandClock())
    [loud] = [entry for entry in logs if entry["event"] == "journal_damaged"]
    return opened, loud


def keys(db: sqlite3.Connection) -> dict[str, str]:
    return {row.idempotency_key: row.state for row in lookups.list_commands(db, None, None, None, 999)}


STATES = {f"key-{number}": "succeeded" for number in range(40)} | {
    "failed": "failed",
    "unknown": "unknown",
    "sent": "sent",
    "accepted": "accepted",
}


@pytest.mark.parametrize(
    "index", ["sqlite_autoindex_commands_1", "sqlite_autoindex_commands_2", "commands_by_state", "events_by_time"]
)
def test_a_damaged_index_costs_nothing(index: str, tmp_path: Path) -> None:
    file, rows, identity = filled(tmp_path)
    for page in pages_of(file, index):
        overwrite(file, page, NOISE.randbytes(PAGE))
    opened, loud = reopened(tmp_path)
    db = opened.connection
    assert keys(db) == STATES
    assert [lookups.get(db, row.command_id) for row in rows] == rows
    assert (opened.journal, loud["keys_alone"]) == (identity, 0)
    assert lookups.event_bounds(db) == (1, 42)
    assert store.publish(db, "bar", [], "ros:1", WALL) is None
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()


@pytest.mark.parametrize("which", [0, -1])
def test_of_a_lost_page_of_commands_the_keys_are_kept_as_unknown(which: int, tmp_path: Path) -> None:
    file, rows, _ = filled(tmp_path)
    leaves = [page for page in pages_of(file, "commands") if file.read_bytes()[(page - 1) * PAGE] == 13]
    overwrite(file, leaves[which], NOISE.randbytes(PAGE))
    opened, loud = reopened(tmp_path)
    db = opened.connection
    found = keys(db)
    assert found.keys() == STATES.keys()
    lost = [row for row in rows if found[row.idempotency_key] != STATES[row.idempotency_key]]
    assert lost
    assert loud["keys_alone"] > 0
    assert "accepted" not in found.values()  # what was about to be sent may have been: its last word may be lost
    assert {found[row.idempotency_key] for row in lost} <= {"unknown", "sent"}
    named = lookups.figures(db).newest_damaged
    stand_ins = [row for row in lost if (again := lookups.get(db, row.command_id)) and not again.fingerprint]
    assert all(any(row.command_id in name for name in named) for row in stand_ins)
    # A repeat of such a key finds the command, and is no conflict, whatever it asks for.
    again, written = store.accept(db, new_command(idempotency_key=stand_ins[0].idempotency_key))
    assert (again.command_id, again.state, written) == (stand_ins[0].command_id, "unknown", False)
    assert again.method == "order.create"
    db.close()


def test_a_lost_root_of_commands_costs_no_record(tmp_path: Path) -> None:
    file, rows, _ = filled(tmp_path)
    overwrite(file, pages_of(file, "commands")[0], bytes(PAGE))
    opened, _ = reopened(tmp_path)
    assert [row.state for row in rows if row.state == "succeeded"] == [
        found.state
        for row in rows
        if row.state == "succeeded" and (found := lookups.get(opened.connection, row.command_id)) is not None
    ]
    opened.connection.close()


@pytest.mark.parametrize("damage", [bytes(PAGE), b"no database " * 9, NOISE.randbytes(PAGE)])
def test_a_lost_header_costs_nothing(damage: bytes, tmp_path: Path) -> None:
    file, rows, identity = filled(tmp_path)
    overwrite(file, 1, damage)
    opened, _ = reopened(tmp_path)
    assert keys(opened.connection) == STATES
    assert opened.journal == identity
    assert lookups.get(opened.connection, rows[7].command_id) == rows[7]
    opened.connection.close()


def test_where_events_are_lost_the_journal_is_another_and_numbers_go_on_far_above(tmp_path: Path) -> None:
    file, _, identity = filled(tmp_path)
    leaves = [page for page in pages_of(file, "events") if file.read_bytes()[(page - 1) * PAGE] == 13]
    overwrite(file, leaves[0], NOISE.randbytes(PAGE))
    opened, _ = reopened(tmp_path)
    assert opened.journal != identity
    assert store.add_event(opened.connection, "bar", "session.up", {}, None, WALL).seq > 1_000_000
    opened.connection.close()


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_file_that_was_cut_off_gives_what_is_before_the_cut(share: float, tmp_path: Path) -> None:
    file, _, _ = filled(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    opened, loud = reopened(tmp_path)
    assert loud["lost"]
    found = keys(opened.connection)
    assert all(state in {"unknown", "sent", STATES[key]} and state != "accepted" for key, state in found.items())
    opened.connection.close()


def without_a_stop(directory: Path) -> tuple[Path, list[Row]]:
    """What a killed daemon leaves: a file, its log, and the index of that."""
    there, copy = directory / "there", directory / "copy"
    there.mkdir()
    copy.mkdir()
    opened = open_journal(there)
    rows = fill(opened.connection)
    for companion in ("", "-wal", "-shm"):
        (copy / (FILE_NAME + companion)).write_bytes((there / (FILE_NAME + companion)).read_bytes())
    opened.connection.close()
    return copy / FILE_NAME, rows


def cut_log(log: Path) -> None:
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])


def damage_log(log: Path) -> None:
    content = bytearray(log.read_bytes())
    content[32 + 24 + 100] ^= 0xFF
    log.write_bytes(content)


def empty_log(log: Path) -> None:
    log.write_bytes(b"")


def damage_log_header(log: Path) -> None:
    log.write_bytes(bytes(32) + log.read_bytes()[32:])


@pytest.mark.parametrize("damage", [cut_log, damage_log, empty_log, damage_log_header])
def test_what_is_lost_of_the_write_ahead_log_is_noticed(damage: Callable[[Path], None], tmp_path: Path) -> None:
    file, _ = without_a_stop(tmp_path)
    damage(file.with_name(f"{FILE_NAME}-wal"))
    opened, loud = reopened(file.parent)
    assert loud["reason"].startswith("write-ahead log")
    found = keys(opened.connection)
    assert "accepted" not in found.values()
    if damage is damage_log:  # one page of it is lost, and what came later is not
        assert found.keys() == STATES.keys()
    opened.connection.close()


def test_a_write_that_a_power_cut_broke_off_is_no_damage(tmp_path: Path) -> None:
    file, rows = without_a_stop(tmp_path)
    log = file.with_name(f"{FILE_NAME}-wal")
    file.with_name(f"{FILE_NAME}-shm").unlink()
    log.write_bytes(log.read_bytes()[:-100])
    with capture_logs() as logs:
        opened = open_journal(file.parent)
    assert logs == []
    assert lookups.get(opened.connection, rows[0].command_id) == rows[0]
    opened.connection.close()


@pytest.mark.parametrize("whole", [0, 1])
def test_writes_whose_flush_failed_are_no_damage_once_a_later_one_was_broken_off_over_them(
    whole: int, tmp_path: Path
) -> None:
    there, copy = tmp_path / "there", tmp_path / "copy"
    there.mkdir()
    copy.mkdir()
    opened = open_journal(there)
    opened.connection.execute("PRAGMA wal_autocheckpoint = 0")  # all of it is in the log
    rows = fill(opened.connection)
    index = (there / f"{FILE_NAME}-shm").read_bytes()  # it knows of no write whose flush failed
    log = there / f"{FILE_NAME}-wal"
    ends = [log.stat().st_size]
    for number in range(4):
        store.accept(opened.connection, new_command(idempotency_key=f"refused-{number}"))
        ends.append(log.stat().st_size)
    content, broken_off = log.read_bytes(), ends[whole]
    assert len(content) > broken_off
    (copy / FILE_NAME).write_bytes((there / FILE_NAME).read_bytes())
    (copy / log.name).write_bytes(content[:broken_off] + bytes(24 + PAGE) + content[broken_off + 24 + PAGE :])
    (copy / f"{FILE_NAME}-shm").write_bytes(index)
    opened.connection.close()
    with capture_logs() as logs:
        opened = open_journal(copy)
    assert logs == []
    assert keys(opened.connection).keys() - {"refused-0"} == STATES.keys()
    assert lookups.get(opened.connection, rows[0].command_id) == rows[0]
    opened.connection.close()


def test_an_empty_file_beside_its_log_gives_what_is_in_the_log(tmp_path: Path) -> None:
    file, _ = without_a_stop(tmp_path)
    file.write_bytes(b"")
    opened, loud = reopened(file.parent)
    assert loud["reason"] == "the file is empty"
    assert set(keys(opened.connection)) == set(STATES)
    opened.connection.close()


@pytest.mark.parametrize("point", ["_move_aside", "_finish_salvage"])
def test_a_salvage_that_a_kill_broke_off_is_done_again_or_finished(
    point: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, _, _ = filled(tmp_path)
    overwrite(file, 1, bytes(PAGE))
    real = getattr(opening, point)

    def dies(path: Path, *rest: Any) -> Any:
        if point == "_finish_salvage" and path.exists():
            return real(path, *rest)  # the one at the start
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(opening, point, dies)
        with capture_logs(), pytest.raises(KeyboardInterrupt):
            open_journal(tmp_path)
    with capture_logs():
        opened = open_journal(tmp_path)
    assert keys(opened.connection) == STATES
    opened.connection.close()
    assert len(list(tmp_path.glob("*damaged*"))) == 1
    assert not list(tmp_path.glob("*.salvaged"))


def test_an_error_of_the_disk_moves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, _, _ = filled(tmp_path)
    overwrite(file, 1, bytes(PAGE))

    def fails(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Image, "page", fails)
        with pytest.raises(JournalUnavailable, match="Input/output error"):
            open_journal(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [FILE_NAME]


def test_the_index_of_the_log_is_read_as_sqlite_writes_it(tmp_path: Path) -> None:
    opened = open_journal(tmp_path)
    fill(opened.connection, 3)
    index = read_wal_index(tmp_path / f"{FILE_NAME}-shm")
    assert index is not None
    assert (index.frames, index.copied) == (
        ((tmp_path / f"{FILE_NAME}-wal").stat().st_size - 32) // (PAGE + 24),
        0,
    )
    opened.connection.close()
    assert read_wal_index(tmp_path / "none") is None


def test_names_in_the_file_that_are_no_text_are_damage(tmp_path: Path) -> None:
    file, _, identity = filled(tmp_path)
    raw = file.read_bytes()
    assert b"tablecommandscommands" in raw
    file.write_bytes(
        raw.replace(b"tablecommandscommands", b"tablec\xa8mmandscommands").replace(
            b"TABLE commands (", b"TABLE commands +"
        )
    )
    opened, _ = reopened(tmp_path)
    assert (keys(opened.connection), opened.journal) == (STATES, identity)


def test_an_index_that_holds_another_key_costs_nothing(tmp_path: Path) -> None:
    file, _, identity = filled(tmp_path)
    for page in pages_of(file, "sqlite_autoindex_commands_2"):
        held = file.read_bytes()[(page - 1) * PAGE : page * PAGE]
        overwrite(file, page, held.replace(b"key-7", b"kez-7"))
    opened, _ = reopened(tmp_path)
    db = opened.connection
    assert (keys(db), opened.journal) == (STATES, identity)
    assert lookups.find(db, "bar", "key-7") is not None


def test_a_command_id_that_is_no_text_costs_its_record_alone(tmp_path: Path) -> None:
    file, rows, identity = filled(tmp_path)
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("UPDATE commands SET command_id = CAST(x'91' AS TEXT) WHERE idempotency_key = 'key-7'")
        db.commit()
    opened = open_journal(tmp_path, HandClock())
    assert (len(keys(opened.connection)), opened.journal) == (len(rows), identity)
    assert keys(opened.connection) == STATES | {"key-7": "unknown"}
