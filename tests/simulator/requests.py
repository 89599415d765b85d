"""Requests written from the vendor's pages, for tests to break on purpose."""

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any

from ordernpay.simulator.bill import User

ASHA = "f9248a0f-ba0c-4c80-b9f2-fe020b456ce4"
BEN = "0b7c1b7e-1111-4222-8333-444455556666"
TRANSACTION = "a60fba87-58ec-4b12-b71c-57572036c6bc"
OWNER = User(ASHA, "Asha", "9071")


def request(message_type: int, payload: Any, **envelope: Any) -> dict[str, Any]:
    return {
        "RequestID": str(uuid.uuid4()),
        "ProviderID": 12345,
        "ProviderName": "Example Provider",
        "DeviceID": "DeviceABC123",
        "UserIdentifier": ASHA,
        "MessageType": message_type,
        "Payload": payload,
        **envelope,
    }


def product(plu: str | None = "1203", **fields: Any) -> dict[str, Any]:
    return {
        "ProviderProductID": "l1",
        "ProductType": 0,
        "PLUIdentifier": plu,
        "SalesModifierIdentifier": None,
        "SalesModifierName": None,
        "Name": "Soup",
        "Quantity": 1,
        "Price": 0.0,
        "TotalAmount": 0.0,
        "ChildProducts": [],
        "Adjustment": None,
        **fields,
    }


def child(plu: str | None = "1301", **fields: Any) -> dict[str, Any]:
    line = product(plu, **{"Name": "Extra cheese", **fields})
    del line["ChildProducts"], line["Adjustment"]
    return line


def payment(amount: float, **fields: Any) -> dict[str, Any]:
    return {"AmountSale": amount, "Name": "VISA", **fields}


def create(*products: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return request(
        11,
        {
            "ProviderOrderID": "web-88120",
            "ServiceModeID": "7a7a7a7a-0000-4000-8000-000000000009",
            "ServiceModeEntityID": "14",
            "IsTraining": False,
            "UseProviderPrices": False,
            "Products": list(products) or [product()],
            "Payments": None,
            "Adjustments": [],
            "Notes": [],
            "ServiceChargeAmount": None,
            "Covers": 2,
            **payload,
        },
    )


def update(*products: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return request(12, {"SalesTransactionID": TRANSACTION, "Products": list(products), **payload})


def simulate(*products: dict[str, Any], **payload: Any) -> dict[str, Any]:
    return request(
        13,
        {
            "ServiceModeID": "7a7a7a7a-0000-4000-8000-000000000009",
            "ServiceModeEntityID": "14",
            "Products": list(products),
            **payload,
        },
    )


def look_up(pin: str) -> dict[str, Any]:
    return request(0, {"PIN": pin}, UserIdentifier=None)


def frame(message: dict[str, Any]) -> str:
    return json.dumps(message)


async def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - not every state has an event
            await asyncio.sleep(0.005)
