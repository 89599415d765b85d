"""The status table of CancelRemoteOrder, and what it makes of each command: how it ends, and how often ROS was asked.

Source: docs.powerepos.cloud/Document/ROS/CancelRemoteOrder, which AddRemoteOrder repeats.
"""

from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator.web import WebFault
from tests.support import rest
from tests.support.wait import until

ADD, CANCEL = "remoteorders/add", "remoteorders/cancel"
STATUSES: dict[str, tuple[list[int], dict[str, Any]]] = {
    # what ROS answers before it does what is asked: how the command ends
    "200": ([], {"state": "succeeded", "asked": 1, "tokens": 0}),
    "400": ([400], {"code": 1001, "state": "rejected", "asked": 1, "tokens": 0, "retryable": False}),
    "401, then a new token": ([401], {"state": "succeeded", "asked": 2, "tokens": 1}),
    "401 twice": ([401] * 2, {"code": 1004, "state": "rejected", "asked": 2, "tokens": 1, "retryable": False}),
    "403": ([403], {"code": 1004, "state": "rejected", "asked": 1, "tokens": 0, "retryable": False}),
    "404": ([404], {"code": 1002, "state": "rejected", "asked": 1, "tokens": 0, "retryable": False}),
    "409": ([409], {"code": 1005, "state": "rejected", "asked": 1, "tokens": 0, "retryable": False}),
    "418": ([418], {"code": 1001, "state": "rejected", "asked": 1, "tokens": 0, "retryable": False}),
    "429": ([429], {"state": "succeeded", "asked": 2, "tokens": 0}),
    "503, then ready": ([503] * 2, {"state": "succeeded", "asked": 3, "tokens": 0}),
    "500 three times": ([500] * 3, {"state": "succeeded", "asked": 4, "tokens": 0}),
    "307": ([307], {"code": 1008, "state": "failed", "asked": 1, "tokens": 0, "retryable": True}),
    "500 four times": ([500] * 4, {"code": 1008, "state": "failed", "asked": 4, "tokens": 0, "retryable": True}),
}


@pytest.mark.parametrize("path", [ADD, CANCEL])
@pytest.mark.parametrize(("statuses", "expected"), STATUSES.values(), ids=STATUSES)
async def test_each_status_ends_a_command_as_the_page_says(
    path: str, statuses: list[int], expected: dict[str, Any], artifacts: Path
) -> None:
    async with rest.bench(artifacts, "ros", unavailable_seconds=0.1) as venue:
        ros = venue.simulator
        made = await venue.ask("order.create", order=rest.order("ros"))
        ros.server.heard.clear()
        tokens = ros.authority.issued
        for status in statuses:
            ros.faults.plan(WebFault.STATUS, path=path, status=status, body=b'{"message": "what the vendor says"}')

        if path == ADD:
            told = await venue.ask("order.create", order=rest.order("ros"))
            done = len(ros.orders) - 1
        else:
            told = await venue.ask("order.cancel", order_id=made.order_id, reason="CUST_CANCEL")
            done = len(ros.orders[made.order_id].cancellations)

        assert told.state == expected["state"]
        assert ros.server.count(path) == expected["asked"]
        assert ros.authority.issued - tokens == expected["tokens"]
        assert done == (expected["state"] == "succeeded")
        row = await venue.row(told)
        assert row["state"] == expected["state"]
        if not told.ok:
            assert told.code == expected["code"]
            data = told.data
            assert set(data) >= {
                *("kind", "command_id", "state", "retryable", "vendor_code", "vendor_message", "details")
            }
            assert data["retryable"] == expected["retryable"]
            assert data["vendor_code"] == statuses[-1]
            assert data["vendor_message"] == "what the vendor says"


PASSED_ON: dict[str, tuple[WebFault, int, bytes]] = {
    # what leaves open whether ROS has the order: the fault, the status, what is said with it
    **{str(status): (WebFault.GATEWAY_AFTER, status, b"") for status in (500, 502, 503, 504, 520, 522, 524)},
    **{f"{status} before": (WebFault.GATEWAY_BEFORE, status, b"") for status in (500, 502, 503, 504, 524)},
    **{
        f"{status} in JSON": (WebFault.BROKEN, status, b'{"message": "x"}') for status in (408, 425, 502, 504, 524, 501)
    },
    **{f"{status} in text": (WebFault.BROKEN, status, b"upstream connect error") for status in (500, 503)},
    **{f"{status} with nothing": (WebFault.BROKEN, status, b"") for status in (408, 425, 500, 503)},
    "302": (WebFault.BROKEN, 302, b""),
    "a portal": (WebFault.PORTAL, 200, b""),
    "an empty answer": (WebFault.EMPTY, 200, b""),
    **{
        f"200 with {body.decode()}": (WebFault.BROKEN, 200, body)
        for body in (b"{}", b"[]", b'"OK"', b"false", b"<html>", b'{"remoteOrderID": "OK"}')
    },
    "200 with a GUID that was never set": (
        WebFault.BROKEN,
        200,
        b'{"remoteOrderID": "{00000000000000000000000000000000}"}',
    ),
}


@pytest.mark.parametrize(("fault", "status", "body"), PASSED_ON.values(), ids=PASSED_ON)
async def test_an_add_that_may_have_been_passed_on_is_sent_once_and_unknown(
    fault: WebFault, status: int, body: bytes, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "ros", unavailable_seconds=0.1) as venue:
        ros = venue.simulator
        ros.faults.plan(fault, path=ADD, status=status, body=body)
        call = {"order": rest.order("ros"), "idempotency_key": rest.fresh("key"), "timeout": 3}
        told = await venue.ask("order.create", **call)
        assert (told.code, told.state) == (1006, "unknown"), told.body
        again = await venue.ask("order.create", **call)
        assert (again.code, again.command_id) == (1006, told.command_id)
        assert ros.server.count(ADD) == 1
        acted = fault not in {WebFault.GATEWAY_BEFORE, WebFault.PORTAL}
        assert len(ros.orders) == acted
        if acted:
            [made] = ros.orders
            assert await ros.notify(ros.processed(ros.confirmed(made))) == [200]
            row = await venue.row(told)
            assert (row["state"], row["vendor_ids"]["remote_order_id"]) == ("succeeded", made)


@pytest.mark.parametrize(("fault", "status", "body"), PASSED_ON.values(), ids=PASSED_ON)
async def test_a_cancel_that_may_have_been_passed_on_is_repeated(
    fault: WebFault, status: int, body: bytes, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "ros", unavailable_seconds=0.1) as venue:
        ros = venue.simulator
        made = await venue.ask("order.create", order=rest.order("ros"))
        ros.faults.plan(fault, path=CANCEL, status=status, body=body)
        told = await venue.ask("order.cancel", order_id=made.order_id, reason="x", timeout=10)
        assert told.state == ("unknown" if status == 302 else "succeeded"), told.body
        assert ros.server.count(CANCEL) == (1 if status == 302 else 2)


@pytest.mark.parametrize("path", [ADD, CANCEL])
@pytest.mark.parametrize("body", [b'{"success": false, "message": "outlet closed"}', b'{"d": {"IsSuccess": "No"}}'])
async def test_a_no_with_a_good_status_is_a_refusal(body: bytes, path: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        made = await venue.ask("order.create", order=rest.order("ros"))
        ros.server.heard.clear()
        ros.faults.plan(WebFault.STATUS, path=path, status=200, body=body)
        call: dict[str, Any] = {"order": rest.order("ros")}
        if path == CANCEL:
            call = {"order_id": made.order_id, "reason": "x"}
        told = await venue.ask("order.create" if path == ADD else "order.cancel", **call)
        assert (told.code, told.state) == (1001, "rejected")
        assert ros.server.count(path) == 1


async def test_a_menu_that_is_none_is_no_menu(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        for body in (b'{"status": "sign in first"}', b"{}", b"[]", b'"OK"', b""):
            venue.simulator.server.heard.clear()
            venue.simulator.faults.plan(WebFault.STATUS, path="menu", status=200, body=body)
            told = await venue.ask("menu.get", timeout=10)
            assert (told.code, told.state) == (1008, "failed")
            assert venue.simulator.server.count("menu") == 1, "it would be answered so again"


async def test_starting_up_is_waited_for_and_no_longer_than_the_timeout(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros", unavailable_seconds=0.7) as venue:
        venue.simulator.starting_up = True
        told = await venue.ask("order.create", order=rest.order("ros"), timeout=2)
        assert (told.code, told.data["vendor_code"]) == (1008, 503)
        assert 2 <= venue.simulator.server.count(ADD) <= 7
        assert not venue.simulator.orders


@pytest.mark.parametrize("fault", [WebFault.CUT_BEFORE, WebFault.CUT_AFTER, WebFault.CUT_DURING])
async def test_an_add_that_was_sent_and_not_answered_is_never_sent_again(fault: WebFault, artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        ros.faults.plan(fault, path=ADD)
        call = {"order": rest.order("ros"), "idempotency_key": rest.fresh("key")}
        told = await venue.ask("order.create", **call, timeout=1)
        assert (told.code, told.state) == (1006, "unknown")
        again = await venue.ask("order.create", **call, timeout=1)  # nor for a kiosk that asks again
        assert (again.code, again.command_id) == (1006, told.command_id)
        assert ros.server.count(ADD) == 1
        assert len(ros.orders) == (fault is not WebFault.CUT_BEFORE)

        retried = await rest.ask(venue.socket, "command.retry", command_id=told.command_id)  # but for who knows
        assert retried.state == "succeeded"
        assert ros.server.count(ADD) == 2


async def test_an_answer_that_is_none_leaves_an_add_unknown(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        venue.simulator.faults.plan(WebFault.GARBAGE, path=ADD)
        told = await venue.ask("order.create", order=rest.order("ros"), timeout=1)
        assert told.state == "unknown", told.body
        [order] = venue.simulator.orders.values()
        ros = venue.simulator
        assert await ros.notify(ros.processed(ros.confirmed(order.remote_order_id))) == [200]
        row = await venue.row(told)
        assert row["state"] == "succeeded"
        assert row["vendor_ids"]["remote_order_id"] == order.remote_order_id


async def test_a_late_refusal_settles_the_command_too(artifacts: Path) -> None:
    async with rest.bench(artifacts, "ros") as venue:
        ros = venue.simulator
        ros.faults.plan(WebFault.LATE, path=ADD, seconds=1.0)
        body = rest.order("ros", lines=[rest.line("ros")], payments=[{"method": "card", "amount": "99.00"}])
        told = await venue.ask("order.create", order=body, timeout=0.5)
        assert told.state == "unknown"

        async def settled() -> str | None:
            state: str = (await venue.row(told))["state"]
            return state if state != "unknown" else None

        assert await until(settled) == "rejected", ros.reasons
        assert not ros.orders
