"""A disk that cannot be read at a start, at whichever read: the journal stays where it is, and is taken up when it can be.

An I/O error is no damage: the rows are there, and an order whose key was forgotten for it would be made twice.
"""

import asyncio
import contextlib
import errno
import sqlite3
from pathlib import Path
from typing import Any, Final

import pytest

from ordernpay.journal.schema import FILE_NAME
from tests.faults.storm.disk import CHANGES, READ, Shim
from tests.faults.storm.driver import Plan, Storm, storm
from tests.faults.storm.kiosks import ask
from tests.faults.storm.venue import params

KEYS: Final = 40
STARTS: Final = 8
"""Starts on a disk that fails, each at another of its reads."""

MANY: Final = 1_000_000


async def placed(run: Storm, key: str) -> dict[str, Any]:
    """The answer to an order."""
    answer = await ask(run.daemon.socket, "order.create", params("bar", "order.create", key) | {"timeout": 10})
    assert answer is not None
    assert "result" in answer, answer
    result: dict[str, Any] = answer["result"]
    return result


async def stop(run: Storm) -> None:
    """Stop it, with all that it knows in one file: of a -wal each start reads all, and is seldom at anything else."""
    await run.daemon.terminate()
    with contextlib.closing(sqlite3.connect(run.shim.directory / FILE_NAME)) as journal:
        journal.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def reads_of_a_start(run: Storm, on: int) -> int:
    """How many calls a start makes."""
    run.shim.fail(errno.EIO, on, after=MANY)
    await run.daemon.start()
    reads = MANY - run.shim.control.error_after
    run.shim.heal()
    return int(reads)


async def start_in_trouble(run: Storm, shim: Shim, after: int, on: int) -> int:
    """Start on a disk that fails after so many reads, until it has failed and a while longer; how often it did."""
    failed = shim.control.failed
    shim.fail(errno.EIO, on, after=after)
    starting = asyncio.create_task(run.daemon.start())
    while shim.control.failed == failed and not starting.done():  # noqa: ASYNC110 - what another process counts
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    shim.heal()
    await starting
    return int(shim.control.failed - failed)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("on", [READ, READ | CHANGES], ids=["reads", "everything"])
async def test_nothing_is_moved_aside_and_every_key_has_its_answer(on: int, artifacts: Path) -> None:
    async with storm(Plan("a seed", 0, 0, 0), artifacts) as run:
        run.venue.calm()
        await run.daemon.start()
        first = [await placed(run, f"key-{number}") for number in range(KEYS)]
        await stop(run)
        reads = await reads_of_a_start(run, on)
        troubled = 0
        for number in range(STARTS):
            await stop(run)
            troubled += await start_in_trouble(run, run.shim, number * reads // STARTS, on) > 0
            assert not [path.name for path in run.shim.directory.iterdir() if "damaged" in path.name]
        print(f"{reads} calls of a start, {troubled} starts in trouble")
        assert troubled >= STARTS // 2
        assert [await placed(run, f"key-{number}") for number in range(KEYS)] == first
        assert len(run.ledger.acts) == KEYS
