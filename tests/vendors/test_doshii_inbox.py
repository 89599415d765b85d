"""What Doshii tells by webhook and by socket: who may, once, durable before it is acknowledged, and no quote lost."""

import asyncio
import base64
import hmac
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.clock import SystemClock
from ordernpay.jsontext import dumps
from ordernpay.vendors.doshii import answers
from ordernpay.vendors.doshii import inbox as module
from ordernpay.vendors.doshii.inbox import SAME_WITHIN, UNAUTHORISED, Inbox
from ordernpay.vendors.protocol import Door, HttpAnswer
from ordernpay.vendors.rest import RestLine
from tests.support.wait import until
from tests.vendors import test_doshii_answers as known
from tests.vendors.given import HandClock, Journal, Script, anything, doshii, objects, serving, webhook
from tests.vendors.test_doshii_answers import ID, NAMES

BASIC: Final = f"Basic {base64.b64encode(b'key-1:token-1').decode()}"
SECRETS: Final = {"webhook_key": "key-1", "webhook_token": "token-1"}
OURS: Final = {"locationId": "Qm7Zt1"}
COMPLETE: Final = known.COMPLETE | OURS
REJECTED: Final = known.REJECTED | OURS
EVENT: Final = {"event": "order_updated", "data": {"id": "1", "status": "accepted"}}


async def nothing() -> None:
    """Nothing was missed."""


def opened(journal: Journal, clock: Any = None, **config: Any) -> Inbox:
    ticking = clock or SystemClock()
    journal.clock = clock or journal.clock
    line = RestLine("cafe", "doshii", Script(), journal, ticking)
    return Inbox("cafe", doshii(**(SECRETS | config)), ticking, journal, line, nothing)


async def told(
    box: Inbox, body: Any, authorization: str = BASIC, query: dict[str, str] | None = None
) -> HttpAnswer | None:
    [door] = box.doors()
    assert isinstance(door, Door)
    raw = body if isinstance(body, bytes) else dumps(body).encode()
    return await door.handle(webhook(raw, query, authorization=authorization))


def status(answer: HttpAnswer | None) -> int | None:
    return None if answer is None else answer.status


# Who may


def test_the_door_is_the_sessions_own_and_needs_a_token() -> None:
    [door] = opened(Journal()).doors()
    assert (door.path, getattr(door, "refusal", None)) == ("/webhooks/doshii/cafe", UNAUTHORISED)
    assert opened(Journal(), webhook_key=None, webhook_token=None).doors() == ()


async def test_key_and_token_come_as_basic_and_the_token_alone_as_bearer() -> None:
    assert status(await told(opened(Journal()), EVENT)) == 200
    assert status(await told(opened(Journal(), webhook_key=None), EVENT, "Bearer token-1")) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "Bearer token-1",
        BASIC.lower(),
        BASIC[:-1],
        f"{BASIC} ",
        "Basic é",
        f"Basic {base64.b64encode(b'key-1:').decode()}",
    ],
)
async def test_anybody_else_is_nobody(wrong: str) -> None:
    journal = Journal()
    assert await told(opened(journal), EVENT, wrong) is None
    assert journal.reports == []


def test_without_a_token_nobody_is_believed() -> None:
    assert not opened(Journal(), webhook_key=None, webhook_token=None)._authorised("Bearer ")


async def test_the_comparison_takes_the_same_time_for_any_header(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((left, right))
        return left == right

    monkeypatch.setattr(hmac, "compare_digest", compare)
    await told(opened(Journal()), EVENT, "x")
    await told(opened(Journal()), EVENT)
    assert compared == [(b"x", BASIC.encode()), (BASIC.encode(), BASIC.encode())]


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_the_verification_is_answered_with_its_own_word(body: bytes) -> None:
    journal = Journal()
    assert await told(opened(journal), body, query={"verify": "w-1"}) == HttpAnswer(200, "w-1", result="verified")
    assert journal.reports == []


async def test_a_verification_with_an_event_in_it_is_an_event() -> None:
    journal = Journal()
    box = opened(journal)
    assert await told(box, EVENT, query={"verify": "w-1"}) == HttpAnswer(200, {})
    assert len(journal.reports) == 1
    assert await told(box, EVENT, authorization="Basic Z3Vlc3M6", query={"verify": "w-1"}) is None


async def test_the_verification_may_stand_in_the_body_alone() -> None:
    journal = Journal()
    assert await told(opened(journal), {"verify": "w-1"}, "") == HttpAnswer(200, "w-1", result="verified")
    others: list[Any] = [{"verify": 1}, {"verify": "w-1", **EVENT}, {"verify": "w" * 5_000}, ["verify"], b"{"]
    for other in others:
        assert await told(opened(journal), other, "") is None
    assert await told(opened(journal), EVENT, "", {"verify": "w-1"}) is None
    assert journal.reports == []


# Deliveries


@pytest.mark.parametrize(
    "body",
    [EVENT, {"type": EVENT["event"], "data": EVENT["data"]}, {"emit": [EVENT["event"], EVENT["data"]]}],
    ids=["event", "type", "emit"],
)
async def test_an_event_in_any_envelope(body: Any) -> None:
    journal = Journal()
    box = opened(journal)
    assert await told(box, body) == HttpAnswer(200, {})
    [report] = journal.reports
    assert (report.kind, report.data["status"], report.vendor) == ("order.updated", "accepted", body)
    assert box._line.counters["webhooks"] == 1


@pytest.mark.parametrize("body", [b"", b"junk", b"\xff", b"[]", b"null", b"{}", b'{"a":1,"a":2}', b'{"event":"x"}'])
async def test_junk_is_refused(body: bytes) -> None:
    journal = Journal()
    assert status(await told(opened(journal), body)) == 400
    assert journal.reports == []


async def test_a_full_disk_asks_for_a_repeat_and_nothing_is_taken_as_told() -> None:
    journal = Journal(full=True)
    box = opened(journal)
    body = {"event": "order_preprocess", "data": COMPLETE}
    assert await told(box, body) == HttpAnswer(503, {"error": "not now"}, {"Retry-After": "30"})
    assert await box.quote(ID, SystemClock().now()) is None
    journal.full = False
    assert status(await told(box, body)) == 200
    assert len(journal.reports) == 1


@given(anything | objects(*NAMES))
async def test_any_body_has_an_answer(body: Any) -> None:
    assert status(await told(opened(Journal()), body)) in {200, 400}


@given(st.binary(max_size=60))
async def test_any_bytes_have_an_answer(body: bytes) -> None:
    assert status(await told(opened(Journal()), body)) in {200, 400}


# Once


async def test_the_same_event_by_socket_and_by_webhook_is_one() -> None:
    journal = Journal()
    box = opened(journal)
    await box._from_socket("order_updated", {"status": "accepted", "id": "1"}, {"emit": []})
    assert status(await told(box, EVENT)) == 200
    assert len(journal.reports) == 1
    await told(box, {"event": "order_updated", "data": {"id": "1", "status": "complete"}})
    await told(box, {"event": "order_created", "data": {"id": "1", "status": "accepted"}})
    assert len(journal.reports) == 3


@pytest.mark.parametrize(
    ("start", "later"), [(0.0, SAME_WITHIN), (SAME_WITHIN - 1, 2.0), (SAME_WITHIN - 1, SAME_WITHIN)]
)
async def test_a_twin_within_ten_minutes_is_the_same_wherever_they_begin(start: float, later: float) -> None:
    journal, clock = Journal(), HandClock()
    clock.time += start - clock.time % SAME_WITHIN
    box = opened(journal, clock)
    await told(box, EVENT)
    clock.time += later
    await told(box, EVENT)
    assert len(journal.reports) == 1


@pytest.mark.parametrize("start", [0.0, 1.0, SAME_WITHIN - 1])
async def test_a_twin_after_that_is_another_event(start: float) -> None:
    journal, clock = Journal(), HandClock()
    clock.time += start - clock.time % SAME_WITHIN
    box = opened(journal, clock)
    await told(box, EVENT)
    clock.time += SAME_WITHIN + 1
    await told(box, EVENT)
    await told(box, EVENT)
    assert len(journal.reports) == 2


@pytest.mark.parametrize("start", [0.0, 30.0, SAME_WITHIN - 1])
async def test_a_repeat_after_a_restart_is_the_same(start: float) -> None:
    journal, clock = Journal(), HandClock()
    clock.time += start - clock.time % SAME_WITHIN
    await told(opened(journal, clock), EVENT)
    clock.time += 60
    assert status(await told(opened(journal, clock), EVENT)) == 200
    assert len(journal.reports) == 1


async def test_a_quote_ends_once_however_late_its_event_comes_again() -> None:
    journal, clock = Journal(), HandClock()
    for data in (COMPLETE, REJECTED):
        await told(opened(journal, clock), {"event": "order_preprocess", "data": data})
        clock.time += 86_400
        assert status(await told(opened(journal, clock), {"event": "order_preprocess", "data": data})) == 200
    assert len(journal.reports) == 2


GONE: dict[str, Any] = {"posId": "soup", "type": "products", "action": "updated", "availability": "unavailable"}
BACK: dict[str, Any] = GONE | {"availability": "available"}


@pytest.mark.parametrize(
    ("name", "first", "then"),
    [
        ("menu_updated", GONE, BACK),
        (
            "app_store_status_updated",
            {"locationId": "Qm7Zt1", "busyUntil": None},
            {"locationId": "Qm7Zt1", "busyUntil": "x"},
        ),
        ("location_subscription", {"id": "Qm7Zt1", "status": "subscribed"}, {"id": "Qm7Zt1", "status": "unsubscribed"}),
    ],
)
async def test_what_goes_back_to_a_state_that_it_was_in_is_told_each_time(name: str, first: Any, then: Any) -> None:
    journal = Journal()
    for data in (first, first, then, first, first, then, then, first):
        await told(opened(journal), {"event": name, "data": data})
        await opened(journal)._from_socket(name, data, None)
    assert [report.vendor for report in journal.reports] == [
        {"event": name, "data": data} for data in (first, then, first, then, first)
    ]


async def test_what_is_told_of_another_product_makes_no_repeat_news() -> None:
    journal = Journal()
    for data in (GONE, GONE | {"posId": "salad"}, GONE):
        await told(opened(journal), {"event": "menu_updated", "data": data})
    assert len(journal.reports) == 2


async def test_an_order_does_not_go_back_to_a_state_that_a_late_repeat_tells() -> None:
    journal = Journal()
    for state in ("accepted", "complete", "accepted"):
        await told(opened(journal), {"event": "order_updated", "data": {"id": "1", "status": state}})
    assert [report.data["status"] for report in journal.reports] == ["accepted", "closed"]


async def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUOTES_KEPT", 3)
    box = opened(Journal())
    for number in range(50):
        await box._from_socket("order_preprocess", {"id": str(number), "status": "complete"}, None)
        await box._from_socket("order_updated", {"id": str(number), "status": "accepted"}, None)
    assert (list(box._quotes), list(box._told)) == (["47", "48", "49"], ["47", "48", "49"])


# Locations


@pytest.mark.parametrize("name", ["order_updated", "menu_updated", "app_store_status_updated", "location_subscription"])
async def test_what_happens_at_another_location_is_told_by_the_session_of_that_one(name: str) -> None:
    journal = Journal()
    box = opened(journal)
    data: dict[str, Any] = {"id": "1", "status": "accepted", "locationId": "another"}
    await box._from_socket(name, data, None)
    assert await told(box, {"event": name, "data": data}) == HttpAnswer(200, {}, result="repeat")
    assert (journal.reports, box.heard()) == ([], {})
    for location in ("Qm7Zt1", "17", 18, None):
        await box._from_socket(name, data | {"locationId": location}, None)
    assert len(journal.reports) == 4


async def test_a_quote_of_another_location_is_no_news_and_yet_known_by_its_id() -> None:
    journal = Journal()
    box = opened(journal)
    await told(box, {"event": "order_preprocess", "data": COMPLETE | {"locationId": "another"}})
    assert journal.reports == []
    assert await box.quote(ID, SystemClock().now()) is not None


@pytest.mark.parametrize(
    "body",
    [
        {"event": "order_updated", "locationId": "another", "data": {"id": "1", "status": "accepted"}},
        {"type": "order_updated", "data": {"id": "1", "status": "accepted", "LocationID": " another "}},
        {"event": "order_updated", "data": {"id": "1", "status": "accepted", "location": {"id": "another"}}},
        {"emit": ["order_created", {"id": "1", "order": {"id": "1", "locationId": "another"}}]},
        {"event": "order_updated", "data": '{"id": "1", "status": "accepted", "locationId": "another"}'},
        {"event": "location_subscription", "data": {"id": "another", "status": "subscribed"}},
        {"event": "transaction_updated", "data": {"id": "t", "orderId": "1", "locationId": "another"}},
    ],
)
async def test_wherever_an_event_names_another_location_it_is_not_ours(body: Any) -> None:
    journal = Journal()
    box = opened(journal)
    assert await told(box, body) == HttpAnswer(200, {}, result="repeat")
    name_and_data = answers.envelope(body)
    assert name_and_data is not None
    await box._from_socket(*name_and_data, body)
    assert journal.reports == []


ODD: Final[dict[str, bytes]] = {
    "half an emoji": b'{"event":"order_updated","data":{"id":"1","status":"accepted","notes":"x \\ud83e"}}',
    "a byte order mark": b'\xef\xbb\xbf{"event":"order_updated","data":{"id":"1","status":"accepted"}}',
    "NUL at the end": b'{"event":"order_updated","data":{"id":"1","status":"accepted"}}\0',
    "a huge number": b'{"event":"order_updated","data":{"id":"1","status":"accepted","eta":1e999}}',
    "a key twice": b'{"event":"order_updated","data":{"id":"1","id":"1","status":"accepted"}}',
    "a letter that was cut": b'{"event":"order_updated","data":{"id":"1","status":"accepted","name":"Caf\xc3"}}',
    "UTF-16": '{"event":"order_updated","data":{"id":"1","status":"accepted"}}'.encode("utf-16"),
    "other case": b'{"Event":"order_updated","Data":{"Id":1,"Status":" Accepted"}}',
    "JSON in JSON": b'{"event":"order_updated","data":"{\\"id\\":\\"1\\",\\"status\\":\\"accepted\\"}"}',
}


@pytest.mark.parametrize("body", ODD.values(), ids=ODD.keys())
async def test_an_oddity_costs_no_event(body: bytes) -> None:
    journal = Journal()
    assert await told(opened(journal), body) == HttpAnswer(200, {})
    [report] = journal.reports
    assert (report.kind, report.data["order_id"], report.data["status"]) == ("order.updated", "1", "accepted")


async def test_numbers_and_their_texts_are_one_event() -> None:
    journal = Journal()
    box = opened(journal)
    await box._from_socket("order_updated", {"id": 1, "status": "accepted"}, None)
    again = await told(box, {"event": "order_updated", "data": {"status": "accepted", "id": "1"}})
    assert again == HttpAnswer(200, {}, result="repeat")
    assert len(journal.reports) == 1


# The socket's own


async def test_an_event_of_the_socket_waits_until_it_is_durable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.01)
    journal = Journal(full=True)
    taking = asyncio.create_task(opened(journal)._from_socket("order_updated", {"id": "1"}, None))
    done, _ = await asyncio.wait({taking}, timeout=0.05)
    assert not done
    journal.full = False
    await asyncio.wait_for(taking, 10)
    assert len(journal.reports) == 1


async def test_a_session_without_a_socket_lacks_nothing() -> None:
    box = opened(Journal())
    assert box._line.lacking is None
    await asyncio.wait_for(box.run(), 10)


async def test_a_socket_is_kept_and_made_anew_on_demand() -> None:
    box = opened(Journal(), socket_url="ws://127.0.0.1:1/", reconnect_min=60, reconnect_max=60)
    line = box._line
    async with serving(box.run):
        await until(lambda: "ConnectionRefusedError" in str(line.lacking))
        line.lacking = None
        box.reconnect()
        await until(lambda: "ConnectionRefusedError" in str(line.lacking))


def test_a_session_with_a_socket_is_up_once_that_stands() -> None:
    box = opened(Journal(), socket_url="ws://127.0.0.1:1/")
    line = box._line
    assert line.lacking == "the socket for events is not connected yet"
    box._socket_changed("up", None)
    line.stands()
    assert line.status().state == "up"
    box._socket_changed("down", "closed by Doshii with code 1001")
    assert (line.status().state, line.status().last_error) == ("down", "closed by Doshii with code 1001")
    box._socket_changed("refused", "the socket was refused with HTTP 401")
    line.stands()
    assert (line.status().state, line.status().last_error) == ("refused", "the socket was refused with HTTP 401")
    box._socket_changed("up", None)
    line.stands()
    assert line.status().state == "up"


# Quotes


@pytest.mark.parametrize("data", [COMPLETE, REJECTED, COMPLETE | {"status": " complete "}])
async def test_an_event_that_came_before_anybody_asked_ends_the_quote(data: dict[str, Any]) -> None:
    box = opened(Journal())
    raw = {"event": "order_preprocess", "data": data}
    await told(box, raw)
    assert await box.quote(ID, SystemClock().now()) == (data, raw)


async def test_an_event_ends_the_quotes_that_wait_for_it() -> None:
    box = opened(Journal())
    deadline = SystemClock().now() + 20
    mine, other = (asyncio.create_task(box.quote(name, deadline)) for name in (ID, "another"))
    await asyncio.sleep(0)
    await told(box, {"event": "order_preprocess", "data": {"id": "another", "status": "pending"}})
    await told(box, {"event": "order_updated", "data": {"id": "another", "status": "complete"}})
    await told(box, {"event": "order_preprocess", "data": {"status": "complete"}})
    await told(box, {"event": "order_preprocess", "data": COMPLETE})
    found = await asyncio.wait_for(mine, 10)
    assert found is not None
    assert found[0] == COMPLETE
    assert not other.done()
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)


async def test_a_quote_that_nobody_answers_ends_with_its_deadline() -> None:
    assert await opened(Journal()).quote(ID, SystemClock().now() + 0.05) is None


# Catching up


async def test_an_order_is_told_once_for_each_state_that_it_was_found_in() -> None:
    journal = Journal()
    box = opened(journal)
    found: dict[str, Any] = {"id": "1", "status": "accepted", "externalOrderRef": "APP-1", "version": "v1", "items": []}
    for state in ("accepted", "accepted", "rejected"):
        await box.caught_up(found | {"status": state})
    assert [report.data["status"] for report in journal.reports] == ["accepted", "rejected"]
    assert journal.reports[0].data["reference"] == "APP-1"
    assert journal.reports[0].vendor == found


async def test_a_state_that_an_event_told_is_not_told_again() -> None:
    journal = Journal()
    box = opened(journal)
    await told(box, EVENT)
    await box.caught_up({"id": "1", "status": "accepted"})
    assert len(journal.reports) == 1


async def test_what_was_last_heard_of_orders() -> None:
    box = opened(Journal())
    box.note_made({"id": "made", "status": "pending"})
    box.note_made({"id": "made", "status": "complete"})
    for name, status_ in (
        ("1", "accepted"),
        ("2", "pending"),
        ("3", "complete"),
        ("4", "cancelled"),
        ("2", "rejected"),
    ):
        await box._from_socket("order_updated", {"id": name, "status": status_}, None)
    await box._from_socket("location_subscription", {"id": "5", "status": "accepted"}, None)
    said_too_little: list[Any] = [None, [], {}, {"id": "6"}, {"status": "accepted"}]
    for junk in said_too_little:
        box.note_made(junk)
    states = {"made": "pending", "1": "accepted", "2": "rejected", "3": "complete", "4": "cancelled"}
    assert box.heard() == states
    await box.caught_up({"id": "1", "status": "complete"})
    assert box.heard() == states | {"1": "complete"}
    assert (box.heard_of("1"), box.heard_of("5")) == ("complete", None)


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_state_that_was_told_is_not_told_again_after_a_restart(*, restarts: bool) -> None:
    """Neither one that an event told nor one that was found, whatever else of the order has changed since."""
    journal = Journal()
    box = opened(journal)
    await told(box, EVENT)
    await box.caught_up({"id": "1", "status": "complete", "version": "v1"})
    assert [report.data["status"] for report in journal.reports] == ["accepted", "closed"]
    box = opened(journal) if restarts else box
    for state in ("complete", "accepted", "complete"):
        await box.caught_up({"id": "1", "status": state, "version": "v2"})
    assert len(journal.reports) == 2


@pytest.mark.parametrize(
    ("later", "state", "news"),
    [
        (0.0, "accepted", False),
        (SAME_WITHIN, "accepted", False),
        (SAME_WITHIN + 1, "accepted", True),
        (0.0, "complete", True),
    ],
)
async def test_an_event_that_comes_after_catching_up_is_no_news(later: float, state: str, *, news: bool) -> None:
    journal, clock = Journal(), HandClock()
    box = opened(journal, clock)
    box.note_made({"id": "1", "status": "pending"})
    await box.caught_up({"id": "1", "status": "accepted"})
    clock.time += later
    late = {"event": "order_updated", "data": {"id": "1", "status": state}}
    for result in (None if news else "repeat", "repeat"):
        assert await told(box, late) == HttpAnswer(200, {}, result=result)
    assert len(journal.reports) == (2 if news else 1)


async def test_an_order_that_was_never_heard_of_is_told_where_a_command_made_it() -> None:
    journal = Journal()
    box = opened(journal)
    for state in ("pending", "accepted", " complete "):
        await box.caught_up({"id": "1", "status": state})
    assert [(report.data["status"], report.known) for report in journal.reports] == [
        ("accepted", None),
        ("closed", None),
    ]
    await opened(journal).caught_up({"id": "2", "status": "cancelled"})
    assert journal.reports[-1].known == ("order_id", "2")


async def test_an_order_without_an_id_is_not_told() -> None:
    journal = Journal()
    await opened(journal).caught_up({"status": "accepted"})
    assert journal.reports == []


@pytest.mark.parametrize("known", [False, True])
async def test_a_state_found_while_the_disk_is_full_is_told_later_unless_it_was_before(*, known: bool) -> None:
    journal = Journal()
    if known:
        await told(opened(journal), EVENT)
    journal.full = True
    box = opened(journal)  # after a restart
    async with serving(box._line.reporter.run), asyncio.TaskGroup() as tasks:
        finding = tasks.create_task(box.caught_up({"id": "1", "status": "accepted"}))
        await asyncio.sleep(0)
        journal.full = False
        await asyncio.wait_for(finding, 20)
    assert [report.kind for report in journal.reports] == ["order.updated"]
