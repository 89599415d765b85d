"""What goes out to Doshii, to the letter of its pages: whole cents, finished figures, a token for each request."""

import base64
import hashlib
import hmac
import json
from decimal import Decimal
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.commands import restore
from ordernpay.conversion import Fault
from ordernpay.jsontext import dumps
from ordernpay.orders import Order
from ordernpay.vendors.doshii import wire
from ordernpay.vendors.doshii.settings import Options
from tests.vendors.given import anything, doshii, said

LINE: Final[dict[str, Any]] = {
    "product": "dumpling_box",
    "name": "Dumpling box",
    "quantity": 3,
    "unit_price": "9.00",
    "children": [{"product": "dips:chilli", "name": "Chilli oil", "unit_price": "1.50"}],
    "adjustment": {"name": "Box fee", "amount": "0.80", "pos_id": "box_fee"},
}
PLAIN: Final[dict[str, Any]] = {"product": "eggs", "name": "Eggs", "unit_price": "11.00"}


def order(**changes: Any) -> Order:
    table = {"reference": "APP-000417", "type": "pickup", "lines": [LINE], **changes}
    made: Order = restore("order.create", {"order": table}).order
    return made


def body(options: Options | None = None, /, **changes: Any) -> tuple[dict[str, Any], list[Fault]]:
    faults: list[Fault] = []
    settings = doshii()
    return wire.order_body(order(**changes), settings.merged(options or Options()), faults, status="pending"), faults


def created(options: Options | None = None, /, **changes: Any) -> dict[str, Any]:
    faults: list[Fault] = []
    settings = doshii()
    written = wire.create_body(order(**changes), settings, settings.merged(options or Options()), faults)
    assert faults == []
    return written


def complaints(options: Options | None = None, /, **changes: Any) -> dict[str, str]:
    return said(body(options, **changes)[1])


def with_line(**changes: Any) -> dict[str, Any]:
    return {"lines": [PLAIN | changes]}


def item(**changes: Any) -> dict[str, Any]:
    written, faults = body(**with_line(**changes))
    assert faults == []
    [only] = written["items"]
    assert isinstance(only, dict)
    return only


# Tokens


def unpacked(part: str) -> bytes:
    assert "=" not in part
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def test_a_token_is_what_the_page_says() -> None:
    head, claims, signature = wire.token("app-client-7731", "secret-1", 1_767_225_600.987).split(".")
    assert json.loads(unpacked(head)) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(unpacked(claims)) == {"clientId": "app-client-7731", "timestamp": 1_767_225_600}
    assert unpacked(signature) == hmac.new(b"secret-1", f"{head}.{claims}".encode(), hashlib.sha256).digest()


def test_a_token_made_by_hand() -> None:
    by_hand = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJjbGllbnRJZCI6ImFwcC1jbGllbnQtNzczMSIsInRpbWVzdGFtcCI6MTc2NzIyNTYwMH0"
    )
    token = wire.token("app-client-7731", "secret-1", 1_767_225_600)
    assert token.rpartition(".")[0] == by_hand


def test_another_secret_gives_another_signature() -> None:
    assert wire.token("a", "one", 0) != wire.token("a", "two", 0)
    assert wire.token('quote"d', "schlüssel", 0).isascii()


# Cents


@pytest.mark.parametrize(("amount", "number"), [("0.00", 0), ("9.00", 900), ("0.01", 1), ("-1.10", -110), ("0.29", 29)])
def test_cents(amount: str, number: int) -> None:
    assert wire.cents(Decimal(amount)) == number


@given(st.decimals(min_value=-(10**11), max_value=10**11, places=2))
def test_cents_there_and_back(amount: Decimal) -> None:
    number = wire.cents(amount)
    assert wire.money(number) == wire.money(str(number)) == amount


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (1100, "11.00"),
        ("1100", "11.00"),
        ("-80", "-0.80"),
        (Decimal(950), "9.50"),
        (0, "0.00"),
        ("9" * 15, f"{'9' * 13}.99"),
        ("9" * 16, None),
        ("", None),
        ("-", None),
        ("--1", None),
        ("1.5", None),
        ("abc", None),
        ("²", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_money_as_a_number_or_as_text(value: Any, amount: str | None) -> None:
    read = wire.money(value)
    assert (None if read is None else str(read)) == amount


@given(anything)
def test_any_money_is_read_without_a_fault(value: Any) -> None:
    read = wire.money(value)
    assert read is None or dumps(read)


def test_the_pages_worked_case() -> None:
    """(900 + 150) x 3 = 3150, and 80 on top, which is not multiplied."""
    written, faults = body()
    assert faults == []
    [only] = written["items"]
    assert (only["totalBeforeSurcounts"], only["totalAfterSurcounts"]) == ("3150", "3230")


@given(
    st.integers(0, 100_000),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(-500, 500), st.integers(1, 5)), max_size=4),
    st.none() | st.integers(-500, 500),
)
def test_the_arithmetic_of_a_line(unit: int, quantity: int, variants: list[tuple[int, int]], fee: int | None) -> None:
    def text(cents: int) -> str:
        return format(Decimal(cents) / 100, ".2f")

    written = item(
        quantity=quantity,
        unit_price=text(unit),
        children=[
            {"product": f"o:{n}", "name": "v", "unit_price": text(price), "quantity": count}
            for n, (price, count) in enumerate(variants)
        ],
        adjustment=None if fee is None else {"name": "f", "amount": text(fee)},
    )
    prices = [variant["price"] for option in written["options"] for variant in option["variants"]]
    before = (int(written["unitPrice"]) + sum(prices)) * written["quantity"]
    assert int(written["unitPrice"]) == unit
    assert written["totalBeforeSurcounts"] == str(before)
    assert written["totalAfterSurcounts"] == str(before + sum(int(entry["value"]) for entry in written["surcounts"]))


# Orders


def test_a_new_order_is_that_of_the_page() -> None:
    written = created(
        ready_at="2026-03-02T12:45:00+11:00",
        customer={"name": "Mika R", "phone": "+61400000123"},
        payments=[{"method": "visa", "amount": "32.30", "tip": "0", "reference": "pay-88"}],
    )
    assert dumps(written) == (
        '{"order":{"type":"pickup","status":"pending","externalOrderRef":"APP-000417","items":[{'
        '"posId":"dumpling_box","name":"Dumpling box","quantity":3,"type":"single","unitPrice":"900",'
        '"totalBeforeSurcounts":"3150","totalAfterSurcounts":"3230","options":[{"posId":"dips","name":"dips",'
        '"variants":[{"posId":"chilli","name":"Chilli oil","price":150}]}],"surcounts":[{"posId":"box_fee",'
        '"name":"Box fee","type":"absolute","amount":"80","value":"80"}]}],"surcounts":[],'
        '"requiredAt":"2026-03-02T01:45:00.000Z"},"consumer":{"name":"Mika R","phone":"+61400000123"},'
        '"transactions":[{"amount":3230,"reference":"pay-88","method":"visa","tip":0,"prepaid":true}]}'
    )


@pytest.mark.parametrize(("ours", "theirs"), [("dine_in", "dinein"), ("pickup", "pickup"), ("delivery", "delivery")])
def test_types(ours: str, theirs: str) -> None:
    assert body(type=ours)[0]["type"] == theirs


def test_options_of_a_call() -> None:
    options = Options("checkin-1", "ordered", "terminal-1", ("m-1", "m-2"), manually_processed=True)
    written = created(options, table="12", covers=2, notes="x")
    told = {name: written["order"].get(name) for name in ("checkinId", "mealPhase", "manuallyProcessed", "notes")}
    assert told == {"checkinId": "checkin-1", "mealPhase": "ordered", "manuallyProcessed": True, "notes": "x"}
    assert (written["members"], written["posTerminalId"]) == (["m-1", "m-2"], "terminal-1")


def test_what_was_not_asked_for_is_not_sent() -> None:
    written = created()
    assert written.keys() == {"order", "consumer"}
    missing = {"checkinId", "mealPhase", "manuallyProcessed", "requiredAt", "notes"}
    assert not missing & written["order"].keys()
    assert written["order"]["surcounts"] == []


def test_a_table_without_a_check_in_stands_in_the_notes() -> None:
    assert body(table="12", covers=0, notes=["no salt"])[0]["notes"] == "no salt\nTable 12\nCovers 0"


def test_surcounts_of_the_order() -> None:
    adjustments = [{"name": "Sunday", "amount": "1.50", "id": "s"}, {"name": "Offer", "amount": "-2", "pos_id": "o"}]
    assert dumps(body(adjustments=adjustments)[0]["surcounts"]) == (
        '[{"posId":"s","name":"Sunday","type":"absolute","amount":"150","value":"150"},'
        '{"posId":"o","name":"Offer","type":"absolute","amount":"-200","value":"-200"}]'
    )


def test_variants_are_gathered_by_option_and_two_of_one_are_two() -> None:
    children = [
        {"product": "dips:chilli", "name": "Chilli", "unit_price": "1.50", "quantity": 2},
        {"product": "size:l", "name": "Large"},
        {"product": "dips:soy:dark", "name": "Soy", "unit_price": "-0.50"},
    ]
    written = item(children=children)
    assert [(option["posId"], [entry["posId"] for entry in option["variants"]]) for option in written["options"]] == [
        ("dips", ["chilli", "chilli", "soy:dark"]),
        ("size", ["l"]),
    ]
    assert written["totalBeforeSurcounts"] == str(1100 + 2 * 150 - 50)


@pytest.mark.parametrize("total", ["31.50", "32.30"])
def test_a_total_that_is_right_before_or_after_the_surcount(total: str) -> None:
    assert complaints(lines=[LINE | {"total": total}]) == {}


@pytest.mark.parametrize("total", ["31.49", "27.00", "0"])
def test_a_total_that_is_wrong(total: str) -> None:
    assert list(complaints(lines=[LINE | {"total": total}])) == ["order.lines[0].total"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"type": None}, "order.type"),
        ({"lines": []}, "order.lines"),
        ({"service_charge": "0"}, "order.service_charge"),
        ({"training": True}, "order.training"),
        (with_line(name=None), "order.lines[0].name"),
        (with_line(unit_price=None), "order.lines[0].unit_price"),
        (with_line(modifier="x"), "order.lines[0].modifier"),
        *(
            (with_line(children=[{"product": product, "name": "v"}]), "order.lines[0].children[0]")
            for product in (None, "dips", "dips:", ":chilli")
        ),
        (with_line(children=[{"product": "a:b"}]), "order.lines[0].children[0]"),
        *(
            (with_line(children=[{"product": "a:b", "name": "v", name: value}]), f"order.lines[0].children[0].{name}")
            for name, value in (
                ("note", "x"),
                ("modifier", "x"),
                ("children", [{}]),
                ("adjustment", {"name": "a", "amount": 1}),
            )
        ),
    ],
)
def test_what_doshii_has_no_place_for_is_refused_and_not_dropped(changes: dict[str, Any], path: str) -> None:
    assert list(complaints(**changes)) == [path]


def test_all_faults_are_told_at_once() -> None:
    found = complaints(type=None, notes="a" * 1_001, service_charge="1", lines=[PLAIN | {"name": None}])
    assert set(found) == {"order.type", "order.notes", "order.service_charge", "order.lines[0].name"}


@pytest.mark.parametrize(("length", "fits"), [(1_000, True), (1_001, False)])
def test_the_length_of_the_notes(length: int, fits: bool) -> None:  # noqa: FBT001 - a case
    assert list(complaints(notes="a" * length)) == ([] if fits else ["order.notes"])


@pytest.mark.parametrize(
    ("model", "name", "limit"),
    [
        (wire.ORDER, "externalOrderRef", 64),
        (wire.ORDER, "notes", 1_000),
        (wire.ITEM, "posId", 1_000),
        (wire.ITEM, "name", 1_000),
        (wire.ITEM, "description", 1_000),
        (wire.SURCOUNT, "name", 1_000),
        (wire.TRANSACTION, "reference", 1_000),
    ],
)
@pytest.mark.parametrize("extra", [0, 1])
def test_both_sides_of_each_length(model: Any, name: str, limit: int, extra: int) -> None:
    [entry] = [field for field in model if field.name == name]
    faults: list[Fault] = []
    wire.write((entry,), {name: "a" * (limit + extra)}, "", faults)
    assert len(faults) == extra


@pytest.mark.parametrize(("quantity", "fits"), [(100, True), (101, False), (99_999, False)])
def test_a_slip_does_not_become_a_million_variants(quantity: int, fits: bool) -> None:  # noqa: FBT001 - a case
    children = [{"product": "a:b", "name": "v", "quantity": quantity}]
    written, faults = body(**with_line(children=children))
    assert [fault.path for fault in faults] == ([] if fits else ["order.lines[0].children"])
    assert len(dumps(written)) < 20_000


# Consumers


def test_nobody_is_a_guest_by_the_name_of_the_settings() -> None:
    assert wire.consumer(None, doshii()) == {"name": "Guest"}
    assert wire.consumer(order(customer={"phone": "1"}).customer, doshii(consumer_name="Kiosk 3")) == {
        "name": "Kiosk 3",
        "phone": "1",
    }


def test_a_consumer_with_an_address() -> None:
    customer = {
        "name": "Mika",
        "email": "m@example.net",
        "address": {
            "line1": "1 High St",
            "line2": "Unit 2",
            "city": "Perth",
            "state": "WA",
            "postal_code": "6000",
            "country": "AU",
            "notes": "bell",
        },
    }
    assert wire.consumer(order(customer=customer).customer, doshii()) == {
        "name": "Mika",
        "email": "m@example.net",
        "address": {
            "line1": "1 High St",
            "line2": "Unit 2",
            "city": "Perth",
            "state": "WA",
            "postalCode": "6000",
            "country": "AU",
            "notes": "bell",
        },
    }
    bare = order(customer={"address": {"line1": "x"}}).customer
    assert wire.consumer(bare, doshii())["address"] == {"line1": "x"}


# Payments


def payment(*, prepaid: bool = False, key: str | None = None, **changes: Any) -> tuple[dict[str, Any], dict[str, str]]:
    faults: list[Fault] = []
    paid = restore("payment.create", {"order_id": "1", "payment": {"method": "visa", "amount": "32.30", **changes}})
    return wire.transaction(paid.payment, "payment", faults, prepaid=prepaid, key=key), said(faults)


def test_a_payment() -> None:
    assert payment() == ({"amount": 3230, "method": "visa"}, {})
    assert payment(prepaid=True, tip="1.25", reference="p-1") == (
        {"amount": 3230, "reference": "p-1", "method": "visa", "tip": 125, "prepaid": True},
        {},
    )
    assert payment(amount="-5.00")[0]["amount"] == -500


def test_a_payment_can_be_found_again_by_its_reference_or_by_the_commands_key() -> None:
    assert payment(key="k")[0]["reference"] == "k"
    assert payment(key="k", reference="r")[0]["reference"] == "r"


@pytest.mark.parametrize("method", [*wire.METHODS, "VISA", "PayPal"])
def test_methods_of_the_page_in_any_casing(method: str) -> None:
    written, faults = payment(method=method)
    assert (written["method"], faults) == (method.lower(), {})


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"method": "card"}, "payment.method"),
        ({"amount": "0"}, "payment.amount"),
        ({"surcharge": "0"}, "payment.surcharge"),
        ({"service_charge": "0"}, "payment.service_charge"),
        ({"merchant_id": "m"}, "payment.merchant_id"),
        ({"terminal_id": "t"}, "payment.terminal_id"),
    ],
)
def test_what_a_payment_has_no_place_for(changes: dict[str, Any], path: str) -> None:
    assert list(payment(**changes)[1]) == [path]
