"""Tevalis' one answer in the contract's words; whatever is in it, it reads."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from ordernpay.jsontext import dumps
from ordernpay.vendors.http import Answered
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.tevalis import answers
from ordernpay.vendors.tries import declined
from tests.vendors.given import objects

SEED = Path(__file__).parent.parent / "data" / "tevalis_cancel_answer.json"
NAMES = (
    *("UID", "TableNumber", "Covers", "ServiceChargeAmount", "TotalGross", "EstimatedTimeUTC", "StandardOrderItems"),
    *("Promotions", "ConfigurableDiscounts", "PLU", "Quantity", "OverridePrice", "ItemRef", "ExpGross", "ItemNotes"),
    *(
        "StandardMacroItems",
        "ParentOrderItem",
        "ChildrenOrderItems",
        "Modifiers",
        "OptionGroupID",
        "OptionItemID",
        "IsRemove",
        "AffectedItemRefs",
        "PromotionID",
    ),
)


def order(dto: Any) -> dict[str, Any]:
    return answers.order(Reader(dto), uid="u", reference="r", status="open", owing=None)


def test_the_seeds_answer_is_read_whole() -> None:
    raw = Answered(200, SEED.read_bytes()).json()
    assert isinstance(raw, dict)
    told = order(raw)
    assert {name: told[name] for name in ("id", "reference", "status", "table", "total", "covers")} == {
        "id": "u",
        "reference": "r",
        "status": "open",
        "table": "1",
        "total": "5.00",
        "covers": 3,
    }
    assert (told["service_charge"], told["estimated_at"]) == ("1.00", "2024-11-21T06:36:24.3650088+00:00")
    option = {"product": "1:2", "modifier": "remove", "unit_price": "1.00", "total": "4.00", "children": []}
    line = {
        "id": "sample string 3",
        "product": "sample string 1",
        "modifier": None,
        "modifier_name": None,
        "name": None,
        "quantity": 2,
        "unit_price": "1.00",
        "total": "4.00",
        "children": [option, option],
        "adjustment": None,
        "note": "sample string 1 sample string 2",
    }
    deal = line | {"children": [option, option, line, line]}
    assert told["lines"] == [line, line, deal, deal]
    refs = ["sample string 1", "sample string 2"]
    entry = {"name": None, "amount": "2.00", "id": None, "pos_id": "1", "lines": refs}
    assert told["adjustments"] == [entry] * 4
    assert (told["number"], told["currency"], told["taxes"]) == (None, None, None)


def test_an_answer_without_anything() -> None:
    told = order({})
    assert (told["lines"], told["adjustments"], told["total"], told["table"]) == ([], [], None, None)


@pytest.mark.parametrize(
    ("dto", "uid"),
    [
        ({"UID": "c1efca1b-3931-4329-8a73-4064c264935e"}, "c1efca1b-3931-4329-8a73-4064c264935e"),
        ({"UID": "00000000-0000-0000-0000-000000000000"}, None),
        ({"UID": ""}, None),
        ({"UID": None}, None),
        ({"UID": "x" * 129}, None),
        ({}, None),
    ],
)
def test_a_uid_that_was_never_set_is_nobodys(dto: Any, uid: str | None) -> None:
    assert answers.uid(Reader(dto)) == uid


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            b'{"IsSuccess": false, "ErrorMsg": "Several bills are open on the table"}',
            "Several bills are open on the table",
        ),
        (b'{"isSuccess": false, "message": "no"}', "no"),
        (b'{"IsSuccess": false}', None),
    ],
)
def test_a_no_is_a_no_whatever_its_status(body: bytes, words: str | None) -> None:
    outcome = declined(Answered(200, body))
    assert outcome is not None
    assert outcome.failure is not None
    assert (outcome.state, outcome.failure.kind, outcome.failure.vendor_message) == ("rejected", "rejected", words)


@pytest.mark.parametrize("body", [b"", b"[]", b"<", b"{}", b'{"IsSuccess": true}', b'{"IsSuccess": null}'])
def test_no_no_is_none(body: bytes) -> None:
    assert declined(Answered(200, body)) is None


@pytest.mark.parametrize(
    ("told", "estimated_at"),
    [
        ("2024-11-21T06:36:24.3650088+00:00", "2024-11-21T06:36:24.3650088+00:00"),
        ("2024-11-21T06:36:24Z", "2024-11-21T06:36:24Z"),
        ("2024-11-21T06:36:24.3650088", "2024-11-21T06:36:24.3650088Z"),
        ("2024-11-21T06:36:24+01:00", "2024-11-21T05:36:24.000Z"),
        ("0001-01-01T00:00:00+01:00", None),
        ("00:25:00", None),
        ("", None),
        (25, None),
        (None, None),
    ],
)
def test_an_estimate_is_a_time_in_utc_or_none(told: Any, estimated_at: str | None) -> None:
    assert order({"EstimatedTimeUTC": told})["estimated_at"] == estimated_at


def test_names_in_any_casing() -> None:
    told = order({"totalgross": 5, "STANDARDORDERITEMS": [{"plu": "A", "modifiers": [{"modifiers": [{}]}]}]})
    assert told["total"] == "5.00"
    assert told["lines"][0]["product"] == "A"
    assert len(told["lines"][0]["children"][0]["children"]) == 1


def test_notes_that_are_no_texts() -> None:
    told = order({"StandardOrderItems": [{"ItemNotes": [{"a": 1}]}, {"ItemNotes": "x"}, {"ItemNotes": ["a", 1, "b"]}]})
    assert [line["note"] for line in told["lines"]] == [None, None, "a b"]


@given(objects(*NAMES))
def test_any_answer_is_read_without_a_fault(dto: dict[str, Any]) -> None:
    assert dumps(order(dto))
