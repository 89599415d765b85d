"""Answers have the fields and types of the sample that the page of CancelOnlineOrder prints."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ordernpay.simulator.pages import write_json
from ordernpay.simulator.tevalis import TevalisSimulator
from tests.simulator.tevalis_requests import Message, calculation, cancellation, item, macro, option, parsed, submission

PRINTED = json.loads((Path(__file__).parents[1] / "data" / "tevalis_cancel_answer.json").read_text())
SEVEN_DECIMALS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00")


def shape(value: Any) -> Any:
    """The names and types of a value; of a list, those of its first entry."""
    match value:
        case dict():
            return {name: shape(held) for name, held in value.items()}
        case list():
            return [shape(held) for held in value[:1]]
        case _:
            return type(value).__name__


def full(reference: str) -> Message:
    note = {"Note": "no salt"}
    priced = option(55, 702, IsRemove=False, OverridePrice=1.25)
    return item("BURG-CHK", ItemRef=reference, OverridePrice=10.25, ItemNotes=[note], Modifiers=[priced])


EVERYTHING = calculation(
    full("a"),
    item("SOUP", ItemRef="b"),
    TableNumber=24,
    Covers=2,
    ServiceChargeAmount=1.5,
    MacroItems=[macro(full("c"), full("d"))],
    ConfigurableDiscounts=[{"DiscountID": 4, "AffectedItemRefs": ["b"]}],
    ManualPromotions=[{"PromotionID": 21, "AffectedItemRefs": ["b"]}],
)


def test_all_three_answers_look_like_the_printed_one() -> None:
    simulator = TevalisSimulator()
    calculated = simulator.calculate(parsed(EVERYTHING))
    submitted = simulator.submit(submission(calculated["UID"]))
    cancelled = simulator.cancel(cancellation(calculated["UID"]))
    assert calculated == submitted == cancelled
    answer = json.loads(write_json(cancelled))
    assert shape(answer) == shape(PRINTED)
    assert list(answer) == list(PRINTED)
    assert SEVEN_DECIMALS.fullmatch(answer["EstimatedTimeUTC"])
    assert SEVEN_DECIMALS.fullmatch(PRINTED["EstimatedTimeUTC"])


def test_what_was_asked_comes_back() -> None:
    answer = TevalisSimulator().calculate(parsed(EVERYTHING))
    assert (answer["TableNumber"], answer["PriceGroupID"], answer["Covers"]) == (24, 3, 2)
    assert answer["Terminal"] == "TILL-02"
    line = answer["StandardOrderItems"][0]
    assert (line["PLU"], line["Quantity"], line["ItemRef"], line["ItemNotes"]) == ("BURG-CHK", 1, "a", ["no salt"])
    macro_item = answer["StandardMacroItems"][0]
    assert [macro_item["ParentOrderItem"]["ItemRef"], macro_item["ChildrenOrderItems"][0]["ItemRef"]] == ["c", "d"]


def test_what_was_not_said_comes_back_as_null() -> None:
    answer = TevalisSimulator().calculate(calculation(item("BURG-CHK", Modifiers=[option()])))
    assert (answer["TableNumber"], answer["Covers"]) == (None, None)
    line = answer["StandardOrderItems"][0]
    assert (line["OverridePrice"], line["ItemRef"], line["ItemNotes"]) == (None, None, [])
    assert line["Modifiers"][0]["OverridePrice"] is None


def test_the_newer_pages_have_a_sales_area() -> None:
    simulator = TevalisSimulator()
    assert "SalesArea" not in simulator.calculate(calculation(SalesArea="Terrace"))
    simulator.site = evolve(simulator.site, answers_sales_area=True)
    assert simulator.calculate(calculation(SalesArea="Terrace"))["SalesArea"] == "Terrace"


@pytest.mark.parametrize("suffix", ["", "Z", "+00:00"])
def test_the_time_is_a_quarter_of_an_hour_away(suffix: str) -> None:
    simulator = TevalisSimulator(now=lambda: datetime(2031, 3, 4, 18, 10, 0, 365008, tzinfo=UTC))
    simulator.site = evolve(simulator.site, time_suffix=suffix)
    assert simulator.calculate(calculation())["EstimatedTimeUTC"] == f"2031-03-04T18:25:00.3650088{suffix}"
