"""Doshii's end of the App socket.

Sources: https://support.doshii.com/developer-support/hc/en-us/articles/360000649633-use-of-websockets-app-partners,
https://support.doshii.io/hc/en-us/articles/360007382954-Heartbeats, and for what is on the wire ``lib/index.ts`` of
https://github.com/doshii-io/doshii-partner-node-sdk.

Assumed, because no page that was seen says it:

=====================  =================================================================================================
before the first ping  the handshake is not complete: no event is sent
a missed ping          Doshii closes the socket with 1008; see ``Heartbeat``
a ping too soon        is answered, and counted as a fault
any other frame        is counted as a fault, and not answered; a pong is none
missed events          are gone, unless ``keeps_missed``
=====================  =================================================================================================
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from attrs import define, field, frozen
from starlette.responses import JSONResponse
from starlette.types import Scope
from starlette.websockets import WebSocket, WebSocketDisconnect

from ordernpay.simulator.doshii.tokens import App

PATHS: Final = ("/app/socket/v3", "/app/socket")
POLICY_VIOLATION: Final = 1008
SKEW: Final = 600


class SocketFault(StrEnum):
    """What an App does wrong on its socket."""

    NO_FIRST_PING = "no_first_ping"
    PING_MISSED = "ping_missed"
    PING_TOO_SOON = "ping_too_soon"
    PING_IN_SECONDS = "ping_in_seconds"
    PING_WRONG = "ping_wrong"
    FRAME_WRONG = "frame_wrong"


@frozen
class Heartbeat:
    """What the App's pings are held to, in seconds.

    Args:
        first: Until the first ping after opening.
        every: Between two pings.
        grace: How much later one may be.
        least: What comes sooner after another is a fault.
        closes: Whether a missed ping ends the socket, or is counted alone.
    """

    first: float = 2.0
    every: float = 30.0
    grace: float = 10.0
    least: float = 1.0
    closes: bool = True


@define(eq=False)
class Link:
    """One socket of an App. A ``silent`` one stays open, and nothing is sent on it any more."""

    websocket: WebSocket
    device_id: str | None = None
    silent: bool = False
    last_ping: float | None = None

    async def send(self, frame: str) -> None:
        """Send, if it still can."""
        if not self.silent:
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await self.websocket.send_text(frame)


@define(eq=False)
class Sockets:
    """All sockets of the App.

    Args:
        app: Who may open one.
        heartbeat: What its pings are held to.
        wrapped_pong: Answer a ping as the pages print it, ``{"type": "message", "data": ...}``.
        refuses: Answer 401 to whoever opens one.
        mute: Sockets that open from now on are silent.
        keeps_missed: Events that found no socket are sent to the next one.

    Attributes:
        ready: Set while at least one socket had its first ping.
        accepted, turned_away: How many were opened and refused.
        faults: What the App did wrong, in order.
        pings, pongs: The numbers in the App's correct pings and in its pongs.
    """

    app: App
    cut: Callable[[Scope], None]
    heartbeat: Heartbeat = field(factory=Heartbeat)
    wrapped_pong: bool = False
    api_version: str = "3.9.1"
    refuses: bool = False
    mute: bool = False
    keeps_missed: bool = False
    clock: Callable[[], float] = time.time
    ready: asyncio.Event = field(factory=asyncio.Event)
    accepted: int = 0
    turned_away: int = 0
    faults: list[SocketFault] = field(factory=list)
    pings: list[int] = field(factory=list)
    pongs: list[int] = field(factory=list)
    links: list[Link] = field(factory=list)
    _missed: list[str] = field(factory=list)

    async def serve(self, websocket: WebSocket) -> None:
        """Take an App's socket, or turn it away."""
        if self.refuses or websocket.query_params.getlist("auth") != [self.app.socket_auth]:
            self.turned_away += 1
            await websocket.send_denial_response(JSONResponse({"message": "auth is not known."}, 401))
            return
        await websocket.accept()
        link = Link(websocket, websocket.query_params.get("deviceId"), self.mute)
        self.accepted += 1
        self.links.append(link)
        try:
            await self._converse(link)
        finally:
            self.links.remove(link)
            if not self._linked():
                self.ready.clear()

    async def send(self, frame: str) -> None:
        """Send an event to every socket that had its first ping."""
        linked = self._linked()
        for link in linked:
            await link.send(frame)
        if not linked and self.keeps_missed:
            self._missed.append(frame)

    async def ping(self) -> int:
        """Ping every socket; gives the number that stands in it."""
        now = int(self.clock() * 1000)
        for link in list(self.links):
            await link.send(json.dumps({"doshii": {"ping": now, "version": self.api_version}}))
        return now

    def silence(self) -> None:
        """Send nothing any more on the sockets that are open; they stay open."""
        for link in self.links:
            link.silent = True

    def drop(self) -> None:
        """Cut the sockets that are open with a reset."""
        for link in list(self.links):
            self.cut(link.websocket.scope)

    async def close(self, code: int = 1001) -> None:
        """Close the sockets that are open in good order."""
        for link in list(self.links):
            with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                await link.websocket.close(code)

    def _linked(self) -> list[Link]:
        return [link for link in self.links if link.last_ping is not None]

    async def _converse(self, link: Link) -> None:
        loop = asyncio.get_running_loop()
        due: float | None = loop.time() + self.heartbeat.first
        while True:
            try:
                async with asyncio.timeout_at(due):
                    message = await link.websocket.receive()
            except TimeoutError:
                self.faults.append(SocketFault.NO_FIRST_PING if link.last_ping is None else SocketFault.PING_MISSED)
                if self.heartbeat.closes:
                    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                        await link.websocket.close(POLICY_VIOLATION)
                    return
                due = None
                continue
            if message["type"] != "websocket.receive":
                return
            if await self._hear(link, message.get("text")):
                due = loop.time() + self.heartbeat.every + self.heartbeat.grace

    async def _hear(self, link: Link, frame: str | None) -> bool:
        """Answer a frame; whether it was a good ping."""
        beat = _beat(frame)
        if beat is None:
            self.faults.append(SocketFault.FRAME_WRONG)
            return False
        if "pong" in beat:
            self.pongs.append(beat["pong"])
            return False
        ping = beat["ping"]
        if abs(ping - self.clock() * 1000) > SKEW * 1000:
            in_seconds = abs(ping - self.clock()) <= SKEW
            self.faults.append(SocketFault.PING_IN_SECONDS if in_seconds else SocketFault.PING_WRONG)
            return False
        now = asyncio.get_running_loop().time()
        if link.last_ping is not None and now - link.last_ping < self.heartbeat.least:
            self.faults.append(SocketFault.PING_TOO_SOON)
        first, link.last_ping = link.last_ping is None, now
        self.pings.append(ping)
        pong: dict[str, Any] = {"doshii": {"pong": ping, "version": self.api_version}}
        await link.send(json.dumps({"type": "message", "data": pong} if self.wrapped_pong else pong))
        if first:
            self.ready.set()
            missed, self._missed = self._missed, []
            for late in missed:
                await link.send(late)
        return True


def _beat(frame: str | None) -> dict[str, Any] | None:
    """What stands in ``{"doshii": {"ping" or "pong": whole number, "version": text}}``; nothing else may."""
    try:
        message = json.loads(frame or "")
    except (ValueError, RecursionError):
        return None
    beat = message.get("doshii") if isinstance(message, dict) and len(message) == 1 else None
    if not isinstance(beat, dict) or set(beat) not in ({"ping", "version"}, {"pong", "version"}):
        return None
    number = beat.get("ping", beat.get("pong"))
    if type(number) is not int or type(beat["version"]) is not str or not beat["version"]:
        return None
    return beat
