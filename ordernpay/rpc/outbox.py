"""The bounded queue of what a client is to read: a client that does not read holds up nobody but itself."""

import socket
from collections import deque
from collections.abc import Callable

import anyio


class ClientGone(Exception):
    """There is nobody left to be told."""


class Stalled(Exception):
    """The client has not read anything for too long."""


class Outbox:
    """The lines that a client has yet to read, in order.

    Args:
        sock: Connected, not blocking.
        max_lines: How many may wait.
        max_bytes: How many bytes may wait; a single line may be longer.
        stall_seconds: How long a write may make no progress.
        on_bytes: Told by how many bytes more or less wait here; what waits for room in the queue counts as well.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        max_lines: int,
        max_bytes: int,
        stall_seconds: float,
        on_bytes: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._sock = sock
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._stall_seconds = stall_seconds
        self._on_bytes = on_bytes
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._current = memoryview(b"")
        self._size = 0
        self._closed = False
        self._turn = anyio.Lock(fast_acquire=True)
        self._room = anyio.Event()
        self._ready = anyio.Event()
        self._drained = anyio.Event()

    async def put(self, line: bytes) -> None:
        """Queue a line; wait for room, first come first served.

        Raises:
            ClientGone: The outbox is closed, or was while this waited.
        """
        self._on_bytes(len(line))
        queued = False
        try:
            async with self._turn:
                while not self._closed and self._is_full(len(line)):
                    self._room = anyio.Event()
                    await self._room.wait()
                if self._closed:
                    raise ClientGone
                self._append(line)
                queued = True
        finally:
            if not queued:
                self._on_bytes(-len(line))

    async def room(self) -> None:
        """Wait until there is room for a line, and nobody waits for it."""
        if self._is_full(1) or self._turn.locked():
            async with self._turn:
                while not self._closed and self._is_full(1):
                    self._room = anyio.Event()
                    await self._room.wait()

    @property
    def empty(self) -> bool:
        """Whether everything was written."""
        return not self._lines and not self._current

    def close(self, last: bytes | None) -> None:
        """Take no more lines but this one."""
        self._closed = True
        self._room.set()
        if last is not None:
            self._on_bytes(len(last))
            self._append(last)

    def shed(self) -> None:
        """Drop the lines of which nothing is written yet."""
        self._on_bytes(-self._bytes)
        self._lines.clear()
        self._bytes = 0
        self._room.set()

    def discard(self) -> None:
        """Drop everything: nobody will read it any more."""
        self.shed()
        self._on_bytes(-self._size)
        self._size = 0
        self._current = memoryview(b"")

    async def run(self) -> None:
        """Write whatever comes, until cancelled.

        Raises:
            Stalled: The client does not read.
            OSError: The client is gone.
        """
        while True:
            await self.flush()
            self._ready = anyio.Event()
            self._drained.set()
            await self._ready.wait()

    async def drained(self) -> None:
        """Wait until :meth:`run` has written everything."""
        while self._lines or self._current:
            self._drained = anyio.Event()
            await self._drained.wait()

    async def flush(self) -> None:
        """Write what is queued. It may be cancelled and called again: no line is torn."""
        while self._current or self._lines:
            if not self._current:
                line = self._lines.popleft()
                self._bytes -= len(line)
                self._current = memoryview(line)
                self._size = len(line)
                self._room.set()
            try:
                sent = self._sock.send(self._current)
            except BlockingIOError:
                await self._writable()
            else:
                self._current = self._current[sent:]
                if not self._current:
                    self._on_bytes(-self._size)
                    self._size = 0

    async def _writable(self) -> None:
        with anyio.move_on_after(self._stall_seconds) as scope:
            await anyio.wait_writable(self._sock)
        if scope.cancelled_caught:
            raise Stalled

    def _is_full(self, size: int) -> bool:
        full = len(self._lines) >= self._max_lines or self._bytes + size > self._max_bytes
        return full and bool(self._lines)

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._bytes += len(line)
        self._ready.set()
