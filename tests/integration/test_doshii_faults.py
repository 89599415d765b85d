"""Whatever stands between Doshii and us, or Doshii itself, says: nothing is done twice, and nothing is said that is not so."""

from pathlib import Path
from typing import Any, Final

import pytest

from ordernpay.simulator.web import DOES_NOT_ACT, WebFault
from tests.support import rest
from tests.support.rest import Bench, fresh, order
from tests.support.wait import until

KINDS: Final = {
    "order.create": ("create_order", "/orders", "POST"),
    "payment.create": ("create_transaction", "/transactions", "POST"),
    "order.update": ("add_items", "/items", "POST"),
    "order.cancel": ("cancel_order", "/orders/", "PUT"),
}
NOT_NOW: Final = b'{"statusCode": 503, "name": "x", "message": "not now"}'
FAULTS: Final[dict[str, tuple[WebFault, dict[str, Any]]]] = {
    "its own 503": (WebFault.STATUS, {"status": 503, "body": NOT_NOW}),
    "its own 503, and done": (WebFault.BROKEN, {"status": 503, "body": NOT_NOW}),
    "its own 500, and done": (WebFault.BROKEN, {"status": 500, "body": NOT_NOW}),
    "a portal": (WebFault.PORTAL, {}),
    "nothing, and done": (WebFault.EMPTY, {}),
    "no JSON, and done": (WebFault.GARBAGE, {}),
    "a 408": (WebFault.GATEWAY_BEFORE, {"status": 408}),
    **{f"a gateway's {status}": (WebFault.GATEWAY_BEFORE, {"status": status}) for status in (502, 503, 504)},
    **{
        f"a gateway's {status}, and done": (WebFault.GATEWAY_AFTER, {"status": status})
        for status in (502, 503, 504, 524)
    },
}


async def made(venue: Bench) -> str:
    told = await venue.ask("order.create", order=order("doshii"))
    await until(lambda: venue.simulator.book.orders[told.order_id].status == "accepted")
    await venue.simulator.settled()
    return told.order_id


def done(venue: Bench, kind: str) -> int:
    return sum(act.kind == kind for act in venue.simulator.acts)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_no_change_is_made_twice_or_told_wrongly(fault: Any, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii", socket=False, unavailable_seconds=0.2, lookup_seconds=0.1) as venue:
        pay = {"method": "visa", "amount": "1.00"}
        calls: dict[str, dict[str, Any]] = {
            "order.create": {"order": order("doshii")},
            "payment.create": {"order_id": await made(venue), "payment": pay},
            "order.update": {"order_id": await made(venue), "lines": [rest.line("doshii")]},
            "order.cancel": {"order_id": await made(venue), "reason": "x"},
        }
        for method, call in calls.items():
            kind, path, verb = KINDS[method]
            before = done(venue, kind)
            venue.simulator.faults.plan(fault[0], path=path, method=verb, **fault[1])
            key = fresh("key")
            told = await venue.ask(method, timeout=1.5, idempotency_key=key, **call)
            acts = done(venue, kind) - before
            assert acts <= 1, (method, told.body)
            if told.state in {"failed", "rejected"}:
                assert acts == 0, (method, told.body)
            if told.ok:
                assert acts == 1, (method, told.body)
            if fault[0] not in DOES_NOT_ACT and method != "order.update":  # what acted is found
                assert told.ok, (method, told.body)
            if fault[0] is WebFault.STATUS and method != "order.update":  # its own word that it could not act now
                assert told.ok, (method, told.body)
            again = await venue.ask(method, timeout=0.5, idempotency_key=key, **call)
            assert done(venue, kind) - before <= 1, (method, again.body)
            venue.simulator.faults.clear()


async def test_a_lookup_that_is_answered_by_something_else_proves_nothing(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii", socket=False, unavailable_seconds=0.1, lookup_seconds=0.1) as venue:
        venue.simulator.faults.plan(WebFault.BROKEN, path="/orders", method="POST", status=503, body=NOT_NOW)
        venue.simulator.faults.plan(WebFault.PORTAL, path="/orders", method="GET", count=1_000)
        told = await venue.ask("order.create", order=order("doshii", "PORTAL-1"), timeout=1)
        assert (told.state, venue.simulator.created()) == ("unknown", 1)
        venue.simulator.faults.clear()
        again = await venue.ask("order.create", order=order("doshii", "PORTAL-2"), timeout=1)
        assert (again.ok, venue.simulator.created()) == (True, 2)


async def test_what_was_unknown_in_an_earlier_life_is_found_after_the_start(artifacts: Path) -> None:
    async with rest.serve_doshii() as doshii:
        async with rest.bench(artifacts, "doshii", doshii, socket=False, lookup_seconds=0.1) as venue:
            order_id = await made(venue)
            doshii.faults.plan(WebFault.CUT_AFTER, path="/orders", method="POST", count=2)
            doshii.faults.plan(WebFault.GATEWAY_BEFORE, path="/orders", method="GET", status=502, count=1_000)
            pay = {"order_id": order_id, "payment": {"method": "visa", "amount": "1.00"}}
            ordered = await venue.ask("order.create", order=order("doshii", "EARLIER-1"), timeout=0.5)
            paid = await venue.ask("payment.create", timeout=0.5, **pay)
            assert (ordered.state, paid.state) == ("unknown", "unknown")
        doshii.faults.clear()
        async with rest.bench(artifacts, "doshii", doshii, socket=False) as venue:
            for told in (ordered, paid):
                await until(lambda told=told: _is_settled(venue, told), 10)  # type: ignore[misc]
            assert (doshii.created("EARLIER-1"), done(venue, "create_transaction")) == (1, 1)


async def _is_settled(venue: Bench, told: Any) -> bool:
    return bool((await venue.row(told))["state"] == "succeeded")


@pytest.mark.parametrize("page_most", [100, 7, 1])
async def test_all_orders_are_listed_whatever_stands_on_a_page(page_most: int, artifacts: Path) -> None:
    async with rest.serve_doshii() as doshii, rest.bench(artifacts, "doshii", doshii, socket=False) as venue:
        for _ in range(15):
            await venue.ask("order.create", order=order("doshii"))
        doshii.book.page_most = page_most
        told = await venue.ask("order.list", timeout=20)
        assert told.ok, told.body
        assert len(told.result["orders"]) == 15
        assert "more" not in told.result
        assert venue.simulator.server.count("/orders", "GET") >= 15 // page_most
