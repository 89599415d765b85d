"""What goes out to ROS, to the letter of its pages."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.commands import restore
from ordernpay.conversion import Fault
from ordernpay.jsontext import dumps
from ordernpay.orders import Order
from ordernpay.vendors.ros import wire
from ordernpay.vendors.ros.settings import Options
from tests.vendors.given import ORDER_ID, OUTLET, command, ros, said

LINE: dict[str, Any] = {"product": "1203", "name": "Soup", "quantity": 2, "unit_price": "4.50"}
MODE = "9a3f2c44-52f1-4b0e-8e11-1f3c5a7b9d03"


def order(**changes: Any) -> Order:
    made: Order = restore("order.create", {"order": {"reference": "DE-1", "lines": [LINE], **changes}}).order
    return made


def add(given_order: Order, options: Options | None = None, **config: Any) -> tuple[dict[str, Any], list[Fault]]:
    faults: list[Fault] = []
    settings = ros(**config)
    return wire.add_body(given_order, settings, settings.merged(options or Options()), faults), faults


def line_with(**changes: Any) -> dict[str, Any]:
    return {"lines": [LINE | changes]}


def complaints(**changes: Any) -> dict[str, str]:
    return said(add(order(**changes))[1])


# Cancel


def cancelled(
    reason: str = "CUST_CANCEL", order_id: str = ORDER_ID, **options: Any
) -> tuple[dict[str, Any], list[Fault]]:
    faults: list[Fault] = []
    params = command("order.cancel", {"order_id": order_id, "reason": reason}).params
    return wire.cancel_body(params, ros(), Options(**options), faults), faults


def test_a_cancel_is_that_of_the_page() -> None:
    body, faults = cancelled()
    assert faults == []
    assert dumps(body) == (
        f'{{"remoteOrderID":"{ORDER_ID}","outletID":"{OUTLET}","providerID":4711,"providerName":"DemoEats",'
        '"cancelReason":"CUST_CANCEL","paymentStrategy":null}'
    )


def test_a_cancel_has_neither_its_own_id_nor_a_time() -> None:
    assert not {"remoteOrderCancellationID", "dateTimeReceivedUTC"} & cancelled()[0].keys()


@pytest.mark.parametrize(("length", "fits"), [(1, True), (32, True), (33, False)])
def test_the_length_of_a_reason_and_of_a_payment_strategy(length: int, fits: bool) -> None:  # noqa: FBT001 - a case
    _, faults = cancelled("a" * length, payment_strategy="b" * length)
    assert list(said(faults)) == ([] if fits else ["reason", "options.payment_strategy"])


def test_an_order_that_is_no_guid_is_refused_here() -> None:
    assert list(said(cancelled(order_id="17")[1])) == ["order_id"]


# Add


def test_an_order_with_everything() -> None:
    body, faults = add(
        order(
            table="12",
            ready_at="2026-11-22T19:30:00+01:00",
            notes=["no salt", "ring twice"],
            training=True,
            lines=[
                LINE
                | {
                    "modifier": "half",
                    "note": "hot",
                    "adjustment": {"name": "Lunch", "amount": "-1.00", "id": "L1"},
                    "children": [
                        {"product": "77", "name": "Bread", "quantity": 3, "unit_price": "0.50", "modifier": "x"}
                    ],
                }
            ],
            adjustments=[{"name": "Launch offer", "amount": "-1.60", "pos_id": "PROMO8"}],
            payments=[
                {"method": "card", "amount": "9.40", "tip": "1.00", "service_charge": "0.50", "reference": "p-1"}
            ],
        ),
        Options(order_type=3, service_mode_id=MODE, pickup_code="A7", display_name="Eats", extra={"more": [1]}),
        currency="GBP",
    )
    assert faults == []
    assert dumps(body) == (
        '{"providerID":4711,"providerName":"DemoEats","providerOrderID":"DE-1",'
        f'"outletID":"{OUTLET}","currencyCode":"GBP","totalAmount":9.40,"testOrder":true,'
        f'"serviceModeID":"{MODE}","serviceModeEntityID":"12","dateTimePrepareForUTC":"2026-11-22T18:30:00.000Z",'
        '"orderAdjustments":[{"totalAdjustmentAmount":-1.60,"adjustmentID":"PROMO8","name":"Launch offer"}],'
        '"products":[{"productID":"1203","productModifierID":"half","name":"Soup","quantity":2,"price":4.50,'
        '"totalAmount":8.00,"productAdjustment":{"totalAdjustmentAmount":-1.00,"adjustmentID":"L1","name":"Lunch"},'
        '"specialInstructions":"hot","attributes":[{"productAttributeID":"77","productAttributeModifierID":"x",'
        '"quantity":6,"price":0.50,"totalAmount":3.00}]}],'
        '"payments":[{"amountPaid":9.40,"providerPaymentID":"p-1","providerPaymentType":"card",'
        '"amountOutletTip":1.00,"amountOutletServiceCharge":0.50}],'
        '"remoteOrderType":3,"providerPickupCode":"A7","providerDisplayName":"Eats",'
        '"consumerKitchenComment":"no salt\\nring twice","more":[1]}'
    )


def test_an_order_with_next_to_nothing() -> None:
    body, faults = add(order())
    assert faults == []
    assert body["testOrder"] is False
    assert (body["orderAdjustments"], body["payments"]) == ([], [])
    missing = {"currencyCode", "serviceModeID", "serviceModeEntityID", "dateTimePrepareForUTC", "remoteOrderType"}
    assert not missing & body.keys()
    assert not {"productAdjustment", "specialInstructions", "attributes"} & body["products"][0].keys()
    assert "remoteOrderID" not in body


def test_the_pages_that_nobody_could_read_are_settings() -> None:
    names = {"products": "items", "payments": "tenders", "attributes": "options", "instructions": "wish"}
    body, _ = add(
        order(**line_with(note="hot", children=[{"product": "77", "unit_price": "1"}]), notes="x"),
        Options(order_type=1, pickup_code="p", display_name="d"),
        field_names=names | {"order_type": "t", "pickup_code": "c", "display_name": "n", "kitchen_comment": "k"},
    )
    assert {"items", "tenders", "t", "c", "n", "k"} <= body.keys()
    assert {"options", "wish"} <= body["items"][0].keys()
    assert not {"products", "payments"} & body.keys()


@pytest.mark.parametrize(
    ("line", "total"),
    [
        ({}, "9.00"),
        ({"quantity": 1}, "4.50"),
        ({"total": "8.00"}, "8.00"),
        ({"adjustment": {"name": "a", "amount": "-0.50"}}, "8.50"),
        ({"total": "8.00", "adjustment": {"name": "a", "amount": "-1.00"}}, "8.00"),
        ({"children": [{"product": "7", "unit_price": "0.50", "quantity": 3}]}, "12.00"),
        ({"children": [{"product": "7", "unit_price": "0.50", "total": "2.00"}]}, "11.00"),
        ({"children": [{"product": "7"}]}, "9.00"),
        ({"unit_price": None}, "0.00"),
    ],
)
def test_what_a_line_comes_to(line: dict[str, Any], total: str) -> None:
    assert str(wire.line_total(order(**line_with(**line)).lines[0])) == total


@given(
    st.lists(
        st.tuples(
            st.integers(1, 99),
            st.integers(0, 10_000),
            st.lists(st.tuples(st.integers(1, 9), st.integers(0, 500)), max_size=3),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.integers(-500, 500), max_size=3),
)
def test_the_total_is_the_sum_of_what_is_told(lines: list[Any], adjustments: list[int]) -> None:
    def price(cents: int) -> str:
        return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02}"

    body, faults = add(
        order(
            lines=[
                LINE
                | {
                    "quantity": quantity,
                    "unit_price": price(cents),
                    "children": [
                        {"product": "7", "quantity": count, "unit_price": price(each)} for count, each in children
                    ],
                }
                for quantity, cents, children in lines
            ],
            adjustments=[{"name": "a", "amount": price(cents)} for cents in adjustments],
        )
    )
    assert faults == []
    parts = [product["totalAmount"] for product in body["products"]]
    parts += [entry["totalAmount"] for product in body["products"] for entry in product.get("attributes", [])]
    parts += [entry["totalAdjustmentAmount"] for entry in body["orderAdjustments"]]
    assert body["totalAmount"] == sum(parts)
    for product in body["products"]:
        for entry in product.get("attributes", []):
            assert entry["totalAmount"] == entry["quantity"] * entry["price"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"service_charge": "0"}, "order.service_charge"),
        ({"customer": {"name": "A"}}, "order.customer"),
        ({"covers": 0}, "order.covers"),
        (line_with(name=None), "order.lines[0].name"),
        (line_with(unit_price=None, total="1"), "order.lines[0].unit_price"),
        (line_with(children=[{"product": "7"}]), "order.lines[0].children[0].unit_price"),
        (line_with(children=[{"unit_price": "1", "note": "x"}]), "order.lines[0].children[0].note"),
        (line_with(children=[{"unit_price": "1", "children": [{}]}]), "order.lines[0].children[0].children"),
        (
            line_with(children=[{"unit_price": "1", "adjustment": {"name": "a", "amount": "1"}}]),
            "order.lines[0].children[0].adjustment",
        ),
        ({"payments": [{"method": "card", "amount": "1", "surcharge": "0"}]}, "order.payments[0].surcharge"),
        ({"payments": [{"method": "card", "amount": "1", "merchant_id": "m"}]}, "order.payments[0].merchant_id"),
        ({"payments": [{"method": "card", "amount": "1", "terminal_id": "t"}]}, "order.payments[0].terminal_id"),
    ],
)
def test_what_ros_has_no_place_for_is_refused_and_not_dropped(changes: dict[str, Any], path: str) -> None:
    assert path in complaints(**changes)


@pytest.mark.parametrize(
    ("path", "limit", "changes"),
    [
        ("order.lines[0].product", 64, lambda text: line_with(product=text)),
        ("order.lines[0].modifier", 64, lambda text: line_with(modifier=text)),
        ("order.lines[0].name", 50, lambda text: line_with(name=text)),
        (
            "order.lines[0].children[0].product",
            64,
            lambda text: line_with(children=[{"product": text, "unit_price": 1}]),
        ),
        (
            "order.lines[0].children[0].modifier",
            64,
            lambda text: line_with(children=[{"modifier": text, "unit_price": 1}]),
        ),
        ("order.lines[0].adjustment.id", 64, lambda text: line_with(adjustment={"name": "a", "amount": 1, "id": text})),
        ("order.adjustments[0].id", 64, lambda text: {"adjustments": [{"name": "a", "amount": 1, "id": text}]}),
        ("order.adjustments[0].name", 50, lambda text: {"adjustments": [{"name": text, "amount": 1}]}),
        (
            "order.payments[0].reference",
            64,
            lambda text: {"payments": [{"method": "m", "amount": 1, "reference": text}]},
        ),
        ("order.payments[0].method", 32, lambda text: {"payments": [{"method": text, "amount": 1}]}),
    ],
)
def test_both_sides_of_each_length_of_the_pages(path: str, limit: int, changes: Any) -> None:
    assert complaints(**changes("a" * limit)) == {}
    assert list(complaints(**changes("a" * (limit + 1)))) == [path]


MOST = "9999999999999999.99"


@pytest.mark.parametrize(
    ("path", "changes"),
    [
        ("order.lines[0].unit_price", {"unit_price": MOST, "quantity": 2, "total": "1"}),
        ("order.lines[0].total", {"unit_price": "1", "total": MOST}),
    ],
)
def test_the_digits_of_money(path: str, changes: dict[str, Any]) -> None:
    assert complaints(**line_with(**changes)) == {}
    twice = {"lines": [LINE | changes, LINE]}
    over = complaints(**twice)
    assert ("order.lines" in over) == (path == "order.lines[0].total")


def test_all_faults_are_told_at_once() -> None:
    found = complaints(
        covers=1, **line_with(name=None, modifier="a" * 65), payments=[{"method": "m" * 33, "amount": 1}]
    )
    assert set(found) == {"order.covers", "order.lines[0].name", "order.lines[0].modifier", "order.payments[0].method"}


def test_an_order_has_a_line() -> None:
    assert add(order(lines=[]))[1] == [Fault("order.lines", "expected at least one line")]


@pytest.mark.parametrize(
    ("path", "answer", "shown"),
    [
        (wire.ADD, {"remoteOrderID": ORDER_ID}, True),
        (wire.ADD, {"remoteOrderID": None}, False),
        (wire.ADD, "OK", False),
        (wire.CANCEL, {"remoteOrderCancellationID": ORDER_ID}, True),
        (wire.CANCEL, {"remoteOrderID": ORDER_ID}, False),
        (wire.MENU, {"menus": [{"name": "Lunch"}]}, True),
        (wire.MENU, {"menus": []}, False),
        (wire.MENU, [1], False),
        ("payments", {"a": 1}, True),
        ("payments", {}, False),
        ("payments", None, False),
    ],
)
def test_a_success_shows_what_it_must_hold(path: str, answer: Any, *, shown: bool) -> None:
    assert wire.shows(path, answer, ros().field_names) is shown
