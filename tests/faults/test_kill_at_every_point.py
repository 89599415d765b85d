"""`kill -9` at each point on the way of a command: one act at the POS, one outcome, whoever asks again or nobody.

The points are those of `ordernpay.crash`. The daemon kills itself the moment that its first command passes the point.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

from ordernpay.crash import POINTS
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support import kiosk
from tests.support.daemons import DaemonProcess, daemon_process, session, tables
from tests.support.wait import until

ORDER_ID: Final = "a60fba87-58ec-4b12-b71c-57572036c6bc"
METHODS: Final = ("order.create", "order.update", "payment.create")
KILLED: Final = -9
DURABLE: Final = POINTS[1:]
SENT: Final = POINTS[2:]


def params(method: str, **more: Any) -> dict[str, Any]:
    match method:
        case "order.create":
            return kiosk.create("the-key", **more)
        case "order.update":
            return kiosk.update(ORDER_ID, "the-key", **more)
        case _:
            return kiosk.pay(ORDER_ID, "the-key", **more)


@frozen
class Venue:
    shop: Shop
    pos: simulator.ListeningPos
    daemon: DaemonProcess


@contextlib.asynccontextmanager
async def killed_at(point: str, folder: Path, method: str, **more: Any) -> AsyncIterator[Venue]:
    """A daemon that has died at this point of its first command, and the POS that it spoke to."""
    shop = Shop()
    shop.open_order(sales_transaction_id=ORDER_ID).add([_soup()], [], [])
    async with simulator.serve(shop) as pos:
        config = tables(folder, {"bar": session(url=pos.url)})
        async with daemon_process(folder, config, ORDERNPAY_CRASH=f"{point}:1") as daemon:
            await until(lambda: pos.connections)
            with contextlib.suppress(kiosk.Gone, OSError):
                async with kiosk.kiosk(daemon.socket) as one:
                    one.begin(method, params(method, **more))
                    await one.reader.read()
            assert await daemon.wait() == KILLED
            await until(lambda: not pos.connections)
            yield Venue(shop, pos, daemon)


async def each(proof: Callable[[str, str, Path], Coroutine[Any, Any, None]], point: str, folder: Path) -> None:
    """Prove it for every method, each with a daemon and a POS of its own, side by side."""
    async with asyncio.TaskGroup() as tasks:
        for method in METHODS:
            tasks.create_task(proof(point, method, folder / method))


def _soup() -> dict[str, Any]:
    shop = Shop()
    line = {"ProviderProductID": "1", "ProductType": 0, "PLUIdentifier": "1203", "SalesModifierIdentifier": None}
    line |= {"Name": "Soup", "SalesModifierName": None, "Quantity": 3, "Price": 0, "TotalAmount": 0}
    line |= {"ChildProducts": [], "Adjustment": None}
    return shop.kitchen.price([line], by_provider=False)[0]


@pytest.mark.parametrize("point", POINTS)
async def test_the_same_key_after_the_restart_acts_once(point: str, artifacts: Path) -> None:
    await each(acts_once, point, artifacts)


async def acts_once(point: str, method: str, folder: Path) -> None:
    async with killed_at(point, folder, method) as venue:
        await venue.daemon.start()
        first = await kiosk.insist(venue.daemon.socket, method, params(method))
        again = await kiosk.insist(venue.daemon.socket, method, params(method))
        assert first == again
        assert first["state"] == "succeeded"
        assert len(venue.shop.acts) == 1
        [row] = await kiosk.rows(venue.daemon.socket)
        assert (row["state"], row["command_id"], row["result"]) == ("succeeded", first["command_id"], first["result"])
        assert row["vendor_ids"]["request_id"] == venue.shop.acts[0].request_id


@pytest.mark.parametrize("point", DURABLE)
async def test_what_was_durable_is_performed_without_anybody_asking(point: str, artifacts: Path) -> None:
    await each(is_performed, point, artifacts)


async def is_performed(point: str, method: str, folder: Path) -> None:
    async with killed_at(point, folder, method) as venue:
        heard = len(venue.shop.requests)
        await venue.daemon.start()
        row = await ended(venue.daemon)
        assert row["state"] == "succeeded"
        assert len(venue.shop.acts) == 1
        sent_again = point in SENT and point not in {"settled", "replied"}
        assert len(venue.shop.requests) - heard == int(point == "accepted" or sent_again)
        assert len({_request_id(frame) for frame in venue.shop.requests}) == 1
        events = (await kiosk.ask(venue.daemon.socket, "event.list"))["result"]["events"]
        settled = [event for event in events if event["kind"] == "command.settled"]
        assert [event["data"]["command_id"] for event in settled] == [row["command_id"]]


@pytest.mark.parametrize("point", DURABLE)
async def test_past_the_deadline_it_is_failed_or_unknown_and_never_sent(point: str, artifacts: Path) -> None:
    async with killed_at(point, artifacts, "order.create", timeout=0.5) as venue:
        acts, heard = len(venue.shop.acts), len(venue.shop.requests)
        await asyncio.sleep(0.6)  # the deadline has to pass while nobody lives to notice
        await venue.daemon.start()
        row = await ended(venue.daemon)
        if point == "accepted":
            assert (row["state"], row["error"]["code"], acts) == ("failed", 1007, 0)
        elif point in {"settled", "replied"}:
            assert (row["state"], acts) == ("succeeded", 1)
        else:
            assert (row["state"], row["error"]["code"]) == ("unknown", 1006)
        await kiosk.up(venue.daemon.socket)
        assert len(venue.shop.requests) == heard

        outcome = await kiosk.insist(venue.daemon.socket, "order.create", params("order.create"))
        assert (outcome["state"], len(venue.shop.acts)) == ("succeeded", 1)


async def test_before_it_was_durable_nothing_is_left_of_it(artifacts: Path) -> None:
    async with killed_at("received", artifacts, "order.create") as venue:
        await venue.daemon.start()
        await kiosk.up(venue.daemon.socket)
        assert await kiosk.rows(venue.daemon.socket) == []
        assert venue.shop.requests == []


async def ended(daemon: DaemonProcess) -> dict[str, Any]:
    """The only command of the journal, once it has an outcome."""
    while True:
        [found] = await kiosk.rows(daemon.socket)
        if found["state"] not in {"accepted", "sent"}:
            return found
        await asyncio.sleep(0.01)


def _request_id(frame: str) -> str:
    return frame.partition('"RequestID":"')[2].partition('"')[0]
