"""How the daemon stands: what `daemon.status`, `session.list` and `session.get` tell of it."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio.to_thread
from attrs import define, frozen

from ordernpay import __version__
from ordernpay.certificates import Certificate, door_faults
from ordernpay.clock import Clock, rfc3339
from ordernpay.gateway import Gateway
from ordernpay.journal import Figures, Journal, JournalUnavailable
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rpc.reasons import explained
from ordernpay.rpc.server import Stats
from ordernpay.vendors.protocol import Session

LOW_BYTES: Final = 200_000_000
LOW_SHARE: Final = 0.05
LOW_MOST: Final = 2_000_000_000
"""A disk is low under 5 %, but never before 2 GB are left, and always once 200 MB are."""


@frozen
class Disk:
    """The space where the journal is, in bytes; `free` is what the daemon itself may use."""

    total: int
    free: int

    @property
    def low(self) -> bool:
        """Whether somebody should make room."""
        return self.free < max(LOW_BYTES, min(LOW_SHARE * self.total, LOW_MOST))


def disk_of(directory: Path) -> Disk:
    """The disk that a directory is on; raises `OSError`."""
    usage = shutil.disk_usage(directory)
    return Disk(usage.total, usage.free)


@define(eq=False)
class Condition:
    """How the daemon stands.

    Attributes:
        config_error: set by the daemon: why the last reload was refused; None once one was taken.
        needs_restart: set by the daemon: what stands in the configuration and comes into force at a restart only.
        certificate: set by the daemon: what the HTTP server shows to new connections, if it speaks TLS.
        certificate_files: set by the daemon: where a reload or a restart would read the next one from, and its key.
    """

    gateway: Gateway
    journal: Journal
    clock: Clock
    config_error: str | None = None
    needs_restart: Callable[[], list[str]] = list
    certificate: Callable[[], Certificate | None] = lambda: None
    certificate_files: Callable[[], tuple[str | None, str | None]] = lambda: (None, None)
    _started: float = 0.0
    _started_at: float = 0.0

    def __attrs_post_init__(self) -> None:
        self._started, self._started_at = self.clock.now(), self.clock.wall()

    async def told(self, visible: frozenset[str] | None, stats: Stats) -> JsonObject:
        """The result of `daemon.status`.

        Args:
            visible: the sessions that the caller may know of; None for all.
            stats: of the local socket's clients.
        """
        try:
            figures, unreadable = await self.journal.figures(), None
        except JournalUnavailable as error:
            figures, unreadable = Figures({}, None, 0, 0), str(error)
        disk, inbound = await anyio.to_thread.run_sync(lambda: (self._disk(), self._inbound()))
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started_at": rfc3339(self._started_at),
            "uptime": round(self.clock.now() - self._started, 3),
            "config_error": self.config_error,
            "needs_restart": [*self.needs_restart()],
            "sessions": self.sessions(visible),
            "journal": self._journal(figures, unreadable, visible),
            "disk": disk,
            "inbound": inbound,
            "clients": {
                "now": stats.now,
                "total": stats.total,
                "cut_off": stats.cut_off,
                "refused": stats.refused,
            },
        }

    def sessions(self, visible: frozenset[str] | None) -> list[JsonValue]:
        """Every session that the caller may know of, by name."""
        return [
            session_json(session)
            for name, session in sorted(self.gateway.sessions.items())
            if visible is None or name in visible
        ]

    def _journal(self, figures: Figures, unreadable: str | None, visible: frozenset[str] | None) -> JsonObject:
        states: JsonObject = {**figures.states}
        flushes, oldest = self.journal.flushes, figures.oldest_unknown
        newest: list[JsonValue] = [*figures.newest_damaged]
        told: JsonObject | None = None
        if oldest is not None and (visible is None or oldest.session in visible):
            told = {
                "command_id": oldest.command_id,
                "session": oldest.session,
                "accepted_at": rfc3339(oldest.accepted_at),
                "age": round(max(0.0, self.clock.wall() - oldest.accepted_at), 3),
            }
        return {
            "journal": self.journal.identity,
            "commands": states,
            "unknown": figures.states.get("unknown", 0),
            "oldest_unknown_at": None if oldest is None else rfc3339(oldest.accepted_at),
            "oldest_unknown": told,
            "in_flight": self.gateway.in_flight,
            "last_seq": figures.last_seq,
            "bytes": figures.bytes,
            "wal_bytes": figures.wal_bytes,
            "error": self.journal.trouble or unreadable,
            "damaged": {"count": figures.damaged, "newest": newest},
            "moved_aside": None if self.journal.moved_aside is None else str(self.journal.moved_aside),
            "flush_milliseconds": {
                "last": round(flushes.last * 1000, 3),
                "longest": round(flushes.longest * 1000, 3),
            },
        }

    def _disk(self) -> JsonObject:
        path = self.journal.directory
        try:
            disk = disk_of(path)
        except OSError as error:
            return {"path": str(path), "free": None, "total": None, "low": None, "error": error.strerror}
        return {"path": str(path), "free": disk.free, "total": disk.total, "low": disk.low, "error": None}

    def _inbound(self) -> JsonObject:
        shown = self.certificate()
        faults = [f"{fault.path}: {fault.message}" for fault in door_faults(*self.certificate_files())]
        return {
            "certificate_expires": None if shown is None else rfc3339(shown.expires),
            "error": faults[0] if faults else None,
        }


def session_json(session: Session) -> JsonObject:
    """A session as the contract tells it."""
    status = session.status()
    commands: list[JsonValue] = [*session.commands]
    counters: JsonObject = {**status.counters}
    expires = status.certificate_expires
    return {
        "name": session.name,
        "vendor": session.vendor,
        "state": status.state,
        "since": rfc3339(status.since),
        "commands": commands,
        "in_flight": status.in_flight,
        "last_error": status.last_error,
        "why": explained(status.state, status.last_error),
        "flips": status.flips,
        "unsteady_since": None if status.unsteady_since is None else rfc3339(status.unsteady_since),
        "reconnects": max(0, status.counters.get("connections", 0) - 1),
        "certificate_expires": None if expires is None else rfc3339(expires),
        "counters": counters,
    }
