"""What a real daemon tells Prometheus of what really happened to it."""

import time
from pathlib import Path

from ordernpay.commands import COMMANDS
from ordernpay.inbound import WEBHOOK_RESULTS
from ordernpay.outcomes import KINDS
from ordernpay.simulator.order_n_pay import Fault
from ordernpay.simulator.web import WebFault
from tests.metrics.exposition import read
from tests.metrics.traffic import Venue, after_traffic, venue
from tests.support import rest
from tests.support.wait import until

WORDS = {
    "session": {"bar", "courier"},
    "state": {"connecting", "up", "down", "refused", "accepted", "sent", "succeeded", "rejected", "failed", "unknown"}
    | {"proved", "unproved"},
    "reason": {"newcomer", "deadline", "memory"},
    "method": set(COMMANDS),
    "outcome": {"succeeded", *KINDS},
    "stage": {"journal", "wire"},
    "kind": {"session.up", "session.down", "command.settled", "order.updated", "stock.updated", "vendor.event"},
    "result": set(WEBHOOK_RESULTS),
}
"""Every value that a label may have: none comes from a kiosk or from a vendor."""
FREE = {"le", "version", "event"}


async def test_a_slow_vendor_shows_on_the_wire_and_not_in_the_journal(artifacts: Path) -> None:
    async with venue(artifacts) as one:
        for session in ("bar", "courier"):
            one.till.faults.plan(Fault.LATE, seconds=0.8)
            one.ros.faults.plan(WebFault.LATE, path="add", seconds=0.8)
            before = (await stages(one)) if session == "courier" else {}
            assert (await one.order(session, f"SLOW-{session}")).state == "succeeded"
            took = {name: seconds - before.get(name, 0) for name, seconds in (await stages(one)).items()}
            assert 0.8 <= took["wire"] < took["whole"], took
            assert 0 < took["journal"] < 0.8, took
            assert took["journal"] + took["wire"] <= took["whole"], took
            one.ros.faults.clear()
            one.till.faults.clear()


async def stages(one: Venue) -> dict[str, float]:
    """Seconds that orders took until now."""
    page = await one.page()
    method = "order.create"
    parts = {stage: page.value("stage_seconds_sum", stage=stage, method=method) for stage in ("journal", "wire")}
    return parts | {"whole": page.value("command_seconds_sum", method=method)}


async def test_a_connection_made_anew_is_counted_whatever_the_vendor(artifacts: Path) -> None:
    async with venue(artifacts) as one:
        assert (await one.page()).all("session_reconnects_total", "session") == {"bar": 0, "courier": 0}
        for times in (1, 2):
            await one.lose_and_find()
            assert (await one.page()).all("session_reconnects_total", "session") == {"bar": times, "courier": times}


async def test_webhooks_are_counted_by_what_became_of_them(artifacts: Path) -> None:
    async with venue(artifacts) as one:
        await one.webhooks()
        told = (await one.page()).all("webhooks_total", "result")
        each = dict.fromkeys(("accepted", "repeat", "refused", "malformed", "too_large", "unavailable"), 1)
        assert told == each | {"verified": 0}


async def test_webhooks_of_doshii_and_its_test_call_are_counted_too(artifacts: Path) -> None:
    async with rest.bench(artifacts, "doshii") as one:
        doshii = one.simulator
        where = rest.door(one.config, "/webhooks/doshii/venue")
        assert await doshii.webhooks.register(where, rest.DOSHII_KEY, rest.DOSHII_TOKEN)
        await doshii.emit("order_updated", {"id": "90217", "status": "accepted"})
        await doshii.settled()
        assert await doshii.forger().replayed() == 200
        told = read(await one.metrics()).all("webhooks_total", "result")
        assert (told["verified"], told["accepted"] + told["repeat"]) == (1, 2)
        assert told["repeat"] >= 1  # the socket may have told it first


async def test_an_unknown_order_is_told_until_it_is_settled(artifacts: Path) -> None:
    async with venue(artifacts) as one:
        one.ros.faults.plan(WebFault.CUT_AFTER, path="add")
        assert (await one.order("courier", "LOST")).state == "unknown"
        page = await one.page()
        assert page.all("unknown_commands", "session") == {"bar": 0, "courier": 1}
        assert 0 < page.value("oldest_unknown_age_seconds", session="courier") < 30
        await one.ros.notify(one.ros.processed(one.ros.confirmed(next(iter(one.ros.orders)))))
        page = await one.page()
        assert page.all("unknown_commands", "session") == {"bar": 0, "courier": 0}
        assert page.all("oldest_unknown_age_seconds", "session") == {"bar": 0, "courier": 0}


async def test_what_holds_up_the_loop_shows(artifacts: Path) -> None:
    async with venue(artifacts) as one:
        time.sleep(0.6)  # noqa: ASYNC251 - this is what is measured

        async def late() -> bool:
            page = await one.page()
            return page.value("loop_lag_seconds_count") - page.value("loop_lag_seconds_bucket", le="0.25") > 0

        await until(late)


async def test_no_label_holds_what_somebody_else_made_up(artifacts: Path) -> None:
    text = await after_traffic(artifacts)
    assert "TRAFFIC" not in text
    assert "HOOK" not in text
    for name, labels in read(text).samples:
        for label, value in labels:
            assert label in FREE or value in WORDS[label], (name, label, value)


async def test_histograms_reach_as_far_as_what_they_measure(artifacts: Path) -> None:
    page = read(await after_traffic(artifacts))
    most = {"command_seconds": 600, "stage_seconds": 600, "journal_flush_seconds": 5, "loop_lag_seconds": 10}
    for name, seconds in most.items():
        samples = [dict(labels) for of, labels in page.samples if of == f"ordernpay_{name}_bucket"]
        bounds = sorted({float(labels["le"]) for labels in samples})
        assert (bounds[-2], bounds[0] <= 0.005) == (seconds, True), name
