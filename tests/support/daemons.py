"""Real daemons for tests: as a process of its own, which can be killed, or inside the test."""

import asyncio
import atexit
import contextlib
import functools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import anyio
from attrs import define, field

from ordernpay.config import read
from ordernpay.daemon import Daemon
from ordernpay.vendors import CONFIGS
from tests.support import planted, toml

SERVICE_MODE = "7a7a7a7a-0000-4000-8000-000000000009"


def session(**changes: Any) -> dict[str, Any]:
    """The table of an Order N Pay session that the simulator accepts; reconnects quickly."""
    table: dict[str, Any] = {
        "vendor": "order-n-pay",
        "provider_id": 12345,
        "provider_name": "Example Provider",
        "device_id": "DeviceABC123",
        "user": planted.USER,
        "service_mode_id": SERVICE_MODE,
        "message_types": {"simulate_order": 13, "create_payment": 14, "get_order": 2},
        "reconnect_max": 0.5,
    }
    return table | changes


@functools.cache
def _short() -> Path:
    """Where this process' daemons have their sockets; gone when it ends."""
    directory = Path(tempfile.mkdtemp(prefix="onp-"))
    directory.chmod(0o711)  # a test may let another user through to one of them
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory


def tables(directory: Path, sessions: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A whole configuration whose files are in `directory`, but for the socket, whose path has to be short."""
    run = Path(tempfile.mkdtemp(dir=_short()))
    return {
        "daemon": {"state_dir": str(directory / "state")},
        "rpc": {"socket": str(run / "s")},
        "sessions": sessions,
    } | more


def unmeasured(**environ: str) -> dict[str, str]:
    """The environment of a daemon that is to be killed: it would write no coverage, and starts in half the time without."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_PROCESS")} | environ


@define(eq=False)
class DaemonProcess:
    """A daemon as its own process; may be started again after it ended. Its log is `directory/daemon.log`."""

    directory: Path
    tables: dict[str, Any]
    environ: Mapping[str, str] = field(factory=dict)
    process: asyncio.subprocess.Process | None = None
    arguments: tuple[str, ...] = ()

    @property
    def socket(self) -> str:
        """The path of the local socket."""
        path: str = self.tables["rpc"]["socket"]
        return path

    @property
    def log(self) -> Path:
        """What it wrote to stderr, over all its lives."""
        return self.directory / "daemon.log"

    async def start(self, *, ready: bool = True, **environ: str) -> None:
        """Start it and, unless told otherwise, wait until it answers on its socket."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = toml.write(self.directory / "ordernpay.toml", self.tables)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "ordernpay", "run", "--config", str(config), *self.arguments),
                stderr=log,
                stdin=asyncio.subprocess.DEVNULL,
                env=unmeasured(**self.environ, **environ),
            )
        if ready:
            with anyio.fail_after(20):
                while not await self._answers():
                    if self.process.returncode is not None:
                        raise AssertionError(
                            f"the daemon ended with {self.process.returncode}:\n{self.log.read_text()}"
                        )
                    await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.socket)
        except OSError:
            return False
        writer.close()
        return True

    async def wait(self, seconds: float = 20) -> int:
        """Wait for its end; its exit status."""
        assert self.process is not None
        with anyio.fail_after(seconds):
            return await self.process.wait()

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def terminate(self) -> int:
        """SIGTERM, and its exit status."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.wait()


@contextlib.asynccontextmanager
async def daemon_process(
    directory: Path, config: dict[str, Any], *, ready: bool = True, **environ: str
) -> AsyncIterator[DaemonProcess]:
    """A daemon in its own process, stopped at the end."""
    daemon = DaemonProcess(directory, config)
    await daemon.start(ready=ready, **environ)
    try:
        yield daemon
    finally:
        try:
            if daemon.process is not None and daemon.process.returncode is None:
                with contextlib.suppress(TimeoutError):
                    await daemon.terminate()
        finally:  # also where the test was cancelled in the middle of that
            await daemon.kill()


@contextlib.asynccontextmanager
async def daemon_inside(config: dict[str, Any], file: Path = Path("test.toml")) -> AsyncIterator[Daemon]:
    """A daemon inside this process, serving; with a file, one that can be reloaded."""
    daemon = Daemon(read(config, file, CONFIGS))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(daemon.run(signals=False))
        serving = tasks.create_task(daemon.serving.wait())
        await asyncio.wait({running, serving}, return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        try:
            if daemon.serving.is_set():
                yield daemon
        finally:
            daemon.stop()
