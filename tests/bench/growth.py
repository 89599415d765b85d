"""How the journal grows: bytes a command, and what a start and a filtered list cost with many rows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from ordernpay.journal import Journal, store
from ordernpay.journal.opening import open_journal
from ordernpay.journal.schema import FILE_NAME
from ordernpay.jsontext import JsonObject
from ordernpay.outcomes import succeeded
from tests.support.fakes import new_command

SIZES: Final = (1_000, 100_000, 1_000_000)
ORDER: Final[JsonObject] = {
    "order": {"id": "x" * 36, "reference": "r", "total": "12.00", "lines": [{"product": "1203", "name": "Soup"}] * 5}
}
EVERY: Final = 1_000
"""One command in so many is ``unknown`` and of another session: what a filter looks for."""


def fill(directory: Path, rows: int, wall: float) -> None:
    """Write so many settled commands with their events, the way that the daemon writes one."""
    db = open_journal(directory).connection
    db.execute("PRAGMA synchronous = OFF")
    row, _ = store.accept(db, new_command(accepted_at=wall))
    store.mark_sent(db, row.command_id, wall)
    store.settle(db, row.command_id, succeeded(ORDER, ORDER), wall)
    rare = f"n % {EVERY} = 0"
    own = {
        "commands": {
            "seq": "n",
            "command_id": "printf('%032x', n)",
            "idempotency_key": "printf('%036x', n)",
            "session": f"iif({rare}, 'terrace', session)",
            "state": f"iif({rare}, 'rejected', state)",
        },
        "vendor_ids": {"command_id": "printf('%032x', n)", "value": "printf('%036x', n)"},
        "events": {"seq": "n"},
    }
    for table, changed in own.items():
        columns = [column["name"] for column in db.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(changed.get(column, column) for column in columns)
        db.execute(
            f"WITH RECURSIVE numbers (n) AS (VALUES (2) UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})"
            f" INSERT INTO {table} ({', '.join(columns)}) SELECT {values} FROM numbers, (SELECT * FROM {table} LIMIT 1)"
        )
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


async def look(directory: Path) -> dict[str, float]:
    """Return the seconds of a start, of three lists and of one look-up."""
    journal, took = Journal(directory), dict[str, float]()
    began = time.perf_counter()
    await journal.open()
    took["start"] = time.perf_counter() - began
    looks: dict[str, Callable[[], Awaitable[object]]] = {
        "list": lambda: journal.list_commands(None, None, None, 50),
        "list of a state": lambda: journal.list_commands(None, "rejected", None, 50),
        "list of a session": lambda: journal.list_commands(["terrace"], None, None, 50),
        "list of a session and a state": lambda: journal.list_commands(["terrace"], "succeeded", None, 50),
        "events of a kind": lambda: journal.events_after(0, 50, None, ["order.updated"]),
    }
    for name, work in looks.items():
        began = time.perf_counter()
        await work()
        took[name] = time.perf_counter() - began
    await journal.close()
    return took


def growth(folder: Path, _rounds: int) -> dict[str, float]:
    """Measure the journal at each size; ratios are to the smallest."""
    figures: dict[str, float] = {}
    smallest: dict[str, float] = {}
    for rows in SIZES:
        directory = folder / str(rows)
        directory.mkdir()
        fill(directory, rows, time.time())
        took = asyncio.run(look(directory))
        smallest = smallest or took
        figures[f"bytes a command, {rows:,} rows"] = (directory / FILE_NAME).stat().st_size / rows
        for name, seconds in took.items():
            figures[f"{name} ms, {rows:,} rows"] = seconds * 1000
            if took is not smallest:
                figures[f"{name}, {rows:,} / {SIZES[0]:,} rows"] = seconds / smallest[name]
        for file in directory.iterdir():
            file.unlink()
    return figures
