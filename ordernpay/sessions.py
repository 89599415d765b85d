"""The sessions of a daemon: opened, run, run again when they break, and retired when the configuration has others.

A session that a reload changes or removes takes nothing new. What it has under way may end on it, for as long as a stop
would wait; only then is it closed, and what is left goes on with its successor. Where a vendor has one connection for
an outlet, the successor makes none before the old one is gone.
"""

from collections.abc import Awaitable, Callable, Coroutine, Iterator
from functools import partial
from typing import Any, Final

import anyio
import anyio.abc
import structlog
from attrs import define, field

from ordernpay.clock import Clock
from ordernpay.config import Config, Inbound, SessionConfig
from ordernpay.gateway import Gateway
from ordernpay.vendors import open_session
from ordernpay.vendors.backoff import BackOff
from ordernpay.vendors.protocol import Session

AGAIN: Final = (0.5, 60.0)
"""Shortest and longest ceiling of the seconds until a session that broke is run again."""

log = structlog.get_logger(__name__)


@define(eq=False)
class OpenSession:
    """A session that runs, and what ends it.

    Attributes:
        session: the vendor's.
        config: as it was opened.
        after: the one in whose place it is; that is gone before this one connects, where a vendor has one connection.
        scope: what closes it.
        taken: the vendor has connected to the one in its place.
        ended: it is closed, and so is all that was before it.
    """

    session: Session
    config: SessionConfig
    after: "OpenSession | None" = None
    scope: anyio.CancelScope = field(factory=anyio.CancelScope)
    taken: anyio.Event = field(factory=anyio.Event)
    ended: anyio.Event = field(factory=anyio.Event)

    async def run(self) -> None:
        """Run a session until it is closed; one that breaks is run again, since the others have no part in its fault."""
        back_off = BackOff(*AGAIN)
        try:
            with self.scope:
                await self._alone()
                while True:
                    try:
                        await self.session.run()
                    except Exception:
                        log.exception("session_broke", session=self.session.name, vendor=self.session.vendor)
                    await anyio.sleep(back_off.after_miss())
        finally:
            with anyio.CancelScope(shield=True):
                await self._alone()  # who comes after this one waits for the one before it, too
            self.ended.set()

    async def _alone(self) -> None:
        if self.after is not None and self.session.exclusive:
            await self.after.ended.wait()
        self.after = None


class Sessions:
    """The sessions as configured, by name.

    Args:
        gateway: whose commands they do.
        clock: of the daemon.
    """

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        self._gateway = gateway
        self._clock = clock
        self._open: dict[str, OpenSession] = {}
        self._tasks: anyio.abc.TaskGroup | None = None

    def __iter__(self) -> Iterator[tuple[str, OpenSession]]:
        return iter(self._open.items())

    def __len__(self) -> int:
        return len(self._open)

    def own(self, tasks: anyio.abc.TaskGroup) -> None:
        """Run them all in a task group from now on."""
        self._tasks = tasks

    def replace(self, config: Config) -> tuple[list[str], list[str]]:
        """Open what is new in a configuration and retire what is not in it as it was; the names of those, and of these.

        Nothing is waited for: a session that stays is there for every call, and so is the new one in the place of an old.
        """
        gone = [name for name, one in self._open.items() if config.sessions.get(name) != one.config]
        retired = {name: self._open.pop(name) for name in gone}
        fresh = [name for name in config.sessions if name not in self._open]
        for name in fresh:
            self._start(name, config.sessions[name], config.inbound or Inbound(), retired.get(name))
        for name, old in retired.items():
            if name not in self._open:
                del self._gateway.sessions[name]
            self._spawn(self._retire, old, config.daemon.drain_seconds)
        return gone, fresh

    def _start(self, name: str, config: SessionConfig, inbound: Inbound, after: OpenSession | None) -> None:
        session = open_session(name, config, inbound, self._gateway.publisher(name), self._clock)
        if after is not None:
            session.follow(after.taken.set)
        self._open[name] = one = OpenSession(session, config, after)
        self._gateway.sessions[name] = session
        self._gateway.limits[name] = config.max_in_flight
        self._spawn(one.run)

    def _spawn(self, work: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        if self._tasks is None:
            raise RuntimeError("nothing runs the sessions")
        self._tasks.start_soon(work, *args)

    async def _retire(self, old: OpenSession, seconds: float) -> None:
        """Close a session once what it has under way has ended, or cannot end on it any more, or its time is over."""
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as tasks:
                for ending in (old.session.retire, old.taken.wait, partial(self._gateway.idle, old.session)):
                    tasks.start_soon(_first, ending, tasks.cancel_scope)
        old.scope.cancel()
        await old.ended.wait()
        left = self._gateway.hand_over(old.session)
        log.info("session_retired", session=old.session.name, handed_over=left)

    def overdue(self) -> str | None:
        """What has not moved on by itself in time, for the watchdog."""
        for name, one in self._open.items():
            why = "has ended" if one.ended.is_set() else one.session.status().overdue
            if why is not None:
                return f"{name}: {why}"
        return None

    def suspect(self, why: str) -> None:
        """Have every session find out whether its connection still stands."""
        for one in self._open.values():
            one.session.suspect(why)


async def _first(ending: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
    await ending()
    scope.cancel()
