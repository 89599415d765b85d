"""A journal of a busy month: how long a start takes, cold and warm, and what a look at the metrics costs."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from ordernpay.clock import SystemClock
from ordernpay.events import Events
from ordernpay.gateway import Gateway
from ordernpay.journal import Journal, lookups, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.schema import FILE_NAME
from ordernpay.jsontext import JsonObject
from ordernpay.metrics import Exposition, Metrics
from ordernpay.outcomes import succeeded
from ordernpay.rpc.server import Stats
from tests.support.fakes import WALL, ScriptedSession, new_command

ROWS: Final = 100_000
START_MOST: Final = 3.0
SCRAPE_MOST: Final = 0.1
ORDER: Final[JsonObject] = {
    "order": {"id": "x" * 36, "reference": "r", "total": "12.00", "lines": [{"product": "1203", "name": "Soup"}] * 10}
}


def fill(directory: Path, wall: float = WALL) -> None:
    """Settled commands with their events, as large as real ones, all of this time."""
    db = open_journal(directory).connection
    db.execute("PRAGMA synchronous = OFF")
    row, _ = store.accept(db, new_command(accepted_at=wall))
    store.mark_sent(db, row.command_id, wall)
    store.settle(db, row.command_id, succeeded(ORDER, ORDER), wall)
    for table, own in (
        ("commands", {"seq": "n", "command_id": "printf('%032x', n)", "idempotency_key": "printf('%036x', n)"}),
        ("vendor_ids", {"command_id": "printf('%032x', n)", "value": "printf('%036x', n)"}),
        ("events", {"seq": "n"}),
    ):
        columns = [column["name"] for column in db.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(own.get(column, column) for column in columns)
        db.execute(
            f"WITH RECURSIVE numbers (n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})"
            f" INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, (SELECT * FROM {table} LIMIT 1)"
        )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def forget(path: Path) -> None:
    """Have the file read from the disk again, as after a power-up."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


@pytest.mark.bench
@pytest.mark.slow
async def test_a_hundred_thousand_orders_do_not_hold_up_a_start_or_a_scrape(tmp_path: Path) -> None:
    await asyncio.to_thread(fill, tmp_path)
    path = tmp_path / FILE_NAME
    for kind in ("cold", "warm"):
        if kind == "cold":
            forget(path)
        journal = Journal(tmp_path)
        events, gateway = Events(journal), Gateway(journal, SystemClock())
        gateway.sessions["bar"] = ScriptedSession()
        steps = {"open": journal.open, "events": events.start, "recover": gateway.recover}
        took = {name: await timed(step) for name, step in steps.items()}
        scrape = await timed(Exposition(Metrics(gateway, journal, events, Stats, lambda: 0)).text)
        assert (await journal.figures()).states == {"succeeded": ROWS}
        await journal.close()
        told = ", ".join(f"{name} {1000 * seconds:.0f} ms" for name, seconds in (took | {"scrape": scrape}).items())
        print(f"\n{kind} start with {ROWS} commands and events, {path.stat().st_size / 2**20:.0f} MiB: {told}")
        assert sum(took.values()) < START_MOST
        assert scrape < SCRAPE_MOST


def test_what_a_scrape_asks_of_the_commands_is_in_an_index(tmp_path: Path) -> None:
    db = open_journal(tmp_path).connection
    asked: list[str] = []
    db.set_trace_callback(asked.append)
    lookups.figures(db)
    lookups.unknown_by_session(db)
    db.set_trace_callback(None)
    plans = [[row["detail"] for row in db.execute(f"EXPLAIN QUERY PLAN {one}")] for one in asked if "commands" in one]
    assert len(plans) == 3
    assert all("commands_by_state" in " ".join(plan) for plan in plans), plans
    db.close()
