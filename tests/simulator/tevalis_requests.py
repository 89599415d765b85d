"""Requests written from Tevalis' pages, for tests to break on purpose."""

import json
from typing import Any

from ordernpay.simulator.pages import read_json

Message = dict[str, Any]


def item(plu: str = "SOUP", quantity: int = 1, **fields: Any) -> Message:
    return {"PLU": plu, "Quantity": quantity, **fields}


def option(group: int = 55, choice: int = 702, **fields: Any) -> Message:
    return {"OptionGroupID": group, "OptionItemID": choice, **fields}


def sauces(depth: int) -> list[Message]:
    """Options below options, so deep."""
    return [option(57, 760, Modifiers=sauces(depth - 1))] if depth else []


def macro(parent: Message, *children: Message) -> Message:
    return {"ParentOrderItem": parent, "ChildrenOrderItems": list(children)}


def calculation(*items: Message, **fields: Any) -> Message:
    return {"SiteId": 812, "PriceGroupID": 3, "OrderItems": list(items) or [item()], **fields}


def tender(amount: float, **fields: Any) -> Message:
    return {"TenderTypeID": 14, "Amount": amount, **fields}


def submission(uid: str, *tenders: Message, **fields: Any) -> Message:
    return {"SiteId": 812, "UID": uid, "CustomerInfo": {}, "Tenders": list(tenders), **fields}


def cancellation(uid: str, **fields: Any) -> Message:
    return {"SiteId": 812, "UID": uid, "Reason": "Customer changed plans (A17)", **fields}


def without(message: Message, name: str) -> Message:
    return {held: value for held, value in message.items() if held != name}


def parsed(message: Any) -> Any:
    """The message as it comes from the wire."""
    return read_json(json.dumps(message))
