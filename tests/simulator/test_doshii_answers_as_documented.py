"""What Doshii answers, what the POS behind it makes of it, and which events tell of that."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from ordernpay.simulator.doshii import DoshiiSimulator, Style, Verdict, serve
from tests.simulator.doshii_app import (
    EGGS,
    PAYMENT,
    Caller,
    Message,
    calling,
    done,
    item,
    prepaid,
)


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with serve() as simulator, calling(simulator) as caller:
        yield caller


def told(simulator: DoshiiSimulator) -> list[tuple[str, str | None]]:
    return [(event, data.get("status")) for event, data in simulator.events.told]


async def accepted(caller: Caller, **fields: Any) -> Message:
    made = await caller.create(**fields)
    await caller.simulator.settled()
    return await caller.read(made["id"])


async def test_an_order_is_pending_and_then_accepted(caller: Caller) -> None:
    made = await caller.create()
    assert made["status"] == "pending"
    assert made["externalOrderRef"] == "APP-000417"
    assert made["locationId"] == "2xYdsw233"
    assert "posRef" not in made
    assert made["uri"] == f"{caller.simulator.base_url}/orders/{made['id']}"
    await caller.simulator.settled()
    order = await caller.read(made["id"])
    assert order["status"] == "accepted"
    assert order["posRef"]
    assert order["version"] != made["version"]
    assert told(caller.simulator) == [("order_created", "pending"), ("order_updated", "accepted")]
    assert [(act.kind, act.order_id, act.external_order_ref, act.amount) for act in caller.simulator.acts] == [
        ("create_order", made["id"], "APP-000417", 3230)
    ]


async def test_a_second_post_with_the_same_reference_makes_a_second_order(caller: Caller) -> None:
    first, second = await caller.create(), await caller.create()
    assert first["id"] != second["id"]
    assert caller.simulator.created("APP-000417") == 2
    assert caller.simulator.created("other") == 0


async def test_money_comes_back_as_text_and_as_numbers(caller: Caller) -> None:
    line = (await caller.create())["items"][0]
    assert line["totalBeforeSurcounts"] == "3150"
    assert line["totalAfterSurcounts"] == "3230"
    assert line["options"][0]["variants"][0]["price"] == "150"
    assert line["surcounts"][0]["value"] == "80"
    assert line["quantity"] == 3
    assert line["uuid"]
    caller.simulator.style.text_money = False
    caller.simulator.style.text_quantity = True
    line = (await caller.create())["items"][0]
    assert (line["unitPrice"], line["quantity"], line["surcounts"][0]["amount"]) == (900, "3", 80)


async def test_the_types_of_paging() -> None:
    async with serve(style=Style(text_paging=True)) as simulator, calling(simulator) as caller:
        answer = done(await caller.ask("GET", "/orders", query={"limit": "10"}))
        assert answer == {"count": 0, "offset": "0", "limit": "10", "rows": []}


async def test_a_refused_order_says_why_and_cancels_its_payments(caller: Caller) -> None:
    caller.simulator.pos.orders = Verdict.REJECT
    made = done(await caller.ask("POST", "/orders", prepaid()))
    await caller.simulator.settled()
    refused = await caller.read(made["id"])
    assert (refused["status"], refused["rejectionCode"], refused["rejectionReason"]) == (
        "rejected",
        "O1",
        "Unknown item",
    )
    assert refused["transactions"][0]["status"] == "cancelled"
    meaning = done(await caller.ask("GET", "/rejection_codes/O1"))
    assert set(meaning) == {"code", "description", "entity"}
    assert (await caller.ask("GET", "/rejection-codes/O99")).status_code == 404


async def test_a_reason_that_is_not_set_is_absent(caller: Caller) -> None:
    caller.simulator.pos.orders = Verdict.REJECT
    caller.simulator.pos.rejection_code = caller.simulator.pos.rejection_reason = None
    refused = await accepted(caller)
    assert refused["status"] == "rejected"
    assert not {"rejectionCode", "rejectionReason"} & set(refused)


async def test_an_order_that_stays_pending_can_be_taken_later(caller: Caller) -> None:
    caller.simulator.pos.orders = Verdict.PENDING
    made = await accepted(caller)
    assert made["status"] == "pending"
    await caller.simulator.pos.accept(made["id"])
    assert (await caller.read(made["id"]))["status"] == "accepted"


async def test_what_is_not_on_the_menu_and_other_prices_are_refused_when_asked(caller: Caller) -> None:
    caller.simulator.pos.knows_only_menu = caller.simulator.pos.insists_on_prices = True
    assert (await accepted(caller))["status"] == "accepted"
    assert (await accepted(caller, items=[item(posId="soup")]))["status"] == "rejected"
    caller.simulator.pos.prices["dumpling_box"] = 950
    assert (await accepted(caller))["status"] == "rejected"


async def test_a_change_needs_the_newest_version(caller: Caller) -> None:
    made = await accepted(caller)
    caller.simulator.bump_version(made["id"])
    path, body = f"/orders/{made['id']}", {"version": made["version"], "status": "cancelled"}
    assert (await caller.ask("PUT", path, body)).status_code == 409
    newest = (await caller.read(made["id"]))["version"]
    cancelled = done(await caller.ask("PUT", path, {**body, "version": newest}))
    assert cancelled["status"] == "cancelled"
    assert cancelled["version"] not in {newest, made["version"]}
    assert (await caller.ask("PUT", path, {**body, "version": cancelled["version"]})).status_code == 400
    assert [act.kind for act in caller.simulator.acts] == ["create_order", "cancel_order"]


async def test_conflicts_can_be_planned(caller: Caller) -> None:
    made = await accepted(caller)
    caller.simulator.book.conflicts = 2
    statuses = []
    for _ in range(3):
        version = (await caller.read(made["id"]))["version"]
        body = {"version": version, "mealPhase": "main_served"}
        statuses.append((await caller.ask("PUT", f"/orders/{made['id']}", body)).status_code)
    assert statuses == [409, 409, 200]
    assert (await caller.read(made["id"]))["mealPhase"] == "main_served"


async def test_a_complete_order_is_not_cancelled(caller: Caller) -> None:
    made = done(await caller.ask("POST", "/orders", prepaid()))
    await caller.simulator.settled()
    paid = await caller.read(made["id"])
    assert paid["status"] == "complete"
    assert told(caller.simulator) == [
        ("order_created", "pending"),
        ("order_updated", "accepted"),
        ("transaction_updated", "complete"),
        ("order_updated", "complete"),
    ]
    body = {"version": paid["version"], "status": "cancelled"}
    assert (await caller.ask("PUT", f"/orders/{made['id']}", body)).status_code == 400


async def test_a_pending_order_that_was_cancelled_is_not_accepted(caller: Caller) -> None:
    caller.simulator.pos.delay = 0.2
    made = await caller.create()
    done(await caller.ask("PUT", f"/orders/{made['id']}", {"version": made["version"], "status": "cancelled"}))
    assert (await accepted(caller, externalOrderRef="later"))["status"] == "accepted"
    assert (await caller.read(made["id"]))["status"] == "cancelled"


@pytest.mark.parametrize("form", ["bare", "versioned"])
async def test_added_lines_wait_for_the_pos(form: str) -> None:
    async with serve(items_form="bare" if form == "bare" else "versioned") as simulator, calling(simulator) as caller:
        made = await accepted(caller)
        bodies: dict[str, Any] = {"bare": [EGGS], "versioned": {"version": made["version"], "items": [EGGS]}}
        right = bodies.pop(form)
        path = f"/orders/{made['id']}/items"
        for wrong in bodies.values():
            assert (await caller.ask("POST", path, wrong)).status_code == 400
        answer = done(await caller.ask("POST", path, right))
        assert [line["status"] for line in answer["unapprovedItems"]] == ["pending"]
        assert len(answer["items"]) == 1
        await simulator.settled()
        added = await caller.read(made["id"])
        assert (len(added["items"]), added["unapprovedItems"]) == (2, [])
        assert simulator.order("APP-000417").total == 4230


async def test_added_lines_may_be_refused_and_need_the_newest_version(caller: Caller) -> None:
    made = await accepted(caller)
    caller.simulator.pos.additions = Verdict.REJECT
    path = f"/orders/{made['id']}/items"
    wrong_sum = {**EGGS, "totalBeforeSurcounts": 999}
    assert (await caller.ask("POST", path, [wrong_sum])).status_code == 400
    assert (await caller.ask("POST", path, {"version": "old", "items": [EGGS]})).status_code == 409
    done(await caller.ask("POST", path, [EGGS]))
    await caller.simulator.settled()
    order = await caller.read(made["id"])
    assert [line["status"] for line in order["unapprovedItems"]] == ["rejected"]
    assert len(order["items"]) == 1


async def test_payments_are_for_accepted_orders(caller: Caller) -> None:
    caller.simulator.pos.orders = Verdict.PENDING
    made = await accepted(caller)
    path = f"/orders/{made['id']}/transactions"
    assert (await caller.ask("POST", path, PAYMENT)).status_code == 400
    await caller.simulator.pos.accept(made["id"])
    part = done(await caller.ask("POST", path, {**PAYMENT, "amount": 3000}))
    assert (part["status"], part["amount"], part["orderId"]) == ("pending", "3000", made["id"])
    await caller.simulator.settled()
    assert (await caller.read(made["id"]))["status"] == "accepted"
    rest = {**PAYMENT, "amount": 230, "orderId": made["id"]}
    done(await caller.ask("POST", "/transactions", rest))
    await caller.simulator.settled()
    assert (await caller.read(made["id"]))["status"] == "complete"
    listed = (await caller.ask("GET", path)).json()
    assert [(one["amount"], one["status"]) for one in listed] == [("3000", "complete"), ("230", "complete")]
    assert [act.amount for act in caller.simulator.acts if act.kind == "create_transaction"] == [3000, 230]


async def test_a_payment_that_is_not_prepaid_waits_for_the_app(caller: Caller) -> None:
    made = await accepted(caller)
    path = f"/orders/{made['id']}/transactions"
    paid = done(await caller.ask("POST", path, {"amount": 3230}))
    await caller.simulator.settled()
    place = f"/transactions/{paid['id']}"
    waiting = done(await caller.ask("GET", place))
    assert waiting["status"] == "waiting"
    body = {"status": "complete", "reference": "r-1"}
    assert (await caller.ask("PUT", place, {**body, "version": paid["version"]})).status_code == 409
    done(await caller.ask("PUT", place, {**body, "version": waiting["version"]}))
    await caller.simulator.settled()
    assert (await caller.read(made["id"]))["status"] == "complete"
    assert (await caller.ask("PUT", place, {**body, "version": "any"})).status_code == 409


async def test_a_payment_that_timed_out_is_402(caller: Caller) -> None:
    made = await accepted(caller)
    paid = done(await caller.ask("POST", f"/orders/{made['id']}/transactions", {"amount": 3230}))
    await caller.simulator.settled()
    await caller.simulator.pos.time_out(caller.simulator.order("APP-000417").transactions[0])
    body = {"status": "complete", "version": paid["version"]}
    assert (await caller.ask("PUT", f"/transactions/{paid['id']}", body)).status_code == 402


async def test_a_payment_may_be_refused(caller: Caller) -> None:
    made = await accepted(caller)
    caller.simulator.pos.payments, caller.simulator.pos.rejection_code = Verdict.REJECT, "P1"
    paid = done(await caller.ask("POST", f"/orders/{made['id']}/transactions", PAYMENT))
    await caller.simulator.settled()
    refused = done(await caller.ask("GET", f"/transactions/{paid['id']}"))
    assert (refused["status"], refused["rejectionCode"]) == ("rejected", "P1")


async def test_orders_are_found_by_reference_and_status(caller: Caller) -> None:
    for number in range(3):
        await accepted(caller, externalOrderRef=f"ref-{number}")
    await caller.simulator.pos.cancel(caller.simulator.order("ref-1").order_id)

    async def found(**query: str) -> list[str]:
        answer = done(await caller.ask("GET", "/orders", query=query))
        assert answer["count"] >= len(answer["rows"])
        return [row["externalOrderRef"] for row in answer["rows"]]

    assert await found(externalOrderRef="ref-2") == ["ref-2"]
    assert await found(externalOrderRef="ref-9") == []
    assert await found(status="accepted") == ["ref-2", "ref-0"]
    assert await found(status="venue_cancelled,pending") == ["ref-1"]
    assert await found(sort="asc", offset="1", limit="1") == ["ref-1"]
    assert await found(updatedSort="desc", limit="1") == ["ref-1"]
    assert await found(to="1000000000") == []
    assert await found(**{"from": "1000000000", "posRef": caller.simulator.order("ref-0").pos_ref or ""}) == ["ref-0"]


async def test_the_location_and_its_menu(caller: Caller) -> None:
    [location] = (await caller.ask("GET", "/locations", doshii_location_id=None)).json()
    assert location["capability"]["orderPreProcess"] == "supported"
    assert done(await caller.ask("GET", "/locations/2xYdsw233"))["id"] == "2xYdsw233"
    assert (await caller.ask("GET", "/locations/nowhere")).status_code == 404
    caller.simulator.venues[0].health = "inactive"
    health = done(await caller.ask("GET", "/health/locations/2xYdsw233", doshii_location_id=None))
    assert (health["status"], health["heartbeat"]) == ("inactive", None)
    menu = done(await caller.ask("GET", "/locations/2xYdsw233/menu"))
    assert [product["posId"] for product in menu["products"]] == ["toasted_eggs", "dumpling_box"]
    await caller.simulator.change_menu({"products": []})
    assert told(caller.simulator) == [("menu_updated", None)]
    changed = done(await caller.ask("GET", "/locations/2xYdsw233/menu", query={"lastVersion": menu["version"]}))
    assert changed["version"] != menu["version"]
    assert (await caller.ask("GET", "/locations/elsewhere/menu")).status_code == 400


@pytest.mark.parametrize(
    ("fault", "acts"), [("cut_before", 0), ("status", 0), ("cut_after", 1), ("cut_during", 1), ("garbage", 1)]
)
async def test_faults_on_the_way(caller: Caller, fault: str, acts: int) -> None:
    caller.simulator.faults.plan(fault, path="/orders", method="POST")
    try:
        answer = await caller.ask("POST", "/orders", prepaid())
    except httpx.TransportError:
        assert fault.startswith("cut")
    else:
        assert (fault, answer.status_code) in {("status", 503), ("garbage", 200)}
    assert caller.simulator.created() == acts
    await caller.create()
    assert caller.simulator.created() == acts + 1
    assert caller.simulator.server.count("/orders", "POST") == 2


async def test_created_things_may_be_answered_201() -> None:
    async with serve(created_status=201) as simulator, calling(simulator) as caller:
        assert (await caller.ask("POST", "/orders", prepaid())).status_code == 201


async def test_doshii_comes_back_with_its_orders() -> None:
    async with serve() as simulator, calling(simulator) as caller:
        made = await caller.create()
        port = simulator.server.port
    async with serve(book=simulator.book, port=port) as again, calling(again) as caller:
        assert (await caller.read(made["id"]))["externalOrderRef"] == "APP-000417"
