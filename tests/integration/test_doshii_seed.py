"""Doshii's page "Upon Order pre-processed": its two printed events end a waiting quote, however they come.

Source: https://support.doshii.com, EVENT order_preprocess (since v3.4)
"""

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from ordernpay.simulator.doshii import COMPLETE, REJECTED, Envelope, Verdict
from ordernpay.simulator.doshii.events import EXAMPLE_ID
from ordernpay.simulator.web import WebFault
from tests.support import rest
from tests.support.rest import Bench, Told, order
from tests.support.wait import until

PREPROCESS = "/orders/preprocess"
WAYS = list(itertools.product(("socket", "webhook"), Envelope))
CONTENTS = {"complete": COMPLETE, "rejected": REJECTED}


async def quote_under_way(venue: Bench, **params: Any) -> "asyncio.Task[Told]":
    """A quote whose request Doshii has answered with the page's id, and whose event is still to come."""
    doshii = venue.simulator
    doshii.pos.preprocesses = Verdict.PENDING
    doshii.book.preprocess_ids = [EXAMPLE_ID]
    task = asyncio.create_task(venue.ask("order.quote", order=order("doshii"), **params))
    await until(lambda: EXAMPLE_ID in doshii.book.preprocesses)
    return task


async def way_to(venue: Bench, way: str, envelope: Envelope) -> None:
    """Have Doshii tell by this way alone."""
    events = venue.simulator.events
    events.by_socket, events.by_webhook = way == "socket", way == "webhook"
    events.socket_envelope = events.webhook_envelope = envelope
    if way == "webhook":
        where = rest.door(venue.config, "/webhooks/doshii/venue")
        assert await venue.simulator.webhooks.register(where, rest.DOSHII_KEY, rest.DOSHII_TOKEN)


def check(told: Told, content: str) -> None:
    if content == "rejected":
        assert (told.code, told.state) == (1001, "rejected")
        assert (told.data["vendor_code"], told.data["vendor_message"]) == ("O1", "Unknown item")
        return
    assert told.result["quote_id"] == EXAMPLE_ID
    assert told.result["adjusted"] is True
    assert told.result["valid_until"] is None
    quoted = told.result["order"]
    assert quoted["total"] == "11.00"
    [entry] = quoted["lines"]
    assert (entry["product"], entry["name"], entry["quantity"], entry["unit_price"], entry["note"]) == (
        *("toasted_eggs", "Toasted Sourdough Bread & Eggs", 1, "11.00"),
        "Just ye old classic",
    )
    assert told.vendor["data"] == COMPLETE if "data" in told.vendor else told.vendor["emit"][1] == COMPLETE


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize(("way", "envelope"), WAYS, ids=[f"{way}-{envelope}" for way, envelope in WAYS])
async def test_the_printed_event_ends_the_waiting_quote(
    way: str, envelope: Envelope, content: str, artifacts: Path
) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        await way_to(venue, way, envelope)
        task = await quote_under_way(venue)
        await venue.simulator.emit("order_preprocess", CONTENTS[content])
        check(await task, content)
        kind = {"complete": "quote.completed", "rejected": "quote.rejected"}[content]
        [event] = await venue.events("quote.completed", "quote.rejected")
        assert event["kind"] == kind
        assert event["data"]["quote_id"] == EXAMPLE_ID
        if content == "rejected":
            assert (event["data"]["code"], event["data"]["reason"]) == ("O1", "Unknown item")
        else:
            assert event["data"]["adjusted"] is True
            assert event["data"]["order"]["total"] == "11.00"
        assert event["vendor"] == envelope.wrap("order_preprocess", CONTENTS[content])


@pytest.mark.parametrize("way", ["socket", "webhook"])
@pytest.mark.parametrize("content", CONTENTS)
async def test_the_event_may_come_before_the_answer_that_names_it(way: str, content: str, artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        await way_to(venue, way, Envelope.EVENT)
        doshii = venue.simulator
        doshii.faults.plan(WebFault.LATE, path=PREPROCESS, seconds=0.5)
        task = await quote_under_way(venue)
        await doshii.emit("order_preprocess", CONTENTS[content])
        await until(lambda: venue.events("quote.completed", "quote.rejected"))
        assert not task.done(), "its request is not answered yet"
        check(await task, content)


async def test_the_same_event_by_socket_and_webhook_is_one(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        doshii = venue.simulator
        await way_to(venue, "webhook", Envelope.EMIT)
        doshii.events.by_socket, doshii.events.copies = True, 3
        doshii.events.socket_envelope = Envelope.TYPE
        task = await quote_under_way(venue)
        await doshii.emit("order_preprocess", COMPLETE)
        check(await task, "complete")
        await doshii.settled()
        assert len(doshii.webhooks.deliveries) == 3
        assert all(delivery.status == 200 for delivery in doshii.webhooks.deliveries)
        await doshii.emit("order_preprocess", REJECTED)  # what comes after all those copies
        await until(lambda: venue.events("quote.rejected"))
        assert [event["kind"] for event in await venue.events()] == ["quote.completed", "quote.rejected"]


async def test_a_quote_that_the_pos_never_answers_ends_with_its_timeout_and_had_no_effect(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        task = await quote_under_way(venue, timeout=0.5)
        told = await task
        assert (told.code, told.state) == (1008, "failed")
        assert (await rest.read(venue.socket, "command.list"))["commands"] == []


async def test_a_quote_whose_request_was_cut_is_asked_for_again(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as venue:
        for fault in (WebFault.CUT_BEFORE, WebFault.CUT_AFTER, WebFault.CUT_DURING):
            venue.simulator.faults.plan(fault, path=PREPROCESS)
            assert (await venue.ask("order.quote", order=order("doshii"))).ok
        heard = [json.loads(one.body) for one in venue.simulator.server.heard if one.path.endswith(PREPROCESS)]
        assert len(heard) == 6
