"""From Doshii's answers and events to the contract's words. Pure."""

import contextlib
from decimal import Decimal
from typing import Final

from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.vendors.doshii.wire import STATUSES, money
from ordernpay.vendors.protocol import Report
from ordernpay.vendors.reading import Reader, tolerant

ZERO: Final = Decimal("0.00")
NEVER_SET: Final = "0" * 32


def order(raw: JsonValue) -> JsonObject:
    """An order of Doshii; it has no number but the POS' reference, and no currency."""
    reader = Reader(raw if isinstance(raw, dict) else {})
    checkin = reader.object("checkin")
    tables = checkin.get("tableNames") if checkin else None
    notes = reader.text("notes")
    told = OrderOut(
        id=identity(reader, "id"),
        reference=reader.text("externalOrderRef"),
        number=reader.text("posRef") or reader.text("posDisplayId"),
        status=STATUSES.get(status(reader) or ""),
        table=str(tables[0]) if isinstance(tables, list) and tables else None,
        total=_total(reader),
        lines=[_line(line) for line in [*(reader.objects("items") or []), *(reader.objects("unapprovedItems") or [])]],
        adjustments=[_adjustment(surcount) for surcount in reader.objects("surcounts") or []],
        payments=[_payment(payment) for payment in reader.objects("transactions") or []],
        taxes=[_tax(tax) for tax in reader.objects("taxes") or []],
        notes=notes.split("\n") if notes else [],
        estimated_at=reader.moment("availableEta") or reader.moment("requiredAt"),
    )
    written = unstructure(told)
    return written if isinstance(written, dict) else {}


def identity(reader: Reader, name: str) -> str | None:
    """An id; null where it is blank, or a GUID that was never set."""
    text = (reader.text(name) or "").strip()
    digits = text.strip("{}()").replace("-", "")
    return None if not text or digits == NEVER_SET else text


def _total(order: Reader) -> Decimal | None:
    """What an order comes to: lines, surcounts, exclusive taxes; null where any part of it is not known."""
    lines = _parts(order, "items")
    if not lines:
        return None
    parts = [money(line.get("totalAfterSurcounts")) for line in lines]
    parts += [_value(surcount) for surcount in _parts(order, "surcounts")]
    taxes = [tax for holder in (*lines, order) for tax in _parts(holder, "taxes")]
    parts += [money(tax.get("value")) for tax in taxes if _is_added(tax)]
    known = [part for part in parts if part is not None]
    return sum(known, ZERO) if len(known) == len(parts) else None


def _parts(holder: Reader, name: str) -> list[Reader]:
    """The entries of a list, those that cannot be read as entries without a value."""
    entries = holder.get(name)
    known = entries if isinstance(entries, list) else [entries] if entries is not None else []
    return [Reader(entry if isinstance(entry, dict) else {"taxType": "exclusive"}) for entry in known]


def _is_added(tax: Reader) -> bool:
    return (tax.text("taxType") or "").strip().lower() == "exclusive"


def _value(surcount: Reader) -> Decimal | None:
    """What a surcount adds: of an absolute one the amount is the same (page Surcounts)."""
    value = money(surcount.get("value"))
    absolute = (surcount.text("type") or "").strip().lower() == "absolute"
    return money(surcount.get("amount")) if value is None and absolute else value


def _line(item: Reader) -> JsonObject:
    children: list[JsonValue] = [
        {
            "product": f"{option.text('posId')}:{variant.text('posId')}",
            "name": variant.text("name"),
            "unit_price": unstructure(money(variant.get("price"))),
        }
        for option in item.objects("options") or []
        for variant in option.objects("variants") or []
    ]
    surcounts = item.objects("surcounts") or []
    return {
        "id": item.text("uuid"),
        "product": item.text("posId"),
        "modifier": None,
        "modifier_name": None,
        "name": item.text("name"),
        "quantity": item.whole("quantity"),
        "unit_price": unstructure(money(item.get("unitPrice"))),
        "total": unstructure(money(item.get("totalAfterSurcounts"))),
        "children": children,
        "adjustment": _adjustment(surcounts[0]) if surcounts else None,
        "note": item.text("description"),
        "status": item.text("status"),
    }


def _adjustment(surcount: Reader) -> JsonObject:
    amount = unstructure(_value(surcount))
    return {"name": surcount.text("name"), "amount": amount, "id": None, "pos_id": surcount.text("posId")}


def _payment(transaction: Reader) -> JsonObject:
    return {
        "id": transaction.text("id"),
        "method": transaction.text("method"),
        "amount": unstructure(money(transaction.get("amount"))),
        "tip": unstructure(money(transaction.get("tip"))),
        "reference": transaction.text("reference"),
        "status": transaction.text("status"),
    }


def _tax(tax: Reader) -> JsonObject:
    return {
        "name": tax.text("name"),
        "amount": unstructure(money(tax.get("value"))),
        "rate": tax.text("amount") if tax.text("type") == "percentage" else None,
        "included": tax.text("taxType") == "inclusive",
    }


def status(data: Reader) -> str | None:
    """A status without the blanks that Doshii's own types have around some, in lower case."""
    return (data.text("status") or "").strip().lower() or None


def quote(data: Reader, raw: JsonValue) -> Outcome:
    """How a pre-process ended, by its event (page Upon Order pre-processed)."""
    if status(data) == "rejected":
        said, code = data.text("rejectionReason"), data.text("rejectionCode")
        text = f"the POS refused the order: {said}" if said else "the POS refused the order"
        return ended(Failure("rejected", text, vendor_code=code, vendor_message=said), raw)
    result: JsonObject = {
        "order": order(data.get("order")),
        "quote_id": identity(data, "id"),
        "adjusted": {"true": True, "false": False}.get(str(data.get("posAdjusted")).lower()),
        "valid_until": data.moment("validUntil"),
    }
    return succeeded(result, raw)


def event(name: str, data: Reader, raw: JsonValue) -> Report:
    """An event of Doshii in the contract's words."""
    match name, status(data):
        case "order_preprocess", "complete":
            return Report("quote.completed", quote(data, None).result or {}, raw)
        case "order_preprocess", "rejected":
            told: JsonObject = {
                "quote_id": data.text("id"),
                "code": data.text("rejectionCode"),
                "reason": data.text("rejectionReason"),
            }
            return Report("quote.rejected", told, raw)
        case (("order_created" | "order_updated"), found):
            return Report(
                "order.updated",
                {
                    "order_id": identity(data, "id") or identity(data, "orderId"),
                    "reference": data.text("externalOrderRef"),
                    "status": STATUSES.get(found or ""),
                    "code": data.text("rejectionCode"),
                    "reason": data.text("rejectionReason"),
                },
                raw,
            )
        case (("menu_updated" | "app_menu_updated" | "app_menu_item_updated"), _):
            change: JsonObject = {
                "product": data.text("posId"),
                "type": data.text("type"),
                "action": data.text("action"),
                "availability": data.text("availability"),
            }
            return Report("menu.updated", change, raw)
        case _:
            return Report("vendor.event", {"type": name}, raw)


def envelope(message: JsonValue) -> tuple[str, JsonObject] | None:
    """Name and data of an event in any of the three envelopes; None for anything else, such as a pong."""
    if not isinstance(message, dict):
        return None
    outer = Reader(message)
    emitted = outer.get("emit")
    if isinstance(emitted, list) and emitted and isinstance(emitted[0], str):
        return emitted[0].strip(), _data(emitted[1] if len(emitted) > 1 else None) or {}
    name, data = outer.get("event") or outer.get("type"), _data(outer.get("data"))
    if not isinstance(name, str) or data is None or "doshii" in data:
        return None
    return name.strip(), data


def _data(value: JsonValue) -> JsonObject | None:
    """The data of an event, also written as JSON inside of JSON."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            value = tolerant(value)
    return value if isinstance(value, dict) else None


def is_elsewhere(location: str, data: JsonObject, message: JsonValue = None) -> bool:
    """Whether an event or an order is of another location: by its envelope, its data, or the order inside.

    A number is another kind of id than the hashed one that we are given, and says nothing beside one of those.
    """
    inner, outer = Reader(data), Reader(message if isinstance(message, dict) else {})
    holders = [holder for holder in (inner, outer, inner.object("order"), inner.object("data")) if holder is not None]
    named = [holder.text("locationId") for holder in holders]
    named += [place.text("id") for holder in holders if (place := holder.object("location")) is not None]
    known = {name for text in named if (name := (text or "").strip())}
    if not location.isdecimal():
        known = {name for name in known if not name.isdecimal()}
    return bool(known) and location not in known


def is_heartbeat(message: JsonValue) -> tuple[str, JsonValue] | None:
    """``ping`` or ``pong`` with its number, bare or wrapped; None for anything else."""
    if not isinstance(message, dict):
        return None
    inner = message.get("doshii")
    data = message.get("data")
    if inner is None and isinstance(data, dict):
        inner = data.get("doshii")
    if not isinstance(inner, dict):
        return None
    for name in ("ping", "pong"):
        if name in inner:
            return name, inner[name]
    return None
