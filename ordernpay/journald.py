"""The system's journal, spoken natively: a line for people, and each value of it as a field to search by.

Protocol: systemd.io/JOURNAL_NATIVE_PROTOCOL. A field that holds a line break is sent with its length, so that no value can
forge another field.
"""

import errno
import json
import os
import re
import socket
import struct
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final, TextIO

SOCKET: Final = "/run/systemd/journal/socket"

PRIORITIES: Final = {"debug": 7, "info": 6, "warning": 4, "warn": 4, "error": 3, "exception": 3, "critical": 2}
"""syslog(3)'s numbers for our levels."""

PREFIX: Final = "ORDERNPAY_"
KEPT_OUT: Final = frozenset({"timestamp", "level"})
"""The journal has its own time and priority."""

_BARE: Final = re.compile(r"[^\s\"=]+")


def speaks_to_journald(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether a descriptor is the stream that systemd connected to the journal (``$JOURNAL_STREAM``)."""
    device, _, inode = environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def render(_: Any, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """The structlog renderer: hands `Logger` what it needs."""
    return {"level": event.get("level", "info"), "line": sentence(event), "fields": fields(event)}


def sentence(event: Mapping[str, Any]) -> str:
    """What a person reads: the event, and its values as ``key=value``."""
    told = [f"{key}={_shown(value)}" for key, value in event.items() if key != "event" and key not in KEPT_OUT]
    return " ".join([str(event.get("event", "")), *told])


def fields(event: Mapping[str, Any]) -> dict[str, str]:
    """What a program searches by: ``ORDERNPAY_EVENT``, ``ORDERNPAY_SESSION`` …; values that are no text are JSON."""
    named: dict[str, str] = {}
    for key, value in event.items():
        if key in KEPT_OUT or value is None:
            continue
        name = PREFIX + re.sub(r"[^A-Z0-9_]", "_", key.upper())
        named[name[:64]] = value if isinstance(value, str) else json.dumps(value, default=str)
    return named


class Logger:
    """A structlog logger that writes to the journal; what cannot be written at once is counted, never waited for.

    Args:
        address: the journal's socket.
        stream: takes what the journal does not.
    """

    def __init__(self, address: str = SOCKET, stream: TextIO | None = None) -> None:
        self._address = address
        self._stream = stream or sys.stderr
        self.lost = 0

    def msg(self, *, level: str, line: str, fields: Mapping[str, str]) -> None:
        """Write one entry."""
        priority = PRIORITIES.get(level, 6)
        lost, told = self.lost, dict(fields)
        if lost:
            told[f"{PREFIX}LINES_LOST"] = str(lost)
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.sendto(entry(priority, line, told), self._address)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.ENOBUFS}:
                self.lost += 1
            else:  # no journal there, or an entry too big for it: the stream takes any line
                self._stream.write(f"<{priority}>{' '.join(line.split())[:40_000]}\n")
        else:
            self.lost -= lost

    debug = info = warning = warn = error = err = critical = fatal = exception = log = msg


def entry(priority: int, line: str, named: Mapping[str, str]) -> bytes:
    """One datagram of the native protocol."""
    parts = {"PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "ordernpay", "MESSAGE": line, **named}
    return b"".join(_field(name, value.encode("utf-8", "backslashreplace")) for name, value in parts.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    if isinstance(value, str) and not _BARE.fullmatch(text):
        return json.dumps(text, ensure_ascii=False)
    return text
