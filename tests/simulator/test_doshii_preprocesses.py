"""What the POS says about an order that was not placed is told as an event, as on the event's page."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ordernpay.simulator.doshii import COMPLETE, REJECTED, Verdict, serve
from tests.simulator.doshii_app import EGGS, Caller, Message, calling, done, listening, order, prepaid

SEED_REJECTED: Message = {
    "event": "order_preprocess",
    "data": {
        "id": "f77011a6-f4f9-4fe7-ba75-5319c3e59916",
        "status": "rejected",
        "locationId": "2xYdsw233",
        "rejectionCode": "O1",
        "rejectionReason": "Unknown item",
    },
}
SEED_COMPLETE: Message = {
    "event": "order_preprocess",
    "data": {
        "id": "f77011a6-f4f9-4fe7-ba75-5319c3e59916",
        "status": "complete",
        "locationId": "2xYdsw233",
        "posAdjusted": True,
        "validUntil": None,
        "order": {
            "type": "pickup",
            "surcounts": [],
            "items": [
                {
                    "name": "Toasted Sourdough Bread & Eggs",
                    "description": "Just ye old classic",
                    "unitPrice": "1100",
                    "totalBeforeSurcounts": "1100",
                    "totalAfterSurcounts": "1100",
                    "posId": "toasted_eggs",
                    "quantity": 1,
                    "type": "single",
                    "surcounts": [],
                    "options": [],
                }
            ],
        },
    },
}
BREAKFAST: Message = {"type": "pickup", "surcounts": [], "items": [EGGS]}


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with serve() as simulator, calling(simulator) as caller:
        yield caller


async def test_a_preprocess_is_answered_pending_and_told_as_an_event(caller: Caller) -> None:
    answer = done(await caller.ask("POST", "/orders/preprocess", order()))
    assert set(answer) == {"id", "locationId", "status", "createdAt"}
    assert answer["status"] == "pending"
    await caller.simulator.settled()
    [(event, data)] = caller.simulator.events.told
    assert event == "order_preprocess"
    assert (data["id"], data["posAdjusted"]) == (answer["id"], False)
    assert data["order"]["items"][0]["totalAfterSurcounts"] == "3230"
    assert caller.simulator.book.orders == {}


async def test_the_pos_prices_differently(caller: Caller) -> None:
    caller.simulator.pos.prices["dumpling_box"] = 1000
    caller.simulator.pos.valid_until = "2026-03-02T02:00:00.000Z"
    done(await caller.ask("POST", "/orders/preprocess", order()))
    await caller.simulator.settled()
    [(_, data)] = caller.simulator.events.told
    line = data["order"]["items"][0]
    assert data["posAdjusted"] is True
    assert data["validUntil"] == "2026-03-02T02:00:00.000Z"
    assert (line["unitPrice"], line["totalBeforeSurcounts"], line["totalAfterSurcounts"]) == ("1000", "3450", "3530")


async def test_the_two_examples_of_the_event_page(caller: Caller) -> None:
    simulator = caller.simulator
    simulator.book.preprocess_ids = [SEED_REJECTED["data"]["id"]] * 2
    async with listening(simulator) as socket:
        await socket.ping()
        simulator.pos.preprocesses = Verdict.REJECT
        done(await caller.ask("POST", "/orders/preprocess", BREAKFAST))
        assert await socket.hear() == SEED_REJECTED
        simulator.pos.preprocesses = Verdict.ACCEPT
        simulator.pos.prices["toasted_eggs"] = 1100
        done(await caller.ask("POST", "/orders/preprocess", BREAKFAST))
        assert await socket.hear() == SEED_COMPLETE
        await simulator.emit("order_preprocess", REJECTED)
        assert await socket.hear() == SEED_REJECTED
        await simulator.emit("order_preprocess", COMPLETE)
        assert await socket.hear() == SEED_COMPLETE


async def test_the_event_may_come_before_the_answer(caller: Caller) -> None:
    caller.simulator.pos.before_answer = True
    caller.simulator.pos.lead = 0.5
    async with listening(caller.simulator) as socket:
        await socket.ping()
        asking = asyncio.create_task(caller.ask("POST", "/orders/preprocess", order()))
        event = await socket.hear()
        assert not asking.done()
        assert done(await asking)["id"] == event["data"]["id"]
        asking = asyncio.create_task(caller.ask("POST", "/orders", {**prepaid()}))
        assert (await socket.hear())["event"] == "order_created"
        assert not asking.done()
        assert done(await asking)["status"] == "pending"


async def test_a_preprocess_may_stay_without_outcome(caller: Caller) -> None:
    caller.simulator.pos.preprocesses = Verdict.PENDING
    done(await caller.ask("POST", "/orders/preprocess", order()))
    await caller.simulator.settled()
    assert caller.simulator.events.told == []
