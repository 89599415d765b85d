"""After a cancel that was not answered no refusal proves anything: not a 409, not a 400, not an order that is gone."""

from typing import Any

import pytest

from ordernpay.commands import Command
from ordernpay.config import Inbound
from ordernpay.jsontext import dumps
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.http import Answered, NoAnswer, Result
from tests.vendors.given import HandClock, Journal, Script, Try, command, doshii


def order(status: str, version: str = "v1") -> Answered:
    return Answered(200, dumps({"id": "7", "status": status, "version": version}).encode())


STANDS, GONE, SILENT = order("accepted"), order("cancelled"), NoAnswer("reset")
BUSY = Answered(503, b'{"message":"not now"}')


async def cancelled(*results: Result, sent_before: bool = False) -> tuple[str, str | None, list[str]]:
    given: Command = command("order.cancel", {"order_id": "7", "reason": "x"})
    config = doshii(lookup_seconds=0.05, unavailable_seconds=0.05)
    session, http = DoshiiSession("cafe", config, Inbound(), Journal(), HandClock()), Script(*results)
    session._line.http = http
    outcome: Outcome = await session.perform(given, session.prepare(given), Try(1_010.0, sent_before=sent_before))
    assert http.results == []
    kind = outcome.failure.kind if outcome.failure else None
    return outcome.state, kind, [call.method for call, _ in http.asked]


TWICE = ["GET", "PUT", "GET", "PUT"]
THRICE = [*TWICE, "GET", "PUT"]
CASES: list[tuple[str, tuple[Result, ...], tuple[str, str | None, list[str]]]] = [
    ("done", (STANDS, GONE), ("succeeded", None, ["GET", "PUT"])),
    ("done before", (GONE,), ("succeeded", None, ["GET"])),
    ("refused", (STANDS, Answered(400)), ("rejected", "rejected", ["GET", "PUT"])),
    ("stale once", (STANDS, Answered(409), order("accepted", "v2"), GONE), ("succeeded", None, TWICE)),
    ("stale twice", (STANDS, Answered(409), STANDS, Answered(409)), ("rejected", "conflict", TWICE)),
    ("silent, then seen to be done", (STANDS, SILENT, GONE), ("succeeded", None, ["GET", "PUT", "GET"])),
    ("silent, then done", (STANDS, SILENT, STANDS, GONE), ("succeeded", None, TWICE)),
    ("stale, and complete now", (STANDS, Answered(409), order("complete")), ("rejected", "conflict", TWICE[:3])),
    ("stale, and rejected now", (STANDS, Answered(409), order("rejected")), ("rejected", "conflict", TWICE[:3])),
    ("stale, and cancelled now", (STANDS, Answered(409), GONE), ("succeeded", None, TWICE[:3])),
    ("silent, then stale", (STANDS, SILENT, STANDS, Answered(409), GONE), ("succeeded", None, THRICE[:5])),
    (
        "silent, then stale twice",
        (STANDS, SILENT, STANDS, Answered(409), STANDS, Answered(409)),
        ("unknown", "outcome_unknown", THRICE),
    ),
    (
        "silent, then stale, and complete now",
        (STANDS, SILENT, STANDS, Answered(409), order("complete")),
        ("unknown", "outcome_unknown", THRICE[:5]),
    ),
    ("stale, then silent", (STANDS, Answered(409), STANDS, SILENT, GONE), ("succeeded", None, THRICE[:5])),
    (
        "silent, then refused",
        (STANDS, SILENT, STANDS, Answered(400), STANDS, Answered(400)),
        ("unknown", "outcome_unknown", THRICE),
    ),
    ("silent, refused, and done", (STANDS, SILENT, STANDS, Answered(400), GONE), ("succeeded", None, THRICE[:5])),
    ("silent, then not to be found", (STANDS, SILENT, Answered(404)), ("unknown", "outcome_unknown", TWICE[:3])),
    ("silent twice", (STANDS, SILENT, STANDS, SILENT, STANDS, GONE), ("succeeded", None, THRICE)),
    ("not now, then seen to be done", (STANDS, BUSY, GONE), ("succeeded", None, TWICE[:3])),
    ("not now, then done", (STANDS, BUSY, STANDS, GONE), ("succeeded", None, TWICE)),
    ("not now, then not to be read", (STANDS, BUSY, Answered(403)), ("unknown", "outcome_unknown", TWICE[:3])),
    ("too many, then not to be read", (STANDS, Answered(429), Answered(403)), ("rejected", "unauthorised", TWICE[:3])),
    (
        "ambiguous, then refused",
        (STANDS, Answered(504), STANDS, Answered(400), STANDS, Answered(403)),
        ("unknown", "outcome_unknown", THRICE),
    ),
]


@pytest.mark.parametrize(("results", "end"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
async def test_how_a_cancel_ends(results: tuple[Result, ...], end: Any) -> None:
    assert await cancelled(*results) == end


@pytest.mark.parametrize(
    ("results", "asked"),
    [
        ((STANDS, Answered(409), STANDS, Answered(409)), TWICE),
        ((STANDS, Answered(400), STANDS, Answered(400)), TWICE),
        ((Answered(404),), ["GET"]),
    ],
)
async def test_what_was_sent_in_an_earlier_life_stays_doubtful(results: tuple[Result, ...], asked: list[str]) -> None:
    assert await cancelled(*results, sent_before=True) == ("unknown", "outcome_unknown", asked)


async def test_the_version_is_the_one_that_was_read() -> None:
    given = command("order.cancel", {"order_id": "7", "reason": "x"})
    session = DoshiiSession("cafe", doshii(), Inbound(), Journal(), HandClock())
    http = session._line.http = Script(STANDS, Answered(409), order("accepted", "v2"), GONE)
    await session.perform(given, session.prepare(given), Try(1_010.0))
    sent = [call.body for call, _ in http.asked if call.method == "PUT"]
    assert sent == [b'{"version":"v1","status":"cancelled"}', b'{"version":"v2","status":"cancelled"}']
