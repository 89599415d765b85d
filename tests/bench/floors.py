"""What a command cannot cost less than: a bare exchange with the vendor, a bare line, a bare commit."""

import sqlite3
import statistics
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

from tests.bench.driving import Rpc, update
from tests.bench.least import request

COUNT = 200


def median(work: Callable[[], object], count: int = COUNT) -> float:
    """Return the median of the seconds that so many calls take."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


async def websocket(url: str) -> float:
    """Return the median of one request and its answer over a websocket, one in flight."""
    times = []
    async with connect(url, compression=None, proxy=None) as pos:
        for _ in range(COUNT):
            began = time.perf_counter()
            await pos.send(request(str(uuid.uuid4()), update()))
            await pos.recv()
            times.append(time.perf_counter() - began)
    return statistics.median(times)


async def rest(url: str) -> float:
    """Return the median of one POST over a connection that is kept, one in flight."""
    times = []
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(COUNT):
            began = time.perf_counter()
            (await client.post(url, content=b'{"x": "' + b"y" * 500 + b'"}')).raise_for_status()
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def line(path: str) -> float:
    """Return the median of one line and its answer over the daemon's socket, of a method that there is not."""
    rpc = Rpc(path)
    took = median(lambda: rpc.exchange("no.such"))
    rpc.close()
    return took


def commit(folder: Path) -> float:
    """Return the median of one commit of 900 bytes on the journal's disk."""
    db = sqlite3.connect(folder / "floor.sqlite3", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE IF NOT EXISTS texts (text TEXT)")
    took = median(lambda: db.execute("INSERT INTO texts VALUES (?)", ("x" * 900,)))
    db.close()
    return took
