"""The one thread that writes the journal. Whatever waits when it comes round shares one transaction and one flush."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from attrs import define, field

from ordernpay.journal.schema import MIGRATIONS, JournalUnavailable, Opened, open_journal

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]


@define(eq=False)
class _Job(Generic[T]):
    operation: Operation[T]
    then: Callable[[T], None]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[T]"


@define(eq=False)
class _Turn:
    """Nothing to write: the thread only says that it came round."""

    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[None]"


@define
class Flushes:
    """What the writer has done so far. Times in seconds."""

    batches: int = 0
    operations: int = 0
    longest: float = 0.0
    last: float = 0.0
    total: float = 0.0
    broken: str | None = None
    observe: Callable[[float], None] = field(default=lambda _: None, repr=False)


class Writer:
    """Runs operations on the journal, each all or nothing, and reports each only when it is durable."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._jobs: queue.SimpleQueue[_Job[Any] | _Turn | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._clock: int | None = None
        self.flushes = Flushes()

    async def start(self) -> Opened:
        """Open the journal in its thread; see `open_journal` for what it raises."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[Opened] = loop.create_future()

        def work() -> None:
            self._clock = time.pthread_getcpuclockid(threading.get_ident())
            try:
                self._opened = open_journal(self._directory)
            except Exception as error:  # noqa: BLE001 - handed over to who waits
                loop.call_soon_threadsafe(opened.set_exception, error)
            else:
                loop.call_soon_threadsafe(opened.set_result, self._opened)
                self._serve(self._opened.connection)

        self._work = work
        self._thread.start()
        return await opened

    def _run(self) -> None:
        self._work()

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

    def _serve(self, connection: sqlite3.Connection) -> None:
        open_for_work = True
        while open_for_work:
            batch: list[_Job[Any]] = []
            turns: list[_Turn] = []
            job = self._jobs.get()
            while True:
                if job is None:
                    open_for_work = False
                    break
                if isinstance(job, _Turn):
                    turns.append(job)
                else:
                    batch.append(job)
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._flush(connection, batch)
            _take_turns(turns)
        connection.close()

    def _flush(self, connection: sqlite3.Connection, batch: list[_Job[Any]]) -> None:
        began = time.perf_counter()
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [_attempt(connection, job.operation) for job in batch]
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if outcomes:
                _bury(connection)
            reason = f"the journal cannot be written: {error}"
            self.flushes.broken = reason
            outcomes = [(None, JournalUnavailable(reason)) for _ in batch]
        else:
            self.flushes.broken = None
        took = time.perf_counter() - began
        flushes = self.flushes
        flushes.batches += 1
        flushes.operations += len(batch)
        flushes.last = took
        flushes.longest = max(flushes.longest, took)
        flushes.total += took
        flushes.observe(took)
        _deliver(batch, outcomes)


def _attempt(connection: sqlite3.Connection, operation: Operation[Any]) -> tuple[Any, Exception | None]:
    """One operation of a batch: what it refuses is undone alone; what the disk refuses undoes the batch."""
    connection.execute("SAVEPOINT operation")
    try:
        result = operation(connection)
    except sqlite3.Error:
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
    with contextlib.suppress(sqlite3.Error):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


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
