"""The daemon: start, serve, reload, drain, stop.

The order of a start: configuration, the local socket's lock, the journal (locked, checked, brought up to date), the
sessions, what an earlier life left open, then the doors. The order of a stop: nothing new is taken, what is under way
may end within the drain limit, and the rest is in the journal for the next start.
"""

import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.abc
import structlog

from ordernpay import __version__, patience
from ordernpay.certificates import Certificate
from ordernpay.clock import Clock, SystemClock
from ordernpay.config import Config, ConfigError, Inbound, load
from ordernpay.conversion import Fault, Faults
from ordernpay.events import Events
from ordernpay.gateway import Gateway
from ordernpay.inbound import HttpDoor
from ordernpay.journal import Journal, JournalUnavailable
from ordernpay.logs import repeats, tell_held_back
from ordernpay.metrics import Exposition, Metrics
from ordernpay.rpc.access import Gatekeeper
from ordernpay.rpc.methods import Methods
from ordernpay.rpc.server import Limits, Server
from ordernpay.rpc.sockets import BoundSocket, NoSuchGroup, SocketError, inherited_sockets, listen_unix
from ordernpay.rules import shown
from ordernpay.sessions import Sessions
from ordernpay.standing import needs_restart, standing, written
from ordernpay.starting import open_or_stop
from ordernpay.systemd import Notifier, watch
from ordernpay.vendors import CONFIGS

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
LAST_WORDS = 1.0
"""Seconds that a stop waits for answers that are known to be queued for their callers."""
CLOSING = 10.0
"""Seconds for all of a stop that follows the drain: sessions closed, the journal written."""
WRITTEN = 0.2
WRITTEN_HALF = 2.0
"""Seconds for which a file has not changed before it counts as written whole: the latter where sessions are missing."""

TELL_EVERY = 1.0
THREADS_TURN = 0.001
"""Seconds after which a thread that reads or writes something large lets the loop go on, which has a hop for each step."""
CLOCK_EVERY = 1.0
CLOCK_JUMP = 2.0
"""Seconds by which two clocks may part within a second before every connection is suspected."""

log = structlog.get_logger(__name__)


class StartFailed(Exception):
    """The daemon cannot start; the text says what to do."""


class Daemon:
    """One daemon; run once.

    Args:
        config: as read.
        clock: another one, for tests.
        notifier: the way to systemd, where there is one.
    """

    def __init__(self, config: Config, clock: Clock | None = None, notifier: Notifier | None = None) -> None:
        self.config = config
        self.notifier = notifier or Notifier()
        self._started_with = config
        self._unknown = 0
        self.clock = clock or SystemClock()
        self.journal = Journal(Path(config.daemon.state_dir), self.clock)
        self.events = Events(self.journal)
        self.gateway = Gateway(self.journal, self.clock)
        self.methods = Methods(
            self.gateway, self.journal, self.events, Gatekeeper(config.rpc), self.clock, config.rpc.max_event_backlog
        )
        self.server = Server(
            self.methods,
            _limits(config),
            on_closed=self.methods.forget,
            is_admin=lambda peer: self.methods.gatekeeper.caller(peer).admin,
        )
        self.methods.client_stats = lambda: self.server.stats
        self.methods.condition.certificate = self._certificate
        self.methods.condition.certificate_files = self._certificate_files
        self.methods.condition.needs_restart = self._needs_restart
        self.exposition = Exposition(
            Metrics(
                self.gateway,
                self.journal,
                self.events,
                lambda: self.server.stats,
                lambda: repeats.total,
                lambda: self._http,
            )
        )
        self._http: HttpDoor | None = None
        self.sessions = Sessions(self.gateway, self.clock)
        self._stopping = anyio.Event()
        self.serving = anyio.Event()

    async def run(self, *, signals: bool = True) -> None:
        """Serve until stopped.

        Args:
            signals: take SIGTERM and SIGINT as the word to stop, SIGHUP as the word to reload.

        Raises:
            StartFailed: something that an operator has to mend.
            ConfigError: the same, where it is a key of the configuration.
        """
        sys.setswitchinterval(THREADS_TURN)
        with contextlib.ExitStack() as stack:  # before anybody can connect: from then on a stop is a clean one
            received = stack.enter_context(anyio.open_signal_receiver(*SIGNALS)) if signals else None
            await self._run(received)

    async def _run(self, received: AsyncIterator[signal.Signals] | None) -> None:
        bound, http_socket = self._doors()
        try:
            try:
                if not await open_or_stop(self.journal, self.notifier, received, self.stop):
                    return
                await self.events.start()
                await self._serve(bound, http_socket, received)
            finally:
                with anyio.CancelScope(shield=True):
                    await self.journal.close()
        finally:
            for one in bound:
                one.close()
            if http_socket is not None:
                http_socket.close()

    def stop(self) -> None:
        """Begin to stop."""
        self._stopping.set()

    def _doors(self) -> tuple[list[BoundSocket | socket.socket], socket.socket | None]:
        """The sockets, taken before the journal is touched: who cannot have them changes nothing."""
        rpc, inbound = self.config.rpc, self._inbound()
        if inbound is not None:
            self._http = HttpDoor(inbound, self.gateway, self.exposition.text)
            self._show_certificate(self.config)
        bound: list[BoundSocket | socket.socket] = []
        try:
            bound += [sock for _, sock in inherited_sockets(os.environ) if sock.family == socket.AF_UNIX]
            if not bound:
                bound.append(listen_unix(rpc.socket, int(rpc.mode, 8), rpc.group))
        except NoSuchGroup:
            fault = Fault("rpc.group", f"expected a group of this machine, got {shown(rpc.group)}")
            raise ConfigError(self.config.file, [fault]) from None
        except SocketError as error:
            raise StartFailed(str(error)) from None
        if inbound is None or self._http is None:
            return bound, None
        try:
            return bound, self._http.bind()
        except OSError as error:
            for one in bound:
                one.close()
            where = f"{inbound.host}:{inbound.port}"
            raise StartFailed(f"[inbound]: cannot listen on {where}: {error.strerror}") from None

    def _show_certificate(self, config: Config) -> None:
        """Show the HTTP server's certificate as its files are now; raises `ConfigError`, and the one before stays."""
        if self._http is not None and config.inbound is not None:
            try:
                self._http.show(config.inbound.tls_certificate, config.inbound.tls_key)
            except Faults as error:
                raise ConfigError(config.file, error.faults) from None

    def _certificate(self) -> Certificate | None:
        return None if self._http is None or self._http.identity is None else self._http.identity.certificate

    def _certificate_files(self) -> tuple[str | None, str | None]:
        inbound = self.config.inbound
        return (None, None) if inbound is None else (inbound.tls_certificate, inbound.tls_key)

    def _inbound(self) -> Inbound | None:
        """The HTTP door's configuration, where one is wanted: by its own table, or by a session that listens."""
        if self.config.inbound is not None:
            return self.config.inbound
        return Inbound() if self._listening(self.config) else None

    @staticmethod
    def _listening(config: Config) -> bool:
        return any(getattr(session, "role", None) == "listen" for session in config.sessions.values())

    async def _serve(
        self,
        bound: list[BoundSocket | socket.socket],
        http_socket: socket.socket | None,
        received: AsyncIterator[signal.Signals] | None,
    ) -> None:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self.gateway.run)
            async with anyio.create_task_group() as sessions:
                self.sessions.own(sessions)
                self.sessions.replace(self.config)
                left_open = await self.gateway.recover()
                async with anyio.create_task_group() as doors:
                    if received is not None:
                        doors.start_soon(self._obey, received)
                    doors.start_soon(self._watch_clocks)
                    doors.start_soon(self.exposition.measure_loop)
                    doors.start_soon(patience.forget_old, self.journal, lambda: self.config.journal.keep_days)
                    doors.start_soon(self._tell)
                    doors.start_soon(
                        watch, self.notifier, {"journal": self._journal_moves, "sessions": self._sessions_move}
                    )
                    for one in bound:
                        doors.start_soon(self.server.serve, one.socket if isinstance(one, BoundSocket) else one)
                    if self._http is not None and http_socket is not None:
                        doors.start_soon(self._http.serve, http_socket)
                    self.serving.set()
                    await self._count_unknown()
                    self.notifier.ready(self._standing())
                    log.info("daemon_started", version=__version__, sessions=len(self.sessions), left_open=left_open)
                    await self._stopping.wait()
                    log.info("daemon_stopping", in_flight=self.gateway.in_flight)
                    self.notifier.stopping(self.config.daemon.drain_seconds + CLOSING)
                    left = await self.gateway.drain(self.config.daemon.drain_seconds)
                    await self.gateway.stop()
                    await self.server.answered(LAST_WORDS)
                    tasks.cancel_scope.cancel()
                    tell_held_back(everything=True)
                    log.info("daemon_stopped", left_to_next_start=left)

    # Reload

    async def reload(self) -> None:
        """Read the configuration again: sessions are opened, closed or opened anew, those unchanged are not touched.

        Raises:
            ConfigError: the file cannot be used; nothing was changed.
        """
        await written(self.config.file, WRITTEN)
        config = load(self.config.file, CONFIGS)
        if not {*self.config.sessions} <= {*config.sessions}:  # perhaps the half of a file, at the end of a table
            await written(self.config.file, WRITTEN_HALF)
            config = load(self.config.file, CONFIGS)
        if self.config.sessions and not config.sessions:
            fault = Fault("sessions", "expected at least one session; an empty file ends none of those that run")
            raise ConfigError(config.file, [fault])
        self._show_certificate(config)
        self.config = config
        self.methods.admit_by(Gatekeeper(config.rpc))
        gone, fresh = self.sessions.replace(config)
        log.info("configuration_reloaded", closed=gone, opened=fresh)
        restart = self._needs_restart()
        if restart:
            log.warning("reload_needs_restart", keys=restart)

    def _needs_restart(self) -> list[str]:
        """What stands in the configuration since a reload and is not in force."""
        changed = needs_restart(self._started_with, self.config)
        listening, door = (
            self._listening(self.config),
            self._started_with.inbound or self._listening(self._started_with),
        )
        return [*changed, "inbound"] if listening and not door and "inbound" not in changed else changed

    # Watching

    async def _obey(self, received: AsyncIterator[signal.Signals]) -> None:
        async for number in received:
            if number != signal.SIGHUP:
                self.stop()
                continue
            self.notifier.reloading()
            try:
                await self.reload()
            except ConfigError as error:
                self.methods.condition.config_error = str(error)
                log.error("reload_refused", reason=str(error))
            else:
                self.methods.condition.config_error = None
            self.notifier.ready(self._standing())

    def _standing(self) -> str:
        troubles = [f"STUCK: {what} {why}" for what, why in self.notifier.stuck.items()]
        if self.methods.condition.config_error is not None:
            troubles.append(
                f"RELOAD REFUSED, the old configuration stays: {self.methods.condition.config_error.splitlines()[0]}"
            )
        restart = self._needs_restart()
        if restart:
            troubles.append(f"restart needed for {', '.join(restart)}")
        trouble = self.journal.trouble
        if trouble is not None:
            troubles.append(f"ERROR: {trouble}")
        return standing(self.gateway.sessions, self._unknown, troubles)

    async def _tell(self) -> None:
        """Keep what ``systemctl status`` shows true."""
        while True:
            await anyio.sleep(TELL_EVERY)
            with contextlib.suppress(
                JournalUnavailable
            ):  # then the last count stands, and the journal's own trouble is told
                await self._count_unknown()
            self.notifier.status(self._standing())
            tell_held_back()

    async def _count_unknown(self) -> None:
        self._unknown = sum(one.count for one in (await self.journal.unknown_by_session()).values())

    # What the watchdog is fed for

    async def _journal_moves(self) -> str | None:
        return await patience.comes_round(self.journal)

    async def _sessions_move(self) -> str | None:
        return self.sessions.overdue()

    async def _watch_clocks(self) -> None:
        """A machine that slept has connections that only look alive."""
        asleep = self.clock.now() - self.clock.awake()
        wall = self.clock.wall() - self.clock.now()
        while True:
            await anyio.sleep(CLOCK_EVERY)
            asleep_now, wall_now = self.clock.now() - self.clock.awake(), self.clock.wall() - self.clock.now()
            if asleep_now - asleep > CLOCK_JUMP:
                self.sessions.suspect(f"the machine slept for {asleep_now - asleep:.0f} s")
            if abs(wall_now - wall) > CLOCK_JUMP:
                log.warning("wall_clock_stepped", seconds=round(wall_now - wall, 1))
            asleep, wall = asleep_now, wall_now


def _limits(config: Config) -> Limits:
    return Limits(
        message_bytes=config.rpc.max_message_bytes,
        in_flight=config.rpc.max_in_flight,
        clients=config.rpc.max_clients,
        stall_seconds=config.rpc.stall_seconds,
    )
