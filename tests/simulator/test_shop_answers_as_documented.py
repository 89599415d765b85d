"""The three answers of https://docs.powerepos.cloud/Document/OrderNPay/MethodUpdateOrder, word for word."""

import json
from typing import Any

import pytest

from ordernpay.simulator.shop import Shop

REQUEST_ID = "2ad7fb00-5b69-424c-8810-05c0bec7b640"
REQUEST = """
{
    "RequestID": "2ad7fb00-5b69-424c-8810-05c0bec7b640",
    "ProviderID": 12345,
    "ProviderName": "Example Provider",
    "DeviceID": "DeviceABC123",
    "UserIdentifier": "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4",
    "MessageType": 12,
    "Payload": {
        "ProviderOrderID": "c8e87068-b926-4220-958e-439ac3733e87",
        "SalesTransactionID": "a60fba87-58ec-4b12-b71c-57572036c6bc",
        "UseProviderPrices": true,
        "Products": [{
                "ProviderProductID": "c3a0eadc-0711-4012-9c03-45b3c0bf668f",
                "ProductType": 0,
                "PLUIdentifier": "cc0c93fd-7268-4252-b792-171a37e32696",
                "SalesModifierIdentifier": "07c8fd3e-6331-4646-99b2-b4ef3486fb19",
                "Name": "Carlsberg",
                "SalesModifierName": "PINT",
                "Quantity": 2,
                "Price": 6.0,
                "TotalAmount": 12.0,
                "ChildProducts": [],
                "Adjustment": null
            }
        ],
        "Adjustments": [],
        "Notes": [],
        "ServiceChargeAmount": null
    }
}
"""


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.open_order(sales_transaction_id="a60fba87-58ec-4b12-b71c-57572036c6bc")
    return shop


def answer(shop: Shop) -> dict[str, Any]:
    response = json.loads(shop.answer(REQUEST).text)
    assert list(response) == ["RequestID", "ResultCode", "ErrorMessage", "MessageType", "Payload"]
    return dict(response)


def test_success(shop: Shop) -> None:
    response = answer(shop)
    order = response["Payload"].pop("Order")
    assert response == {
        "RequestID": REQUEST_ID,
        "ResultCode": 0,
        "ErrorMessage": None,
        "MessageType": 12,
        "Payload": {"OutOfStockProducts": None},
    }
    assert order["SalesTransactionID"] == "a60fba87-58ec-4b12-b71c-57572036c6bc"
    assert order["AmountOwing"] == 12.0
    assert order["Products"] == json.loads(REQUEST)["Payload"]["Products"]


@pytest.mark.parametrize(("as_documented", "message_type"), [(True, 11), (False, 12)])
def test_insufficient_stock(shop: Shop, *, as_documented: bool, message_type: int) -> None:
    shop.as_documented = as_documented
    shop.kitchen.stock["1001"] = 1
    assert answer(shop) == {
        "RequestID": REQUEST_ID,
        "ResultCode": 6,
        "ErrorMessage": "There is insufficent stock to complete the order.",
        "MessageType": message_type,
        "Payload": {
            "Order": None,
            "OutOfStockProducts": [
                {
                    "PLUIdentifier": "cc0c93fd-7268-4252-b792-171a37e32696",
                    "SalesModifierIdentifier": "07c8fd3e-6331-4646-99b2-b4ef3486fb19",
                    "Name": "Carlsberg",
                }
            ],
        },
    }
    assert shop.acts == []


@pytest.mark.parametrize(("as_documented", "message_type"), [(True, 2), (False, 12)])
def test_an_order_that_does_not_exist(*, as_documented: bool, message_type: int) -> None:
    assert answer(Shop(as_documented=as_documented)) == {
        "RequestID": REQUEST_ID,
        "ResultCode": 4,
        "ErrorMessage": "The specified order does not exist!",
        "MessageType": message_type,
        "Payload": None,
    }
