"""The command line as its own process, beside simulated tills and a real daemon."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
from attrs import frozen

from ordernpay.client import connect
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import ListeningPos
from ordernpay.simulator.shop import Shop
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.kiosk import keyed

ORDER: dict[str, Any] = {"reference": "A1", "table": "14", "lines": [{"product": "1203", "name": "Soup"}]}


@frozen
class Ended:
    """How the program ended, and what it printed."""

    status: int
    out: str
    err: str


async def start(*words: str, **more: Any) -> asyncio.subprocess.Process:
    """`ordernpay WORDS…`, with pipes."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "ordernpay", *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **more,
    )


async def ordernpay(*words: str, stdin: bytes = b"", **more: Any) -> Ended:
    """`ordernpay WORDS…`, until it ends; never with a traceback."""
    process = await start(*words, **more)
    with anyio.fail_after(60):
        out, err = await process.communicate(stdin)
    return ended(process, out, err)


async def unread(*words: str, **more: Any) -> Ended:
    """`ordernpay WORDS…`, of whose output nobody reads a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ordernpay", *words), stdout=writing, stderr=asyncio.subprocess.PIPE, **more
        )
    finally:
        os.close(writing)
    with anyio.fail_after(60):
        _, err = await process.communicate()
    return ended(process, b"", err)


async def interrupt(process: asyncio.subprocess.Process, number: signal.Signals = signal.SIGINT) -> Ended:
    """Ctrl-C, and how it ended."""
    process.send_signal(number)
    with anyio.fail_after(60):
        out, err = await process.communicate()
    return ended(process, out, err)


def ended(process: asyncio.subprocess.Process, out: bytes, err: bytes) -> Ended:
    """A program that has ended."""
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return Ended(process.returncode, out.decode(), err.decode())


@frozen
class Venue:
    """A daemon whose session `bar` reaches a simulated till."""

    pos: ListeningPos
    daemon: DaemonProcess

    @property
    def shop(self) -> Shop:
        """What the till does."""
        return self.pos.shop

    async def run(self, *words: str, **more: Any) -> Ended:
        """`ordernpay WORDS…` against this daemon."""
        return await ordernpay(*words, env={**os.environ, "ORDERNPAY_SOCKET": self.daemon.socket}, **more)

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        """The same, while it runs."""
        return await start(*words, env={**os.environ, "ORDERNPAY_SOCKET": self.daemon.socket})

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One RPC, past the command line."""
        async with connect(self.daemon.socket) as client:
            return await client.call(method, keyed(method, params))


@contextlib.asynccontextmanager
async def venue(directory: Path) -> AsyncIterator[Venue]:
    """A venue whose session is up."""
    async with simulator.serve(Shop()) as pos:
        config = tables(directory, {"bar": session(url=pos.url)})
        async with daemon_process(directory, config) as daemon:
            async with connect(daemon.socket) as client, client.events(since=0, kinds=["session.up"]) as events:
                await anext(events)
            yield Venue(pos, daemon)
