"""An answer's body, unpacked within a bound: a few bytes of `gzip, gzip` become gigabytes.

Only what was asked for in `Accept-Encoding` is unpacked, once, a slice at a time, so that neither memory nor the loop
depends on what the other end has packed.
"""

import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final, TypeVar

import anyio.lowlevel
import anyio.to_thread

T = TypeVar("T")

ACCEPTED: Final = "gzip, deflate"
SLICE: Final = 256 * 1024
MOST_MEMBERS: Final = 64
"""Members of a gzip body, each packed on its own; a sane body has one."""

MOST_PIECES: Final = 50_000
"""Pieces in which an answer may come: one of single bytes costs more than a large one."""

SAME_LOOP_PIECES: Final = 64
"""Pieces that are taken before others have a turn."""

READ_AT_ONCE: Final = 64 * 1024
"""Bytes of JSON that are read without a thread: the loop must not stand still for more."""

GZIP: Final = b"\x1f\x8b"


class Unusable(ValueError):
    """A body that cannot be unpacked, or is larger than it may be."""


class Unpacker:
    """Unpack one body as it comes.

    Args:
        encodings: of its ``Content-Encoding`` header.
        body: takes what was unpacked.
        most: bytes that it may have, packed as well as unpacked.

    Raises:
        Unusable: it is packed twice, or in a way that was not asked for.
    """

    def __init__(self, encodings: str, body: bytearray, most: int) -> None:
        named = [name for entry in encodings.split(",") if (name := entry.strip().lower()) not in {"", "identity"}]
        if len(named) > 1 or not {*named} <= {"gzip", "x-gzip", "deflate"}:
            raise Unusable(f"an answer packed as {', '.join(named)[:60]}, which was not asked for")
        self._body = body
        self._most = most
        self._came = 0
        self._members = 0
        self._deflate = named == ["deflate"]
        self._packed = zlib.decompressobj(zlib.MAX_WBITS if self._deflate else zlib.MAX_WBITS | 16) if named else None

    def feed(self, data: bytes) -> Iterator[None]:
        """Take what has come; yield after each slice that was unpacked.

        Raises:
            Unusable: it is not packed as it says, or is too large.
        """
        self._came += len(data)
        if self._packed is None:
            self._body += data
            self._check()
            return
        self._check()
        packed: zlib._Decompress | None = self._packed
        while packed is not None:
            data, full = self._unpack(packed, data)
            self._check()
            yield
            packed = self._after(data, full=full)

    def _unpack(self, packed: "zlib._Decompress", data: bytes) -> tuple[bytes, bool]:
        """Unpack a slice; what is left of the data, and whether there may be more to unpack without any."""
        try:
            unpacked = packed.decompress(data, SLICE)
        except zlib.error:
            if not self._deflate or self._body or self._came > len(data):
                raise Unusable("an answer that is not packed as it says") from None
            self._deflate, self._packed = False, zlib.decompressobj(-zlib.MAX_WBITS)  # as many servers write deflate
            return data, False
        self._body += unpacked
        return packed.unused_data if packed.eof else packed.unconsumed_tail, len(unpacked) == SLICE

    def _after(self, data: bytes, *, full: bool) -> "zlib._Decompress | None":
        """What unpacks the rest of what has come; None where there is no more."""
        packed = self._packed
        if packed is None or not packed.eof:
            return packed if data or full else None
        if not data.startswith(GZIP):  # padding
            return None
        self._members += 1
        if self._members >= MOST_MEMBERS:
            raise Unusable(f"an answer packed in more than {MOST_MEMBERS} members")
        self._packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
        return self._packed

    def _check(self) -> None:
        if max(self._came, len(self._body)) > self._most:
            raise Unusable(f"an answer of more than {self._most} bytes")

    def end(self) -> None:
        """Raise `Unusable` where something of it is missing."""
        if self._packed is not None and self._came and not self._packed.eof:
            raise Unusable("an answer whose packing broke off")


async def unpack(pieces: AsyncIterator[bytes], encodings: str, body: bytearray, most: int) -> None:
    """Take a body as it comes; see `Unpacker`.

    Raises:
        Unusable: it cannot be taken.
    """
    unpacker = Unpacker(encodings, body, most)
    count = 0
    async for data in pieces:
        for _ in unpacker.feed(data):
            await anyio.lowlevel.checkpoint()
        count += 1
        if count % SAME_LOOP_PIECES == 0:
            await anyio.lowlevel.checkpoint()
        if count > MOST_PIECES:
            raise Unusable(f"an answer in more than {MOST_PIECES} pieces")
    unpacker.end()


async def apart(body: bytes | str, read: Callable[[], T]) -> T:
    """Read a body in a thread where the loop would stand still for it too long."""
    return await anyio.to_thread.run_sync(read) if len(body) > READ_AT_ONCE else read()
