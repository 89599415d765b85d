"""A machine that slept: its connections are probed at once, a dead one is replaced quickly, deadlines count sleep."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from attrs import define, frozen

from ordernpay.clock import SystemClock
from ordernpay.config import read
from ordernpay.daemon import Daemon
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from ordernpay.vendors import CONFIGS
from tests.support import kiosk
from tests.support.daemons import session, tables
from tests.support.proxy import TcpProxy
from tests.support.wait import until


@define
class Sleepy(SystemClock):
    """The machine's clocks, of a machine that slept when a test says so."""

    slept: float = 0.0
    stepped: float = 0.0

    def now(self) -> float:
        return super().now() + self.slept

    def wall(self) -> float:
        return super().wall() + self.slept + self.stepped


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    proxy: TcpProxy
    daemon: Daemon
    clock: Sleepy
    path: str

    @property
    def connections(self) -> int:
        return self.daemon.gateway.sessions["bar"].status().counters["connections"]


@contextlib.asynccontextmanager
async def venue(folder: Path, **changes: Any) -> AsyncIterator[Venue]:
    shop, clock = Shop(), Sleepy()
    async with simulator.serve(shop) as pos, TcpProxy(pos.host, pos.port) as proxy:
        config = tables(folder, {"bar": session(url=f"ws://127.0.0.1:{proxy.port}/", **changes)})
        daemon = Daemon(read(config, Path("test.toml"), CONFIGS), clock)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(daemon.run(signals=False))
            await until(lambda: daemon.serving.is_set() or running.done())
            try:
                await kiosk.up(config["rpc"]["socket"])
                yield Venue(shop, pos, proxy, daemon, clock, config["rpc"]["socket"])
            finally:
                daemon.stop()


async def go_silent(bar: Venue) -> None:
    """The connection only looks alive from here on; new ones work."""
    bar.proxy.blackhole()
    await kiosk.ask(bar.path, "order.list", {"timeout": 1})
    assert bar.proxy.swallowed
    bar.proxy.restore()


async def test_a_link_that_died_in_the_sleep_is_replaced_at_once(artifacts: Path) -> None:
    async with venue(artifacts, ping_timeout=1.0) as bar:  # but ping_interval is 20 s
        await go_silent(bar)
        began = time.monotonic()
        bar.clock.slept += 3_600
        answer = await kiosk.ask(bar.path, "order.create", kiosk.create("key"))
        assert answer["result"]["state"] == "succeeded"
        assert time.monotonic() - began < 15
        assert bar.connections == 2
        assert len(bar.shop.acts) == 1


async def test_without_a_sleep_it_takes_until_the_next_ping(artifacts: Path) -> None:
    async with venue(artifacts, ping_timeout=0.2) as bar:
        await go_silent(bar)
        await asyncio.sleep(3)
        assert bar.connections == 1


async def test_a_link_that_survived_the_sleep_is_kept(artifacts: Path) -> None:
    async with venue(artifacts, ping_timeout=1.0) as bar:
        bar.clock.slept += 3_600
        await asyncio.sleep(3)  # the jump is seen, the ping is sent, the ping is answered
        assert bar.connections == 1
        assert (await kiosk.ask(bar.path, "order.create", kiosk.create("key")))["result"]["state"] == "succeeded"


async def test_a_deadline_counts_the_sleep(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.pos.faults.plan(Fault.SILENT)
        call = asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create("key", timeout=30)))
        await until(lambda: bar.shop.requests)
        began = time.monotonic()
        bar.clock.slept += 31
        error = (await call)["error"]
        assert (error["code"], error["data"]["state"]) == (1006, "unknown")
        assert time.monotonic() - began < 15


async def test_what_waited_for_its_session_through_the_sleep_is_not_sent_after_its_deadline(artifacts: Path) -> None:
    async with venue(artifacts) as bar:
        bar.proxy.refuse()
        bar.proxy.drop()
        await until(lambda: bar.daemon.gateway.sessions["bar"].status().state != "up")
        call = asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create("key", timeout=30)))
        await until(lambda: bar.daemon.gateway.in_flight)
        bar.clock.slept += 31
        bar.proxy.accept()
        error = (await call)["error"]
        assert (error["code"], error["data"]["state"]) == (1007, "failed")
        assert bar.shop.requests == []


async def test_a_wall_clock_that_is_stepped_changes_no_deadline_and_no_link(artifacts: Path) -> None:
    for step in (86_400.0, -86_400.0):
        async with venue(artifacts / str(step)) as bar:
            bar.pos.faults.plan(Fault.LATE, seconds=2.0)
            call = asyncio.create_task(kiosk.ask(bar.path, "order.create", kiosk.create("key", timeout=10)))
            await until(lambda: bar.shop.requests)
            bar.clock.stepped += step
            assert (await call)["result"]["state"] == "succeeded"
            assert bar.connections == 1
