"""The journal: every command and event, durable before anybody is told. The only thing that survives a power cut.

Writes go through one thread with group commit (`writer`), reads through another connection, so that a listing never
waits for a flush and a full disk does not stop reading.
"""

import asyncio
import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ordernpay.journal import identities, store
from ordernpay.journal.pruning import Horizon, horizon, prune
from ordernpay.journal.rows import Event, Figures, NewCommand, Row, Unknown, Unsettled
from ordernpay.journal.schema import JournalInUse, JournalTooNew, JournalUnavailable, connect_reader, lock
from ordernpay.journal.states import InvalidTransition
from ordernpay.journal.writer import Flushes, Operation, Writer
from ordernpay.outcomes import Outcome, State

__all__ = [
    "Event",
    "Figures",
    "Flushes",
    "Horizon",
    "InvalidTransition",
    "Journal",
    "JournalInUse",
    "JournalTooNew",
    "JournalUnavailable",
    "NewCommand",
    "Row",
    "Unknown",
    "Unsettled",
]

T = TypeVar("T")


class Journal:
    """An open journal. Whatever writes is durable when it returns, or raises `JournalUnavailable` and changed nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = -1
        self._writer = Writer(directory)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._reader: sqlite3.Connection | None = None
        self.identity = ""
        self.moved_aside: Path | None = None
        self.announce: Callable[[Event], None] = lambda _: None

    async def open(self) -> None:
        """Lock and open it.

        Raises:
            JournalInUse: another daemon has it.
            JournalTooNew: a later version wrote it.
            JournalUnavailable: the directory or the file cannot be written.
        """
        self._lock = lock(self._directory)
        opened = await self._writer.start()
        self.identity, self.moved_aside = opened.journal, opened.moved_aside
        self._reader = await self._in_reader(lambda: connect_reader(self._directory))

    async def close(self) -> None:
        """Write what is queued and let go of the file."""
        await self._writer.stop()
        if self._reader is not None:
            await self._in_reader(self._reader.close)
        self._readers.shutdown()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def directory(self) -> Path:
        """Where its files are."""
        return self._directory

    @property
    def flushes(self) -> Flushes:
        """What the writer thread has done."""
        return self._writer.flushes

    async def turn(self) -> None:
        """Return when the writer thread has come round once, whether or not the journal can be written."""
        await self._writer.turn()

    def worked(self) -> int:
        """Processor time of the writer thread in nanoseconds: it grows while a long start goes on."""
        return self._writer.worked()

    # Writes

    async def accept(self, new: NewCommand) -> tuple[Row, bool]:
        """Write a command down, or find the one that has its key; tells which (true: written)."""
        return await self._write(lambda db: store.accept(db, new))

    async def mark_sent(self, command_id: str, wall: float) -> None:
        """Write down that bytes may go out from here on."""
        await self._write(lambda db: store.mark_sent(db, command_id, wall))

    async def remember(self, command_id: str, vendor_ids: dict[str, str]) -> None:
        """Keep a command's identities at the vendor."""
        await self._write(lambda db: identities.remember(db, command_id, vendor_ids))

    async def reopen(
        self, command_id: str, to: State, seconds: float, deadline_at: float, vendor_ids: dict[str, str] | None = None
    ) -> Row:
        """Give a settled command another try; raises `InvalidTransition` where it is not settled so.

        Args:
            command_id: which.
            to: `accepted` for one that failed, `sent` for an unknown one.
            seconds: its new timeout.
            deadline_at: wall time.
            vendor_ids: for a try that begins afresh, all that is remembered of it.
        """
        return await self._write(lambda db: store.reopen(db, command_id, to, seconds, deadline_at, vendor_ids))

    async def settle(self, command_id: str, outcome: Outcome, wall: float) -> Row:
        """Write an outcome and its event; raises `InvalidTransition` where the command is settled otherwise."""
        row, _ = await self._write(lambda db: store.settle(db, command_id, outcome, wall), _event_of)
        return row

    async def resolve(self, command_id: str, verdict: Outcome, wall: float, note: str) -> Row:
        """Write a person's verdict and its event; raises `InvalidTransition` where the command is not unknown."""
        row, _ = await self._write(lambda db: store.resolve(db, command_id, verdict, wall, note), _event_of)
        return row

    async def publish(
        self,
        session: str,
        news: Sequence[store.News],
        once: str | tuple[str, ...] | None,
        wall: float,
        within: float | None = None,
        of: str | None = None,
        also: str | None = None,
    ) -> list[Row] | None:
        """Write events down and settle the commands that they tell of, all or nothing.

        Args:
            session: whose news these are.
            news: in order.
            once: a name for this delivery, or several, the first of them below `of`.
            wall: the time of it.
            within: seconds for which its name is remembered; None for as long as deliveries are kept.
            of: how names begin that this delivery makes forgotten.
            also: another name that is known from now on.

        Returns:
            the commands that were settled; None where a delivery of this name was written before.
        """
        published = await self._write(
            lambda db: store.publish(db, session, news, once, wall, within, of, also), _events_of
        )
        return None if published is None else published.settled

    async def prune(self, beyond: Horizon) -> int:
        """Forget what is settled and old; how much. To be called again until it says 0."""
        return await self._write(lambda db: prune(db, beyond))

    # Reads

    async def horizon(self, before: float, now: float) -> Horizon:
        """Beyond what to forget; `before` and `now` by the wall clock."""
        return await self._read(lambda db: horizon(db, before, now))

    async def get(self, command_id: str) -> Row | None:
        """One command."""
        return await self._read(lambda db: store.get(db, command_id))

    async def recall(self, session: str, name: str, value: str) -> dict[str, str]:
        """What the newest command with this identity at its vendor has remembered."""
        return await self._read(lambda db: identities.recall(db, session, name, value))

    async def open_commands(self) -> list[Row]:
        """Every command that has no outcome yet, oldest first."""
        return await self._read(store.open_commands)

    async def undecided(
        self, session: str, wall: float, name: str | None = None, value: str | None = None
    ) -> list[Row]:
        """Commands of a session without a certain outcome, oldest first; with this identity at the vendor, if named."""
        return await self._read(lambda db: identities.undecided(db, session, wall, name, value))

    async def list_commands(
        self, sessions: Sequence[str] | None, state: State | None, after: str | None, limit: int
    ) -> list[Row]:
        """Commands, newest first."""
        return await self._read(lambda db: store.list_commands(db, sessions, state, after, limit))

    async def events_after(
        self,
        seq: int,
        limit: int,
        sessions: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        size: float = math.inf,
    ) -> list[Event]:
        """Kept events above a number, in order: so many at most, and no more once their texts have come to this size."""
        return await self._read(lambda db: store.events_after(db, seq, limit, sessions, kinds, size))

    async def event_bounds(self) -> tuple[int, int]:
        """The numbers of the oldest kept event and of the last one given."""
        return await self._read(store.event_bounds)

    async def unknown_by_session(self) -> dict[str, Unsettled]:
        """The unknown commands of each session that has any."""
        return await self._read(store.unknown_by_session)

    async def free_bytes(self) -> int:
        """Space left on the disk for who may not use the reserve."""

        def left() -> int:
            disk = os.statvfs(self._directory)
            return disk.f_bavail * disk.f_frsize

        return await self._read(lambda _: left())

    def waiting(self) -> int:
        """How many operations wait for the writer, behind those that it is writing."""
        return self._writer.waiting()

    async def figures(self) -> Figures:
        """Counts for status and metrics."""
        return await self._read(store.figures)

    async def _write(self, operation: Operation[T], events_of: Callable[[T], list[Event]] | None = None) -> T:
        """Write; events that came of it are announced as soon as they are durable, whether or not anybody still waits."""

        def announce(result: T) -> None:
            for event in events_of(result) if events_of is not None else []:
                self.announce(event)

        return await self._writer.do(operation, announce)

    async def _read(self, operation: Operation[T]) -> T:
        reader = self._reader
        if reader is None:
            raise JournalUnavailable("the journal is not open")
        try:
            return await self._in_reader(lambda: operation(reader))
        except (sqlite3.Error, OSError) as error:
            raise JournalUnavailable(f"the journal cannot be read: {error}") from None

    async def _in_reader(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work)


def _event_of(settled: tuple[Row, Event]) -> list[Event]:
    return [settled[1]]


def _events_of(published: store.Published | None) -> list[Event]:
    return [] if published is None else published.events
