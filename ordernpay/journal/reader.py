"""The one thread that reads the journal, on a connection of its own."""

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from ordernpay.journal.schema import SQLITE_RAISES, JournalUnavailable, connect_reader
from ordernpay.journal.writer import Operation

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Reader:
    """Reads from the journal in a directory, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._connection: sqlite3.Connection | None = None

    def hold(self) -> Callable[[bool], None]:
        """Let go of the file while the writer opens it: in one process SQLite's connections share locks and an index.

        Called from another thread. What is to be read meanwhile waits.

        Returns:
            to be called when that is over, with whether the writer has opened it.
        """
        released, over, opened = threading.Event(), threading.Event(), threading.Event()

        def wait() -> None:
            self._disconnect()
            released.set()
            over.wait()
            self._connect(alone=not opened.is_set())

        def go_on(is_open: bool) -> None:  # noqa: FBT001 - what became of it, by place
            if is_open:
                opened.set()
            over.set()

        with contextlib.suppress(RuntimeError):  # it is being closed
            self._threads.submit(wait)
            released.wait()
        return go_on

    async def do(self, operation: Operation[T]) -> T:
        """Read.

        Raises:
            JournalUnavailable: nothing can be read.
        """

        def work() -> T:
            if self._connection is None:
                raise JournalUnavailable("the journal is not open")
            return operation(self._connection)

        try:
            return await self.run(work)
        except JournalUnavailable:
            raise
        except (*SQLITE_RAISES, OSError) as error:
            raise JournalUnavailable(f"the journal cannot be read: {error}") from None

    async def run(self, work: Callable[[], T]) -> T:
        """Do some other work that has to wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Let go of the file."""
        await self.run(self._disconnect)
        self._threads.shutdown()

    def _connect(self, *, alone: bool) -> None:
        try:
            self._connection = connect_reader(self._directory, alone=alone)
        except (*SQLITE_RAISES, OSError) as error:
            log.warning("journal_not_readable", reason=str(error))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
