"""An order or a payment is made once, whatever answers: looked up before it is sent again, and never taken for another's."""

from typing import Any, Final

import pytest

from ordernpay.clock import rfc3339
from ordernpay.commands import Command
from ordernpay.config import Inbound
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.outcomes import Outcome
from ordernpay.vendors.doshii.session import DoshiiSession
from ordernpay.vendors.http import Answered, NoAnswer, Result
from ordernpay.vendors.protocol import Undecided
from tests.vendors.given import HandClock, Journal, Script, Try, command, doshii

NOW: Final = 1_800_000_000.0
SILENT: Final = NoAnswer("reset")
TEA: Final[dict[str, Any]] = {"product": "tea", "name": "Tea", "unit_price": "3.50"}
CAKE: Final[dict[str, Any]] = {"product": "cake", "name": "Cake", "unit_price": "5.00"}
MADE: Final[JsonObject] = {"id": "91", "externalOrderRef": "R1", "reference": "R1", "status": "pending"}
BUSY: Final = Answered(503, b'{"message":"not now"}')
PORTAL: Final = b'{"status": "sign in first", "portal": "http://portal.invalid/"}'


def create(*lines: Any, **common: Any) -> Command:
    return command(
        "order.create", {"order": {"reference": "R1", "type": "pickup", "lines": list(lines or [TEA])}}, **common
    )


def pay(amount: str = "3.50", **common: Any) -> Command:
    payment = {"method": "visa", "amount": amount, "reference": "R1"}
    return command("payment.create", {"order_id": "7", "payment": payment}, **common)


def answered(raw: Any, status: int = 200, **headers: str) -> Answered:
    return Answered(status, raw if isinstance(raw, bytes) else dumps(raw).encode(), headers)


def listed(given: Command, *rows: JsonObject) -> Answered:
    return answered(list(rows) if given.method == "payment.create" else {"count": len(rows), "rows": list(rows)})


def item(line: dict[str, Any], **more: Any) -> JsonObject:
    cents = line["unit_price"].replace(".", "")
    return {
        "posId": line["product"],
        "name": line["name"],
        "quantity": "1",
        "unitPrice": int(cents),
        "totalAfterSurcounts": cents,
        **more,
    }


def order(identity: str, *lines: dict[str, Any], **more: Any) -> JsonObject:
    items: list[JsonValue] = [item(line, uuid=f"u{n}") for n, line in enumerate(lines)]
    return MADE | {"id": identity, "type": "pickup", "items": items, "createdAt": rfc3339(NOW)} | more


class Case:
    """One session, and what became of one command in it."""

    def __init__(self, given: Command, *results: Result, journal: Journal | None = None, **config: Any) -> None:
        self.given = given
        self.journal = journal or Journal()
        settings = doshii(**({"unavailable_seconds": 0.05, "lookup_seconds": 0.05} | config))
        self.session = DoshiiSession("cafe", settings, Inbound(), self.journal, HandClock())
        self.http = self.session._line.http = Script(*results)

    async def end(self, seconds: float = 0.01, **held: Any) -> Outcome:
        attempt = Try(1_000.0 + seconds, accepted_at=NOW, **held)
        outcome = await self.session.perform(self.given, self.session.prepare(self.given), attempt)
        assert self.http.results == []
        return outcome

    @property
    def asked(self) -> list[str]:
        return [call.method for call, _ in self.http.asked]


BOTH: Final = [create(), pay()]
IDS: Final = ["order", "payment"]


# What is an answer


@pytest.mark.parametrize("given", BOTH, ids=IDS)
@pytest.mark.parametrize(
    "raw",
    [
        *(PORTAL, b"{}", b"[]", b'"OK"', b"", b"null", b"<html>", b'{"status":"pending"}', b'{"id":""}', b'{"id":"9"}'),
        *(MADE | {"id": "00000000-0000-0000-0000-000000000000"}, [MADE], {"id": "9", "status": "sign in first"}),
        MADE | {"externalOrderRef": "R2", "reference": "R2"},
    ],
)
async def test_what_is_not_doshiis_answer_is_no_success_and_is_looked_up(given: Command, raw: Any) -> None:
    case = Case(given, answered(raw), listed(given))
    assert ((await case.end()).state, case.asked) == ("unknown", ["POST", "GET"])
    case = Case(given, answered(raw), listed(given, MADE))
    assert (await case.end()).state == "succeeded"


async def test_an_order_of_another_location_is_not_ours() -> None:
    elsewhere = MADE | {"locationId": "another"}
    assert (await Case(create(), answered(elsewhere), listed(create(), elsewhere)).end()).state == "unknown"
    assert (await Case(create(), answered(MADE | {"locationId": "Qm7Zt1"})).end()).state == "succeeded"


@pytest.mark.parametrize("given", BOTH, ids=IDS)
@pytest.mark.parametrize("raw", [b'{"success": false}', b'{"IsSuccess":"False","message":"no"}', {"status": "error"}])
async def test_a_no_in_any_spelling_is_one(given: Command, raw: Any) -> None:
    assert (await Case(given, answered(raw)).end()).state == "rejected"


@pytest.mark.parametrize("given", BOTH, ids=IDS)
async def test_what_the_pos_has_refused_is_rejected_and_known(given: Command) -> None:
    refused = MADE | {"status": " Rejected", "rejectionCode": "O3", "rejectionReason": "Kitchen closed"}
    for results in ([answered(refused)], [SILENT, listed(given, refused)]):
        outcome = await Case(given, *results).end()
        assert (outcome.state, list(outcome.vendor_ids.values())) == ("rejected", ["91"])
        assert outcome.failure is not None
        assert (outcome.failure.vendor_code, outcome.failure.vendor_message) == ("O3", "Kitchen closed")


@pytest.mark.parametrize("raw", [b"{}", b"[]", PORTAL, b'{"rows":{}}', b'{"count":0}', b'"OK"', b"<html>"])
async def test_a_list_that_is_none_does_not_say_that_nothing_is_there(raw: bytes) -> None:
    case = Case(create(), BUSY, answered(raw), listed(create(), MADE))
    assert (await case.end(60.0)).state == "succeeded"
    assert case.asked.count("POST") == 1


# Not now


@pytest.mark.parametrize("given", BOTH, ids=IDS)
async def test_it_is_looked_up_before_it_is_sent_again(given: Command) -> None:
    case = Case(given, BUSY, listed(given), BUSY, listed(given), answered(MADE))
    assert ((await case.end(60.0)).state, case.asked) == ("succeeded", ["POST", "GET"] * 2 + ["POST"])
    case = Case(given, BUSY, listed(given, MADE))
    assert ((await case.end(60.0)).state, case.asked) == ("succeeded", ["POST", "GET"])


@pytest.mark.parametrize("given", BOTH, ids=IDS)
async def test_at_the_end_of_its_time_it_is_looked_up_once_more(given: Command) -> None:
    assert (await Case(given, BUSY, listed(given)).end()).failure is not None
    for results, state in (
        ([listed(given)], "failed"),
        ([listed(given, MADE)], "succeeded"),
        ([Answered(403)] * 2, "unknown"),
    ):
        assert (await Case(given, BUSY, *results).end()).state == state


async def test_a_429_that_cannot_be_looked_up_has_done_nothing() -> None:
    outcome = await Case(create(), answered(b"{}", 429), Answered(403)).end()
    assert (outcome.state, outcome.failure.kind if outcome.failure else "") == ("failed", "vendor_unavailable")


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 504, 520, 524])
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message":"x"}'])
async def test_after_an_error_that_may_have_acted_nothing_is_sent_again(status: int, body: bytes) -> None:
    case = Case(create(), Answered(status, body), listed(create()))
    assert ((await case.end()).state, case.asked) == ("unknown", ["POST", "GET"])


@pytest.mark.parametrize("body", [b"", b"<html>busy</html>", b"busy", b'"busy"'])
async def test_a_503_of_a_gateway_is_not_doshiis_word(body: bytes) -> None:
    case = Case(create(), Answered(503, body), listed(create()), listed(create(), MADE))
    assert ((await case.end(60.0)).state, case.asked) == ("succeeded", ["POST", "GET", "GET"])


@pytest.mark.parametrize("status", [307, 308])
async def test_what_has_to_be_asked_elsewhere_was_not_done(status: int) -> None:
    case = Case(create(), Answered(status, b"", {"location": "http://127.0.0.1:1/"}))
    assert ((await case.end()).state, case.asked) == ("failed", ["POST"])


@pytest.mark.parametrize(("named", "asked"), [("90", ["POST", "GET"]), ("0", ["POST", "GET", "POST"])])
async def test_doshiis_own_time_to_come_back_counts(named: str, asked: list[str]) -> None:
    results = [answered(b"{}", 503, **{"retry-after": named}), listed(create()), answered(MADE)]
    case = Case(create(), *results[: len(asked)])
    await case.end(60.0)
    assert case.asked == asked


@pytest.mark.parametrize("given", BOTH, ids=IDS)
async def test_a_key_that_failed_is_looked_up_before_it_is_sent_afresh(given: Command) -> None:
    case = Case(given, listed(given, MADE))
    assert ((await case.end(tried=True)).state, case.asked) == ("succeeded", ["GET"])
    case = Case(given, listed(given), answered(MADE))
    assert ((await case.end(tried=True)).state, case.asked) == ("succeeded", ["GET", "POST"])
    case = Case(given, Answered(403))
    assert ((await case.end(tried=True)).state, case.asked) == ("failed", ["GET"])


async def test_lines_are_never_appended_again() -> None:
    given = command("order.update", {"order_id": "7", "lines": [TEA]})
    for answer in (BUSY, Answered(504), SILENT, answered(PORTAL), answered({"id": "8", "status": "accepted"})):
        case = Case(given, answer)
        assert ((await case.end(60.0)).state, case.asked) == ("unknown", ["POST"])


async def test_what_a_person_asks_natively_is_never_sent_again() -> None:
    given = command("vendor.request", {"request": {"path": "orders", "body": {}}})
    case = Case(given, BUSY)
    assert ((await case.end(60.0)).state, case.asked) == ("unknown", ["POST"])


# Whose it is


def rival(*lines: Any, state: Any = "sent", sent: bool = True, key: str = "key-2") -> Journal:
    """A journal in which another command with the same reference has no outcome."""
    journal = Journal()
    journal.held = [Undecided(create(*lines, idempotency_key=key), state, NOW, sent)]
    journal.ids = {key: {"external_ref": "R1"}}
    return journal


@pytest.mark.parametrize("state", ["sent", "unknown", "accepted"])
async def test_two_with_one_reference_are_told_apart_by_their_lines(state: Any) -> None:
    mine, theirs = order("91", TEA), order("92", CAKE)
    journal = rival(CAKE, state=state)
    outcome = await Case(create(), SILENT, listed(create(), theirs, mine), journal=journal).end()
    assert (outcome.state, outcome.vendor_ids) == ("succeeded", {"order_id": "91"})
    assert (await Case(create(), SILENT, listed(create(), theirs), journal=journal).end()).state == "unknown"


async def test_two_that_cannot_be_told_apart_stay_unknown() -> None:
    for found in ([order("91", TEA)], [order("91", TEA), order("92", TEA)], [order("91", CAKE, TEA)]):
        case = Case(create(), SILENT, listed(create(), *found), journal=rival(TEA))
        assert (await case.end()).state == "unknown"


async def test_one_that_cannot_be_told_apart_is_not_sent_again() -> None:
    case = Case(create(), BUSY, *[listed(create(), order("91", TEA))] * 2, journal=rival(TEA))
    assert ((await case.end(0.03)).state, case.asked.count("POST")) == ("unknown", 1)


async def test_what_was_never_sent_or_has_ended_is_no_rival() -> None:
    for journal in (rival(TEA, state="accepted", sent=False), rival(TEA, state="failed"), rival(TEA, key="key-1")):
        assert (
            await Case(create(), SILENT, listed(create(), order("91", TEA)), journal=journal).end()
        ).state == "succeeded"


async def test_what_is_known_to_be_another_commands_is_not_ours() -> None:
    journal = Journal(ids={"key-2": {"order_id": "91"}})
    assert (await Case(create(), SILENT, listed(create(), order("91", TEA)), journal=journal).end()).state == "unknown"
    found = listed(create(), order("91", TEA), order("92", TEA))
    assert (await Case(create(), SILENT, found, journal=journal).end()).vendor_ids == {"order_id": "92"}


async def test_a_journal_that_cannot_be_read_tells_nothing_apart() -> None:
    case = Case(create(), SILENT, listed(create(), order("91", TEA)), journal=Journal(full=True))
    assert (await case.end()).state == "unknown"


async def test_a_payment_of_another_amount_is_not_ours_and_yet_no_sign_of_nothing() -> None:
    found = listed(pay(), {"id": "91", "reference": "R1", "amount": "900", "status": "pending"})
    case = Case(pay(), BUSY, found, found)
    assert ((await case.end(0.03)).state, case.asked.count("POST")) == ("unknown", 1)
    found = listed(pay(), {"id": "91", "reference": "R1", "amount": "350.0", "status": "pending"})
    assert (await Case(pay(), SILENT, found).end()).state == "succeeded"


# The probe


@pytest.mark.parametrize(("works", "state"), [(False, "down"), (True, "up")])
async def test_paths_of_the_probe_that_are_not_there_take_down_only_what_does_not_work(
    *, works: bool, state: str
) -> None:
    case = Case(create(), *([answered(MADE)] if works else []))
    if works:
        await case.end()
    case.http.results = [answered(b'{"message":"no such path"}', 404)] * 2
    await case.session._probe()
    assert (case.session.status().state, case.http.results) == (state, [])


# Reads


@pytest.mark.parametrize(
    "raw", [PORTAL, b"{}", b"[]", b'"OK"', b"", b"<html>", b'{"rows": 3}', b'{"id": "8", "status": "pending"}']
)
@pytest.mark.parametrize(
    ("method", "params"),
    [("order.get", {"order_id": "7"}), ("order.list", {}), ("menu.get", {})],
    ids=["get", "list", "menu"],
)
async def test_a_read_that_something_else_answers_is_none(raw: bytes, method: str, params: Any) -> None:
    outcome = await Case(command(method, params), answered(raw)).end()
    assert (outcome.state, outcome.failure.kind if outcome.failure else "") == ("failed", "vendor_unavailable")
