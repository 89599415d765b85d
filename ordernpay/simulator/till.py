"""What the pretend POS does with its connections, whoever opened them: hear, let the shop act, answer, go wrong."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Final, Protocol

from ordernpay.simulator.faults import Fault, Faults, answers, peek, refused
from ordernpay.simulator.shop import Shop

UNSUPPORTED_DATA: Final = 1003
MESSAGE_TOO_BIG: Final = 1009


def reset(transport: asyncio.WriteTransport) -> None:
    """Cut a TCP connection with a reset, so that nothing still to be sent arrives."""
    carrier = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        carrier.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class Link(Protocol):
    """One websocket to the daemon. One that is ``gone`` was cut or closed by the POS: what still comes is not heard."""

    gone: bool

    async def send(self, frame: str) -> None:
        """Send a frame.

        Raises:
            ConnectionError: The connection is no more.
        """

    async def close(self, code: int) -> None:
        """Close in good order."""

    def cut(self) -> None:
        """Cut hard."""


class Till:
    """The POS's end of all connections.

    Args:
        shop: What acts and answers.
        faults: What goes wrong on the way.

    Attributes:
        connected: Set while at least one connection is up.
        accepted: How many connections were up so far.
    """

    def __init__(self, shop: Shop, faults: Faults) -> None:
        self.shop = shop
        self.faults = faults
        self.connected = asyncio.Event()
        self.accepted = 0
        self._links: list[Link] = []
        self._answering: asyncio.TaskGroup
        self._next_sent = asyncio.Event()

    @property
    def connections(self) -> int:
        """How many connections are up."""
        return len(self._links)

    def drop(self) -> None:
        """Cut all connections now."""
        for link in list(self._links):
            link.cut()

    async def answer_all(self) -> None:
        """Own the answers under way, which outlive the connection of their request, until cancelled."""
        async with asyncio.TaskGroup() as self._answering:
            await asyncio.Event().wait()

    async def converse(self, link: Link, frames: AsyncIterator[str | bytes]) -> None:
        """Hear the frames of one connection until it ends, and answer them side by side."""
        self._links.append(link)
        self.accepted += 1
        self.connected.set()
        try:
            async for frame in frames:
                self._answering.create_task(self._hear(link, frame))
        finally:
            self._links.remove(link)
            if not self._links:
                self.connected.clear()

    async def _hear(self, link: Link, frame: str | bytes) -> None:
        if link.gone:
            return
        with contextlib.suppress(ConnectionError):
            if isinstance(frame, str):
                await self._respond(link, frame)
            else:
                await link.close(UNSUPPORTED_DATA)

    async def _respond(self, link: Link, frame: str) -> None:
        request = peek(frame)
        planned = self.faults.take(request.get("MessageType"))
        if planned is None:
            await self._send(link, self.shop.answer(frame).text)
            return
        match planned.fault:
            case Fault.DROP_BEFORE:
                self.shop.ignore(frame)
                link.cut()
            case Fault.TOO_BIG:
                self.shop.ignore(frame)
                await link.close(MESSAGE_TOO_BIG)
            case Fault.DEAF:
                self.shop.ignore(frame)
            case Fault.UNKNOWN_RESULT_CODE:
                self.shop.ignore(frame)
                await self._send(link, refused(planned, request))
            case Fault.SILENT:
                self.shop.answer(frame)
            case Fault.DROP_AFTER:
                self.shop.answer(frame)
                link.cut()
            case Fault.REORDER:
                decision = self.shop.answer(frame)
                await self._next_sent.wait()
                await self._send(link, decision.text)
            case Fault.LATE:
                decision = self.shop.answer(frame)
                await asyncio.sleep(planned.seconds)
                await self.connected.wait()
                await self._send(self._links[-1], decision.text)
            case fault:
                await self._send(link, *answers(fault, self.shop.answer(frame)))

    async def _send(self, link: Link, *frames: str) -> None:
        for frame in frames:
            await link.send(frame)
        self._next_sent.set()
        self._next_sent = asyncio.Event()
