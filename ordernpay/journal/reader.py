"""The one thread that reads the journal, on a connection of its own."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import structlog

from ordernpay.journal.schema import JournalUnavailable, connect_reader
from ordernpay.journal.writer import Operation

log = structlog.get_logger(__name__)

T = TypeVar("T")


class Reader:
    """Reads from the journal in a directory, one after the other."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="journal-reader")
        self._connection: sqlite3.Connection | None = None

    def reopen(self) -> None:
        """Read what is in the directory from now on."""
        with contextlib.suppress(RuntimeError):  # it is being closed
            self._threads.submit(self._connect)

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
        except (sqlite3.Error, OSError) as error:
            raise JournalUnavailable(f"the journal cannot be read: {error}") from None

    async def run(self, work: Callable[[], T]) -> T:
        """Do some other work that has to wait for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def close(self) -> None:
        """Let go of the file."""
        await self.run(self._disconnect)
        self._threads.shutdown()

    def _connect(self) -> None:
        self._disconnect()
        try:
            self._connection = connect_reader(self._directory)
        except (sqlite3.Error, OSError) as error:
            log.error("journal_not_readable", reason=str(error))

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
