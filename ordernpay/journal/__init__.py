"""The journal: every command and event, durable before anybody is told. The only thing that survives a power cut.

Writes go through one thread with group commit (`writer`), reads through another connection, so that a listing never
waits for a flush, and a disk that is full or read-only does not stop reading. Nobody else's code runs in a transaction.
"""

import asyncio
import contextlib
import functools
import math
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeVar

import attrs
import structlog

from ordernpay.clock import Clock, SystemClock
from ordernpay.journal import identities, lookups, store
from ordernpay.journal.lookups import Figures, Unknown, Unsettled
from ordernpay.journal.opening import Opened
from ordernpay.journal.pruning import Lived, Old, find_old, forget
from ordernpay.journal.reader import Reader
from ordernpay.journal.rows import Event, NewCommand, Row
from ordernpay.journal.schema import (
    COMPANIONS,
    FILE_NAME,
    DiskFailing,
    JournalInUse,
    JournalTooNew,
    JournalUnavailable,
    lock,
)
from ordernpay.journal.states import OPEN, InvalidTransition
from ordernpay.journal.store import CommandMoved, Verdict
from ordernpay.journal.writer import Flushes, Operation, Writer
from ordernpay.outcomes import Outcome, State

__all__ = [
    "OPEN",
    "CommandMoved",
    "Event",
    "Figures",
    "Flushes",
    "InvalidTransition",
    "Journal",
    "JournalInUse",
    "JournalTooNew",
    "JournalUnavailable",
    "NewCommand",
    "Old",
    "Row",
    "Unknown",
    "Unsettled",
    "Verdict",
]

SLOW: Final = 1.0
"""Seconds after which a flush that goes on is told of: whoever writes waits for it."""

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Journal:
    """An open journal. Whatever writes is durable when it returns, or raises `JournalUnavailable` and changed nothing."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        self._directory = directory
        self._clock = clock or SystemClock()
        self._lock = -1
        self._reader = Reader(directory)
        self._writer = Writer(directory, self._clock, self._adopt, self._reader.hold)
        self._adopted = asyncio.Event()
        self._lived: Lived | None = None
        self._set_aside: set[tuple[str, int]] = set()
        self.identity = ""
        self.moved_aside: Path | None = None
        self.announce: Callable[[Event], None] = lambda _: None

    async def open(self) -> None:
        """Lock and open it. One that can be read and not written is open for reading, until it can be written.

        While the disk answers with errors this waits: what is on it may be whole.

        Raises:
            JournalInUse: another daemon has it.
            JournalTooNew: a later version wrote it.
            JournalUnavailable: the directory or the file cannot be read or written.
        """
        self._lock = lock(self._directory)
        try:
            await self._writer.start()
        except Exception as error:
            if isinstance(error, JournalUnavailable) and await self._read_alone():
                log.error("journal_read_only", reason=str(error))
            elif isinstance(error, DiskFailing):
                log.error("journal_waited_for", reason=str(error))
                await self._adopted.wait()
            else:
                await self._writer.stop()
                raise

    def _adopt(self, opened: Opened) -> None:
        """Take over what the writer has opened, at the start or later; the reader follows."""
        self.identity, self._lived = opened.journal, opened.lived
        self.moved_aside = opened.moved_aside or self.moved_aside
        self._set_aside.clear()
        self._adopted.set()

    async def _read_alone(self) -> bool:
        """Whether a journal that cannot be written can be read."""
        try:
            self.identity = await self._read(lambda db: str(db.execute("SELECT journal FROM identity").fetchone()[0]))
        except (JournalUnavailable, TypeError):
            return False
        return True

    async def close(self) -> None:
        """Write what is queued and let go of the file: the reader first, since the last to close leaves one file."""
        if self._lived is not None:
            with contextlib.suppress(JournalUnavailable):
                await self.live()
        await self._reader.close()
        await self._writer.stop()
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

    @property
    def trouble(self) -> str | None:
        """Why nothing can be written now; None while all is well."""
        under_way = self._writer.flushes.under_way()
        if under_way > SLOW:
            return f"the journal's disk is slow: one flush has taken {under_way:.0f} s until now"
        return self._writer.flushes.broken

    async def turn(self) -> None:
        """Return when the writer thread has come round once, whether or not the journal can be written."""
        await self._writer.turn()

    def worked(self) -> int:
        """Processor time of the writer thread in nanoseconds: it grows while a long start goes on."""
        return self._writer.worked()

    # Writes

    async def accept(self, new: NewCommand) -> tuple[Row, bool]:
        """Write a command down, or find the one that has its key; tells which (true: written)."""
        row, written = await self._write(lambda db: store.accept(db, new))
        return (row, written) if row.damaged is None else (await self._mended(row), written)

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
        verdicts: Sequence[Verdict | None] = (),
    ) -> list[Row] | None:
        """Write events down and settle commands, all or nothing.

        Args:
            session: whose news these are.
            news: in order.
            once: a name for this delivery, or several, the first of them below `of`.
            wall: the time of it.
            within: seconds for which its name is remembered; None for as long as deliveries are kept.
            of: how names begin that this delivery makes forgotten.
            also: another name that is known from now on.
            verdicts: what each of the news says of a command, in the same order.

        Returns:
            the commands that were settled; None where a delivery of this name was written before.

        Raises:
            CommandMoved: a verdict is of a state that does not last any more; nothing was written.
        """
        published = await self._write(
            lambda db: store.publish(db, session, news, once, wall, within, of, also, verdicts), _events_of
        )
        return None if published is None else published.settled

    async def match(self, session: str, wanted: lookups.Match, wall: float) -> Row | None:
        """The command that a vendor's later word is about, as it is once all is written that was asked for before."""
        row = await self._write(lambda db: lookups.match(db, session, wanted, wall))
        return row if row is None or row.damaged is None else await self._mended(row)

    async def live(self) -> None:
        """Write down how long this daemon has run, for what is kept so long."""
        await self._write(Lived.write)

    async def prune(self, keep: float) -> int:
        """Forget some of what is settled and older than `keep` seconds; how much. To be called again until it is 0."""
        lived, wall = self._lived, self._clock.wall()
        if lived is None:
            return 0
        old = await self._read(lambda db: find_old(db, keep, wall, lived.seconds()))
        gone = await self._write(lambda db: forget(db, old)) if old else 0
        for name in old.files:
            await self._reader.run(functools.partial(_unlink, self._directory / name))
        return gone

    # Reads

    async def find(self, session: str, key: str) -> Row | None:
        """The command that has an idempotency key."""
        return self._noted(await self._read(lambda db: lookups.find(db, session, key)))

    async def get(self, command_id: str) -> Row | None:
        """One command."""
        return self._noted(await self._read(lambda db: lookups.get(db, command_id)))

    async def recall(self, session: str, name: str, value: str) -> dict[str, str]:
        """What the newest command with this identity at its vendor has remembered."""
        return await self._read(lambda db: identities.recall(db, session, name, value))

    async def open_commands(self) -> list[Row]:
        """Every command that has no outcome yet, oldest first."""
        return await self._read(lookups.open_commands)

    async def undecided(
        self, session: str, wall: float, name: str | None = None, value: str | None = None
    ) -> list[Row]:
        """Commands of a session without a certain outcome, oldest first; with this identity at the vendor, if named."""
        return await self._read(lambda db: identities.undecided(db, session, wall, name, value))

    async def list_commands(
        self,
        sessions: Sequence[str] | None,
        state: State | None,
        after: str | None,
        limit: int,
        size: float = math.inf,
    ) -> list[Row]:
        """Commands, newest first: so many at most, and no more once their texts have come to this size."""
        rows = await self._read(lambda db: lookups.list_commands(db, sessions, state, after, limit, size))
        for row in rows:
            self._noted(row)
        return rows

    async def events_after(
        self,
        seq: int,
        limit: int,
        sessions: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        size: float = math.inf,
    ) -> list[Event]:
        """Kept events above a number, in order: so many at most, and no more once their texts have come to this size."""
        events = await self._read(lambda db: lookups.events_after(db, seq, limit, sessions, kinds, size))
        for event in events:
            if event.damaged is not None:
                self._put_aside("event", event.seq, event.damaged)
        return events

    async def event_bounds(self) -> tuple[int, int]:
        """The numbers of the oldest kept event and of the last one given."""
        return await self._read(lookups.event_bounds)

    async def unknown_by_session(self) -> dict[str, Unsettled]:
        """The unknown commands of each session that has any."""
        return await self._read(lookups.unknown_by_session)

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

        def counted(db: sqlite3.Connection) -> Figures:
            sizes = [_size(self._directory / (FILE_NAME + companion)) for companion in ("", *COMPANIONS)]
            return attrs.evolve(lookups.figures(db), bytes=sum(sizes), wal_bytes=sizes[1])

        return await self._read(counted)

    # Damaged records

    def _noted(self, row: Row | None) -> Row | None:
        """A row, after it was seen to that its record is set aside, where that is damaged."""
        if row is not None and row.damaged is not None:
            self._put_aside("command", row.seq, row.damaged)
        return row

    def _put_aside(self, what: str, seq: int, why: str) -> None:
        if (what, seq) in self._set_aside:
            return
        self._set_aside.add((what, seq))
        log.error("journal_record_damaged", record=f"{what} {seq}", reason=why)
        wall = self._clock.wall()
        if what == "event":
            self._writer.put(lambda db: store.set_event_aside(db, seq, wall), lambda _: None)
        else:
            self._writer.put(lambda db: store.set_aside(db, seq, wall), self._announcing(_event_of))

    async def _mended(self, row: Row) -> Row:
        """Have a command's damaged record set aside; the command as it is then."""
        self._noted(row)
        return await self._write(lambda db: lookups.get(db, row.command_id)) or row

    async def _write(self, operation: Operation[T], events_of: Callable[[T], list[Event]] | None = None) -> T:
        """Write; events that came of it are announced as soon as they are durable, whether or not anybody still waits."""
        return await self._writer.do(operation, self._announcing(events_of))

    def _announcing(self, events_of: Callable[[T], list[Event]] | None) -> Callable[[T], None]:
        def announce(result: T) -> None:
            for event in events_of(result) if events_of is not None else []:
                self.announce(event)

        return announce

    async def _read(self, operation: Operation[T]) -> T:
        return await self._reader.do(operation)


def _event_of(settled: tuple[Row, Event] | None) -> list[Event]:
    return [] if settled is None else [settled[1]]


def _events_of(published: store.Published | None) -> list[Event]:
    return [] if published is None else published.events


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _unlink(file: Path) -> None:
    for companion in ("", *COMPANIONS):
        with contextlib.suppress(OSError):
            file.with_name(file.name + companion).unlink(missing_ok=True)
