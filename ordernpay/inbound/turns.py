"""How strangers' bytes are read and their connections closed, so that neither costs anybody else."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

TURN_SECONDS: Final = 0.005
"""Strangers' bytes are worked on for so long before everybody else has a turn."""
WORK_BETWEEN: Final = 8
"""Pieces of strangers' work that are done between two newcomers, where there are any."""


class Turns:
    """Work that strangers ask for, a little in each turn of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due: deque[Callable[[], None]] = deque()
        self._called = False
        self._done = 0
        self._waiter: asyncio.Future[None] | None = None

    def take(self, work: Callable[[], None]) -> None:
        """Have something done in its turn."""
        self._due.append(work)
        self._call()

    async def breathe(self) -> None:
        """Return once nothing is left to be done, or a while has gone by.

        Who waits for it comes no faster than what it brings can be done: a connection is a few pieces of work.
        """
        if self._due:
            self._done, self._waiter = 0, self._loop.create_future()
            await self._waiter

    def _call(self) -> None:
        if self._due and not self._called:
            self._called = True
            self._loop.call_soon(self._work)

    def _work(self) -> None:
        self._called = False
        end = time.monotonic() + TURN_SECONDS
        try:
            while self._due:
                self._due.popleft()()
                self._done += 1
                if time.monotonic() >= end:
                    break
        finally:
            if self._waiter is not None and (not self._due or self._done >= WORK_BETWEEN) and not self._waiter.done():
                self._waiter.set_result(None)
            self._call()


class Lingering:
    """A transport that, when closed, takes in for a while what the peer has still to say.

    A socket that is closed with bytes unread is reset, and the answer may be lost with it.
    """

    def __init__(self, transport: asyncio.Transport, seconds: float, unread: Callable[[], bool]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._unread = unread
        self.lingers = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self.lingers or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing() or not self._unread():
            self._transport.close()
            return
        self.lingers = True
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._transport.resume_reading()
        asyncio.get_running_loop().call_later(self._seconds / 2, self._transport.close)
