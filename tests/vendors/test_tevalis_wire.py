"""What goes out to Tevalis, to the letter of its pages."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.commands import restore
from ordernpay.conversion import Fault
from ordernpay.jsontext import dumps
from ordernpay.orders import Customer, Line, Order, Payment
from ordernpay.vendors.tevalis import wire
from ordernpay.vendors.tevalis.settings import Options
from tests.vendors.given import said, tevalis

CUSTOMER: Final[dict[str, Any]] = {
    "name": "Robin van Vale",
    "phone": "+440000000000",
    "address": {"line1": "1 High St", "line2": "Mill", "city": "Town", "postal_code": "ZZ1 1ZZ"},
}


def order(**changes: Any) -> Order:
    made: Order = restore("order.create", {"order": {"reference": "EX-1", **changes}}).order
    return made


def lines(*entries: dict[str, Any]) -> tuple[Line, ...]:
    return order(lines=list(entries)).lines


def items(*entries: dict[str, Any], priced: bool = False, **config: Any) -> tuple[list[Any], list[Fault]]:
    faults: list[Fault] = []
    written: Any = wire.items(lines(*entries), "order.lines", tevalis(**config), faults, priced=priced)
    return written, faults


def complaints(*entries: dict[str, Any], **more: Any) -> dict[str, str]:
    return said(items(*entries, **more)[1])


def test_an_item_is_that_of_the_page() -> None:
    written, faults = items(
        {
            "product": "BURG-CHK",
            "quantity": 2,
            "children": [{"product": "55:701"}, {"product": "56:744", "modifier": "remove"}],
        }
    )
    assert faults == []
    assert dumps(written) == (
        '[{"PLU":"BURG-CHK","Quantity":2,"ItemRef":"line-1","Modifiers":['
        '{"OptionGroupID":55,"OptionItemID":701,"IsRemove":false,"Modifiers":[]},'
        '{"OptionGroupID":56,"OptionItemID":744,"IsRemove":true,"Modifiers":[]}]}]'
    )


def test_prices_go_out_only_where_the_kiosks_count() -> None:
    line = {"product": "A", "unit_price": "1.50", "children": [{"product": "1:2", "unit_price": "0.25"}]}
    [silent], _ = items(line)
    [priced], faults = items(line, priced=True)
    assert "OverridePrice" not in silent
    assert "OverridePrice" not in silent["Modifiers"][0]
    assert (str(priced["OverridePrice"]), str(priced["Modifiers"][0]["OverridePrice"])) == ("1.50", "0.25")
    assert faults == []
    assert list(complaints({"product": "A"}, priced=True)) == ["order.lines[0].unit_price"]
    assert items({"product": "A", "unit_price": "0"}, priced=True)[0][0]["OverridePrice"] == 0


def test_a_note_needs_the_name_of_its_field() -> None:
    [item], faults = items({"product": "A", "note": "hot"}, note_field="Text")
    assert (item["ItemNotes"], faults) == ([{"Text": "hot"}], [])
    assert list(complaints({"product": "A", "note": "hot"})) == ["order.lines[0].note"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ({"name": "no product"}, "order.lines[0].product"),
        ({"product": "A", "modifier": "x"}, "order.lines[0].modifier"),
        ({"product": "A", "adjustment": {"name": "a", "amount": 1}}, "order.lines[0].adjustment"),
        ({"product": "A", "children": [{"product": "1:2", "note": "x"}]}, "order.lines[0].children[0].note"),
        ({"product": "A", "children": [{"product": "1:2", "modifier": "add"}]}, "order.lines[0].children[0].modifier"),
        (
            {"product": "A", "children": [{"product": "1:2", "adjustment": {"name": "a", "amount": 1}}]},
            "order.lines[0].children[0].adjustment",
        ),
        *(
            ({"product": "A", "children": [{"product": product}]}, "order.lines[0].children[0].product")
            for product in (None, "1", "1:", ":2", "a:2", "1:b", "1:2:3", "-1:2", "²:2", "1:٣")
        ),
    ],
)
def test_what_tevalis_has_no_place_for_is_refused_and_not_dropped(line: dict[str, Any], path: str) -> None:
    assert path in complaints(line)


# References


def test_every_line_has_a_reference_of_its_own() -> None:
    written, faults = items({"product": "A", "id": "line-2"}, {"product": "B"}, {"product": "C", "id": "line-2'"})
    assert [item["ItemRef"] for item in written] == ["line-2", "line-2''", "line-2'"]
    assert faults == []


def test_a_reference_that_is_given_twice_is_refused() -> None:
    found = complaints({"product": "A", "id": "x"}, {"product": "B"}, {"product": "C", "id": "x"})
    assert list(found) == ["order.lines[0].id", "order.lines[2].id"]


@given(st.lists(st.none() | st.sampled_from(["line-1", "line-2", "line-2'", "line-3", "x"]), max_size=6))
def test_references_never_meet(given_ids: list[str | None]) -> None:
    written, faults = items(*({"product": "A"} | ({} if name is None else {"id": name}) for name in given_ids))
    references = [item["ItemRef"] for item in written]
    own = [name for name in given_ids if name is not None]
    assert (len(set(references)) == len(references)) == (len(set(own)) == len(own))
    assert bool(faults) == (len(set(own)) != len(own))


# Depth and number of options


def nested(depth: int) -> dict[str, Any]:
    option: dict[str, Any] = {"product": f"1:{depth}"}
    return option if depth == 1 else option | {"children": [nested(depth - 1)]}


@pytest.mark.parametrize(("depth", "fits"), [(1, True), (5, True), (6, False), (9, False)])
def test_options_are_at_most_five_deep(depth: int, fits: bool) -> None:  # noqa: FBT001 - a case
    [item], faults = items({"product": "A", "children": [nested(depth)]})
    assert [fault.path for fault in faults] == ([] if fits else ["order.lines[0]" + ".children[0]" * 5 + ".children"])
    deep, found = item, 0
    while deep["Modifiers"]:
        [deep], found = deep["Modifiers"], found + 1
    assert found == min(depth, 5)


def test_two_of_an_option_are_two_entries() -> None:
    [item], _ = items({"product": "A", "children": [{"product": "1:2", "quantity": 2}, {"product": "1:3"}]})
    assert [entry["OptionItemID"] for entry in item["Modifiers"]] == [2, 2, 3]


@pytest.mark.parametrize(("outer", "inner", "fits"), [(100, 99, True), (100, 100, False), (99_999, 99_999, False)])
def test_a_slip_does_not_become_a_million_options(outer: int, inner: int, fits: bool) -> None:  # noqa: FBT001 - a case
    line = {
        "product": "A",
        "children": [{"product": "1:2", "quantity": outer, "children": [{"product": "3:4", "quantity": inner}]}],
    }
    written, faults = items(line)
    assert [fault.path for fault in faults] == ([] if fits else ["order.lines"])
    assert bool(written) == fits


# Tables


@pytest.mark.parametrize(
    ("table", "number"), [(None, None), ("24", 24), ("0", 0), ("007", 7), ("999999999", 999_999_999)]
)
def test_a_table(table: str | None, number: int | None) -> None:
    faults: list[Fault] = []
    assert wire.table_number(table, "order.table", faults) == number
    assert faults == []


@pytest.mark.parametrize("table", ["T1", "", "-1", "1.5", "1000000000", "٣", "²", " 1"])
def test_a_table_without_a_number_is_refused(table: str) -> None:
    faults: list[Fault] = []
    assert wire.table_number(table, "order.table", faults) is None
    assert [fault.path for fault in faults] == ["order.table"]


# Customers


def customer(**changes: Any) -> tuple[dict[str, Any], dict[str, str]]:
    faults: list[Fault] = []
    who: Customer | None = order(customer=CUSTOMER | changes).customer
    return wire.customer_info(who, "order.customer", faults), said(faults)


def test_a_customer() -> None:
    told, faults = customer()
    assert faults == {}
    assert told == {
        "FirstName": "Robin",
        "LastName": "van Vale",
        "ContactNumber": "+440000000000",
        "Line1": "1 High St",
        "Line2": "Mill",
        "City": "Town",
        "PostCode": "ZZ1 1ZZ",
    }


def test_nobody_is_an_empty_object() -> None:
    assert wire.customer_info(None, "order.customer", []) == {}
    assert customer(name="Robin", phone=None, address=None)[0] == {"FirstName": "Robin"}
    assert customer(name=None, address={"line1": "x"})[0] == {"ContactNumber": "+440000000000", "Line1": "x"}


def test_what_a_customer_has_no_place_for() -> None:
    place = {"line1": "x", "state": "s", "country": "GB", "notes": "bell"}
    assert set(customer(email="a@b.example", address=place)[1]) == {
        "order.customer.email",
        "order.customer.address.state",
        "order.customer.address.country",
        "order.customer.address.notes",
    }


# Tenders


def tenders(*payments: dict[str, Any], **options: Any) -> tuple[list[Any], dict[str, str]]:
    faults: list[Fault] = []
    paid: tuple[Payment, ...] = order(payments=list(payments)).payments
    return wire.tenders(paid, "order.payments", Options(**options), faults), said(faults)


def test_a_tip_is_tendered_on_top() -> None:
    written, faults = tenders({"method": "card", "amount": "23.90", "tip": "2.50"}, tender_type_id=14)
    assert (dumps(written), faults) == ('[{"TenderTypeID":14,"Amount":26.40}]', {})


def test_a_tender_is_known_by_its_type_or_else_by_its_plu() -> None:
    assert dumps(tenders({"method": "c", "amount": "1"}, tender_plu="CARD")[0]) == '[{"PLU":"CARD","Amount":1.00}]'
    both = tenders({"method": "c", "amount": "1"}, tender_plu="CARD", tender_type_id=0)[0]
    assert dumps(both) == '[{"TenderTypeID":0,"Amount":1.00}]'
    assert list(tenders({"method": "c", "amount": "1"})[1]) == ["options.tender_type_id"]
    assert tenders() == ([], {})


@pytest.mark.parametrize("name", ["surcharge", "service_charge", "merchant_id", "terminal_id"])
def test_what_a_tender_has_no_place_for(name: str) -> None:
    value = "m" if name.endswith("_id") else "0"
    assert list(tenders({"method": "c", "amount": "1", name: value}, tender_type_id=1)[1]) == [
        f"order.payments[0].{name}"
    ]


@pytest.mark.parametrize(("tip", "fits"), [(None, True), ("0.01", False)])
def test_the_digits_of_a_tender(tip: str | None, fits: bool) -> None:  # noqa: FBT001 - a case
    paid = {"method": "c", "amount": "9999999999999999.99", "tip": tip}
    assert list(tenders(paid, tender_type_id=1)[1]) == ([] if fits else ["order.payments[0].amount"])


def test_free_adjustments_are_refused() -> None:
    faults: list[Fault] = []
    wire.no_adjustments(order(adjustments=[{"name": "a", "amount": 1}]).adjustments, "order.adjustments", faults)
    wire.no_adjustments((), "order.adjustments", faults)
    assert list(said(faults)) == ["order.adjustments"]


# The tables themselves


@pytest.mark.parametrize(
    ("model", "name", "limit"),
    [
        (wire.CALCULATE, "SalesArea", 10_000),
        (wire.ITEM, "PLU", 10_000),
        (wire.SUBMIT, "ThirdPartyOrigin", 10_000),
        (wire.SUBMIT, "ThirdPartyTransactionID", 10_000),
        (wire.SUBMIT, "ThirdPartyReference", 10_000),
        (wire.SUBMIT, "OrderParams", 10_000),
        (wire.TENDER, "PLU", 10_000),
        (wire.CANCEL, "Reason", 10_000),
    ],
)
@pytest.mark.parametrize("extra", [0, 1])
def test_both_sides_of_each_length_of_the_pages(model: Any, name: str, limit: int, extra: int) -> None:
    [entry] = [field for field in model if field.name == name]
    faults: list[Fault] = []
    wire.write((entry,), {name: "a" * (limit + extra)}, "", faults)
    assert len(faults) == extra


def test_what_the_pages_require() -> None:
    required = {
        name: [field.name for field in getattr(wire, name) if field.required]
        for name in ("CALCULATE", "ITEM", "OPTION", "SUBMIT", "TENDER", "CANCEL")
    }
    assert required == {
        "CALCULATE": ["SiteId", "PriceGroupID"],
        "ITEM": ["PLU", "Quantity", "ItemRef"],
        "OPTION": ["OptionGroupID", "OptionItemID"],
        "SUBMIT": ["SiteId", "UID", "CustomerInfo"],
        "TENDER": ["Amount"],
        "CANCEL": ["SiteId", "UID", "Reason"],
    }
