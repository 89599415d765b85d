"""What systemd is told, and its watchdog fed by proof that everything moves (sd_notify(3), systemd.service(5)).

The messages are datagrams to ``$NOTIFY_SOCKET``. Without that variable nothing is told, and everything else is the same.
"""

import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import anyio
import structlog

STATUS_MOST: Final = 1_000
"""Characters of a status: systemd shows one line."""

BEATS: Final = 4
"""How many times within the watchdog's limit the proofs are asked for."""

EXTENSION: Final = 10.0
"""Seconds that a start is given anew each time that it shows progress."""

EXTEND_EVERY: Final = 2.0

log = structlog.get_logger(__name__)


class Notifier:
    """The way to systemd, as this process' environment tells it.

    Args:
        address: the socket's path, or its abstract name with a leading ``@``; None where nobody listens.
        watchdog: seconds within which systemd wants to be told that all is well; None where it does not.
    """

    def __init__(self, address: str | None = None, watchdog: float | None = None) -> None:
        self.watchdog = watchdog
        self._address = f"\0{address[1:]}" if address is not None and address.startswith("@") else address
        self.stuck: dict[str, str] = {}
        self._status = ""
        self._owed: dict[str, str] = {}
        self._stopping = False
        self._failing = False

    @classmethod
    def from_environ(cls, environ: MutableMapping[str, str]) -> Self:
        """What the variables say; they are removed, since they are meant for this very process."""
        address = environ.pop("NOTIFY_SOCKET", None)
        limit, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", None)
        if address is not None and not address.startswith(("/", "@")):
            log.warning("notify_socket_ignored", reason="expected a path or an abstract name in $NOTIFY_SOCKET")
            address = None
        ours = pid is None or pid == str(os.getpid())
        watchdog = int(limit) / 1e6 if ours and limit.isascii() and limit.isdigit() and int(limit) else None
        return cls(address, watchdog if address is not None else None)

    def ready(self, status: str) -> None:
        """The start, or a reload, is done."""
        self._status = _line(status)
        self._send(READY="1", STATUS=self._status)

    def status(self, text: str) -> None:
        """How the daemon stands, for ``systemctl status``; sent only when it is news, or when the last word was lost."""
        line = _line(text)
        if not self._stopping and (line != self._status or self._owed):
            self._status = line
            self._send(**(self._owed | {"STATUS": line}))

    def reloading(self) -> None:
        """A reload begins; `ready` ends it. The time tells systemd which signal is being answered."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
        self._send(RELOADING="1", MONOTONIC_USEC=str(now))

    def stopping(self, seconds: float) -> None:
        """A stop begins, and may take so long; that it stops is the last that the status says."""
        self._stopping = True
        self._send(STOPPING="1", STATUS="stopping", EXTEND_TIMEOUT_USEC=_micro(seconds))

    def extend(self, seconds: float) -> None:
        """The start goes on, and wants so much more time."""
        self._send(EXTEND_TIMEOUT_USEC=_micro(seconds))

    def alive(self) -> None:
        """All is well."""
        self._send(WATCHDOG="1")

    def _send(self, **fields: str) -> None:
        if self._address is None:
            return
        message = "\n".join(f"{name}={value}" for name, value in fields.items()).encode()
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            ) as sender:
                sender.connect(self._address)
                sender.send(message)
        except OSError as error:
            if not self._failing:
                log.warning("systemd_not_told", reason=errno.errorcode.get(error.errno or 0, type(error).__name__))
            self._failing = True
            # Without its READY=1 a daemon that serves is ended when the time for its start is over.
            self._owed |= {name: value for name, value in fields.items() if name in {"READY", "STATUS"}}
        else:
            self._failing = False
            if fields.keys() >= self._owed.keys():
                self._owed.clear()


Proof = Callable[[], Coroutine[Any, Any, str | None]]
"""Returns None when what it watches has moved, or says what has not. May wait for it."""


async def watch(notifier: Notifier, proofs: dict[str, Proof]) -> None:
    """Feed the watchdog for as long as every proof is given; runs until cancelled.

    That this task runs is the proof of the event loop. Where another proof fails, the watchdog is not fed, so that systemd
    ends this process and starts a new one, which goes on from the journal.

    Args:
        notifier: the way to systemd; without a watchdog there is nothing to do.
        proofs: what has to move, by its name.
    """
    if notifier.watchdog is None:
        return
    beat = notifier.watchdog / BEATS
    while True:
        found: dict[str, str] = {}
        with anyio.move_on_after(beat * 2):
            async with anyio.create_task_group() as asking:
                for name, proof in proofs.items():
                    found[name] = "does not answer"
                    asking.start_soon(_ask, name, proof, found)
        for name, why in found.items():
            if notifier.stuck.get(name) != why:
                log.error("progress_missed", what=name, reason=why)
        notifier.stuck = found
        if not found:
            notifier.alive()
        await anyio.sleep(beat)


async def _ask(name: str, proof: Proof, found: dict[str, str]) -> None:
    why = await proof()
    if why is None:
        del found[name]
    else:
        found[name] = why


@asynccontextmanager
async def starting(notifier: Notifier, status: Callable[[], str], progress: Callable[[], int]) -> AsyncIterator[None]:
    """Ask for more time for as long as a long start makes progress.

    Args:
        notifier: the way to systemd.
        status: says what is being done.
        progress: a number that changes with it.
    """
    notifier.status(status())
    failed: Exception | None = None

    async def extend() -> None:
        before = -1
        while True:
            now = progress()
            notifier.status(status())
            if now != before:
                notifier.extend(EXTENSION)
            before = now
            await anyio.sleep(EXTEND_EVERY)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(extend)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, as itself instead of in a group
            failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


def _line(text: str) -> str:
    return " ".join(text.split())[:STATUS_MOST]


def _micro(seconds: float) -> str:
    return str(int(seconds * 1_000_000))
