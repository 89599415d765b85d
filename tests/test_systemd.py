"""What systemd is told, over a real datagram socket, and a watchdog that is fed by progress alone."""

import asyncio
import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field

from ordernpay.config import read
from ordernpay.daemon import Daemon
from ordernpay.systemd import STATUS_MOST, Notifier, starting, watch
from ordernpay.vendors import CONFIGS
from tests.support import toml
from tests.support.daemons import daemon_process, session, tables
from tests.support.wait import until


@define
class Listener:
    """systemd's end."""

    address: str
    sock: socket.socket
    heard: list[dict[str, str]] = field(factory=list)

    def read(self) -> list[dict[str, str]]:
        """Every message so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                text = self.sock.recv(65_536).decode()
                self.heard.append(dict(line.split("=", 1) for line in text.splitlines()))
        return self.heard

    def all_of(self, name: str) -> list[str]:
        return [message[name] for message in self.read() if name in message]

    def environ(self, watchdog: float | None = None) -> dict[str, str]:
        found = {"NOTIFY_SOCKET": self.address}
        return found if watchdog is None else found | {"WATCHDOG_USEC": str(int(watchdog * 1e6))}


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    name = f"@ordernpay-test-{os.getpid()}-{id(tmp_path)}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(name.replace("@", "\0") if name.startswith("@") else name)
        yield Listener(name, sock)


def test_the_variables_are_taken_and_removed(systemd: Listener) -> None:
    environ = systemd.environ(20.0) | {"WATCHDOG_PID": str(os.getpid()), "PATH": "/bin"}
    notifier = Notifier.from_environ(environ)
    assert environ == {"PATH": "/bin"}
    assert notifier.watchdog == 20.0
    notifier.ready("all\nis  well")
    assert systemd.read() == [{"READY": "1", "STATUS": "all is well"}]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({}, 3.0),
    ],
)
def test_a_watchdog_that_is_not_ours_is_not_fed(changes: dict[str, str], expected: float | None) -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "3000000"} | changes
    assert Notifier.from_environ(environ).watchdog == expected


def test_a_status_is_told_when_it_is_news_and_stays_one_line(systemd: Listener) -> None:
    notifier = Notifier.from_environ(systemd.environ())
    for text in ("one", "one", "two", "x\n" * 5_000):
        notifier.status(text)
    assert [len(status) for status in systemd.all_of("STATUS")] == [3, 3, STATUS_MOST]
    assert "\n" not in systemd.all_of("STATUS")[-1]


def test_what_was_lost_is_told_again_with_the_next_status(systemd: Listener) -> None:
    notifier = Notifier.from_environ(systemd.environ())
    told = 0
    with contextlib.suppress(BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.setblocking(False)
        while True:  # systemd is busy: its queue is full
            other.sendto(b"FILLED=1", systemd.address.replace("@", "\0"))
            told += 1
    notifier.ready("up")
    notifier.alive()
    assert len(systemd.all_of("FILLED")) == told
    assert systemd.read()[told:] == []
    for _ in range(3):
        notifier.alive()
        notifier.status("up")
    assert [message for message in systemd.read()[told:] if "WATCHDOG" not in message] == [
        {"READY": "1", "STATUS": "up"}
    ]


def test_a_reload_says_when_it_began(systemd: Listener) -> None:
    notifier = Notifier.from_environ(systemd.environ())
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
    notifier.reloading()
    after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1_000
    [message] = systemd.read()
    assert message["RELOADING"] == "1"
    assert before <= int(message["MONOTONIC_USEC"]) <= after


def test_a_stop_is_the_last_that_the_status_says(systemd: Listener) -> None:
    notifier = Notifier.from_environ(systemd.environ())
    notifier.status("2 of 2 sessions up")
    notifier.stopping(5)
    notifier.status("1 of 2 sessions up")
    assert systemd.all_of("STATUS") == ["2 of 2 sessions up", "stopping"]
    assert systemd.all_of("EXTEND_TIMEOUT_USEC") == ["5000000"]


def test_nobody_there_is_no_error() -> None:
    Notifier().ready("x")
    Notifier("/nowhere/at/all").ready("x")


# The watchdog


class Part:
    """Something that moves until it is told not to."""

    def __init__(self) -> None:
        self.stuck: str | None = None
        self.hangs = False

    async def proof(self) -> str | None:
        if self.hangs:
            await anyio.sleep_forever()
        return self.stuck


@contextlib.asynccontextmanager
async def watched(systemd: Listener, seconds: float = 0.4) -> AsyncIterator[tuple[Notifier, Part]]:
    notifier, part = Notifier.from_environ(systemd.environ(seconds)), Part()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch(notifier, {"part": part.proof}))
        yield notifier, part
        task.cancel()


async def test_it_is_fed_well_within_its_time(systemd: Listener) -> None:
    async with watched(systemd):
        began = time.monotonic()
        await until(lambda: len(systemd.all_of("WATCHDOG")) >= 9)
        assert time.monotonic() - began < 0.4 * 9


@pytest.mark.parametrize("how", ["says so", "hangs"])
async def test_it_is_not_fed_while_something_is_stuck_and_again_afterwards(how: str, systemd: Listener) -> None:
    async with watched(systemd) as (notifier, part):
        await until(lambda: systemd.all_of("WATCHDOG"))
        part.stuck, part.hangs = ("waits for nothing", False) if how == "says so" else (None, True)
        await until(lambda: notifier.stuck)
        fed = len(systemd.all_of("WATCHDOG"))
        await asyncio.sleep(0.5)
        assert len(systemd.all_of("WATCHDOG")) == fed
        assert notifier.stuck == {"part": "waits for nothing" if how == "says so" else "does not answer"}
        part.stuck, part.hangs = None, False
        await until(lambda: len(systemd.all_of("WATCHDOG")) > fed)
        assert not notifier.stuck


async def test_a_loop_that_does_not_turn_feeds_nothing(systemd: Listener) -> None:
    async with watched(systemd):
        await until(lambda: systemd.all_of("WATCHDOG"))
        fed = len(systemd.all_of("WATCHDOG"))
        time.sleep(0.5)  # noqa: ASYNC251 - this is what must be noticed
        assert len(systemd.all_of("WATCHDOG")) == fed


# A long start


async def test_a_start_that_goes_on_gets_more_time_and_one_that_hangs_does_not(
    systemd: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ordernpay.systemd.EXTEND_EVERY", 0.02)
    notifier, done = Notifier.from_environ(systemd.environ()), [0]

    def works() -> int:
        done[0] += 1
        return done[0]

    async with starting(notifier, lambda: "checking", works):
        await until(lambda: len(systemd.all_of("EXTEND_TIMEOUT_USEC")) >= 5)
    assert systemd.all_of("STATUS") == ["checking"]
    before = len(systemd.all_of("EXTEND_TIMEOUT_USEC"))
    async with starting(notifier, lambda: "checking", lambda: 7):
        await asyncio.sleep(0.3)
    assert len(systemd.all_of("EXTEND_TIMEOUT_USEC")) == before + 1


async def test_what_ends_a_start_is_told_as_itself(systemd: Listener) -> None:
    with pytest.raises(FileNotFoundError):
        async with starting(Notifier.from_environ(systemd.environ()), lambda: "checking", lambda: 7):
            raise FileNotFoundError


# The daemon


@contextlib.asynccontextmanager
async def daemon(systemd: Listener, config: dict[str, Any], watchdog: float | None = None) -> AsyncIterator[Daemon]:
    notifier = Notifier.from_environ(systemd.environ(watchdog))
    made = Daemon(read(config, Path("test.toml"), CONFIGS), notifier=notifier)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(made.run(signals=False))
        await until(made.serving.is_set)
        try:
            yield made
        finally:
            made.stop()


async def test_ready_is_said_when_the_socket_serves_and_not_when_the_pos_is_there(
    systemd: Listener, artifacts: Path
) -> None:
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:1/")})
    async with daemon(systemd, config):
        await until(lambda: systemd.all_of("READY"))
        assert stat.S_ISSOCK(os.stat(config["rpc"]["socket"]).st_mode)  # noqa: PTH116
        assert systemd.all_of("STATUS")[0] == "opening the journal"
        await until(lambda: systemd.all_of("STATUS")[-1].startswith("0 of 1 sessions up; bar "))
        await until(lambda: "OSError" in systemd.all_of("STATUS")[-1] or "Connect" in systemd.all_of("STATUS")[-1])
    [stopping] = systemd.all_of("STOPPING")
    assert stopping == "1"
    assert int(systemd.all_of("EXTEND_TIMEOUT_USEC")[-1]) >= 20_000_000


async def test_a_writer_thread_that_hangs_starves_the_watchdog(systemd: Listener, artifacts: Path) -> None:
    async with daemon(systemd, tables(artifacts, {}), watchdog=0.6) as made:
        await until(lambda: systemd.all_of("WATCHDOG"))
        release = threading.Event()
        held = asyncio.ensure_future(made.journal._write(lambda _: release.wait(30)))
        await until(lambda: made.notifier.stuck)
        assert made.notifier.stuck == {"journal": "does not answer"}
        fed = len(systemd.all_of("WATCHDOG"))
        await until(lambda: "STUCK: journal does not answer" in systemd.all_of("STATUS")[-1])
        assert len(systemd.all_of("WATCHDOG")) == fed
        release.set()
        await held
        await until(lambda: len(systemd.all_of("WATCHDOG")) > fed)


async def test_a_session_that_does_not_move_on_starves_the_watchdog(systemd: Listener, artifacts: Path) -> None:
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:1/", reconnect_max=3_600.0, reconnect_min=3_600.0)})
    async with daemon(systemd, config, watchdog=0.4) as made:
        await until(lambda: made.gateway.sessions["bar"].status().state == "down")
        await until(lambda: systemd.all_of("WATCHDOG"))
        pulse = made.gateway.sessions["bar"]._session._pulse  # type: ignore[attr-defined]
        pulse.within(-20.0)
        await until(lambda: made.notifier.stuck)
        assert "bar: its connection has not moved on" in made.notifier.stuck["sessions"]
        pulse.within(10.0)
        await until(lambda: not made.notifier.stuck)


async def test_a_disk_that_is_full_does_not_starve_the_watchdog(systemd: Listener, artifacts: Path) -> None:
    async with daemon(systemd, tables(artifacts, {}), watchdog=0.4) as made:
        fed = len(systemd.all_of("WATCHDOG"))

        def told() -> bool:  # the daemon's own housekeeping finds the disk well again, whenever its turn comes
            made.journal.flushes.broken = "the journal cannot be written: disk full"
            return systemd.all_of("STATUS")[-1].startswith("ERROR: the journal cannot be written: disk full;")

        await until(told)
        await until(lambda: told() and len(systemd.all_of("WATCHDOG")) > fed + 4)


async def test_a_reload_that_is_refused_shows_until_one_is_taken(systemd: Listener, artifacts: Path) -> None:
    config = tables(artifacts, {"bar": session(url="ws://127.0.0.1:1/")})
    async with daemon_process(artifacts, config, ready=True, **systemd.environ()) as process:
        await until(lambda: systemd.all_of("READY"))
        assert process.process is not None
        file = artifacts / "ordernpay.toml"
        file.write_text("[sessions.bar]\nvendor = 7\n")
        process.process.send_signal(1)
        await until(lambda: len(systemd.all_of("READY")) == 2)
        told = [name for message in systemd.read() for name in ("RELOADING", "READY") if name in message]
        assert told == ["READY", "RELOADING", "READY"]
        refused = systemd.all_of("STATUS")[-1]
        assert refused.startswith("RELOAD REFUSED, the old configuration stays: ")
        assert "sessions.bar.vendor" in refused
        assert "0 of 1 sessions up" in refused
        toml.write(file, config | {"inbound": {"port": 1}})
        process.process.send_signal(1)
        await until(lambda: len(systemd.all_of("READY")) == 3)
        assert systemd.all_of("STATUS")[-1].startswith("restart needed for inbound; 0 of 1")


async def test_why_it_cannot_start_is_the_last_status(systemd: Listener, artifacts: Path) -> None:
    async with daemon_process(artifacts, {"nonsense": {}}, ready=False, **systemd.environ()) as process:
        assert await process.wait() == 78
        assert "nonsense: unknown table" in systemd.all_of("STATUS")[-1]
        assert not systemd.all_of("READY")
