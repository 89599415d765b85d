"""What drives a daemon in a benchmark: closed and open loops over its socket, and what the process costs meanwhile."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from attrs import frozen

from tests.bench.peers import ORDER_ID
from tests.support import toml

TICKS: Final = os.sysconf("SC_CLK_TCK")
Params = Callable[[], dict[str, Any]]


@frozen
class Load:
    """What a load came to. Times in seconds; `processor` is that of one command."""

    rate: float
    p50: float
    p99: float
    processor: float


class Rpc:
    """One blocking connection to a socket."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rb")
        self._number = 0

    def send(self, method: str, params: dict[str, Any]) -> int:
        """Send a request; return its id."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        return self._number

    def message(self) -> dict[str, Any]:
        """Return the next line, whatever it is."""
        line = self._lines.readline()
        if not line:
            raise ConnectionError("the daemon closed the connection")
        message: dict[str, Any] = json.loads(line)
        return message

    def exchange(self, method: str) -> None:
        """Send a request without params and read one line."""
        self.send(method, {})
        self.message()

    def answer(self) -> dict[str, Any]:
        """Return the next answer; fail on an error."""
        while True:
            message = self.message()
            if "error" in message:
                raise AssertionError(f"a command failed: {str(message)[:500]}")
            if "id" in message:
                return message

    def call(self, method: str, **params: Any) -> Any:
        """Call a method; return its result."""
        self.send(method, params)
        return self.answer()["result"]

    def shut(self) -> None:
        """End the connection; whoever reads from it hears its end."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


def update(session: str = "bar") -> dict[str, Any]:
    """Return the params of a fresh ``order.update``."""
    line = {"product": "1", "name": "x", "quantity": 1, "unit_price": "1.00", "total": "1.00"}
    return {
        "session": session,
        "order_id": ORDER_ID,
        "prices": "kiosk",
        "idempotency_key": uuid.uuid4().hex,
        "lines": [line],
    }


def create(session: str = "courier") -> dict[str, Any]:
    """Return the params of a fresh ``order.create`` of a REST vendor."""
    key = uuid.uuid4().hex
    line = {"product": "1", "name": "x", "quantity": 1, "unit_price": "1.00"}
    return {
        "session": session,
        "idempotency_key": key,
        "order": {"reference": key, "type": "pickup", "lines": [line]},
    }


def processor(pid: int) -> float:
    """Return the processor seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


def closed_loop(path: str, pid: int, method: str, params: Params, *, count: int, width: int) -> Load:
    """Keep so many commands in flight until so many are done."""
    rpc, began = Rpc(path), time.perf_counter()
    used, sent, times = processor(pid), {}, []
    for _ in range(width):
        sent[rpc.send(method, params())] = time.perf_counter()
    for done in range(count):
        number = rpc.answer()["id"]
        times.append(time.perf_counter() - sent.pop(number))
        if done + width < count:
            sent[rpc.send(method, params())] = time.perf_counter()
    took = time.perf_counter() - began
    rpc.close()
    return _load(times, took, processor(pid) - used)


async def open_loop(path: str, pid: int, method: str, params: Params, *, rate: float, seconds: float) -> Load:
    """Send at a fixed rate, whatever is still in flight; times count from when a command was due."""
    reader, writer = await asyncio.open_unix_connection(path, limit=2**24)
    used, began, times = processor(pid), time.perf_counter(), []
    count = int(rate * seconds)

    async def send() -> None:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            request = {"jsonrpc": "2.0", "id": number, "method": method, "params": params()}
            writer.write(json.dumps(request).encode() + b"\n")

    sending = asyncio.create_task(send())
    for _ in range(count):
        number = json.loads(await reader.readline())["id"]
        times.append(time.perf_counter() - (began + number / rate))
    await sending
    took = time.perf_counter() - began
    writer.close()
    return _load(times, took, processor(pid) - used)


def _load(times: list[float], took: float, used: float) -> Load:
    quantiles = statistics.quantiles(times, n=100)
    return Load(len(times) / took, quantiles[49], quantiles[98], used / len(times))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@frozen
class Program:
    """A process under measurement and its socket."""

    pid: int
    socket: str
    http: int = 0

    def metric(self, name: str) -> float:
        """Return the sum of a metric's samples."""
        text = httpx.get(f"http://127.0.0.1:{self.http}/metrics", timeout=30, trust_env=False).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith((f"{name} ", f"{name}{{")))


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a module of Python until the block ends."""
    with (folder / "stderr").open("ab") as stderr:
        process = subprocess.Popen([sys.executable, "-m", *arguments], stderr=stderr, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def daemon(folder: Path, sessions: dict[str, Any], **more: Any) -> Iterator[Program]:
    """Run the daemon with these sessions; return once all that can come up by themselves are up."""
    port, path = free_port(), str(folder / "s")
    tables = {
        "daemon": {"state_dir": str(folder / "state")},
        "rpc": {"socket": path},
        "inbound": {"host": "127.0.0.1", "port": port},
        "sessions": sessions,
    } | more
    config = toml.write(folder / "ordernpay.toml", tables)
    with running(folder, "ordernpay", "run", "--config", str(config)) as process:
        wait_for(path, process)
        rpc = Rpc(path)
        while any(one["state"] == "connecting" for one in rpc.call("session.list")["sessions"]):
            time.sleep(0.05)
        rpc.close()
        yield Program(process.pid, path, port)


def wait_for(path: str, process: subprocess.Popen[bytes]) -> None:
    """Return when a socket takes connections; fail if its process ended."""
    while True:
        try:
            Rpc(path).close()
        except OSError:
            if process.poll() is not None:
                raise AssertionError(f"ended with {process.returncode}") from None
            time.sleep(0.02)
        else:
            return
