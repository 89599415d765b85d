"""A network that can be broken on purpose: a TCP proxy between a client and a server of a test."""

import asyncio
import contextlib
import socket
import struct
from enum import StrEnum
from typing import Self

CHUNK = 65536


class Direction(StrEnum):
    """Which way bytes go."""

    TO_SERVER = "to_server"
    TO_CLIENT = "to_client"


class _CutError(Exception):
    """Both ends of a connection are to be reset."""


class _Pair:
    """The two sockets of one connection; one that lost bytes in a black hole never carries any again."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.lost_bytes = False


class TcpProxy:
    """Carries TCP connections to a target, and breaks them on demand.

    Args:
        target_host: Where the connections go.
        target_port: Where the connections go.

    Attributes:
        port: Where clients connect, on 127.0.0.1; kept over ``refuse`` and ``accept``.
        accepted: How many connections came so far.
        carried: Bytes passed on so far, by direction.
        swallowed: Bytes lost in a black hole so far.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = target_host, target_port
        self.port = 0
        self.accepted = 0
        self.carried = dict.fromkeys(Direction, 0)
        self.swallowed = 0
        self._latency = 0.0
        self._budgets: dict[Direction, int] = {}
        self._carrying: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._closing = asyncio.Event()
        self._listener: socket.socket | None = None
        self._tasks: asyncio.TaskGroup
        self._running: asyncio.Task[None]

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._carrying)

    async def __aenter__(self) -> Self:
        self.accept()
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.refuse()
        self._closing.set()
        await self._running

    def drop(self) -> None:
        """Reset all connections."""
        for task in self._carrying:
            task.cancel()

    def blackhole(self) -> None:
        """Swallow all bytes, both ways; connections stay open and new ones are still accepted.

        A connection that lost bytes stays a black hole after ``restore``, since TCP never loses some and brings others.
        """
        self._flowing.clear()

    def restore(self) -> None:
        """End ``blackhole``, for new connections and for those that lost nothing."""
        self._flowing.set()

    def refuse(self) -> None:
        """Stop listening; those connections that are up stay up."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def accept(self) -> None:
        """Listen, on the same port as ever."""
        if self._listener is not None:
            return
        listener = socket.create_server(("127.0.0.1", self.port))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._on_connection, listener)

    def cut_after(self, n_bytes: int, direction: Direction) -> None:
        """Reset the connection that carries the byte after the next ``n_bytes`` of this direction; once."""
        self._budgets[direction] = n_bytes

    def latency(self, seconds: float) -> None:
        """Hold every chunk of bytes for so long, each way."""
        self._latency = seconds

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as self._tasks:
            await self._closing.wait()
            self.drop()

    def _on_connection(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.setblocking(False)
        self.accepted += 1
        task = self._tasks.create_task(self._carry(client))
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)

    async def _carry(self, client: socket.socket) -> None:
        with client, socket.socket() as server:
            server.setblocking(False)
            ended_well = False
            try:
                await asyncio.get_running_loop().sock_connect(server, self.target)
                await self._pass_on(_Pair(client, server))
                ended_well = True
            except* (_CutError, OSError):
                await self._flowing.wait()
            finally:
                if not ended_well:
                    _reset_on_close(client, server)

    async def _pass_on(self, pair: _Pair) -> None:
        async with asyncio.TaskGroup() as both:
            both.create_task(self._pump(pair, pair.client, pair.server, Direction.TO_SERVER))
            both.create_task(self._pump(pair, pair.server, pair.client, Direction.TO_CLIENT))

    async def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        loop = asyncio.get_running_loop()
        while chunk := await loop.sock_recv(source, CHUNK):
            if self._latency:
                await asyncio.sleep(self._latency)
            if pair.lost_bytes or not self._flowing.is_set():
                pair.lost_bytes = True
                self.swallowed += len(chunk)
                continue
            allowed = self._budgets.get(direction, len(chunk))
            await loop.sock_sendall(sink, chunk[:allowed])
            self.carried[direction] += min(allowed, len(chunk))
            if direction in self._budgets:
                self._budgets[direction] = allowed - len(chunk)
            if allowed < len(chunk):
                del self._budgets[direction]
                raise _CutError
        await self._flowing.wait()
        if pair.lost_bytes:
            raise _CutError
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


def _reset_on_close(*ends: socket.socket) -> None:
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
