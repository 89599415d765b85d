"""A vendor's model as a table: what it lets through, what it complains about, and where it says so."""

from decimal import Decimal
from typing import Any

import pytest

from ordernpay.conversion import Fault
from ordernpay.vendors.tables import Field, Manner, write
from tests.vendors.given import OUTLET

MANNER = Manner("acme", 4)


def written(field: Field, value: Any, path: str = "order") -> tuple[dict[str, Any], list[Fault]]:
    faults: list[Fault] = []
    return write((field,), {} if value is ... else {field.name: value}, path, faults, MANNER), faults


def test_a_value_goes_out_as_it_is() -> None:
    assert written(Field("Name", "text", "name", 5, required=True), "ab") == ({"Name": "ab"}, [])


@pytest.mark.parametrize("value", [None, ...])
def test_what_is_missing_is_null_or_left_out(value: Any) -> None:
    assert written(Field("Name", "text", "name"), value) == ({"Name": None}, [])
    assert written(Field("Name", "text", "name", absent=True), value) == ({}, [])


@pytest.mark.parametrize(("limit", "described"), [(5, "Name, text, at most 5 characters"), (None, "Name, text")])
def test_what_is_required_and_missing_is_told(limit: int | None, described: str) -> None:
    _, faults = written(Field("Name", "text", "name", limit, required=True), None)
    assert faults == [Fault("order.name", f"required by acme ({described})")]


@pytest.mark.parametrize("value", [0, False, Decimal("0.00"), [], {}])
def test_nothing_much_is_not_nothing(value: Any) -> None:
    assert written(Field("Name", "object", "name", required=True, absent=True), value) == ({"Name": value}, [])


@pytest.mark.parametrize(("length", "fits"), [(0, True), (5, True), (6, False)])
def test_the_length_of_a_text(length: int, fits: bool) -> None:  # noqa: FBT001 - a case
    _, faults = written(Field("Name", "text", "name", 5), "a" * length)
    complaint = Fault("order.name", f"expected at most 5 characters, got {length}: refused by acme's Name")
    assert faults == ([] if fits else [complaint])


def test_a_text_that_is_required_is_not_empty() -> None:
    _, faults = written(Field("Name", "text", "name", required=True), "")
    assert faults == [Fault("order.name", "expected at least one character: refused by acme's Name")]


@pytest.mark.parametrize(("amount", "fits"), [("99.99", True), ("-99.99", True), ("100.00", False), ("-100.00", False)])
def test_the_digits_of_a_decimal(amount: str, fits: bool) -> None:  # noqa: FBT001 - a case
    _, faults = written(Field("Sum", "decimal", "total"), Decimal(amount))
    why = f"expected at most 4 digits, two of them after the point, got {amount}: refused by acme's Sum"
    assert faults == ([] if fits else [Fault("order.total", why)])


@pytest.mark.parametrize(("value", "fits"), [(OUTLET, True), (OUTLET.upper(), True), (OUTLET[:-1], False), ("", False)])
def test_a_guid(value: str, fits: bool) -> None:  # noqa: FBT001 - a case
    _, faults = written(Field("ID", "guid", "id"), value)
    assert [fault.path for fault in faults] == ([] if fits else ["order.id"])


@pytest.mark.parametrize(
    ("source", "path", "place"),
    [("name", "order", "order.name"), ("name", "", "name"), ("@options.merge", "order", "options.merge")],
)
def test_a_complaint_stands_where_the_caller_wrote(source: str, path: str, place: str) -> None:
    _, faults = written(Field("Name", "text", source, required=True), None, path)
    assert [fault.path for fault in faults] == [place]


def test_fields_go_out_in_the_order_of_the_page() -> None:
    model = [Field(name, "text", name) for name in "cab"]
    assert list(write(model, {"a": "1", "b": "2", "c": "3", "more": "4"}, "", [], MANNER)) == ["c", "a", "b"]
