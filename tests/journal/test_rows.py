"""Damaged records: each is set aside and `unknown`, named, kept for a person; all others are as they were."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

import pytest
from structlog.testing import capture_logs

from ordernpay.journal import Event, Journal, Row, lookups, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.rows import read_event, read_or_stand_in
from ordernpay.journal.schema import FILE_NAME
from ordernpay.outcomes import succeeded
from tests.support.fakes import WALL, HandClock, new_command
from tests.support.wait import until

OPEN: Final = {
    "an unknown method": "method = 'x.y'",
    "no content": "content = '{}'",
    "content of another shape": "content = '[1]'",
    "half a document": "content = substr(content, 1, 20)",
    "no text": "content = CAST(x'7bff7d' AS TEXT)",
    "a state that is none": "state = 'sen'",
    "a time that never comes": "deadline_at = 9e999",
    "a time beyond all dates": "accepted_at = 1e300",
    "a settled state that was never settled": "state = 'succeeded'",
}
SETTLED: Final = {
    "half a result": "result = '{bad'",
    "a result that is no object": "result = '[]'",
    "no result": "result = NULL",
    "an error that is none": "error = '{}'",
    "nothing that a vendor said": "vendor = '{'",
    "too deep": f"result = '{{\"a\":{'[' * 3000}{']' * 3000}}}'",
}


def written(directory: Path) -> tuple[Row, Row, Row]:
    """A settled command, another one, and one that is open."""
    db = open_journal(directory, HandClock()).connection
    rows = []
    for key in ("good", "settled", "open"):
        row, _ = store.accept(db, new_command(idempotency_key=key))
        store.mark_sent(db, row.command_id, WALL)
        rows.append(store.settle(db, row.command_id, succeeded({"order": None}), WALL)[0] if key != "open" else row)
    db.close()
    return rows[0], rows[1], rows[2]


def damage(directory: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(directory / FILE_NAME, isolation_level=None)) as db:
        db.execute(statement)


@pytest.mark.parametrize(("key", "what"), [("open", what) for what in OPEN] + [("settled", what) for what in SETTLED])
async def test_a_damaged_record_is_unknown_and_costs_no_other(key: str, what: str, tmp_path: Path) -> None:
    good, *_ = written(tmp_path)
    damage(tmp_path, f"UPDATE commands SET {(OPEN | SETTLED)[what]} WHERE idempotency_key = '{key}'")
    journal = Journal(tmp_path, HandClock())
    announced: list[Event] = []
    with capture_logs() as logs:
        await journal.open()
        journal.announce = announced.append
        listed = {row.idempotency_key: row for row in await journal.list_commands(None, None, None, 9)}
        assert listed["good"] == good
        assert listed[key].state == "unknown"
        assert all(row.idempotency_key != key for row in await journal.open_commands())
        if not (await journal.figures()).damaged:  # a settled one is found by reading it
            await until(lambda: announced)
        figures = await journal.figures()
    assert (figures.damaged, figures.states["unknown"]) == (1, 1)
    assert listed[key].command_id in figures.newest_damaged[0]
    assert any(entry["log_level"] == "error" for entry in logs)
    # Its key finds it, and it is not set aside again.
    again, is_new = await journal.accept(new_command(idempotency_key=key))
    assert (again.command_id, again.state, is_new) == (listed[key].command_id, "unknown", False)
    assert (await journal.figures()).damaged == 1
    await journal.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as db:
        [raw] = db.execute("SELECT raw FROM damaged").fetchone()
        assert key in raw


async def test_a_damaged_event_keeps_its_number_and_costs_no_other(tmp_path: Path) -> None:
    written(tmp_path)
    damage(tmp_path, "UPDATE events SET data = '{bad' WHERE seq = 2")
    journal = Journal(tmp_path, HandClock())
    with capture_logs() as logs:
        await journal.open()
        told = await journal.events_after(0, 9)
        assert [(event.seq, "damaged" in event.data) for event in told] == [(1, False), (2, True)]
        await journal.live()  # what was to be set aside is written before this
        assert (await journal.figures()).damaged == 1
    assert [entry["record"] for entry in logs if entry["event"] == "journal_record_damaged"] == ["event 2"]
    assert "damaged" in (await journal.events_after(1, 9))[0].data
    await journal.close()


def test_a_stand_in_that_is_read_again_is_sound(tmp_path: Path) -> None:
    written(tmp_path)
    damage(tmp_path, "UPDATE commands SET method = 'x.y', content = '', session = '' WHERE idempotency_key = 'open'")
    db = open_journal(tmp_path, HandClock()).connection
    row = db.execute("SELECT * FROM commands WHERE idempotency_key = 'open'").fetchone()
    assert read_or_stand_in(row, {}).damaged is None
    assert all(read_event(event).damaged is None for event in db.execute("SELECT * FROM events"))
    assert lookups.suspects(db) == []
    db.close()
