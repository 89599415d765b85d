"""A vendor's end of the line, byte by byte: it answers, breaks off or keeps silent as a test wants it."""

import asyncio
import contextlib
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable

from attrs import define, field

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@define(eq=False)
class Peer:
    """A listening socket, and what came in."""

    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(factory=list)

    @property
    def url(self) -> str:
        """Its address, plain."""
        return f"http://127.0.0.1:{self.port}/x"

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request, whole."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: ([0-9]+)", head)
        whole = head + await reader.readexactly(int(length[1]) if length else 0)
        self.requests.append(whole)
        return whole


Handle = Callable[[Peer, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def peer(handle: Handle, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """Serve on a port of its own."""
    served = Peer()
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.connections += 1
        writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handle(served, reader, writer)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    end: socket.socket = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answer(status: int = 200, body: bytes = b"{}", *, length: int | None = None, **headers: str) -> bytes:
    """An answer; `length` may lie."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(status: int = 200, body: bytes = b"{}", *, length: int | None = None, **headers: str) -> Handle:
    """Answer every request so."""

    async def handle(served: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await served.request(reader)
        writer.write(answer(status, body, length=length, **headers))
        await writer.drain()

    return handle
