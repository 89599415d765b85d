"""Doshii's answers and events in the contract's words: mixed money, three envelopes, and whatever else comes."""

from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import dumps
from ordernpay.vendors.doshii import answers
from ordernpay.vendors.reading import Reader
from tests.vendors.given import anything, objects

ID: Final = "f77011a6-f4f9-4fe7-ba75-5319c3e59916"
REJECTED: Final[dict[str, Any]] = {
    "id": ID,
    "status": "rejected",
    "locationId": "2xYdsw233",
    "rejectionCode": "O1",
    "rejectionReason": "Unknown item",
}
TOAST: Final[dict[str, Any]] = {
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
COMPLETE: Final[dict[str, Any]] = {
    "id": ID,
    "status": "complete",
    "locationId": "2xYdsw233",
    "posAdjusted": True,
    "validUntil": None,
    "order": {"type": "pickup", "surcounts": [], "items": [TOAST]},
}
NAMES: Final = (
    *("id", "status", "order", "items", "surcounts", "options", "variants", "transactions", "taxes", "checkin"),
    *("tableNames", "unapprovedItems", "notes", "value", "amount", "unitPrice", "totalAfterSurcounts", "posId"),
    *("event", "type", "data", "emit", "doshii", "ping", "pong", "externalOrderRef", "rejectionCode", "quantity"),
)
EVENTS: Final = (
    *("order_preprocess", "order_created", "order_updated", "menu_updated", "app_menu_updated", "table_removed"),
    *("app_menu_item_updated", "transaction_updated", "location_subscription", "ckeckin_updated", "message", ""),
)


def event(name: str, data: Any) -> Any:
    return answers.event(name, Reader(data), {"event": name, "data": data})


# The seed's events


def test_a_quote_that_was_rejected() -> None:
    report = event("order_preprocess", REJECTED)
    assert report.kind == "quote.rejected"
    assert report.data == {"quote_id": ID, "code": "O1", "reason": "Unknown item"}
    assert report.vendor == {"event": "order_preprocess", "data": REJECTED}
    outcome = answers.quote(Reader(REJECTED), "raw")
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind, outcome.failure.vendor_code) == ("rejected", "rejected", "O1")
    assert outcome.failure.message == "the POS refused the order: Unknown item"
    assert (outcome.failure.vendor_message, outcome.vendor) == ("Unknown item", "raw")


def test_a_quote_that_was_completed() -> None:
    report = event("order_preprocess", COMPLETE)
    assert report.kind == "quote.completed"
    outcome = answers.quote(Reader(COMPLETE), "raw")
    assert (outcome.state, outcome.vendor, outcome.result) == ("succeeded", "raw", report.data)
    told = report.data
    assert (told["quote_id"], told["adjusted"], told["valid_until"]) == (ID, True, None)
    assert told["order"]["total"] == "11.00"
    assert told["order"]["lines"] == [
        {
            "id": None,
            "product": "toasted_eggs",
            "modifier": None,
            "modifier_name": None,
            "name": "Toasted Sourdough Bread & Eggs",
            "quantity": 1,
            "unit_price": "11.00",
            "total": "11.00",
            "children": [],
            "adjustment": None,
            "note": "Just ye old classic",
            "status": None,
        }
    ]


@pytest.mark.parametrize("status", [" rejected", "rejected ", "rejected"])
def test_the_blanks_of_doshiis_own_types_do_not_matter(status: str) -> None:
    assert event("order_preprocess", REJECTED | {"status": status}).kind == "quote.rejected"
    assert answers.quote(Reader(REJECTED | {"status": status}), None).state == "rejected"
    assert event("order_preprocess", COMPLETE | {"status": " complete "}).kind == "quote.completed"


def test_a_refusal_without_a_reason() -> None:
    outcome = answers.quote(Reader({"id": ID, "status": "rejected"}), None)
    assert outcome.failure is not None
    assert (outcome.failure.message, outcome.failure.vendor_code) == ("the POS refused the order", None)


@pytest.mark.parametrize("status", ["pending", "accepted", None, 7])
def test_another_status_of_a_pre_process_ends_nothing(status: Any) -> None:
    report = event("order_preprocess", {"id": ID, "status": status})
    assert (report.kind, report.data) == ("vendor.event", {"type": "order_preprocess"})


# Orders

WHOLE: Final[dict[str, Any]] = {
    "id": "90217",
    "posRef": "T-4",
    "externalOrderRef": "APP-1",
    "status": "accepted",
    "notes": "no salt\nTable 12",
    "requiredAt": "2026-03-02T01:45:00.000Z",
    "checkin": {"tableNames": ["12", "13"]},
    "items": [
        {
            "uuid": "u-1",
            "posId": "dumpling_box",
            "name": "Dumpling box",
            "quantity": "3",
            "unitPrice": 900,
            "totalAfterSurcounts": "3230",
            "options": [{"posId": "dips", "variants": [{"posId": "chilli", "name": "Chilli", "price": "150"}]}],
            "surcounts": [{"posId": "box_fee", "name": "Box fee", "amount": "80", "value": "80"}],
        }
    ],
    "unapprovedItems": [{"uuid": "u-2", "posId": "tea", "status": "pending", "totalAfterSurcounts": 400}],
    "surcounts": [{"name": "Offer", "type": "percentage", "amount": "10", "value": -323}],
    "taxes": [
        {"name": "GST", "type": "percentage", "taxType": "inclusive", "amount": "10", "value": "264"},
        {"name": "Levy", "type": "absolute", "taxType": "exclusive", "amount": "10", "value": 10},
    ],
    "transactions": [{"id": "t", "method": "visa", "amount": "3230", "tip": 0, "reference": "p", "status": "complete"}],
}


def test_an_order_with_everything() -> None:
    told = answers.order(WHOLE)
    assert (told["id"], told["reference"], told["number"], told["status"]) == ("90217", "APP-1", "T-4", "accepted")
    assert (told["table"], told["total"], told["notes"]) == ("12", "29.17", ["no salt", "Table 12"])
    assert told["estimated_at"] == "2026-03-02T01:45:00.000Z"
    lines = told["lines"]
    assert isinstance(lines, list)
    first, waiting = lines
    assert isinstance(first, dict)
    assert isinstance(waiting, dict)
    assert (first["quantity"], first["unit_price"], first["total"]) == (3, "9.00", "32.30")
    assert first["children"] == [{"product": "dips:chilli", "name": "Chilli", "unit_price": "1.50"}]
    assert first["adjustment"] == {"name": "Box fee", "amount": "0.80", "id": None, "pos_id": "box_fee"}
    assert (waiting["id"], waiting["status"], waiting["total"]) == ("u-2", "pending", "4.00")
    assert told["adjustments"] == [{"name": "Offer", "amount": "-3.23", "id": None, "pos_id": None}]
    assert told["taxes"] == [
        {"name": "GST", "amount": "2.64", "rate": "10", "included": True},
        {"name": "Levy", "amount": "0.10", "rate": None, "included": False},
    ]
    assert told["payments"] == [
        {"id": "t", "method": "visa", "amount": "32.30", "tip": "0.00", "reference": "p", "status": "complete"}
    ]


def test_an_order_without_anything() -> None:
    nothing: list[Any] = [{}, None, [], "x", {"checkin": {"tableNames": []}}, {"checkin": {}}]
    for raw in nothing:
        told = answers.order(raw)
        assert (told["total"], told["table"], told["lines"], told["notes"]) == (None, None, [], [])


def test_a_number_of_its_own_and_a_better_time() -> None:
    times = {"availableEta": "2026-03-02T12:45:00+11:00", "requiredAt": "2026-03-02T02:00:00Z"}
    told = answers.order({"posDisplayId": 7, **times})
    assert (told["number"], told["estimated_at"]) == ("7", "2026-03-02T01:45:00.000Z")


@pytest.mark.parametrize(
    "none", ["soon", "02/03/2026 12:45", "2026-03-02T12:45:00", "0001-01-01T00:00:00Z", "", 17, None]
)
def test_what_is_no_time_is_none(none: Any) -> None:
    assert answers.order({"availableEta": none})["estimated_at"] is None
    assert answers.order({"availableEta": none, "requiredAt": "2026-03-02T02:00:00Z"})["estimated_at"] is not None
    told = answers.quote(Reader({"status": "complete", "validUntil": none}), None)
    assert told.result is not None
    assert told.result["valid_until"] is None


ITEM: Final = {"name": "Tea", "totalAfterSurcounts": "1000"}


@pytest.mark.parametrize(
    ("part", "total"),
    [
        ({}, "10.00"),
        ({"items": [ITEM, ITEM | {"totalAfterSurcounts": "350.0"}]}, "13.50"),
        ({"items": [ITEM, ITEM | {"totalAfterSurcounts": Decimal("349.99999999999994")}]}, "13.50"),
        ({"items": [ITEM, ITEM | {"totalAfterSurcounts": Decimal("-0.0")}]}, "10.00"),
        ({"items": [ITEM, ITEM | {"totalAfterSurcounts": "3.5"}]}, None),
        ({"items": [ITEM, ITEM | {"totalAfterSurcounts": None}]}, None),
        ({"items": [ITEM, {}]}, None),
        ({"items": [ITEM, "Cake"]}, None),
        ({"items": ITEM}, "10.00"),
        ({"surcounts": [{"type": "percentage", "amount": "-10"}]}, None),
        ({"surcounts": [{"type": "absolute", "amount": "-10"}]}, "9.90"),
        ({"surcounts": [None]}, None),
        ({"surcounts": "none"}, None),
        ({"surcounts": None, "taxes": None}, "10.00"),
        ({"taxes": [{"taxType": "exclusive", "value": "55"}]}, "10.55"),
        ({"taxes": [{"taxType": "exclusive"}]}, None),
        ({"taxes": [{"taxType": "inclusive"}]}, "10.00"),
    ],
)
def test_a_total_of_which_a_part_is_not_known_is_not_told(part: Any, total: str | None) -> None:
    assert answers.order({"items": [ITEM]} | part)["total"] == total


@pytest.mark.parametrize(
    "none", ["", "  ", "00000000-0000-0000-0000-000000000000", "{" + "0" * 32 + "}", None, [], True]
)
def test_an_id_that_was_never_set_is_none(none: Any) -> None:
    assert answers.order({"id": none})["id"] is None
    assert answers.identity(Reader({"id": none}), "id") is None
    assert answers.identity(Reader({"id": 0}), "id") == "0"


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("pending", "submitted"),
        ("accepted", "accepted"),
        ("rejected", "rejected"),
        ("cancelled", "cancelled"),
        ("venue_cancelled", "cancelled"),
        ("complete", "closed"),
        (" accepted", "accepted"),
        ("new", None),
        (None, None),
    ],
)
def test_the_status_of_an_order(theirs: Any, ours: str | None) -> None:
    assert answers.order({"status": theirs})["status"] == ours
    for name in ("order_created", "order_updated"):
        report = event(name, {"id": "1", "status": theirs})
        assert (report.kind, report.data["status"]) == ("order.updated", ours)


# Other events


def test_an_order_that_changed() -> None:
    data = {
        "orderId": 90217,
        "externalOrderRef": "APP-1",
        "status": "rejected",
        "rejectionCode": "O3",
        "rejectionReason": "no",
    }
    assert event("order_updated", data).data == {
        "order_id": "90217",
        "reference": "APP-1",
        "status": "rejected",
        "code": "O3",
        "reason": "no",
    }


@pytest.mark.parametrize("name", ["menu_updated", "app_menu_updated", "app_menu_item_updated"])
def test_a_menu_that_changed(name: str) -> None:
    report = event(name, {"posId": "7", "type": "products", "action": "updated", "availability": "unavailable"})
    assert report.kind == "menu.updated"
    assert report.data == {"product": "7", "type": "products", "action": "updated", "availability": "unavailable"}


@pytest.mark.parametrize("name", ["transaction_updated", "app_store_status_updated", "ckeckin_updated", "nobody_knows"])
def test_any_other_is_an_event_of_the_vendor(name: str) -> None:
    report = event(name, {"id": 1})
    assert (report.kind, report.data) == ("vendor.event", {"type": name})
    assert report.vendor == {"event": name, "data": {"id": 1}}


# Envelopes

DATA: Final = {"id": "90217", "status": "accepted"}


@pytest.mark.parametrize(
    "message",
    [
        {"event": "order_updated", "data": DATA},
        {"type": "order_updated", "data": DATA},
        {"emit": ["order_updated", DATA]},
        {"emit": ["order_updated", DATA, "more"]},
    ],
)
def test_the_three_envelopes(message: dict[str, Any]) -> None:
    assert answers.envelope(message) == ("order_updated", DATA)


@pytest.mark.parametrize(
    "message", [{"emit": ["x"]}, {"emit": ["x", None]}, {"emit": ["x", [1]]}, {"event": "x", "data": {}}]
)
def test_an_event_that_tells_nothing_more(message: dict[str, Any]) -> None:
    assert answers.envelope(message) == ("x", {})


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "primus::ping::1",
        {},
        {"emit": []},
        {"emit": [1, {}]},
        {"emit": "x"},
        {"event": 1, "data": {}},
        {"event": "x"},
        {"event": "x", "data": "x"},
        {"type": "message", "data": {"doshii": {"pong": 1}}},
        {"doshii": {"pong": 1}},
    ],
)
def test_what_is_no_event(message: Any) -> None:
    assert answers.envelope(message) is None


@pytest.mark.parametrize(
    ("message", "beat"),
    [
        ({"doshii": {"pong": 7, "version": "3"}}, ("pong", 7)),
        ({"doshii": {"ping": "7"}}, ("ping", "7")),
        ({"type": "message", "data": {"doshii": {"pong": 7}}}, ("pong", 7)),
        ({"doshii": {}}, None),
        ({"doshii": 7}, None),
        ({"data": {}}, None),
        ({"data": {"doshii": None}}, None),
        ({"emit": ["order_updated", {}]}, None),
        ([], None),
        ("primus::ping::1", None),
    ],
)
def test_heartbeats(message: Any, beat: Any) -> None:
    assert answers.is_heartbeat(message) == beat


# Anything at all


@given(anything | objects(*NAMES))
def test_any_answer_is_read_without_a_fault(raw: Any) -> None:
    assert dumps(answers.order(raw))
    reader = Reader(raw if isinstance(raw, dict) else {})
    outcome = answers.quote(reader, raw)
    assert outcome.state in {"succeeded", "rejected"}
    assert dumps(outcome.result)


@given(st.sampled_from(EVENTS), objects(*NAMES))
def test_any_event_is_told_without_a_fault(name: str, data: dict[str, Any]) -> None:
    report = event(name, data)
    assert report.kind is not None
    assert dumps({"data": report.data, "vendor": report.vendor})


@given(anything | objects(*NAMES))
def test_any_message_is_an_event_or_a_heartbeat_or_neither(message: Any) -> None:
    told, beat = answers.envelope(message), answers.is_heartbeat(message)
    assert told is None or dumps(list(told))
    assert beat is None or beat[0] in {"ping", "pong"}
