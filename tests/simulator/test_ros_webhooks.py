"""The simulated ROS notifies as its pages say, and, when it is told to, as nobody should."""

import contextlib
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from attrs import evolve, frozen
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ordernpay.simulator.ros import (
    DEMO_KAPOW,
    DEMO_OUTLET,
    UNANSWERED,
    Casing,
    Pace,
    RosSimulator,
    Stock,
    StockCount,
    Style,
    Verdict,
)
from ordernpay.simulator.ros.notices import NAMES, Notice
from ordernpay.simulator.web import Heard, WebServer
from ordernpay.simulator.web import serve as serve_web
from tests.simulator.ros_requests import Caller, called, cancellation, order
from tests.support.wait import until

SECRET = b"demo-webhook-secret"
FAST = Pace(first=0.001, factor=1.1)


@frozen
class Scene:
    """A provider with a door for notifications; it answers 200 where no fault is planned."""

    caller: Caller
    door: WebServer

    @property
    def ros(self) -> RosSimulator:
        return self.caller.ros

    @property
    def last(self) -> Heard:
        return self.door.heard[-1]

    def body(self) -> Any:
        return json.loads(self.last.body)


@contextlib.asynccontextmanager
async def staged(ros: RosSimulator | None = None) -> AsyncIterator[Scene]:
    async def take(request: Request) -> Response:
        return Response(status_code=200)

    app = Starlette(routes=[Route("/hook", take, methods=["POST"])])
    async with serve_web(app) as door, called(ros or RosSimulator(pace=FAST)) as caller:
        caller.ros.webhooks.url = f"{door.base_url}/hook"
        yield Scene(caller, door)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with staged() as scene:
        yield scene


async def confirmation(scene: Scene) -> Notice:
    return scene.ros.processed(scene.ros.confirmed(await scene.caller.add()))


def is_signed(heard: Heard) -> bool:
    return heard.headers.get("x-ros-signature") == hmac.new(SECRET, heard.body, hashlib.sha256).hexdigest()


async def test_a_confirmation(scene: Scene) -> None:
    made = await scene.caller.add(order(testOrder=True))
    assert await scene.ros.notify(scene.ros.processed(scene.ros.confirmed(made))) == [200]
    body = scene.body()
    assert body.keys() == {"Type", "Body"}
    assert body["Body"].keys() == {"OrganisationCode", "Kapow", "ProcessedOrders"}
    assert (body["Body"]["OrganisationCode"], body["Body"]["Kapow"]) == ("DEMOORG", DEMO_KAPOW)
    (entry,) = body["Body"]["ProcessedOrders"]
    said = {
        name: entry[name] for name in ("ProviderID", "ProviderOrderID", "RemoteOrderID", "IsConfirmed", "TestOrder")
    }
    assert said == {
        "ProviderID": 4711,
        "ProviderOrderID": "DE-1",
        "RemoteOrderID": made,
        "IsConfirmed": True,
        "TestOrder": True,
    }


async def test_several_orders_in_one_batch(scene: Scene) -> None:
    first, second = await scene.caller.add(), await scene.caller.add(order(providerOrderID="DE-2"))
    rejected = scene.ros.rejected(second, "Sold out", kind=3, out_of_stock=["1203"])
    await scene.ros.notify(scene.ros.processed(scene.ros.confirmed(first), rejected))
    entries = scene.body()["Body"]["ProcessedOrders"]
    assert [(entry["ProviderOrderID"], entry["IsConfirmed"]) for entry in entries] == [("DE-1", True), ("DE-2", False)]
    assert (entries[1]["RejectionReason"], entries[1]["RejectionType"]) == ("Sold out", 3)
    assert entries[1]["OutOfStockProducts"][0]["ProductID"] == "1203"
    assert entries[0]["OutOfStockProducts"] is None


async def test_the_headers(scene: Scene) -> None:
    await scene.ros.notify(await confirmation(scene))
    headers = scene.last.headers
    assert headers["x-ros-id"]
    assert headers["x-ros-notificationid"]
    assert headers["x-ros-attemptnumber"] == "0"
    assert headers["content-type"] == "application/json"
    assert is_signed(scene.last)


async def test_prepared_and_stock(scene: Scene) -> None:
    made = await scene.caller.add()
    await scene.ros.notify(scene.ros.prepared(made, location="Hatch 2"))
    body = scene.body()["Body"]
    assert (body["RemoteOrderID"], body["OutletID"], body["ConsumerCollectionLocation"]) == (
        made,
        DEMO_OUTLET,
        "Hatch 2",
    )
    await scene.ros.notify(scene.ros.stock_level("1203", Stock.LOW))
    body = scene.body()["Body"]
    assert (body["OutletID"], body["ProductID"], body["StockLevel"]) == (DEMO_OUTLET, "1203", 1)
    await scene.ros.notify(scene.ros.live_stock(StockCount("1203", 4, Stock.LOW), full=True))
    body = scene.body()["Body"]
    assert (body["IsFullRefresh"], body["StockLevels"][0]["StockLevel"], body["StockLevels"][0]["Status"]) == (
        True,
        4,
        1,
    )


async def test_an_unknown_type(scene: Scene) -> None:
    await scene.ros.notify(scene.ros.unknown(Surprise={"Deep": 1}))
    body = scene.body()
    assert (body["Type"], body["Body"]["Surprise"]) == (4, {"Deep": 1})
    assert is_signed(scene.last)


@pytest.mark.parametrize(
    ("style", "kind", "keys"),
    [
        (Style(types=NAMES), "ProcessedOrders", ("Type", "Body", "ProcessedOrders", "RemoteOrderID")),
        (Style(casing=Casing.CAMEL), 0, ("type", "body", "processedOrders", "remoteOrderID")),
        (Style(casing=Casing.AS_PRINTED), 0, ("Type", "Body", "ProcessedOrders", "remoteOrderID")),
        (
            Style(type_name="NotificationType", body_name="Inner"),
            0,
            ("NotificationType", "Inner", "ProcessedOrders", "RemoteOrderID"),
        ),
        (Style(body_name=""), 0, ("Type", "", "ProcessedOrders", "RemoteOrderID")),
    ],
)
async def test_styles(style: Style, kind: int | str, keys: tuple[str, str, str, str]) -> None:
    type_name, body_name, orders, order_id = keys
    async with staged(RosSimulator(style=style, pace=FAST)) as scene:
        await scene.ros.notify(await confirmation(scene))
        whole = scene.body()
        assert whole[type_name] == kind
        body = whole[body_name] if body_name else whole
        assert body[orders][0][order_id] in scene.ros.orders


async def test_a_signature_in_upper_case() -> None:
    async with staged(RosSimulator(style=Style(upper=True))) as scene:
        await scene.ros.notify(await confirmation(scene))
        sign = scene.last.headers["x-ros-signature"]
        assert sign == hmac.new(SECRET, scene.last.body, hashlib.sha256).hexdigest().upper()


async def test_a_retry_is_the_same_but_for_its_number(scene: Scene) -> None:
    scene.door.faults.plan("status", status=500)
    scene.door.faults.plan("status", status=204)
    scene.door.faults.plan("cut_before")
    assert await scene.ros.notify(await confirmation(scene)) == [500, 204, UNANSWERED, 200]
    tries = [(heard.headers["x-ros-notificationid"], heard.body) for heard in scene.door.heard]
    assert len(set(tries)) == 1
    assert [heard.headers["x-ros-attemptnumber"] for heard in scene.door.heard] == ["0", "1", "2", "3"]
    assert all(is_signed(heard) for heard in scene.door.heard)
    assert scene.ros.webhooks.sent[-1].arrived


async def test_after_ten_retries_it_is_dropped(scene: Scene) -> None:
    scene.door.faults.plan("status", status=503, count=100)
    assert await scene.ros.notify(await confirmation(scene)) == [503] * 11
    assert not scene.ros.webhooks.sent[-1].arrived
    assert await scene.ros.notify(scene.ros.live_stock()) == [503] * 3


def test_waits_grow() -> None:
    assert [Pace(first=1.0, factor=2.0).wait(tries) for tries in range(1, 6)] == [1.0, 2.0, 4.0, 8.0, 16.0]


async def test_a_door_that_is_shut(scene: Scene) -> None:
    scene.ros.webhooks.url = "http://127.0.0.1:1/hook"
    scene.ros.webhooks.pace = evolve(FAST, retries=2)
    assert await scene.ros.notify(await confirmation(scene)) == [UNANSWERED] * 3


async def test_a_door_that_never_answers(scene: Scene) -> None:
    scene.ros.webhooks.pace = evolve(FAST, timeout=0.5)
    scene.door.faults.plan("silent")
    statuses = await scene.ros.notify(await confirmation(scene))
    assert (statuses[0], statuses[-1]) == (UNANSWERED, 200)


async def test_without_a_url_nothing_can_be_sent(scene: Scene) -> None:
    scene.ros.webhooks.url = None
    with pytest.raises(RuntimeError, match="no webhook URL"):
        await scene.ros.notify(scene.ros.unknown())


async def test_bad_ones(scene: Scene) -> None:
    notice, hooks = await confirmation(scene), scene.ros.webhooks
    assert await hooks.forged(notice) == 200
    assert not is_signed(scene.last)
    assert len(scene.last.headers["x-ros-signature"]) == 64
    await hooks.unsigned(notice)
    assert "x-ros-signature" not in scene.last.headers
    await hooks.tampered(notice)
    assert not is_signed(scene.last)
    assert json.loads(scene.last.body) == json.loads(scene.door.heard[0].body)
    await hooks.oversize(notice, 100_000)
    assert (len(scene.last.body), is_signed(scene.last)) == (100_000, True)
    await hooks.junk(scene.ros.organisation, b"\x00")
    assert (scene.last.body, is_signed(scene.last)) == (b"\x00", True)
    assert hooks.sent == []


async def test_a_replay_is_the_same_in_everything(scene: Scene) -> None:
    await scene.ros.notify(await confirmation(scene))
    await scene.ros.webhooks.replayed()
    first, second = scene.door.heard
    assert first == second


async def test_a_flood(scene: Scene) -> None:
    notice = await confirmation(scene)
    scene.door.faults.plan("status", status=429, count=10)
    assert await scene.ros.webhooks.flood(notice, rate=500, seconds=0.1) == Counter({200: 40, 429: 10})
    assert len({heard.headers["x-ros-notificationid"] for heard in scene.door.heard}) == 50
    assert await scene.ros.webhooks.flood(notice, rate=500, seconds=0.02, forged=True) == Counter({200: 10})
    assert not is_signed(scene.last)


async def test_each_order_is_confirmed_by_itself_if_that_is_wanted() -> None:
    async with staged(RosSimulator(auto_process=0.01)) as scene:
        made = [await scene.caller.add() for _ in range(3)]
        await until(lambda: len(scene.ros.webhooks.sent) == 3)
    told = [json.loads(heard.body)["Body"]["ProcessedOrders"][0] for heard in scene.door.heard]
    assert {entry["RemoteOrderID"] for entry in told} == set(made)
    assert all(entry["IsConfirmed"] for entry in told)


async def test_an_order_cancelled_in_time_is_not_confirmed(scene: Scene) -> None:
    cancelled, kept = await scene.caller.add(), await scene.caller.add()
    assert (await scene.caller.post("cancel", cancellation(cancelled))).status_code == 200
    for made in (cancelled, kept):
        await scene.ros._process(scene.ros.orders[made], 0)
    (told,) = scene.door.heard
    assert json.loads(told.body)["Body"]["ProcessedOrders"][0]["RemoteOrderID"] == kept


async def test_orders_that_never_came_can_be_told_of(scene: Scene) -> None:
    await scene.ros.notify(scene.ros.processed(Verdict(scene.ros.foreign("X-1", provider_id=1))))
    (entry,) = scene.body()["Body"]["ProcessedOrders"]
    assert (entry["ProviderID"], entry["ProviderOrderID"], scene.ros.orders) == (1, "X-1", {})
