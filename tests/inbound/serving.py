"""An HTTP server over a real socket, with scripted sessions behind it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from attrs import define, field

from ordernpay.config import Inbound
from ordernpay.counts import Counts
from ordernpay.inbound import HttpDoor
from ordernpay.vendors.protocol import Door, WebsocketDoor
from tests.support.fakes import ScriptedSession


@define
class Houses:
    """Where the door looks for sessions."""

    sessions: dict[str, Any] = field(factory=dict)
    counts: Counts = field(factory=Counts)
    trouble: str | None = None


async def metrics() -> bytes:
    """A page of metrics."""
    return b"ordernpay_up 1\n"


def door_of(*offered: Door | WebsocketDoor, **settings: Any) -> HttpDoor:
    """An HTTP server with one session behind it."""
    houses = Houses({"bar": ScriptedSession(offered=offered)})
    return HttpDoor(Inbound(port=0, **settings), houses, metrics)


@contextlib.asynccontextmanager
async def listening(door: HttpDoor) -> AsyncIterator[str]:
    """Serve on a free port; its host and port."""
    sock = door.bind()
    task = asyncio.create_task(door.serve(sock))
    try:
        yield f"127.0.0.1:{sock.getsockname()[1]}"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        sock.close()


def speaks(sock: socket.socket) -> bool:
    """Whether the other end has neither hung up nor said anything yet."""
    sock.setblocking(False)
    try:
        return sock.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False
