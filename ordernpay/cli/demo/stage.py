"""Where the demo plays: a directory of its own and the real daemon as its own process, both gone at the end."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import Process
from attrs import frozen

from ordernpay.cli.tills import quoted
from ordernpay.client import NoDaemon, connect
from ordernpay.rpc.sockets import MOST_PATH_BYTES

START_SECONDS: Final = 20.0
STOP_SECONDS: Final = 10.0
LOG_LINES: Final = 20
PREFIX: Final = "ordernpay-demo-"
NEAR_THE_ROOT: Final = "/tmp"  # noqa: S108 - a folder of our own is made in it
"""Where it plays when $TMPDIR is so long that a socket there would have no address."""
OF_THE_SERVICE_MANAGER: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC")


class StageFailed(Exception):
    """The daemon did not start or stop as it should; the text says how it ended."""


@frozen
class Stage:
    """The directory and what is in it."""

    directory: Path

    @property
    def socket(self) -> Path:
        """The daemon's local socket."""
        return self.directory / "socket"

    @property
    def config(self) -> Path:
        """The daemon's configuration."""
        return self.directory / "ordernpay.toml"

    @property
    def log(self) -> Path:
        """What the daemon wrote to standard error."""
        return self.directory / "daemon.log"

    def log_tail(self) -> str:
        """The last lines of the log."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-LOG_LINES:])

    def write_config(self, tables: Iterable[str]) -> None:
        """Write the configuration: the stage's own tables, and those given."""
        own = (
            f"[daemon]\nstate_dir = {quoted(str(self.directory / 'state'))}\ndrain_seconds = 1\n",
            f"[rpc]\nsocket = {quoted(str(self.socket))}\n",
        )
        self.config.write_text("\n".join([*own, *tables]), encoding="utf-8")

    @asynccontextmanager
    async def daemon(self) -> AsyncIterator[int]:
        """The daemon as a process that answers, by its process id; stopped at the end.

        Raises:
            StageFailed: It does not start, or does not stop well.
        """
        with self.log.open("wb") as log:
            process = await anyio.open_process(
                [sys.executable, "-m", "ordernpay", "run", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={key: value for key, value in os.environ.items() if key not in OF_THE_SERVICE_MANAGER},
                start_new_session=True,
            )
        try:
            await self._until_it_answers(process)
            yield process.pid
        finally:
            with anyio.CancelScope(shield=True):
                status = await _stop(process)
        if status != 0:
            raise StageFailed(f"the daemon ended with {_told(status)}")

    async def _until_it_answers(self, process: Process) -> None:
        with anyio.move_on_after(START_SECONDS):
            while process.returncode is None:
                try:
                    async with connect(self.socket):
                        return
                except NoDaemon:
                    await anyio.sleep(0.02)
            raise StageFailed(f"the daemon did not start: it ended with {_told(process.returncode)}")
        raise StageFailed(f"the daemon does not answer on its socket after {START_SECONDS:.0f} s")


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage, whose directory is removed at the end."""
    place = Stage(Path(tempfile.mkdtemp(prefix=PREFIX)))
    if len(os.fsencode(place.socket)) > MOST_PATH_BYTES:
        place.directory.rmdir()
        place = Stage(Path(tempfile.mkdtemp(prefix=PREFIX, dir=NEAR_THE_ROOT)))
    try:
        yield place
    finally:
        shutil.rmtree(place.directory, ignore_errors=True)


def free_port() -> int:
    """A port on which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def _stop(process: Process) -> int:
    """End the process, with force if it does not by itself."""
    with suppress(ProcessLookupError):
        process.terminate()
    with anyio.move_on_after(STOP_SECONDS):
        return await process.wait()
    with suppress(ProcessLookupError):
        process.kill()
    return await process.wait()


def _told(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"exit status {status}"
