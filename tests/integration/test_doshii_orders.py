"""Doshii: versions, lookups instead of second tries, tokens, and what was told while nobody listened."""

import asyncio
import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator.doshii import Heartbeat
from ordernpay.simulator.web import Planned, WebFault, WebFaults
from tests.support import rest
from tests.support.rest import Bench, Told, fresh, order
from tests.support.wait import until

ORDERS = "/partner/v3/orders"


async def accepted(venue: Bench, **changes: Any) -> Told:
    """An order that was made and accepted, after all its events."""
    made = await venue.ask("order.create", order=order("doshii", **changes))
    await until(lambda: venue.simulator.book.orders[made.order_id].status == "accepted")
    await venue.simulator.settled()
    venue.simulator.server.heard.clear()
    return made


@pytest.mark.parametrize(("conflicts", "ok"), [(0, True), (1, True), (2, False)])
async def test_a_stale_version_is_read_again_and_tried_once_more(conflicts: int, *, ok: bool, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        made = await accepted(venue)
        venue.simulator.book.conflicts = conflicts
        told = await venue.ask("order.cancel", order_id=made.order_id, reason="x")
        server = venue.simulator.server
        tries = min(conflicts + 1, 2)
        assert (server.count(ORDERS, "GET"), server.count(ORDERS, "PUT")) == (tries, tries)
        if ok:
            assert told.result["order"]["status"] == "cancelled"
        else:
            assert (told.code, told.state, told.data["vendor_code"]) == (1005, "rejected", 409)


async def test_an_append_with_a_version_reads_it_and_tries_once_more(artifacts: Path) -> None:
    async with (
        rest.serve_doshii(items_form="versioned") as doshii,
        rest.bench(artifacts, "doshii", doshii, items_body="versioned") as venue,
    ):
        made = await accepted(venue)
        doshii.book.conflicts = 1
        told = await venue.ask("order.update", order_id=made.order_id, lines=[rest.line("doshii")])
        assert told.ok, told.body
        assert doshii.server.count("/items") == 2
        assert sum(act.kind == "add_items" for act in doshii.acts) == 1


@pytest.mark.parametrize("status", ["cancelled", "venue_cancelled"])
async def test_a_cancel_of_what_is_cancelled_is_done_already(status: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        made = await accepted(venue)
        venue.simulator.book.orders[made.order_id].changed(status)
        told = await venue.ask("order.cancel", order_id=made.order_id, reason="x")
        assert (told.state, told.result["order"]["status"]) == ("succeeded", "cancelled")
        assert (await venue.row(told))["settled_at"] is not None
        assert venue.simulator.server.count(ORDERS, "PUT") == 0


class AfterTheChange(WebFaults):
    """From the first change on, which is cut, every request is answered with a status."""

    def __init__(self, cut: str, status: int) -> None:
        super().__init__()
        self.plan(cut, path=ORDERS, method="PUT")
        self.status = status

    def take(self, method: str, path: str) -> Planned | None:
        planned = super().take(method, path)
        if planned is not None and planned.fault is not WebFault.STATUS:
            self.plan(WebFault.STATUS, path=ORDERS, status=self.status, count=100)
        return planned


@pytest.mark.parametrize("cut", ["cut_after", "cut_during", "garbage"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 429, 500, 503])
async def test_a_cancel_that_acted_is_never_said_to_have_failed(cut: str, status: int, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        made = await accepted(venue)
        venue.simulator.server.faults = AfterTheChange(cut, status)
        told = await venue.ask("order.cancel", order_id=made.order_id, reason="x", timeout=0.6)
        assert sum(act.kind == "cancel_order" for act in venue.simulator.acts) == 1
        assert (told.code, told.state) == (1006, "unknown"), told.body


async def test_a_create_that_was_not_answered_is_looked_up_and_found(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        venue.simulator.faults.plan(WebFault.CUT_AFTER, path=ORDERS, method="POST")
        told = await venue.ask("order.create", order=order("doshii", "FOUND-1"))
        assert told.order_id == venue.simulator.order("FOUND-1").order_id
        assert venue.simulator.server.count(ORDERS, "POST") == 1
        # The session's own probe reads the same path, whenever its turn comes.
        assert [heard.path for heard in venue.simulator.server.heard if "externalOrderRef=FOUND-1" in heard.query] == [
            ORDERS
        ]


async def test_a_create_that_is_not_found_is_unknown_and_never_sent_again(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        venue.simulator.faults.plan(WebFault.CUT_BEFORE, path=ORDERS, method="POST")
        call = {"order": order("doshii"), "idempotency_key": fresh("key"), "timeout": 0.8}
        told = await venue.ask("order.create", **call)
        assert (told.code, told.state) == (1006, "unknown")
        again = await venue.ask("order.create", **call)
        assert (again.code, again.command_id) == (1006, told.command_id)
        assert venue.simulator.server.count(ORDERS, "POST") == 1
        knowingly = await rest.ask(venue.socket, "command.retry", command_id=told.command_id)
        assert knowingly.ok, knowingly.body
        assert venue.simulator.created() == 1


async def test_a_create_that_is_found_later_is_settled_by_an_event(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii", reconcile_seconds=0.2) as venue:
        venue.simulator.faults.plan(WebFault.SILENT, path=ORDERS, method="POST")
        told = await venue.ask("order.create", order=order("doshii", "LATER-1"), timeout=0.5)
        assert told.state == "unknown"
        [event] = await until(lambda: venue.events("command.settled"), 5)
        while event["data"]["state"] == "unknown":
            *_, event = await venue.events("command.settled")
            await asyncio.sleep(0.02)
        assert (event["data"]["command_id"], event["data"]["state"]) == (told.command_id, "succeeded")
        row = await venue.row(told)
        assert row["result"]["order"]["id"] == venue.simulator.order("LATER-1").order_id
        assert venue.simulator.created() == 1


async def test_a_daemon_that_starts_again_settles_what_it_left_unknown(artifacts: Path) -> None:
    async with rest.serve_doshii() as doshii:
        async with rest.bench(artifacts, "doshii", doshii, reconcile_seconds=600.0) as venue:
            doshii.faults.plan(WebFault.SILENT, path=ORDERS, method="POST")
            told = await venue.ask("order.create", order=order("doshii", "NEXT-LIFE"), timeout=0.5)
            assert told.state == "unknown"
        async with rest.bench(artifacts, "doshii", doshii, reconcile_seconds=600.0) as venue:
            row = await until(lambda: _known(venue, told), 5)
            assert (row["state"], row["result"]["order"]["id"]) == ("succeeded", doshii.order("NEXT-LIFE").order_id)


async def _known(venue: Bench, told: Told) -> Any:
    row = await venue.row(told)
    return row if row["state"] != "unknown" else None


async def test_what_another_command_made_is_not_taken_for_ones_own(artifacts: Path) -> None:
    """Two orders with one reference, two payments with one reference: the first ones prove nothing for the second."""
    async with rest.bench(artifacts, "doshii", reconcile_seconds=0.2) as venue:
        doshii = venue.simulator
        first = await accepted(venue, reference="TWICE", lines=[rest.line("doshii", quantity=5)])
        pay = {"order_id": first.order_id, "payment": {"method": "visa", "amount": "5.00", "reference": "card"}}
        assert (await venue.ask("payment.create", **pay)).ok
        doshii.faults.plan(WebFault.CUT_BEFORE, path="/transactions", method="POST")
        second = await venue.ask("payment.create", **pay, timeout=0.6)
        assert second.state == "unknown", second.body

        doshii.faults.plan(WebFault.CUT_BEFORE, path=ORDERS, method="POST")
        second = await venue.ask("order.create", order=order("doshii", "TWICE"), timeout=0.6)
        assert second.state == "unknown", second.body
        before = doshii.server.count(ORDERS, "GET")
        await until(lambda: doshii.server.count(ORDERS, "GET") >= before + 3)  # looked for, now and then
        await doshii.sockets.close()  # and caught up with, when the socket comes back
        await until(lambda: doshii.sockets.accepted == 2)
        await until(lambda: doshii.server.count(ORDERS, "GET") >= before + 6)
        assert (await venue.row(second))["state"] == "unknown"
        assert doshii.created() == 1


async def test_an_order_that_was_there_before_is_not_taken_for_ones_own(artifacts: Path) -> None:
    """A reference that comes again: neither a lookup nor catching up takes last week's order for today's."""
    async with rest.serve_doshii() as doshii:
        (artifacts / "before").mkdir()
        async with rest.bench(artifacts / "before", "doshii", doshii) as before:
            old = await accepted(before, reference="DAILY-1")
        doshii.book.orders[old.order_id].created -= 7 * 86_400
        async with rest.bench(artifacts, "doshii", doshii, reconcile_seconds=0.2) as venue:  # a journal of its own
            doshii.faults.plan(WebFault.CUT_BEFORE, path=ORDERS, method="POST")
            told = await venue.ask("order.create", order=order("doshii", "DAILY-1"), timeout=0.6)
            assert told.state == "unknown", told.body
            before_that = doshii.server.count(ORDERS, "GET")
            await doshii.sockets.close()
            await until(lambda: doshii.server.count(ORDERS, "GET") >= before_that + 4)
            assert (await venue.row(told))["state"] == "unknown"


async def test_an_answer_that_is_none_is_looked_up(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        for body in (WebFault.GARBAGE, WebFault.CUT_DURING):
            venue.simulator.faults.plan(body, path=ORDERS, method="POST")
            reference = fresh("GARBAGE")
            told = await venue.ask("order.create", order=order("doshii", reference))
            assert told.order_id == venue.simulator.order(reference).order_id
        assert venue.simulator.created() == 2


async def test_each_request_carries_a_token_of_its_own_time(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        tokens = []
        began = int(time.time())
        for _ in range(2):
            await venue.ask("menu.get")
            tokens.append(venue.simulator.server.heard[-1].headers["authorization"].removeprefix("Bearer "))
            await until(lambda: int(time.time()) > began)
        claims = [json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "==")) for token in tokens]
        assert all(set(claim) == {"clientId", "timestamp"} for claim in claims)
        assert claims[0]["timestamp"] < claims[1]["timestamp"]
        assert venue.simulator.server.heard[-1].headers["doshii-location-id"] == venue.simulator.location_id
        assert venue.simulator.refusals == []


async def test_the_first_ping_is_sent_at_once_in_milliseconds(artifacts: Path) -> None:
    async with (
        rest.serve_doshii(heartbeat=Heartbeat(first=0.5, every=1.0, grace=0.6)) as doshii,
        rest.bench(artifacts, "doshii", doshii, ping_interval=1.0) as venue,
    ):
        await until(lambda: len(doshii.sockets.pings) >= 3)
        assert doshii.sockets.faults == []
        assert doshii.sockets.accepted == 1
        assert all(abs(ping / 1000 - time.time()) < 60 for ping in doshii.sockets.pings)
        number = await doshii.sockets.ping()
        await until(lambda: number in doshii.sockets.pongs)
        assert venue.daemon.gateway.sessions["venue"].status().state == "up"


async def test_a_silent_socket_is_found_and_replaced(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii", ping_interval=0.3, ping_timeout=0.4) as venue:
        doshii = venue.simulator
        doshii.sockets.silence()
        await until(lambda: doshii.sockets.accepted == 2)
        await rest.up(venue.daemon)
        downs = [event for event in await rest.events(venue.socket) if event["kind"] == "session.down"]
        assert "silent" in downs[0]["data"]["reason"]


async def test_what_was_told_while_the_socket_was_down_is_caught_up_with(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        doshii = venue.simulator
        made = await accepted(venue)
        refused = await accepted(venue)
        doshii.sockets.refuses = True
        doshii.sockets.drop()
        await until(lambda: doshii.sockets.turned_away)
        doshii.events.lost = True
        await doshii.pos.reject(refused.order_id, "O3", "Kitchen closed")
        doshii.book.orders[made.order_id].changed("venue_cancelled")
        doshii.events.lost = False
        doshii.sockets.refuses = False

        async def told() -> list[tuple[str, str]]:
            events = await venue.events("order.updated")
            found = [(one["data"]["order_id"], one["data"]["status"]) for one in events]
            return found if (refused.order_id, "rejected") in found else []

        found = await until(told)
        assert found.count((refused.order_id, "rejected")) == 1
        await until(lambda: _is_told(venue, made, "cancelled"), 3)


async def test_what_was_told_while_the_daemon_was_not_there_is_caught_up_with_once(artifacts: Path) -> None:
    async with rest.serve_doshii() as doshii:
        (artifacts / "another").mkdir()
        async with rest.bench(artifacts / "another", "doshii", doshii) as another:
            of_another = await accepted(another)
        async with rest.bench(artifacts, "doshii", doshii) as venue:
            made, stays = await accepted(venue), await accepted(venue)
        for order_id in (made.order_id, of_another.order_id):
            doshii.book.orders[order_id].changed("complete")
        for _ in range(2):
            async with rest.bench(artifacts, "doshii", doshii) as venue:
                await until(lambda: _is_told(venue, made, "closed"), 5)
                told = [one["data"] for one in await venue.events("order.updated")]
        states = {
            order_id: [one["status"] for one in told if one["order_id"] == order_id] for order_id in doshii.book.orders
        }
        assert states[made.order_id].count("closed") == 1
        assert states[made.order_id].count("accepted") == states[stays.order_id].count("accepted") == 1
        assert states[of_another.order_id] == []


async def test_all_pages_of_open_orders_are_caught_up_with(artifacts: Path) -> None:
    async with rest.serve_doshii() as doshii:
        async with rest.bench(artifacts, "doshii", doshii) as venue:
            oldest = await accepted(venue)
            doshii.events.lost = True
            for number in range(205):
                await venue.ask("order.create", order=order("doshii", f"LATER-{number}"))
            for one in doshii.book.orders.values():
                one.changed("accepted")
            doshii.events.lost = False
        async with rest.bench(artifacts, "doshii", doshii) as venue:
            newest, second = doshii.order("LATER-204"), doshii.order("LATER-10")
            for made in (newest, second):
                await until(lambda made=made: _is_told(venue, made, "accepted"), 10)  # type: ignore[misc]
            told = [(one["data"]["order_id"], one["data"]["status"]) for one in await venue.events("order.updated")]
            assert told.count((oldest.order_id, "accepted")) == 1


async def _is_told(venue: Bench, made: Any, status: str) -> bool:
    events = await venue.events("order.updated")
    return (made.order_id, status) in [(one["data"]["order_id"], one["data"]["status"]) for one in events]


@pytest.mark.parametrize(
    ("status", "code", "state", "asked"),
    [
        *((400, 1001, "rejected", 1), (401, 1004, "rejected", 1), (403, 1004, "rejected", 1)),
        *((404, 1002, "rejected", 1), (409, 1005, "rejected", 1), (402, 1001, "rejected", 1)),
        *((500, 1006, "unknown", 1), (502, 1006, "unknown", 1), (504, 1006, "unknown", 1)),
        *((408, 1006, "unknown", 1), (520, 1006, "unknown", 1), (524, 1006, "unknown", 1)),  # of what stands before it
        (501, 1006, "unknown", 1),
    ],
)
async def test_each_status_of_a_new_order_has_its_end(
    status: int, code: int, state: str, asked: int, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        body = json.dumps({"statusCode": status, "name": "x", "message": "no"}).encode()
        venue.simulator.faults.plan(WebFault.STATUS, path=ORDERS, method="POST", status=status, body=body)
        told = await venue.ask("order.create", order=order("doshii"), timeout=0.8)
        assert (told.code, told.state) == (code, state)
        assert venue.simulator.server.count(ORDERS, "POST") == asked
        assert set(told.data) >= {"kind", "command_id", "state", "retryable", "details", "vendor_code"}
        if state == "rejected":
            assert (told.data["vendor_code"], told.data["vendor_message"]) == (status, "no")


@pytest.mark.parametrize(("orders", "state"), [(200, "up"), (404, "up"), (401, "refused")])
async def test_a_location_without_health_is_known_by_its_orders(orders: int, state: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii", probe_seconds=0.2) as venue:
        venue.simulator.faults.plan(WebFault.STATUS, path="/health/", method="GET", status=404, count=1000)
        if orders != 200:
            venue.simulator.faults.plan(WebFault.STATUS, path=ORDERS, method="GET", status=orders, count=1000)
        await until(lambda: venue.simulator.server.count("/health/") >= 3)
        assert venue.daemon.gateway.sessions["venue"].status().state == state
        told = [event["data"]["state"] for event in await rest.events(venue.socket) if "state" in event["data"]]
        assert [one for one in told if one != "succeeded"] == ["up", *([state] if state != "up" else [])]


@pytest.mark.parametrize("status", [429, 503])
async def test_not_ready_is_waited_for(status: int, artifacts: Path) -> None:
    async with rest.bench(
        artifacts, "doshii", unavailable_seconds=0.8
    ) as venue:  # its last try is over long before the timeout
        venue.simulator.faults.plan(WebFault.STATUS, path=ORDERS, method="POST", status=status, count=2)
        assert (await venue.ask("order.create", order=order("doshii"))).ok
        assert venue.simulator.created() == 1
        venue.simulator.faults.plan(WebFault.STATUS, path=ORDERS, method="POST", status=status, count=50)
        told = await venue.ask("order.create", order=order("doshii"), timeout=1.5)
        assert (told.code, told.state, told.data["retryable"]) == (1008, "failed", True)


async def test_what_the_pages_forbid_is_refused_before_anything_is_sent(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        pay = {"method": "payment.create", "order_id": "1"}
        given: dict[str, dict[str, Any]] = {
            "order.type": {"order": order("doshii", type=None)},
            "order.lines": {"order": order("doshii", lines=[])},
            "order.service_charge": {"order": order("doshii", service_charge="1.00")},
            "order.lines[0].unit_price": {"order": order("doshii", lines=[{"product": "x", "name": "x"}])},
            "order.lines[0].name": {"order": order("doshii", lines=[{"product": "x", "unit_price": "1.00"}])},
            "order.lines[0].total": {"order": order("doshii", lines=[rest.line("doshii", total="1.00")])},
            "order.lines[0].children[0]": {"order": order("doshii", lines=[rest.line("doshii", children=[{}])])},
            "payment.method": pay | {"payment": {"method": "shells", "amount": "1.00"}},
            "payment.amount": pay | {"payment": {"method": "visa", "amount": "0.00"}},
            "payment.surcharge": pay | {"payment": {"method": "visa", "amount": "1.00", "surcharge": "0.10"}},
            "notes": {"method": "order.update", "order_id": "1", "notes": ["n"], "lines": [rest.line("doshii")]},
            "quote_id": {"quote_id": "f77011a6-f4f9-4fe7-ba75-5319c3e59916"},
        }
        for path, params in given.items():
            told = await venue.ask(params.pop("method", "order.create"), **params)
            assert told.code == -32602, (path, told.body)
            assert path in [fault["path"] for fault in told.data["details"]], told.data["details"]
        assert venue.simulator.server.count("/orders") == 0
