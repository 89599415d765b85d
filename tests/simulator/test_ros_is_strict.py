"""What the pages of ROS forbid is refused with 400 and the field's name, and nothing is done."""

import json
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ordernpay.simulator.pages import FieldError
from ordernpay.simulator.ros import (
    DEMO_OUTLET,
    PROVIDER,
    Act,
    Organisation,
    Outlet,
    Readings,
    RefusedError,
    RosSimulator,
    demo,
)
from ordernpay.simulator.ros.book import Book
from ordernpay.simulator.ros.fields import ZERO_GUID
from tests.simulator.ros_requests import (
    Body,
    Caller,
    attribute,
    called,
    caller,
    cancellation,
    order,
    product,
    without,
)

NOW = "2026-05-02T18:07:31.250Z"
OFF = {"totalAdjustmentAmount": -1.0, "adjustmentID": "PROMO8", "name": "Launch offer"}
PRODUCT = "products[0]"
NAN_ORDER = json.dumps(order(totalAmount=float("nan")))


@pytest.fixture
async def provider() -> AsyncIterator[Caller]:
    async with called() as provider:
        yield provider


def paid(**fields: Any) -> Body:
    return order(payments=[{"amountPaid": 9.0} | fields])


def with_attribute(total: float = 10.0, **fields: Any) -> Body:
    return order(product(attributes=[attribute(**fields)]), totalAmount=total)


FORBIDDEN_ORDERS: list[tuple[Body, str]] = [
    *((without(order(), name), name) for name in ("providerID", "providerOrderID", "outletID", "currencyCode")),
    (without(order(), "totalAmount"), "totalAmount"),
    *((order(**{name: None}), name) for name in ("providerID", "outletID", "totalAmount", "testOrder")),
    (order(providerID="4711"), "providerID"),
    (order(providerID=True), "providerID"),
    (order(providerID=4712), "providerID"),
    (order(providerName="x" * 65), "providerName"),
    (order(providerName="OtherEats"), "providerName"),
    (order(providerOrderID=""), "providerOrderID"),
    (order(providerOrderID="x" * 65), "providerOrderID"),
    (order(outletID="table 14"), "outletID"),
    (order(outletID=uuid.uuid4().hex), "outletID"),
    (order(currencyCode="x" * 9), "currencyCode"),
    (order(totalAmount="9.00"), "totalAmount"),
    (order(totalAmount=9.001), "totalAmount"),
    (order(totalAmount=10.0**16), "totalAmount"),
    (order(remoteOrderID="DE-1"), "remoteOrderID"),
    (order(testOrder="true"), "testOrder"),
    (order(serviceModeID="eat in"), "serviceModeID"),
    (order(serviceModeId=str(uuid.uuid4())), "serviceModeId"),
    (order(serviceModeEntityID=14), "serviceModeEntityID"),
    (order(remoteOrderType="EatIn"), "remoteOrderType"),
    (order(dateTimePrepareForUTC="tonight"), "dateTimePrepareForUTC"),
    (order(dateTimePrepareForUTC="2026-05-02"), "dateTimePrepareForUTC"),
    (order(dateTimePrepareForUTC="2026-05-02T18:07:31"), "dateTimePrepareForUTC"),
    (order(dateTimeCreatedUTC=1_777_000_000), "dateTimeCreatedUTC"),
    (order(outletId="x"), "outletId"),
    (order(OutletID="x"), "OutletID"),
    (order(Products=[]), "Products"),
    (order(tax=1), "tax"),
    (order(consumer="Asha"), "consumer"),
    (order(products={}), "products"),
    (order(orderAdjustments=[{"name": "Off"}]), "orderAdjustments[0].totalAdjustmentAmount"),
    (order(orderAdjustments=[OFF | {"adjustmentID": "x" * 65}]), "orderAdjustments[0].adjustmentID"),
    (
        order(orderAdjustments=[OFF | {"remoteOrderAdjustmentID": str(uuid.uuid4())}]),
        "orderAdjustments[0].remoteOrderAdjustmentID",
    ),
    *((order(without(product(), name)), f"{PRODUCT}.{name}") for name in ("quantity", "price", "totalAmount")),
    (order(product(quantity=0)), f"{PRODUCT}.quantity"),
    (order(product(quantity=2.0)), f"{PRODUCT}.quantity"),
    (order(product(price="4.50")), f"{PRODUCT}.price"),
    (order(product(productId="1203")), f"{PRODUCT}.productId"),
    (order(product(productID=1203)), f"{PRODUCT}.productID"),
    (order(product(productID="x" * 65)), f"{PRODUCT}.productID"),
    (order(product(remoteOrderProductID=str(uuid.uuid4()))), f"{PRODUCT}.remoteOrderProductID"),
    (
        order(product(excludedRemoteOrderAllergenTypes=[1, 1])),
        f"{PRODUCT}.excludedRemoteOrderAllergenTypes",
    ),
    (
        order(product(excludedRemoteOrderAllergenTypes=list(range(17)))),
        f"{PRODUCT}.excludedRemoteOrderAllergenTypes",
    ),
    (with_attribute(productAttributeId="1301"), f"{PRODUCT}.attributes[0].productAttributeId"),
    (with_attribute(productAttributeID="x" * 65), f"{PRODUCT}.attributes[0].productAttributeID"),
    (paid(amountPaid="9.00"), "payments[0].amountPaid"),
    (paid(providerPaymentID="x" * 65), "payments[0].providerPaymentID"),
    (paid(providerPaymentType="x" * 33), "payments[0].providerPaymentType"),
    (paid(cardNumber="4111"), "payments[0].cardNumber"),
    (order(payments=[{"providerPaymentType": "card"}]), "payments[0].amountPaid"),
]
WRONG_SUMS: list[tuple[Body, str]] = [
    (order(totalAmount=9.01), "totalAmount"),
    (order(orderAdjustments=[OFF]), "totalAmount"),
    (order(product(totalAmount=4.5), totalAmount=4.5), f"{PRODUCT}.totalAmount"),
    (order(product(productAdjustment=OFF), totalAmount=8.0), f"{PRODUCT}.totalAmount"),
    (order(product(productAdjustment=OFF, totalAmount=8.0)), "totalAmount"),
    (with_attribute(quantity=1, totalAmount=0.5, total=9.5), f"{PRODUCT}.attributes[0].quantity"),
    (with_attribute(totalAmount=2.0, total=11.0), f"{PRODUCT}.attributes[0].totalAmount"),
    (with_attribute(total=9.0), "totalAmount"),
    (paid(amountPaid=10.5, amountOutletTip=1.5), "payments[0].amountPaid"),
    (order(payments=[{"amountPaid": 9.0}, {"amountPaid": 0.01}]), "payments[0].amountPaid"),
]
ALLOWED_ORDERS: list[Body] = [
    order(),
    without(order(), "products"),
    order(remoteOrderID=ZERO_GUID),
    order(remoteOrderID=str(uuid.uuid4())),
    order(providerName="DemoEats", providerOrderID="x" * 64, currencyCode="x" * 8),
    order(remoteOrderType=3, serviceModeID=str(uuid.uuid4()), serviceModeEntityID="14", testOrder=True),
    order(dateTimePrepareForUTC="2026-05-02T18:07:31.250Z", consumer={"name": "Asha"}, courier=None),
    order(product(name="x" * 51, remoteOrderProductID=ZERO_GUID, excludedRemoteOrderAllergenTypes=list(range(16)))),
    order(product(productID=None, price=4.5)),
    order(product(price=10.0**15, quantity=1, totalAmount=10.0**15), totalAmount=10.0**15),
    order(product(productAdjustment=OFF, totalAmount=8.0), totalAmount=8.0),
    order(orderAdjustments=[OFF | {"name": "x" * 51}], totalAmount=8.0),
    with_attribute(),
    with_attribute(quantity=6, totalAmount=3.0, total=12.0),
    paid(amountOutletTip=1.5, amountOutletServiceCharge=0.9, providerPaymentType="x" * 32),
    paid(amountPaid=4.0),
]
FORBIDDEN_CANCELLATIONS: list[tuple[Body, str]] = [
    *(({name: None}, name) for name in ("remoteOrderID", "outletID", "providerID", "providerName")),
    ({"cancelReason": "x" * 33}, "cancelReason"),
    ({"paymentStrategy": "x" * 33}, "paymentStrategy"),
    ({"providerName": "x" * 65}, "providerName"),
    ({"providerName": "OtherEats"}, "providerName"),
    ({"providerID": 4712}, "providerID"),
    ({"providerID": "4711"}, "providerID"),
    ({"remoteOrderID": "DE-1"}, "remoteOrderID"),
    ({"remoteOrderID": str(uuid.uuid4())}, "remoteOrderID"),
    ({"remoteOrderID": ZERO_GUID}, "remoteOrderID"),
    ({"remoteOrderCancellationID": str(uuid.uuid4())}, "remoteOrderCancellationID"),
    ({"remoteOrderId": ZERO_GUID}, "remoteOrderId"),
    ({"RemoteOrderID": ZERO_GUID}, "RemoteOrderID"),
    ({"providerOrderID": "DE-1"}, "providerOrderID"),
    ({"dateTimeReceivedUTC": "now"}, "dateTimeReceivedUTC"),
]


def named(cases: list[tuple[Body, str]]) -> list[str]:
    return [f"{at}-{name}" for at, (_, name) in enumerate(cases)]


def added(book: Book, body: Body) -> str:
    return book.add(demo(), json.dumps(body), NOW).remote_order_id


def refused_field(act: Callable[[], object]) -> str:
    with pytest.raises((FieldError, RefusedError)) as raised:
        act()
    assert getattr(raised.value, "status", 400) == 400
    return str(raised.value).split(" ", maxsplit=1)[0]


@pytest.fixture
def book() -> Book:
    return Book(PROVIDER, Readings())


@pytest.mark.parametrize(("body", "field"), FORBIDDEN_ORDERS, ids=named(FORBIDDEN_ORDERS))
def test_an_order_that_the_pages_forbid_is_refused_by_name(book: Book, body: Body, field: str) -> None:
    assert refused_field(lambda: added(book, body)) == field
    assert book.acts == []


@pytest.mark.parametrize(("body", "field"), WRONG_SUMS, ids=named(WRONG_SUMS))
def test_an_order_whose_amounts_disagree_is_refused(book: Book, body: Body, field: str) -> None:
    assert refused_field(lambda: added(book, body)) == field
    assert book.acts == []


@pytest.mark.parametrize("body", ALLOWED_ORDERS, ids=range(len(ALLOWED_ORDERS)))
def test_an_order_that_keeps_to_the_pages_is_taken(book: Book, body: Body) -> None:
    made = added(book, body)
    assert made != body.get("remoteOrderID")
    assert book.acts == [Act("add", "x" * 64 if "providerName" in body else "DE-1", made)]


@pytest.mark.parametrize(("fields", "field"), FORBIDDEN_CANCELLATIONS, ids=named(FORBIDDEN_CANCELLATIONS))
def test_a_cancellation_that_the_pages_forbid_is_refused_by_name(book: Book, fields: Body, field: str) -> None:
    body = cancellation(added(book, order()), **fields)
    assert refused_field(lambda: book.cancel(demo(), json.dumps(body))) == field
    assert [act.kind for act in book.acts] == ["add"]


@pytest.mark.parametrize("field", ["remoteOrderID", "outletID", "providerID", "providerName"])
def test_a_cancellation_names_all_that_is_required(book: Book, field: str) -> None:
    body = without(cancellation(added(book, order())), field)
    assert refused_field(lambda: book.cancel(demo(), json.dumps(body))) == field


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cancelReason": "x" * 32, "paymentStrategy": "x" * 32},
        {"cancelReason": None},
        {"remoteOrderCancellationID": ZERO_GUID},
    ],
)
def test_a_cancellation_within_the_limits_is_taken(book: Book, fields: Body) -> None:
    made = added(book, order())
    cancelled = book.cancel(demo(), json.dumps(cancellation(made.upper(), **fields)))
    assert book.orders[made].cancellations == [cancelled]


async def assert_refused(provider: Caller, method: str, body: Body, field: str) -> None:
    answer = await provider.post(method, body)
    assert (answer.status_code, answer.json()["message"].split(" ")[0]) == (400, field), answer.text
    assert provider.ros.refusals[400] == 1


@pytest.mark.parametrize("method", ["add", "cancel"])
async def test_what_is_no_json_object_is_refused(provider: Caller, method: str) -> None:
    headers = provider.headers | {"Content-Type": "application/json"}
    twice = b'{"providerID": 1, "providerID": 1}'
    for content in (b"", b"{", b"[]", b"7", b"\xff", NAN_ORDER.encode(), twice, b"[" * 100_000):
        answer = await provider.client.post(f"{provider.svc}remoteorders/{method}", content=content, headers=headers)
        assert answer.status_code == 400
    assert provider.ros.acts == []


async def test_a_form_is_no_json(provider: Caller) -> None:
    answer = await provider.client.post(f"{provider.svc}remoteorders/add", data=order(), headers=provider.headers)
    assert answer.status_code == 400


def test_open_names_can_be_set() -> None:
    readings = Readings(products="lines", payments="tenders", attributes="extras", more={"order": ["taxes"]})
    book = Book(PROVIDER, readings)
    body = without(order(), "products") | {
        "lines": [product(extras=[attribute()])],
        "tenders": [{"amountPaid": 10.0}],
        "totalAmount": 10.0,
        "taxes": [{"remoteOrderTaxID": 1}],
    }
    added(book, body)
    assert refused_field(lambda: added(book, order())) == "products"


def test_what_is_required_can_be_set() -> None:
    book = Book(PROVIDER, Readings(required=("providerID", "outletID", "providerName")))
    added(book, {"providerID": 4711, "outletID": DEMO_OUTLET, "providerName": "DemoEats"})
    assert refused_field(lambda: added(book, order())) == "providerName"


def test_the_status_for_another_provider_can_be_set() -> None:
    with pytest.raises(RefusedError) as raised:
        added(Book(PROVIDER, Readings(wrong_provider=403)), order(providerID=4712))
    assert raised.value.status == 403


def test_sums_can_be_read_otherwise() -> None:
    whole = order(product(attributes=[attribute()], totalAmount=10.0), totalAmount=10.0)
    book = Book(PROVIDER, Readings(attributes_in_product_total=True, paid_in_full=True))
    added(book, whole)
    assert refused_field(lambda: added(book, with_attribute())) == f"{PRODUCT}.totalAmount"
    short = whole | {"payments": [{"amountPaid": 9.0}]}
    assert refused_field(lambda: added(book, short)) == "payments[0].amountPaid"
    added(Book(PROVIDER, Readings(checked_sums=False)), order(totalAmount=1.0))


async def test_an_outlet_id_is_its_own_only_within_its_organisation() -> None:
    shared = str(uuid.uuid4())
    organisations = [
        Organisation(code, str(uuid.uuid4()), f"secret of {code}", (Outlet(shared),)) for code in ("DEMOORG", "OTHER")
    ]
    async with called(RosSimulator(organisations=organisations)) as first:
        second = await caller(first.ros, first.client, org_id="OTHER")
        made = await second.add(order(outletID=shared))
        assert first.ros.orders[made].organisation.code == "OTHER"
        await assert_refused(first, "cancel", cancellation(made, outletID=shared), "remoteOrderID")
        assert (await second.post("cancel", cancellation(made, outletID=shared))).status_code == 200


async def test_an_order_is_cancelled_at_its_own_outlet() -> None:
    outlets = Outlet(str(uuid.uuid4())), Outlet(str(uuid.uuid4()))
    organisation = Organisation("DEMOORG", str(uuid.uuid4()), "secret", outlets)
    async with called(RosSimulator(organisations=[organisation])) as provider:
        made = await provider.add(order(outletID=outlets[0].outlet_id))
        await assert_refused(provider, "cancel", cancellation(made, outletID=outlets[1].outlet_id), "outletID")
