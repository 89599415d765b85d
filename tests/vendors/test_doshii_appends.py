"""Lines appended with the order's version: read before, once more after a 409, and doubtful once an earlier try went out."""

from typing import Any

import pytest

from ordernpay.config import Inbound
from ordernpay.jsontext import dumps
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.http import Answered, NoAnswer, Result
from tests.vendors.given import HandClock, Journal, Script, Try, command, doshii

LINE = {"product": "eggs", "name": "Eggs", "unit_price": "11.00"}
STANDS = Answered(200, dumps({"id": "7", "status": "accepted", "version": "v1"}).encode())
ONCE, TWICE = ["GET", "POST"], ["GET", "POST", "GET", "POST"]


async def appended(*results: Result, sent_before: bool) -> tuple[str, str | None, list[str]]:
    given = command("order.update", {"order_id": "7", "lines": [LINE]})
    session = DoshiiSession("cafe", doshii(items_body="versioned"), Inbound(), Journal(), HandClock())
    http = session._line.http = Script(*results)
    outcome = await session.perform(given, session.prepare(given), Try(1_010.0, sent_before=sent_before))
    assert http.results == []
    return outcome.state, outcome.failure.kind if outcome.failure else None, [call.method for call, _ in http.asked]


@pytest.mark.parametrize(
    ("results", "sent_before", "end"),
    [
        ((STANDS, STANDS), False, ("succeeded", None, ONCE)),
        ((STANDS, Answered(409), STANDS, STANDS), False, ("succeeded", None, TWICE)),
        ((STANDS, Answered(409), STANDS, Answered(409)), False, ("rejected", "conflict", TWICE)),
        ((STANDS, Answered(409), STANDS, Answered(409)), True, ("unknown", "outcome_unknown", TWICE)),
        ((STANDS, NoAnswer("reset")), False, ("unknown", "outcome_unknown", ONCE)),
        ((Answered(404),), False, ("rejected", "not_found", ["GET"])),
        ((Answered(404),), True, ("unknown", "outcome_unknown", ["GET"])),
        ((STANDS, Answered(400)), True, ("unknown", "outcome_unknown", ONCE)),
    ],
)
async def test_how_an_append_ends(results: tuple[Result, ...], sent_before: bool, end: Any) -> None:  # noqa: FBT001
    assert await appended(*results, sent_before=sent_before) == end
