"""A create that was not answered is found again by its reference, and nothing that was there before is taken for it."""

from typing import Any

import pytest

from ordernpay.clock import rfc3339
from ordernpay.commands import Command
from ordernpay.config import Inbound
from ordernpay.jsontext import dumps
from ordernpay.vendors.doshii.findings import CLOCKS_APART
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.http import Answered, NoAnswer, Result
from tests.vendors.given import HandClock, Journal, Script, Try, command, doshii

ACCEPTED: float = 1_800_000_000.0
SILENT = NoAnswer("reset")
LINE = {"product": "tea", "name": "Tea", "unit_price": "3.50"}
CREATE: tuple[str, dict[str, Any]] = (
    "order.create",
    {"order": {"reference": "R1", "type": "pickup", "lines": [LINE]}},
)
PAY: tuple[str, dict[str, Any]] = (
    "payment.create",
    {"order_id": "7", "payment": {"method": "visa", "amount": "3.50", "reference": "R1"}},
)


def listed(method: str, *created: Any) -> Answered:
    """What a lookup finds: entries made at these times, newest first."""
    rows: list[Any] = [
        {"id": str(90 - i), "externalOrderRef": "R1", "reference": "R1", "status": "pending", "createdAt": at}
        for i, at in enumerate(created)
    ]
    return Answered(200, dumps(rows if method == "payment.create" else {"count": len(rows), "rows": rows}).encode())


async def ended(case: tuple[str, dict[str, Any]], *results: Result, **held: Any) -> tuple[str, dict[str, str]]:
    given: Command = command(*case)
    session, http = DoshiiSession("cafe", doshii(), Inbound(), Journal(), HandClock()), Script(*results)
    session._line.http = http
    attempt = Try(1_000.5, accepted_at=ACCEPTED, **held)
    outcome = await session.perform(given, session.prepare(given), attempt)
    assert http.results == []
    return outcome.state, outcome.vendor_ids


@pytest.mark.parametrize("case", [CREATE, PAY], ids=["order", "payment"])
@pytest.mark.parametrize(
    ("created", "ours"),
    [
        (rfc3339(ACCEPTED), True),
        (rfc3339(ACCEPTED + 3), True),
        (rfc3339(ACCEPTED - CLOCKS_APART + 1), True),  # the clocks differ
        (rfc3339(ACCEPTED - CLOCKS_APART - 1), False),
        ("2026-11-20T00:00:00.000Z", False),
        ("2026-11-20T00:00:00", False),
        ("2026-11-20", True),
        (None, True),
        ("yesterday", True),
        (17, True),
    ],
)
async def test_what_was_there_before_is_not_ours(case: Any, created: Any, *, ours: bool) -> None:
    state, ids = await ended(case, SILENT, listed(case[0], created))
    assert state == ("succeeded" if ours else "unknown")
    assert bool(ids) == ours


@pytest.mark.parametrize("case", [CREATE, PAY], ids=["order", "payment"])
async def test_ours_is_found_beside_an_earlier_one(case: Any) -> None:
    state, ids = await ended(case, SILENT, listed(case[0], "2026-11-20T00:00:00.000Z", rfc3339(ACCEPTED)))
    assert (state, list(ids.values())) == ("succeeded", ["89"])


MADE = Answered(200, dumps({"id": "91", "externalOrderRef": "R1", "reference": "R1", "status": "pending"}).encode())


@pytest.mark.parametrize("case", [CREATE, PAY], ids=["order", "payment"])
@pytest.mark.parametrize(
    ("results", "state"),
    [
        (("there",), "succeeded"),
        (("nothing", MADE), "succeeded"),
        ((Answered(403),), "unknown"),
        ((Answered(404),), "unknown"),
    ],
)
async def test_a_person_s_word_sends_nothing_that_can_be_seen_to_be_there(case: Any, results: Any, state: str) -> None:
    known: dict[Any, Answered] = {"there": listed(case[0], rfc3339(ACCEPTED)), "nothing": listed(case[0])}
    given = [known[result] if isinstance(result, str) else result for result in results]
    assert (await ended(case, *given, sent_before=True, knowingly=True))[0] == state
