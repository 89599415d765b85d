"""The one thread that writes the journal. Whatever waits when it comes round shares one transaction and one flush."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import structlog
from attrs import define, field

from ordernpay.clock import Clock
from ordernpay.journal.opening import Opened, check_writable, is_damage, open_journal
from ordernpay.journal.schema import MIGRATIONS, SQLITE_RAISES, JournalUnavailable

PAUSE: Final = 1.0
"""Seconds between two tries to open or to write a journal that could not be."""

log = structlog.get_logger(__name__)

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


_TOUCH: Final = f"PRAGMA user_version = {len(MIGRATIONS)}"
"""A change that changes nothing."""


@define(eq=False)
class _Job(Generic[T]):
    operation: Operation[T]
    then: Callable[[T], None]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T] | None"


@define(eq=False)
class _Turn:
    """Nothing to write: the thread only says that it came round."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"


@define
class Flushes:
    """What the writer has done so far. Times in seconds.

    Attributes:
        broken: why nothing can be written now.
        began: when the flush under way began, by `time.monotonic`.
        observe: called with the time that each flush took.
    """

    batches: int = 0
    operations: int = 0
    longest: float = 0.0
    last: float = 0.0
    total: float = 0.0
    broken: str | None = None
    began: float | None = None
    observe: Callable[[float], None] = field(default=lambda _: None, repr=False)

    def under_way(self) -> float:
        """How long the present flush has taken until now; 0 while there is none."""
        began = self.began
        return 0.0 if began is None else time.monotonic() - began


class Writer:
    """Run operations on the journal, each all or nothing, and report each only when it is durable.

    A journal that cannot be opened or written is tried again by itself; meanwhile every operation is refused. One that
    turns out to be damaged is opened anew, which salvages it.

    Args:
        directory: where the journal is.
        clock: for what it keeps.
        opened: called in the loop each time that the journal was opened.
        hold: makes the reader let go of the file until what it returns is called, with whether it was opened.
    """

    def __init__(
        self,
        directory: Path,
        clock: Clock,
        opened: Callable[[Opened], None],
        hold: Callable[[], Callable[[bool], None]],
    ) -> None:
        self._directory = directory
        self._time = clock
        self._opened = opened
        self._hold = hold
        self._jobs: queue.SimpleQueue[_Job[Any] | _Turn | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._clock: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first: asyncio.Future[None] | None = None
        self._stopping = False
        self.flushes = Flushes()

    async def start(self) -> None:
        """Open the journal in its thread; where that fails it is tried again, unless this writer is stopped.

        Raises:
            JournalUnavailable: it cannot be opened now.
            Exception: what else `open_journal` raises.
        """
        self._loop = asyncio.get_running_loop()
        first = self._first = self._loop.create_future()
        self._thread.start()
        await first

    def _run(self) -> None:
        self._clock = time.pthread_getcpuclockid(threading.get_ident())
        while not self._stopping:
            opened = self._open()
            if isinstance(opened, Opened):
                self.flushes.broken = None
                self._tell(opened)
                self._serve(opened.connection)
            else:
                self.flushes.broken = str(opened)
                self._tell(opened)
                self._refuse_for_a_while(str(opened))

    def _open(self) -> Opened | Exception:
        """Open the journal, or say why not; the reader is held for no longer than there is hope."""
        go_on: Callable[[bool], None] | None = None
        result: Opened | Exception
        try:
            if self._first is None:
                check_writable(self._directory)
            go_on = self._hold()
            result = open_journal(self._directory, self._time)
        except Exception as error:  # noqa: BLE001 - handed over to who waits, and to every operation
            result = error
        if go_on is not None:
            go_on(isinstance(result, Opened))
        return result

    def _tell(self, result: Opened | Exception) -> None:
        """Hand over what became of opening the journal."""
        first, self._first = self._first, None
        loop = self._loop

        def deliver() -> None:
            if isinstance(result, Opened):
                self._opened(result)
            if first is None or first.done():
                return
            if isinstance(result, Exception):
                first.set_exception(result)
            else:
                first.set_result(None)

        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(deliver)

    def _refuse_for_a_while(self, reason: str) -> None:
        """Refuse what comes, until it is time to try again."""
        due = time.monotonic() + PAUSE
        while not self._stopping and (left := due - time.monotonic()) > 0:
            try:
                batch, turns = self._take(left)
            except queue.Empty:
                return
            if batch:
                _deliver(batch, [(None, JournalUnavailable(reason)) for _ in batch])
            _take_turns(turns)

    async def do(self, operation: Operation[T], then: Callable[[T], None]) -> T:
        """Run an operation; its result is durable when this returns.

        Args:
            operation: what to do with the connection, all or nothing.
            then: called in the loop with the durable result, in the order of writing, even if this call was cancelled.

        Raises:
            JournalUnavailable: the journal could not be written; nothing was changed.
            Exception: what the operation itself raised; nothing was changed by it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(operation, then, loop, future))
        return await future

    def put(self, operation: Operation[T], then: Callable[[T], None]) -> None:
        """Run an operation that nobody waits for; see `do`."""
        self._jobs.put(_Job(operation, then, asyncio.get_running_loop(), None))

    async def turn(self) -> None:
        """Return when the thread has come round once, whether or not the journal can be written."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._jobs.put(_Turn(loop, future))
        await future

    def worked(self) -> int:
        """Nanoseconds of processor time that the thread has spent: a long check that goes on makes it grow."""
        try:
            return 0 if self._clock is None else time.clock_gettime_ns(self._clock)
        except OSError:
            return 0  # the thread has ended

    def waiting(self) -> int:
        """How many operations nobody has begun to write yet."""
        return self._jobs.qsize()

    async def stop(self) -> None:
        """Write what is queued, then close."""
        self._jobs.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def _take(self, seconds: float | None) -> tuple[list[_Job[Any]], list[_Turn]]:
        """Take all that waits, or wait for something; raises `queue.Empty` when the time is over."""
        batch: list[_Job[Any]] = []
        turns: list[_Turn] = []
        job = self._jobs.get(timeout=seconds)
        while True:
            if job is None:
                self._stopping = True
                break
            if isinstance(job, _Turn):
                turns.append(job)
            else:
                batch.append(job)
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        return batch, turns

    def _serve(self, connection: sqlite3.Connection) -> None:
        """Write until stopped, or until the file turns out to be damaged."""
        sound = True
        while sound and not self._stopping:
            batch: list[_Job[Any]] = []
            turns: list[_Turn] = []
            try:
                batch, turns = self._take(None if self.flushes.broken is None else PAUSE)
            except queue.Empty:
                sound = self._flush(connection, [])  # find out whether it can be written again
            if batch:
                sound = self._flush(connection, batch)
            _take_turns(turns)
        if sound:
            with contextlib.suppress(*SQLITE_RAISES):  # so that one file is left: who copies it copies all
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()

    def _flush(self, connection: sqlite3.Connection, batch: list[_Job[Any]]) -> bool:
        """Write a batch; whether the file is sound, as far as that shows."""
        flushes, began, sound = self.flushes, time.monotonic(), True
        flushes.began = began
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt(connection, job.operation) for job in batch]
            if not batch:
                connection.execute(_TOUCH)
            connection.execute("COMMIT")
        except SQLITE_RAISES as error:
            with contextlib.suppress(*SQLITE_RAISES):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            sound = not is_damage(error)
            if outcomes and sound:
                _bury(connection)
            reason = f"the journal cannot be written: {error}"
            if flushes.broken is None:
                log.error("journal_not_written", reason=str(error))
            flushes.broken = reason
            outcomes = [(None, JournalUnavailable(reason)) for _ in batch]
        else:
            if flushes.broken is not None:
                log.info("journal_written_again")
            flushes.broken = None
        flushes.began = None
        if batch:
            took = time.monotonic() - began
            flushes.batches += 1
            flushes.operations += len(batch)
            flushes.last = took
            flushes.longest = max(flushes.longest, took)
            flushes.total += took
            flushes.observe(took)
            _deliver(batch, outcomes)
        return sound


def _attempt(connection: sqlite3.Connection, operation: Operation[Any]) -> tuple[Any, Exception | None]:
    """One operation of a batch: what it refuses is undone alone; what the disk refuses undoes the batch."""
    connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except SQLITE_RAISES:
        raise
    except Exception as error:  # noqa: BLE001 - handed over to who waits
        connection.execute("ROLLBACK TO operation")
        connection.execute("RELEASE operation")
        return None, error
    connection.execute("RELEASE operation")
    return result, None


def _bury(connection: sqlite3.Connection) -> None:
    """Write over what was refused: where only the flush failed, its pages stand in the log, and the next start would find them.

    Those who wait are told that nothing was changed. So a change that changes nothing takes the place of theirs.
    """
    with contextlib.suppress(*SQLITE_RAISES):
        connection.execute(_TOUCH)


def _take_turns(turns: list[_Turn]) -> None:
    def deliver(turn: _Turn) -> None:
        if not turn.future.done():
            turn.future.set_result(None)

    for turn in turns:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            turn.loop.call_soon_threadsafe(deliver, turn)


def _deliver(batch: list[_Job[Any]], outcomes: list[tuple[Any, Exception | None]]) -> None:
    """Wake those who wait, in the order in which they asked."""

    def deliver() -> None:
        for job, (result, error) in zip(batch, outcomes, strict=True):
            if error is None:
                job.then(result)
            if job.future is None:
                if error is not None:
                    log.error("journal_operation_failed", reason=str(error))
                continue
            if job.future.done():
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

    try:
        batch[0].loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        return  # the loop is closed: nobody waits any more
