"""Standard error as the log's way out: what cannot be written at once is dropped and counted, never waited for.

A collector that stands still would otherwise stop the daemon at its first line too many. The descriptor is shared with
whoever started us, so it is never made non-blocking itself: a pipe or a terminal is opened anew for that, a socket is
asked not to wait.
"""

import contextlib
import os
import socket
import stat
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO

MOST_BYTES: Final = 60_000
"""Of one line: a pipe has room for 64 KiB, and a line that it has never room for would stop all others."""


def open_standard_streams() -> None:
    """Fill standard descriptors that were closed with the null device, or the next file opened would be one of them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    if sys.stderr is None:  # how the interpreter started, where it was closed then
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


class Stderr:
    """Standard error; a line for which there is no room is lost, and nothing else is.

    Past the stream's own buffer: what that could not write it would keep, and fail with at the end of the process.

    Attributes:
        lost: How many lines could not be written since somebody asked last.
    """

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream
        self._rest = b""
        self._send = self._sender()

    def write(self, text: str) -> int:
        """Write a line, as far as there is room; the rest of one that was begun comes before the next."""
        line = text.encode(errors="backslashreplace")
        if len(line) > MOST_BYTES:
            line = line[:MOST_BYTES].decode(errors="ignore").encode() + b" (cut)\n"
        try:
            if self._rest:
                self._rest = self._rest[self._send(self._rest) :]
            if self._rest:
                self.lost += 1
                return len(text)
            self._rest = line[self._send(line) :]
        except OSError:  # no room, nobody there any more, a disk that is full
            self.lost += 1
        return len(text)

    def flush(self) -> None:
        """Do nothing: what was written is out."""

    def _sender(self) -> Callable[[bytes], int]:
        """How to write to what the descriptor is, without waiting."""
        try:
            descriptor = self._stream.fileno()
            mode = os.fstat(descriptor).st_mode
        except (OSError, ValueError):  # no file
            return lambda data: (self._stream.write(data.decode()), len(data))[1]
        if stat.S_ISSOCK(mode):
            return partial(_to_socket, descriptor)
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            with contextlib.suppress(OSError):  # another user's, or a terminal that we may not open
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                descriptor = os.open(f"/proc/self/fd/{descriptor}", flags)
        return lambda data: os.write(descriptor, data)


def _to_socket(descriptor: int, data: bytes) -> int:
    with socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        return peer.send(data, socket.MSG_DONTWAIT)
