"""ROS' bearer token: kept until shortly before its end, asked for once by all who wait, and good where it says."""

import asyncio
import socket
from pathlib import Path
from typing import Any

from ordernpay.simulator.ros import RosSimulator
from ordernpay.simulator.web import WebFault
from tests.support import rest
from tests.support.daemons import daemon_inside
from tests.support.rest import UNKNOWN_GUID
from tests.support.wait import until

TOKEN = "/authorisation/token"


async def test_one_token_serves_all_and_all_who_wait_ask_once(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        ros.authority.revoke()
        issued = ros.authority.issued
        ros.faults.plan(WebFault.LATE, path=TOKEN, seconds=0.3)
        told = await asyncio.gather(*(venue.ask("order.create", order=rest.order("ros")) for _ in range(12)))
        assert {one.state for one in told} == {"succeeded"}
        assert ros.authority.issued - issued == 1
        assert len(ros.orders) == 12


async def test_a_token_is_kept_until_shortly_before_it_ends(artifacts: Path) -> None:
    now = 0.0
    ros = rest.ros()
    ros.authority._clock = lambda: now  # its tokens end by this clock, which stands still
    ros.authority.lifetime = 2
    async with (
        rest.serve_ros(ros),
        rest.bench(artifacts, "ros", ros, token_margin=1.5, probe_seconds=600.0) as venue,
    ):
        loop = asyncio.get_running_loop()
        await venue.ask("menu.get")
        began, before = loop.time(), ros.authority.issued

        async def asked_anew() -> bool:
            assert (await venue.ask("menu.get")).ok
            return ros.authority.issued > before

        await until(asked_anew, 4)
        assert 0.2 < loop.time() - began < 1.9, "neither with each request, nor only when ROS refused it"
        assert not ros.refusals
        assert now == 0.0


async def test_ros_is_where_each_token_says_whatever_the_slash(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        for place, slash in (("ros2", "/"), ("ros3", ""), ("ros4", "//")):
            ros.authority.move()
            ros.authority.svc = f"{ros.server.base_url}/{place}{slash}"
            ros.authority.revoke()
            ros.server.heard.clear()
            assert (await venue.ask("order.create", order=rest.order("ros"))).ok
            assert ros.server.heard[-1].path == f"/{place}/remoteorders/add"


async def test_ros_that_has_moved_is_found_before_the_token_ends(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            ros.authority.svc = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
            ros.authority.revoke()
            told = await venue.ask("order.create", order=rest.order("ros"), timeout=0.5)
            assert told.state in {"failed", "rejected"}, told.body  # as far as it came in that time
            ros.authority.svc = None
            assert (await venue.ask("order.create", order=rest.order("ros"), timeout=20)).ok
        assert len(ros.orders) == 1


async def test_a_token_for_an_unsafe_place_is_not_used(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        for svc in ("http://ros.example.net/", "ftp://127.0.0.1/", "http://127.0.0.1/?a=", "not an address"):
            ros.authority.svc = svc
            ros.authority.revoke()
            ros.server.heard.clear()
            told = await venue.ask("order.cancel", order_id=UNKNOWN_GUID, reason="x", timeout=0.6)
            assert told.state in {"failed", "rejected"}, (svc, told.body)
            ros.authority.svc = None


async def test_refused_credentials_are_told_and_nothing_reaches_ros(artifacts: Path) -> None:
    ros = RosSimulator()  # with other secrets
    async with rest.serve_ros(ros):
        config = rest.config(artifacts, {"venue": rest.ros_session(ros)})
        async with daemon_inside(config) as daemon:
            await until(lambda: daemon.gateway.sessions["venue"].status().state == "refused")
            told = await rest.ask(config["rpc"]["socket"], "order.create", order=rest.order("ros"), timeout=2)
            assert (told.code, told.state, told.data["retryable"]) == (1004, "rejected", False)
            assert ros.server.count("remoteorders") == 0


async def test_the_id_that_add_returned_is_what_cancel_sends_with_all_that_the_page_wants(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        made = await venue.ask("order.create", order=rest.order("ros"))
        cancelled = await venue.ask(
            "order.cancel", order_id=made.order_id, reason="CUST_CANCEL", options={"payment_strategy": "FULL"}
        )
        assert rest.loads(venue.simulator.server.heard[-1].body) == {
            "remoteOrderID": made.order_id,
            "outletID": rest.OUTLET,
            "providerID": 4711,
            "providerName": "DemoEats",
            "cancelReason": "CUST_CANCEL",
            "paymentStrategy": "FULL",
        }
        [order] = venue.simulator.orders.values()
        assert cancelled.result["cancellation_id"] == order.cancellations[0]
        assert (await venue.row(made))["vendor_ids"]["remote_order_id"] == made.order_id == order.remote_order_id


async def test_what_the_page_forbids_is_refused_before_anything_is_sent(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        order = rest.order("ros")
        child = {"product": "c", "name": "c", "unit_price": "1.00", "children": [rest.line("ros")]}
        refused: dict[str, dict[str, Any]] = {
            "order_id": {"method": "order.cancel", "order_id": "not a guid", "reason": "x"},
            "reason": {"method": "order.cancel", "order_id": UNKNOWN_GUID, "reason": "x" * 33},
            "options.payment_strategy": {
                "method": "order.cancel",
                "order_id": UNKNOWN_GUID,
                "reason": "x",
                "options": {"payment_strategy": "x" * 33},
            },
            "order.lines[0].unit_price": {"order": order | {"lines": [{"product": "1", "name": "n"}]}},
            "order.lines[0].name": {"order": order | {"lines": [rest.line("ros", name="n" * 51)]}},
            "order.lines[0].children[0].children": {"order": order | {"lines": [rest.line("ros", children=[child])]}},
            "order.service_charge": {"order": order | {"service_charge": "1.00"}},
            "order.reference": {"order": order | {"reference": "r" * 65}},
            "quote_id": {"quote_id": UNKNOWN_GUID},
            "options.nothing": {"order": order, "options": {"nothing": 1}},
        }
        for path, given in refused.items():
            told = await venue.ask(given.pop("method", "order.create"), **given)
            assert told.code == -32602, (path, told.body)
            assert path in [fault["path"] for fault in told.data["details"]], told.data["details"]
        assert venue.simulator.server.heard == []
        assert (await rest.read(venue.socket, "command.list"))["commands"] == []
