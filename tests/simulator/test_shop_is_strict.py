"""What the pages forbid is refused, with the field's name, and nothing is done."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ordernpay.simulator.shop import Shop
from tests.simulator.requests import TRANSACTION, child, create, look_up, payment, product, request, simulate, update

Message = dict[str, Any]
NAN_FRAME = json.dumps(create(product(Price=float("nan"))))


def with_envelope(**fields: Any) -> Message:
    return {**create(), **fields}


def without(message: Message, name: str) -> Message:
    holder = message if name in message else message["Payload"]
    del holder[name]
    return message


def without_product_field(name: str) -> Message:
    message = create()
    del message["Payload"]["Products"][0][name]
    return message


def refused_field(shop: Shop, message: Message | str) -> str:
    decision = shop.answer(message if isinstance(message, str) else json.dumps(message))
    assert decision.response["ResultCode"] == 3
    assert decision.response["Payload"] is None
    assert shop.acts == []
    assert shop.refusals == 1
    return str(decision.response["ErrorMessage"]).split(" ", maxsplit=1)[0]


PRODUCT = "Payload.Products[0]"
ADJUSTMENT = {"Amount": -1.0, "Name": "Off", "AdjustmentID": None}

FORBIDDEN: list[tuple[Message, str]] = [
    (with_envelope(RequestID=None), "RequestID"),
    (with_envelope(RequestID=""), "RequestID"),
    (with_envelope(RequestID="x" * 257), "RequestID"),
    (with_envelope(RequestID=7), "RequestID"),
    (with_envelope(ProviderID=999), "ProviderID"),
    (with_envelope(ProviderID="12345"), "ProviderID"),
    (with_envelope(ProviderName="x" * 65), "ProviderName"),
    (with_envelope(ProviderName=""), "ProviderName"),
    (with_envelope(DeviceID="x" * 65), "DeviceID"),
    (with_envelope(UserIdentifier=None), "UserIdentifier"),
    (with_envelope(UserIdentifier="x" * 37), "UserIdentifier"),
    (with_envelope(MessageType=77), "MessageType"),
    (with_envelope(MessageType=True), "MessageType"),
    (with_envelope(Payload=None), "Payload"),
    (with_envelope(Payload=[]), "Payload"),
    (with_envelope(Version=1), "Version"),
    (with_envelope(requestID="r"), "requestID"),
    *(
        (without(create(), name), name)
        for name in ("RequestID", "ProviderID", "ProviderName", "DeviceID", "UserIdentifier", "MessageType", "Payload")
    ),
    *(
        (without(create(), name), f"Payload.{name}")
        for name in ("ProviderOrderID", "ServiceModeID", "ServiceModeEntityID")
    ),
    *(
        (without_product_field(name), f"{PRODUCT}.{name}")
        for name in ("ProductType", "Name", "Quantity", "Price", "TotalAmount")
    ),
    (create(productName="Soup"), "Payload.productName"),
    (create(ProviderOrderID="x" * 65), "Payload.ProviderOrderID"),
    (create(ServiceModeID="tables"), "Payload.ServiceModeID"),
    (create(ServiceModeEntityID="123456789"), "Payload.ServiceModeEntityID"),
    (create(ServiceModeEntityID=14), "Payload.ServiceModeEntityID"),
    (create(IsTraining=None), "Payload.IsTraining"),
    (create(UseProviderPrices="false"), "Payload.UseProviderPrices"),
    (create(Covers=2.0), "Payload.Covers"),
    (create(Covers=-1), "Payload.Covers"),
    (create(ServiceChargeAmount=-0.01), "Payload.ServiceChargeAmount"),
    (create(ServiceChargeAmount="1.00"), "Payload.ServiceChargeAmount"),
    (create(Notes=["pager 7"]), "Payload.Notes[0]"),
    (create(Products={}), "Payload.Products"),
    (create(product(plu="1203", Colour="red")), f"{PRODUCT}.Colour"),
    (create(product(Name="x" * 51)), f"{PRODUCT}.Name"),
    (create(product(Quantity=2.0)), f"{PRODUCT}.Quantity"),
    (create(product(Quantity="2")), f"{PRODUCT}.Quantity"),
    (create(product(Quantity=True)), f"{PRODUCT}.Quantity"),
    (create(product(Quantity=0)), f"{PRODUCT}.Quantity"),
    (create(product(Price="4.50")), f"{PRODUCT}.Price"),
    (create(product(Price=4.505)), f"{PRODUCT}.Price"),
    (create(product(Price=None)), f"{PRODUCT}.Price"),
    (create(product(Price=100_000_000_000.0)), f"{PRODUCT}.Price"),
    (create(product(ProviderProductID="x" * 65)), f"{PRODUCT}.ProviderProductID"),
    (create(product(plu="x" * 37)), f"{PRODUCT}.PLUIdentifier"),
    (create(product(plu=None)), f"{PRODUCT}.PLUIdentifier"),
    (create(product(SalesModifierIdentifier="x" * 37)), f"{PRODUCT}.SalesModifierIdentifier"),
    (create(product(SalesModifierName="x" * 9)), f"{PRODUCT}.SalesModifierName"),
    (
        create(product(ChildProducts=[child(SalesModifierName="x" * 33)])),
        f"{PRODUCT}.ChildProducts[0].SalesModifierName",
    ),
    (create(product(ChildProducts=[product("1301")])), f"{PRODUCT}.ChildProducts[0].ChildProducts"),
    (
        create(product(ChildProducts=[{**child(), "Adjustment": None}])),
        f"{PRODUCT}.ChildProducts[0].Adjustment",
    ),
    (create(product(Adjustment={**ADJUSTMENT, "AdjustmentID": "happy hour"})), f"{PRODUCT}.Adjustment.AdjustmentID"),
    (create(Adjustments=[{"Name": "Off"}]), "Payload.Adjustments[0].Amount"),
    (create(Adjustments=[{**ADJUSTMENT, "Name": "x" * 51}]), "Payload.Adjustments[0].Name"),
    (
        create(product(Price=4.5, TotalAmount=9.5, Quantity=2), UseProviderPrices=True),
        f"{PRODUCT}.TotalAmount",
    ),
    (
        create(
            product(Price=4.5, TotalAmount=4.5, ChildProducts=[child(Price=1.5, Quantity=2, TotalAmount=1.5)]),
            UseProviderPrices=True,
        ),
        f"{PRODUCT}.ChildProducts[0].TotalAmount",
    ),
    (create(product(Price=4.5), Payments=[payment(4.5)]), f"{PRODUCT}.TotalAmount"),
    (create(product(), Payments=[payment(4.5)]), "Payload.Payments[0].AmountSale"),
    (create(Payments=[{"AmountSale": 1.0}]), "Payload.Payments[0].Name"),
    (create(Payments=[payment(1.0, Name="x" * 33)]), "Payload.Payments[0].Name"),
    (create(Payments=[payment(1.0, MerchantID="x" * 41)]), "Payload.Payments[0].MerchantID"),
    (create(Payments=[payment(1.0, CardNumber="4111")]), "Payload.Payments[0].CardNumber"),
    (update(SalesTransactionID="14"), "Payload.SalesTransactionID"),
    (update(Payments=[]), "Payload.Payments"),
    (update(IsTraining=False), "Payload.IsTraining"),
    (simulate(Covers=2), "Payload.Covers"),
    (without(simulate(), "Products"), "Payload.Products"),
    (request(13, {**simulate()["Payload"], "Products": None}), "Payload.Products"),
    (request(0, {}), "Payload.PIN"),
    (request(0, {"PIN": 9071}), "Payload.PIN"),
    (request(1, {"UserOrdersOnly": False}), "Payload.ServiceModeEntityID"),
    (request(1, {"ServiceModeEntityID": ""}), "Payload.UserOrdersOnly"),
    (request(2, {"SalesTransactionID": None}), "Payload.SalesTransactionID"),
    (request(14, {"SalesTransactionID": TRANSACTION}), "Payload.Payment"),
]


@pytest.mark.parametrize(
    ("message", "field"), FORBIDDEN, ids=[f"{at}-{field}" for at, (_, field) in enumerate(FORBIDDEN)]
)
def test_what_the_pages_forbid_is_refused_by_name(message: Message, field: str) -> None:
    shop = Shop()
    shop.open_order(sales_transaction_id=TRANSACTION)
    assert refused_field(shop, message) == field


@pytest.mark.parametrize("text", ["", "{", "[]", "7", NAN_FRAME, '{"RequestID": "a", "RequestID": "b"}', "[" * 100_000])
def test_what_is_no_message_is_refused(text: str) -> None:
    assert refused_field(Shop(), text) == "The"


@pytest.mark.parametrize(
    "spoil",
    [lambda pin: look_up(pin) | {"UserIdentifier": pin * 9}, lambda pin: request(0, {"PIN": [pin]})],
)
def test_a_refusal_does_not_repeat_a_pin(spoil: Callable[[str], Message]) -> None:
    assert "73519" not in Shop().answer(json.dumps(spoil("73519"))).text


def test_the_limits_themselves_are_allowed() -> None:
    shop = Shop()
    full = create(
        product(
            Name="x" * 50,
            SalesModifierName="x" * 8,
            ProviderProductID="x" * 64,
            Quantity=1,
            Price=99_999_999_999.99,
            TotalAmount=99_999_999_999.99,
            ChildProducts=[child(None, ProductType=7, SalesModifierName="x" * 32)],
        ),
        UseProviderPrices=True,
        ProviderOrderID="x" * 64,
        ServiceModeEntityID="12345678",
    )
    full["RequestID"] = "r" * 256
    decision = shop.answer(json.dumps(full))
    assert decision.acted
    assert "99999999999.99" in decision.text


def test_nullable_fields_may_be_left_out() -> None:
    message = create()
    message["Payload"] = {
        name: message["Payload"][name] for name in ("ProviderOrderID", "ServiceModeID", "ServiceModeEntityID")
    }
    assert Shop().answer(json.dumps(message)).acted
