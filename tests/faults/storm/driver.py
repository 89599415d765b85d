"""A storm: kiosks that order, vendors that misbehave, and a daemon that is killed on a bad disk under a wrong clock."""
# ruff: noqa: ASYNC110, ASYNC240 - it polls with a deadline, and looks at small files

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from ordernpay.crash import POINTS
from tests.faults.storm.disk import CHANGES, ERRORS, READ, SYNC, WRITE, Shim
from tests.faults.storm.kiosks import Kiosks, ask
from tests.faults.storm.ledger import Ledger
from tests.faults.storm.power import Shadow
from tests.faults.storm.venue import Venue
from tests.support.daemons import unmeasured
from tests.support.toml import write

STEPS: Final = (40.0, -40.0)
KILLED: Final = -signal.SIGKILL
START: Final = 60.0


@define
class Plan:
    """How much befalls a run.

    Attributes:
        seed: draws everything.
        commands: how many keys.
        kills: how often the daemon is killed, at any moment or at a named point.
        clients: kiosks side by side.
        power: each kill is a power cut.
        disk: how often the disk is slow or fails.
        clock: how often the clock is stepped.
        slowest: seconds of the slowest flush.
    """

    seed: str
    commands: int
    kills: int
    clients: int
    power: bool = False
    disk: int = 0
    clock: int = 0
    slowest: float = 2.0

    @property
    def watchdog(self) -> float | None:
        """Seconds of systemd's watchdog, where a flush lasts longer than those of the unit."""
        return 20.0 if self.slowest > 20 else None


@define(eq=False)
class Supervised:
    """The daemon, started again whenever it ends, as systemd would."""

    directory: Path
    tables: dict[str, Any]
    environ: dict[str, str]
    ends: Counter[str] = field(factory=Counter)
    lives: int = 0
    starting: float = 0.0
    status: int | None = None
    pid: int | None = None
    watchdog: float | None = None
    fed: float = 0.0
    _notified: socket.socket | None = None
    _nursery: asyncio.subprocess.Process | None = None
    _hearing: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(factory=asyncio.Event)

    @property
    def log(self) -> Path:
        """What it wrote, over all its lives."""
        return self.directory / "daemon.log"

    @property
    def socket(self) -> str:
        """Its socket."""
        path: str = self.tables["rpc"]["socket"]
        return path

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.pid is not None

    def configure(self) -> Path:
        """Write the configuration."""
        return write(self.directory / "ordernpay.toml", self.tables)

    async def open(self) -> None:
        """Have a nursery, and listen for what systemd is told."""
        if self.watchdog is not None:
            place = str(Path(self.socket).with_name("n"))
            self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._notified.bind(place)
            asyncio.get_running_loop().add_reader(self._notified, self._told)
            self.environ |= {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": str(int(self.watchdog * 1e6))}
        self._nursery = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.storm.nursery", str(self.configure()), str(self.log)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=unmeasured(**self.environ),
        )
        self._hearing = asyncio.create_task(self._hear(self._nursery))

    async def close(self) -> None:
        """End everything."""
        await self.terminate(20)
        if self._nursery is not None and self._nursery.stdin is not None:
            self._nursery.stdin.close()
            await self._nursery.wait()
        if self._hearing is not None:
            await self._hearing
        if self._notified is not None:
            asyncio.get_running_loop().remove_reader(self._notified)
            self._notified.close()

    def _told(self) -> None:
        assert self._notified is not None
        with contextlib.suppress(BlockingIOError):
            while told := self._notified.recv(65_536):
                if b"WATCHDOG=1" in told or b"READY=1" in told:
                    self.fed = time.monotonic()

    @property
    def starved(self) -> bool:
        """Whether systemd would end it now."""
        return self.watchdog is not None and self.alive and 0 < self.fed < time.monotonic() - self.watchdog

    async def _hear(self, nursery: asyncio.subprocess.Process) -> None:
        assert nursery.stdout is not None
        while line := await nursery.stdout.readline():
            what, pid, *status = line.split()
            if what == b"started":
                self.pid, self.status, self.fed = int(pid), None, 0.0
            elif int(pid) == self.pid:
                self.pid, self.status = None, int(status[0])
            self._changed.set()

    async def _until(self, alive: bool) -> None:  # noqa: FBT001 - what is waited for
        while self.alive is not alive:
            self._changed.clear()
            await self._changed.wait()

    async def start(self, **more: str) -> None:
        """Start it until it serves; one that ends meanwhile is started again."""
        self.configure()
        assert self._nursery is not None
        assert self._nursery.stdin is not None
        began = time.monotonic()
        deadline = began + START
        while time.monotonic() < deadline:
            self._nursery.stdin.write(" ".join(f"{name}={value}" for name, value in more.items()).encode() + b"\n")
            await asyncio.wait_for(self._until(alive=True), START)
            self.lives += 1
            more = {}
            while self.alive and time.monotonic() < deadline:
                if await ask(self.socket, "daemon.status", {}, 5) is not None:
                    self.starting += time.monotonic() - began
                    return
                await asyncio.sleep(0.02)
            if not self.alive:
                self.ends[f"at its start with {self.status}"] += 1
            await asyncio.sleep(0.2)
        raise AssertionError(f"the daemon does not start:\n{self.tail()}")

    def tail(self, lines: int = 30) -> str:
        """The last of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def kill(self) -> None:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        await self._until(alive=False)

    async def terminate(self, seconds: float = 60) -> int | None:
        """SIGTERM; None where it does not end by it."""
        if not self.alive:
            return None
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._until(alive=False)
                return self.status
        await self.kill()
        return None


@define(eq=False)
class Follower:
    """A kiosk that wants every event once, over all lives of the daemon."""

    socket: str
    seen: dict[int, str] = field(factory=dict)
    last: int = 0
    faults: list[str] = field(factory=list)

    async def follow(self) -> None:
        """Subscribe, and again whenever the connection ends."""
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
                await self._listen()
            await asyncio.sleep(0.05)

    async def _listen(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self.socket, limit=2**24)
        try:
            request = {"jsonrpc": "2.0", "id": 1, "method": "event.subscribe", "params": {"since": self.last}}
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                if not line.endswith(b"\n"):
                    return
                told = json.loads(line)
                if told.get("method") == "event":
                    self._take(told["params"]["event"])
                elif told.get("result", {}).get("gap"):
                    self.faults.append(f"told of a gap after {self.last}: {line[:200]!r}")
        finally:
            writer.close()

    def _take(self, event: dict[str, Any]) -> None:
        seq = event["seq"]
        if seq != self.last + 1:
            self.faults.append(f"event {seq} after {self.last}")
        self.seen[seq] = json.dumps(event, sort_keys=True)
        self.last = max(self.last, seq)


@define(eq=False)
class Storm:
    """One run."""

    plan: Plan
    directory: Path
    dice: random.Random
    ledger: Ledger
    venue: Venue
    shim: Shim
    shadow: Shadow
    daemon: Supervised
    kiosks: Kiosks
    follower: Follower
    met: Counter[str] = field(factory=Counter)
    phases: dict[str, float] = field(factory=dict)
    began: float = field(factory=time.monotonic)
    lock: asyncio.Lock = field(factory=asyncio.Lock)
    _slowed: int = 0
    _troubles: set[asyncio.Task[None]] = field(factory=set)
    _disk: asyncio.Lock = field(factory=asyncio.Lock)
    _clock: asyncio.Lock = field(factory=asyncio.Lock)

    # What befalls it

    def blows(self) -> list[tuple[int, str]]:
        """What befalls the run, each after how many commands, in that order."""
        plan = self.plan
        named = [self.dice.choice(("kill", "kill", "crash", "term")) for _ in range(plan.kills)]
        if plan.power:
            named = ["kill"] * plan.kills
        named += [self.dice.choice(("slow", "fail", "fail", "short", "fail reads")) for _ in range(plan.disk)]
        named += [self.dice.choice(("step", "step and restart", "restart and step")) for _ in range(plan.clock)]
        named += ["hup"] * (plan.kills // 10) + ["outage"] * (plan.kills // 8) + ["cut"] * (plan.kills // 2)
        named += ["freeze"] * (plan.kills // 20)
        self.dice.shuffle(named)
        places = sorted(self.dice.randrange(max(1, plan.commands - 2 * plan.clients)) for _ in named)
        return list(zip(places, named, strict=True))

    @contextlib.asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Let it rage and wait until it is quiet; the daemon and who follows it are still there."""
        await self.daemon.start()
        self.phases["started"] = time.monotonic() - self.began
        following = asyncio.create_task(self.follower.follow())
        keeping = asyncio.create_task(self._keep_alive())
        ordering = [asyncio.create_task(self.kiosks.order()) for _ in range(self.plan.clients)]
        looking = asyncio.create_task(self.kiosks.look())
        try:
            for after, blow in self.blows():
                while self.kiosks.done < after and not all(task.done() for task in ordering):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(self.dice.uniform(0, 0.1))
                await self._strike(blow)
            await asyncio.gather(*ordering)
            await asyncio.gather(*self._troubles)
            self.phases["raged"] = time.monotonic() - self.began
            await self._quiet()
            self.phases["quiet"] = time.monotonic() - self.began
            yield
        finally:
            tasks = (following, keeping, looking, *ordering, *self._troubles)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _strike(self, blow: str) -> None:
        self.met[blow] += 1
        match blow:
            case "kill" | "crash" | "term":
                await self._end(blow)
            case "step and restart":
                self._trouble(self._stepped(self._restart_in_between))
            case "restart and step":
                self._trouble(self._stepped(None, down=True))
            case "step":
                self._trouble(self._stepped(None))
            case "slow" | "fail" | "short" | "fail reads":
                self._trouble(self._bad_disk(blow))
            case "hup":
                await self._reload()
            case "outage":
                self._trouble(self.venue.outage(self.dice.choice(self.venue.all), self.dice.uniform(0.2, 2.0)))
            case "cut":
                self.venue.cut()
            case "freeze":
                self._trouble(self._freeze())

    def _trouble(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._troubles.add(task)
        task.add_done_callback(self._troubles.discard)

    async def _end(self, how: str, **more: str) -> None:
        """End the daemon and start it again."""
        async with self.lock:
            if how == "term":
                status = await self.daemon.terminate()
                self.daemon.ends[f"by SIGTERM with {status}"] += 1
            else:
                await self.daemon.kill()
            if self.plan.power:
                lost = self.shadow.cut(self.dice if self.dice.random() < 0.6 else None)
                self.met["unflushed bytes"] += sum(lost.values())
            if how == "crash":
                more["ORDERNPAY_CRASH"] = f"{self.dice.choice(POINTS)}:{self.dice.randint(1, 25)}"
            await self.daemon.start(**more)

    async def _keep_alive(self) -> None:
        """Start it again when it ended by itself: at a point of its code, or for a reason that is a fault."""
        while True:
            await asyncio.sleep(0.02)
            if self.daemon.starved:
                self.met["ENDED BY THE WATCHDOG"] += 1
                self.daemon.signal(signal.SIGKILL)
            if self.daemon.alive or self.lock.locked():  # then who holds it starts it
                continue
            async with self.lock:
                crashed = self.daemon.status == KILLED
                self.met["died at its point" if crashed else f"DIED with {self.daemon.status}"] += 1
                if self.plan.power:
                    self.shadow.cut(self.dice)
                await self.daemon.start()

    async def _stepped(self, between: Callable[[], Coroutine[Any, Any, None]] | None, *, down: bool = False) -> None:
        async with self._clock:
            days = self.dice.choice(STEPS)
            if down:
                async with self.lock:
                    await self.daemon.kill()
                    if self.plan.power:
                        self.shadow.cut(self.dice)
                    self.shim.step(days)
                    await self.daemon.start()
            else:
                self.shim.step(days)
            await asyncio.sleep(self.dice.uniform(0.1, 1.5))
            if between is not None:
                await between()
            self.shim.step(0)

    async def _restart_in_between(self) -> None:
        await self._end(self.dice.choice(("kill", "term")))
        self.met["kill"] += 1
        await asyncio.sleep(self.dice.uniform(0.1, 1.0))

    async def _bad_disk(self, blow: str) -> None:
        async with self._disk:
            match blow:
                case "slow":
                    self._slowed += 1
                    if self._slowed == 1 and self.plan.watchdog is not None:  # one flush that outlasts the watchdog
                        async with self.lock:  # nobody else ends it meanwhile
                            self.shim.slow(int(self.plan.slowest * 1_000))
                            await asyncio.sleep(self.plan.slowest + 2)
                            self.shim.heal()
                        return
                    most = min(self.plan.slowest, 4.0) * 1_000
                    self.shim.slow(int(50 + (most - 50) * self.dice.random() ** 3), SYNC | self.dice.choice((0, WRITE)))
                case "fail":
                    on = self.dice.choice((CHANGES, SYNC, WRITE))
                    after = self.dice.choice((0, 0, self.dice.randrange(30)))
                    self.shim.fail(self.dice.choice(ERRORS), on, self.dice.choice((-1, -1, 1, 2, 5)), after)
                case "fail reads":  # mostly of a start, at any of its reads
                    if self.dice.random() < 0.7:
                        self._trouble(self._end("kill"))
                        self.met["kill"] += 1
                    on, after = READ | self.dice.choice((0, CHANGES)), self.dice.choice((0, self.dice.randrange(60)))
                    self.shim.fail(ERRORS[0], on, self.dice.choice((-1, -1, 1, 3)), after)
                case _:
                    self.shim.halve(self.dice.randint(1, 20))
            await asyncio.sleep(self.dice.uniform(0.1, 2.0))
            self.shim.heal()

    async def _reload(self) -> None:
        """A configuration that differs in one session, and so opens that one anew."""
        session = self.daemon.tables["sessions"][self.dice.choice(list(self.daemon.tables["sessions"]))]
        session["max_in_flight"] = 200 + self.dice.randrange(50)
        async with self.lock:
            self.daemon.configure()
            self.daemon.signal(signal.SIGHUP)

    async def _freeze(self) -> None:
        self.daemon.signal(signal.SIGSTOP)
        await asyncio.sleep(self.dice.uniform(0.2, 1.5))
        self.daemon.signal(signal.SIGCONT)

    # Afterwards

    async def _quiet(self) -> None:
        """Everything is sound again: what has no outcome is asked for once more, and every vendor says its last word."""
        self.shim.heal()
        self.shim.step(0)
        self.venue.calm()
        if not self.daemon.alive:
            async with self.lock:
                await self.daemon.start()
        await self._up()
        await self.kiosks.settle_all(240 + self.plan.commands / 20)
        async with asyncio.timeout(60):
            await self.venue.settled()
        await self._no_more_open()
        async with self.lock:
            status = await self.daemon.terminate()
            self.daemon.ends[f"at the end with {status}"] += 1
            if self.plan.power:
                self.shadow.cut(None)
            await self.daemon.start()
        await self._up()
        await asyncio.sleep(1.5)
        await self._no_more_open()

    async def _up(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while True:
                    told = await ask(self.daemon.socket, "session.list", {})
                    sessions = told["result"]["sessions"] if told and "result" in told else [{"state": "?"}]
                    if all(one["state"] == "up" for one in sessions):
                        return
                    await asyncio.sleep(0.1)
        self.met["SESSION NOT UP"] += 1

    async def _no_more_open(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):
                while True:
                    pages = [
                        await self.pages("command.list", "commands", state=state) for state in ("accepted", "sent")
                    ]
                    if not any(pages):
                        return
                    await asyncio.sleep(0.2)

    async def heard(self, last: int) -> None:
        """Wait until the follower has heard of this event."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(20):
                while self.follower.last < last:
                    await asyncio.sleep(0.05)

    async def pages(self, method: str, name: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a list."""
        found: list[dict[str, Any]] = []
        after = None
        while True:
            told = await ask(self.daemon.socket, method, {"limit": 500, "after": after} | query, 30)
            assert told is not None, f"{method}: no answer"
            assert "result" in told, told
            found += told["result"][name]
            after = told["result"]["next"]
            if after is None:
                return found

    async def events(self) -> list[dict[str, Any]]:
        """All kept events."""
        found: list[dict[str, Any]] = []
        since = 0
        while True:
            told = await ask(self.daemon.socket, "event.list", {"limit": 500, "since": since}, 30)
            assert told is not None, "event.list: no answer"
            assert "result" in told, told
            page = told["result"]["events"]
            if not page:
                return found
            found += page
            since = page[-1]["seq"]


@contextlib.asynccontextmanager
async def storm(plan: Plan, directory: Path) -> AsyncIterator[Storm]:
    """A venue with its vendors, and a daemon that is about to start."""
    dice = random.Random(plan.seed)
    ledger = Ledger()
    venue = Venue(ledger, dice)
    await venue.open()
    directory.mkdir(parents=True, exist_ok=True)
    tables = venue.tables(directory)
    state = Path(tables["daemon"]["state_dir"])
    shim = Shim(directory, state)
    shadow = Shadow(state, directory / "writes.log")
    if plan.power:
        shadow.begin()
        shim.record(shadow.log)
    daemon = Supervised(directory, tables, dict(shim.environ), watchdog=plan.watchdog)
    kiosks = Kiosks(daemon.socket, ledger, random.Random(dice.random()), plan.commands)
    kiosks.cancels |= {"cafe": venue.cafe.cancelled_by, "deli": venue.deli.cancelled_by}
    await daemon.open()
    try:
        yield Storm(plan, directory, dice, ledger, venue, shim, shadow, daemon, kiosks, Follower(daemon.socket))
    finally:
        shim.heal()
        await daemon.close()
        await venue.close()


def number(name: str, otherwise: int) -> int:
    """A number from the environment."""
    return int(os.environ.get(name, otherwise))


def jumps(numbers: list[int]) -> list[tuple[int, int]]:
    """Where numbers do not follow each other."""
    return [(earlier, later) for earlier, later in itertools.pairwise(numbers) if later != earlier + 1]
