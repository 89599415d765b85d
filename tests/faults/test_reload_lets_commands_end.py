"""A reload that changes a session lets what is in flight end on the old one, which then makes room for the new one."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from ordernpay.config import ConfigError
from ordernpay.daemon import Daemon
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.shop import Shop
from tests.support import kiosk, rest, toml
from tests.support.daemons import daemon_inside, session, tables
from tests.support.matrix import World, params, world
from tests.support.rest import ask, fresh
from tests.support.venues import free_port, inbound, listening
from tests.support.wait import until

LATE = 1.0
"""Seconds after which, with the matrix' half second, a late answer comes."""


@frozen
class Venue:
    daemon: Daemon
    tables: dict[str, Any]
    file: Path

    @property
    def socket(self) -> str:
        path: str = self.tables["rpc"]["socket"]
        return path

    async def reload(self, name: str, **changes: Any) -> None:
        self.tables["sessions"][name] |= changes
        toml.write(self.file, self.tables)
        await self.daemon.reload()


@contextlib.asynccontextmanager
async def venue(
    folder: Path, sessions: dict[str, Any], drain_seconds: float = 20.0, **more: Any
) -> AsyncIterator[Venue]:
    config = tables(folder, sessions, **more)
    config["daemon"]["drain_seconds"] = drain_seconds
    file = folder / "ordernpay.toml"
    toml.write(file, config)
    async with daemon_inside(config, file) as daemon:
        yield Venue(daemon, config, file)


async def begun(place: World, socket: str, vendor: str, fault: str, **call: Any) -> "asyncio.Task[Any]":
    """A create that has reached its vendor, which has not answered yet."""
    await place.ready("order.create", None)
    place.plan("order.create", fault, LATE)
    wanted = params(vendor, "order.create", None) | {"idempotency_key": fresh("key"), "timeout": 20.0, **call}
    asked = asyncio.create_task(ask(socket, "order.create", session="venue", **wanted))
    await until(lambda: place.reached("order.create") == 1)
    return asked


@pytest.mark.parametrize("vendor", ["ros", "tevalis", "doshii", "order-n-pay"])
async def test_a_command_in_flight_is_answered_and_sent_once(vendor: str, artifacts: Path) -> None:
    async with world(vendor) as place, venue(artifacts, {"venue": place.session()}) as bar:
        await rest.up(bar.daemon)
        asked = await begun(place, bar.socket, vendor, "late")
        before = bar.daemon.gateway.sessions["venue"]
        await bar.reload("venue", max_in_flight=200)
        assert bar.daemon.gateway.sessions["venue"] is not before
        assert not asked.done()
        assert (await asked).state == "succeeded"
        assert (place.reached("order.create"), place.effects("order.create")) == (1, 1)
        await rest.up(bar.daemon)
        again = params(vendor, "order.create", None) | {"idempotency_key": fresh("key")}
        assert (await ask(bar.socket, "order.create", session="venue", **again)).state == "succeeded"


@pytest.mark.parametrize(
    ("vendor", "state"), [("ros", "unknown"), ("tevalis", "unknown"), ("order-n-pay", "succeeded")]
)
async def test_what_does_not_end_within_the_drain_goes_on_with_the_new_session(
    vendor: str, state: str, artifacts: Path
) -> None:
    async with world(vendor) as place, venue(artifacts, {"venue": place.session()}, 0.5) as bar:
        await rest.up(bar.daemon)
        asked = await begun(place, bar.socket, vendor, "silent")
        await bar.reload("venue", max_in_flight=200)
        assert (await asyncio.wait_for(asked, 15)).state == state  # where nobody can tell a repeat, nothing is repeated
        assert place.effects("order.create") == 1


@contextlib.asynccontextmanager
async def till(folder: Path, *, dials: bool, drain_seconds: float = 20.0) -> AsyncIterator[tuple[Venue, Any, Shop]]:
    shop, port = Shop(), free_port()
    async with contextlib.AsyncExitStack() as stack:
        pos: Any = None
        if not dials:
            pos = await stack.enter_async_context(simulator.serve(shop))
        way = {"bar": listening()} if dials else {"bar": session(url=pos.url)}
        bar = await stack.enter_async_context(venue(folder, way, drain_seconds, inbound=inbound(port)))
        if dials:
            pos = await stack.enter_async_context(simulator.dial(shop, f"http://127.0.0.1:{port}", kiosk.CREDENTIALS))
        await kiosk.up(bar.socket)
        yield bar, pos, shop


@pytest.mark.parametrize("dials", [False, True], ids=["we dial", "the POS dials"])
async def test_the_pos_has_one_connection_and_reads_are_answered(dials: bool, artifacts: Path) -> None:  # noqa: FBT001
    async with till(artifacts, dials=dials) as (bar, pos, shop):
        pos.faults.plan(Fault.LATE, seconds=1.5, count=2)
        listed = asyncio.create_task(kiosk.ask(bar.socket, "order.list"))
        await until(lambda: len(shop.requests) == 1)
        placed = asyncio.create_task(kiosk.ask(bar.socket, "order.create", kiosk.create("one")))
        await until(lambda: len(shop.requests) == 2)
        await bar.reload("bar", max_in_flight=200)
        waiting = asyncio.create_task(kiosk.ask(bar.socket, "order.create", kiosk.create("two")))
        fresh_one = bar.daemon.gateway.sessions["bar"].status
        while not (listed.done() and placed.done()):
            assert pos.connections <= 1
            assert len(shop.requests) == 2 or fresh_one().state == "up"
            await asyncio.sleep(0.05)
        assert "result" in await listed
        assert (await placed)["result"]["state"] == (await waiting)["result"]["state"] == "succeeded"
        assert (len(shop.acts), shop.repeats, len(shop.requests)) == (2, 0, 3)
        assert fresh_one().counters["connections"] == 1


async def test_a_pos_that_comes_anew_ends_the_old_session_at_once(artifacts: Path) -> None:
    async with till(artifacts, dials=True) as (bar, pos, shop):
        pos.faults.plan(Fault.SILENT)
        asked = asyncio.create_task(kiosk.ask(bar.socket, "order.create", kiosk.create("one")))
        await until(lambda: len(shop.requests) == 1)
        await bar.reload("bar", max_in_flight=200)
        pos.drop()  # and dials again
        assert (await asyncio.wait_for(asked, 15))["result"]["state"] == "succeeded"
        assert (len(shop.acts), shop.repeats) == (1, 1)


async def test_reloads_in_a_row_make_no_second_connection(artifacts: Path) -> None:
    async with till(artifacts, dials=False) as (bar, pos, shop):
        pos.faults.plan(Fault.LATE, seconds=2.0)
        asked = asyncio.create_task(kiosk.ask(bar.socket, "order.create", kiosk.create("one")))
        await until(lambda: len(shop.requests) == 1)
        for number in range(3):
            await bar.reload("bar", max_in_flight=200 + number)
            assert pos.connections == 1
        assert (await asked)["result"]["state"] == "succeeded"
        answer = await kiosk.ask(bar.socket, "order.create", kiosk.create("two"))
        assert answer["result"]["state"] == "succeeded"
        assert (len(shop.acts), shop.repeats) == (2, 0)


async def test_a_read_that_a_stop_ends_is_told_so(artifacts: Path) -> None:
    async with till(artifacts, dials=False, drain_seconds=0.3) as (bar, pos, shop):
        pos.faults.plan(Fault.SILENT)
        async with kiosk.kiosk(bar.socket) as one:
            number = one.begin("order.list", {})
            await until(lambda: shop.requests)
            bar.daemon.stop()
            assert (await one.answer(number))["error"]["code"] == -32006


@pytest.mark.parametrize("text", ["", "# nothing\n", "[daemon]\n", "\ufeff\n"])
async def test_an_empty_configuration_ends_no_session(text: str, artifacts: Path) -> None:
    async with till(artifacts, dials=False) as (bar, _, _):
        bar.file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match="expected at least one session"):
            await bar.daemon.reload()
        assert (await kiosk.ask(bar.socket, "order.create", kiosk.create("one")))["result"]["state"] == "succeeded"


async def test_a_file_that_is_still_being_written_is_read_when_it_is_whole(artifacts: Path) -> None:
    async with till(artifacts, dials=False) as (bar, _, _):
        before = bar.daemon.gateway.sessions["bar"]
        bar.tables["sessions"]["terrace"] = dict(bar.tables["sessions"]["bar"])
        toml.write(bar.file, bar.tables)
        whole = bar.file.read_text()
        half = whole[: whole.index("[sessions")]
        bar.file.write_text(half)

        async def write_on() -> None:
            await asyncio.sleep(0.6)  # longer than a reader waits who misses nothing
            bar.file.write_text(whole)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write_on())
            await bar.daemon.reload()
        assert {*bar.daemon.gateway.sessions} == {"bar", "terrace"}
        assert bar.daemon.gateway.sessions["bar"] is before
