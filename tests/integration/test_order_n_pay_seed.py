"""The request of the vendor's UpdateOrder page, and its three answers, from a kiosk's call to a kiosk's answer.

The documents' JSON is repeated here as data, as docs.powerepos.cloud/Document/OrderNPay/MethodUpdateOrder prints it.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ordernpay.client import NotFound, OutOfStock, connect
from ordernpay.simulator import order_n_pay as simulator
from ordernpay.simulator.shop import Shop
from tests.support.daemons import daemon_inside, session, tables
from tests.support.kiosk import keyed
from tests.support.wait import until

ORDER_ID = "a60fba87-58ec-4b12-b71c-57572036c6bc"
UNKNOWN_ID = "a60fba87-58ec-4b12-b71c-000000000000"
DOCUMENTED: dict[str, Any] = {
    "ProviderID": 12345,
    "ProviderName": "Example Provider",
    "DeviceID": "DeviceABC123",
    "UserIdentifier": "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4",
    "MessageType": 12,
    "Payload": {
        "ProviderOrderID": "c8e87068-b926-4220-958e-439ac3733e87",
        "SalesTransactionID": ORDER_ID,
        "UseProviderPrices": True,
        "Products": [
            {
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
                "Adjustment": None,
            }
        ],
        "Adjustments": [],
        "Notes": [],
        "ServiceChargeAmount": None,
    },
}
CALL: dict[str, Any] = {
    "order_id": ORDER_ID,
    "reference": "c8e87068-b926-4220-958e-439ac3733e87",
    "prices": "kiosk",
    "lines": [
        {
            "id": "c3a0eadc-0711-4012-9c03-45b3c0bf668f",
            "product": "cc0c93fd-7268-4252-b792-171a37e32696",
            "modifier": "07c8fd3e-6331-4646-99b2-b4ef3486fb19",
            "modifier_name": "PINT",
            "name": "Carlsberg",
            "quantity": 2,
            "unit_price": "6.00",
            "total": "12.00",
        }
    ],
}


async def test_the_documented_request_is_what_goes_over_the_wire_and_its_answers_are_told(artifacts: Path) -> None:
    shop = Shop()
    shop.open_order(sales_transaction_id=ORDER_ID, table="14")
    async with simulator.serve(shop) as pos:
        config = tables(artifacts, {"bar": session(url=pos.url)})
        async with daemon_inside(config) as daemon, connect(config["rpc"]["socket"]) as client:
            await until(lambda: daemon.gateway.sessions["bar"].status().state == "up")

            answer: Any = await client.call("order.update", keyed("order.update", CALL))
            assert answer["state"] == "succeeded"
            sent = json.loads(shop.requests[-1])
            request_id = sent.pop("RequestID")
            assert sent == DOCUMENTED
            assert list(sent) == list(DOCUMENTED)
            assert list(sent["Payload"]) == list(DOCUMENTED["Payload"])
            assert answer["vendor"]["RequestID"] == request_id
            assert answer["result"]["order"]["id"] == ORDER_ID
            assert answer["result"]["order"]["total"] == "12.00"

            shop.kitchen.stock["1001"] = 1
            with pytest.raises(OutOfStock) as out_of_stock:
                await client.call("order.update", keyed("order.update", CALL))
            assert out_of_stock.value.code == 1003
            assert out_of_stock.value.details == {
                "products": [
                    {
                        "product": "cc0c93fd-7268-4252-b792-171a37e32696",
                        "modifier": "07c8fd3e-6331-4646-99b2-b4ef3486fb19",
                        "name": "Carlsberg",
                    }
                ]
            }
            with pytest.raises(NotFound) as not_found:
                await client.call("order.update", keyed("order.update", CALL | {"order_id": UNKNOWN_ID}))
            assert (not_found.value.code, not_found.value.state) == (1002, "rejected")
