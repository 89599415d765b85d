"""The wire of Doshii, as tables to read beside its pages, and orders as they go out.

Pages: support.doshii.io (Create Orders, Update Order, Create Transaction …), and the types of Doshii's own partner SDK.
Money is whole cents: item prices travel as strings, payments and variant prices as numbers; both are read everywhere.
Doshii calculates nothing, so every line has its price, and totals follow the page's worked case:

    totalBeforeSurcounts = (unitPrice + variants) x quantity
    totalAfterSurcounts  = totalBeforeSurcounts + the item's surcounts, which are not multiplied

Assumed, since no page that could be read says it; what is cheap to set can be set (README, "Check with Doshii"):

| assumption                                                                        | setting          |
|-----------------------------------------------------------------------------------|------------------|
| `POST orders/:id/items` takes a bare array (the SDK); `{"version", "items"}` else | `items_body`     |
| a consumer needs a name                                                           | `consumer_name`  |
| an order's table travels by check-in; without one it stands in the notes          | `checkin_id`     |
| a webhook's verification is a parameter `verify`, answered as JSON                | –                |
| 5xx to a change may have acted, Doshii's own 503 and a 429 most likely not        | –                |
| `createdAt` is when it was made: what is older than a command was not made by it  | –                |
| the same content within ten minutes, by socket or webhook, is one event; but what | –                |
| goes back to what it was, a product or a pause, is told each time                 |                  |
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ordernpay.clock import utc
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.orders import Adjustment, Customer, Line, Order, OrderStatus, Payment
from ordernpay.rules import CENT, DUST
from ordernpay.vendors.doshii.settings import DoshiiConfig, Options
from ordernpay.vendors.tables import Field, Manner
from ordernpay.vendors.tables import write as write_table

MANNER: Final = Manner("doshii", 12)
LOCATION: Final = "doshii-location-id"
ZERO: Final = Decimal("0.00")
AMOUNT: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?", re.ASCII)
LONGEST_AMOUNT: Final = 60
MOST_VARIANTS: Final = 100
"""A variant has no quantity: two of one are two entries, and a kiosk's slip must not become a million of them."""

STATUSES: Final[Mapping[str, OrderStatus]] = {
    "pending": "submitted",
    "accepted": "accepted",
    "rejected": "rejected",
    "cancelled": "cancelled",
    "venue_cancelled": "cancelled",
    "complete": "closed",
}
TYPES: Final = {"dine_in": "dinein", "pickup": "pickup", "delivery": "delivery"}
METHODS: Final = (
    *("cash", "visa", "mastercard", "amex", "diners", "giftcard", "loyalty", "crypto", "credit", "directdeposit"),
    *("cheque", "alipay", "wechatpay", "zip", "moto", "other", "paypal", "eftpos"),
)

ORDER: Final = (
    Field("type", "text", "type", required=True),
    Field("status", "text", "status", absent=True),
    Field("externalOrderRef", "text", "reference", 64, absent=True),
    Field("items", "list", "lines", required=True),
    Field("surcounts", "list", "adjustments"),
    Field("notes", "text", "notes", 1000, absent=True),
    Field("mealPhase", "text", "@options.meal_phase", absent=True),
    Field("manuallyProcessed", "bool", "@options.manually_processed", absent=True),
    Field("requiredAt", "text", "ready_at", absent=True),
    Field("checkinId", "text", "@options.checkin_id", absent=True),
)
ITEM: Final = (
    Field("posId", "text", "product", 1000, absent=True),
    Field("name", "text", "name", 1000, required=True),
    Field("quantity", "int", "quantity", required=True),
    Field("type", "text", "type", absent=True),
    Field("unitPrice", "text", "unit_price", required=True),
    Field("totalBeforeSurcounts", "text", "total", required=True),
    Field("totalAfterSurcounts", "text", "total", required=True),
    Field("description", "text", "note", 1000, absent=True),
    Field("options", "list", "children"),
    Field("surcounts", "list", "adjustment"),
)
SURCOUNT: Final = (
    Field("posId", "text", "pos_id", absent=True),
    Field("name", "text", "name", 1000, required=True),
    Field("type", "text", "type", required=True),
    Field("amount", "text", "amount", required=True),
    Field("value", "text", "amount", required=True),
)
TRANSACTION: Final = (
    Field("amount", "int", "amount", required=True),
    Field("reference", "text", "reference", 1000, absent=True),
    Field("method", "text", "method", absent=True),
    Field("tip", "int", "tip", absent=True),
    Field("prepaid", "bool", "prepaid", absent=True),
)


def write(model: Iterable[Field], values: Mapping[str, Any], path: str, faults: list[Fault]) -> JsonObject:
    """One model as JSON; see `tables.write`."""
    return write_table(model, values, path, faults, MANNER)


def token(client_id: str, secret: str, wall: float) -> str:
    """A JWT for one request: HS256, with the time in seconds (page App Authentication)."""
    head = _part(dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = _part(dumps({"clientId": client_id, "timestamp": int(wall)}).encode())
    signature = hmac.new(secret.encode(), head + b"." + claims, hashlib.sha256).digest()
    return b".".join((head, claims, _part(signature))).decode()


def _part(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def cents(amount: Decimal) -> int:
    """Money as whole cents."""
    return int(amount * 100)


def money(value: JsonValue) -> Decimal | None:
    """Cents, as a number or as text, whole but for the dust of binary floats, as money; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        return None
    text = str(value).strip()
    if len(text) > LONGEST_AMOUNT or not AMOUNT.fullmatch(text):
        return None
    amount = Decimal(text)
    whole = amount.quantize(Decimal(1))
    return (whole / 100).quantize(CENT) + 0 if abs(amount - whole) <= DUST / CENT else None


def order_body(order: Order, options: Options, faults: list[Fault], *, status: str | None) -> JsonObject:
    """The order's fields, as they stand bare in a pre-process and wrapped in a new order."""
    for name, held in (("service_charge", order.service_charge), ("training", order.training or None)):
        if held is not None:
            faults.append(Fault(f"order.{name}", "doshii has no place for it"))
    if order.type is None:
        faults.append(Fault("order.type", "required by doshii: dine_in, pickup or delivery"))
    if not order.lines:
        faults.append(Fault("order.lines", "expected at least one line"))
    notes = list(order.notes)
    if options.checkin_id is None:
        notes += [f"Table {order.table}"] if order.table is not None else []
        notes += [f"Covers {order.covers}"] if order.covers is not None else []
    values = {
        "type": TYPES[order.type or "pickup"],
        "status": status,
        "externalOrderRef": order.reference,
        "items": items(order.lines, "order.lines", faults),
        "surcounts": [_surcount(entry, f"order.adjustments[{i}]", faults) for i, entry in enumerate(order.adjustments)],
        "notes": "\n".join(notes) or None,
        "mealPhase": options.meal_phase,
        "manuallyProcessed": options.manually_processed or None,
        "requiredAt": utc(order.ready_at),
        "checkinId": options.checkin_id,
    }
    return write(ORDER, values, "order", faults)


def create_body(order: Order, config: DoshiiConfig, options: Options, faults: list[Fault]) -> JsonObject:
    """A new order in its wrapper."""
    body: JsonObject = {
        "order": order_body(order, options, faults, status="pending"),
        "consumer": consumer(order.customer, config),
    }
    if order.payments:
        body["transactions"] = [
            transaction(payment, f"order.payments[{i}]", faults, prepaid=True)
            for i, payment in enumerate(order.payments)
        ]
    if options.members:
        body["members"] = list(options.members)
    if options.pos_terminal_id is not None:
        body["posTerminalId"] = options.pos_terminal_id
    return body


def consumer(customer: Customer | None, config: DoshiiConfig) -> JsonObject:
    """Who ordered."""
    if customer is None:
        return {"name": config.consumer_name}
    told: dict[str, JsonValue] = {
        "name": customer.name or config.consumer_name,
        "phone": customer.phone,
        "email": customer.email,
    }
    address = customer.address
    if address is not None:
        parts: dict[str, str | None] = {
            "line1": address.line1,
            "line2": address.line2,
            "city": address.city,
            "state": address.state,
            "postalCode": address.postal_code,
            "country": address.country,
            "notes": address.notes,
        }
        told["address"] = {name: value for name, value in parts.items() if value is not None}
    return {name: value for name, value in told.items() if value is not None}


def items(lines: Sequence[Line], path: str, faults: list[Fault]) -> list[JsonValue]:
    """Lines as items."""
    return [_item(line, f"{path}[{i}]", faults) for i, line in enumerate(lines)]


def _item(line: Line, path: str, faults: list[Fault]) -> JsonObject:
    if line.modifier is not None:
        faults.append(Fault(f"{path}.modifier", 'doshii has variants: give them as children, "option:variant"'))
    if line.unit_price is None:
        faults.append(Fault(f"{path}.unit_price", "required by doshii, which calculates nothing"))
    price = line.unit_price or ZERO
    options, extra = _options(line.children, f"{path}.children", faults)
    before = (price + extra) * line.quantity
    after = before + (line.adjustment.amount if line.adjustment else ZERO)
    if line.total is not None and line.total not in {before, after}:
        faults.append(
            Fault(f"{path}.total", f"expected (unit_price + children) x quantity = {before}, got {line.total}")
        )
    values = {
        "posId": line.product,
        "name": line.name,
        "quantity": line.quantity,
        "type": "single",
        "unitPrice": str(cents(price)),
        "totalBeforeSurcounts": str(cents(before)),
        "totalAfterSurcounts": str(cents(after)),
        "description": line.note,
        "options": options,
        "surcounts": [_surcount(line.adjustment, f"{path}.adjustment", faults)] if line.adjustment else [],
    }
    return write(ITEM, values, path, faults)


def _options(children: Sequence[Line], path: str, faults: list[Fault]) -> tuple[list[JsonValue], Decimal]:
    """Children as variants of options, `product` = "option:variant"; and what they add to the unit price."""
    options: dict[str, list[JsonValue]] = {}
    extra = ZERO
    if sum(child.quantity for child in children) > MOST_VARIANTS:
        faults.append(Fault(path, f"expected at most {MOST_VARIANTS} variants of one line, each of a quantity counted"))
        return [], extra
    for i, child in enumerate(children):
        where = f"{path}[{i}]"
        option, _, variant = (child.product or "").partition(":")
        if not option or not variant or not child.name:
            faults.append(Fault(where, 'expected product as "option:variant", such as "dips:chilli", and a name'))
        faults += [
            Fault(f"{where}.{name}", "doshii's variants have none")
            for name in ("children", "adjustment", "note", "modifier")
            if getattr(child, name)
        ]
        price = child.unit_price or ZERO
        extra += price * child.quantity
        entry: JsonObject = {"posId": variant, "name": child.name or "", "price": cents(price)}
        options.setdefault(option, []).extend([entry] * child.quantity)
    return [{"posId": name, "name": name, "variants": variants} for name, variants in options.items()], extra


def _surcount(adjustment: Adjustment, path: str, faults: list[Fault]) -> JsonObject:
    amount = str(cents(adjustment.amount))
    values = {
        "posId": adjustment.pos_id or adjustment.id,
        "name": adjustment.name,
        "type": "absolute",
        "amount": amount,
        "value": amount,
    }
    return write(SURCOUNT, values, path, faults)


def transaction(
    payment: Payment, path: str, faults: list[Fault], *, prepaid: bool, key: str | None = None
) -> JsonObject:
    """A payment. Without a reference of its own it gets the command's key, by which it can be found again."""
    method = payment.method.lower()
    if method not in METHODS:
        faults.append(Fault(f"{path}.method", f"expected one of {', '.join(METHODS)} for doshii, got {method[:60]}"))
    if payment.amount == 0:
        faults.append(Fault(f"{path}.amount", "expected an amount other than 0"))
    faults += [
        Fault(f"{path}.{name}", "doshii has no place for it")
        for name in ("surcharge", "service_charge", "merchant_id", "terminal_id")
        if getattr(payment, name) is not None
    ]
    values = {
        "amount": cents(payment.amount),
        "reference": payment.reference or key,
        "method": method,
        "tip": None if payment.tip is None else cents(payment.tip),
        "prepaid": prepaid or None,
    }
    return write(TRANSACTION, values, path, faults)
