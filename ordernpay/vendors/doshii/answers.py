"""From Doshii's answers and events to the contract's words. Pure."""

from decimal import Decimal
from typing import Final

from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.vendors.doshii.wire import STATUSES, money
from ordernpay.vendors.protocol import Report
from ordernpay.vendors.reading import Reader

ZERO: Final = Decimal("0.00")


def order(raw: JsonValue) -> JsonObject:
    """An order of Doshii; it tells no number of its own but the POS' reference, and no currency."""
    reader = Reader(raw if isinstance(raw, dict) else {})
    lines = reader.objects("items") or []
    surcounts = reader.objects("surcounts") or []
    checkin = reader.object("checkin")
    tables = checkin.get("tableNames") if checkin else None
    notes = reader.text("notes")
    told = OrderOut(
        id=reader.text("id"),
        reference=reader.text("externalOrderRef"),
        number=reader.text("posRef") or reader.text("posDisplayId"),
        status=STATUSES.get(status(reader) or ""),
        table=str(tables[0]) if isinstance(tables, list) and tables else None,
        total=_total(lines, surcounts) if lines else None,
        lines=[_line(line) for line in [*lines, *(reader.objects("unapprovedItems") or [])]],
        adjustments=[_adjustment(surcount) for surcount in surcounts],
        payments=[_payment(payment) for payment in reader.objects("transactions") or []],
        taxes=[_tax(tax) for tax in reader.objects("taxes") or []],
        notes=notes.split("\n") if notes else [],
        estimated_at=reader.text("availableEta") or reader.text("requiredAt"),
    )
    written = unstructure(told)
    return written if isinstance(written, dict) else {}


def _total(lines: list[Reader], surcounts: list[Reader]) -> Decimal:
    items = sum((money(line.get("totalAfterSurcounts")) or ZERO for line in lines), ZERO)
    return items + sum((money(surcount.get("value")) or ZERO for surcount in surcounts), ZERO)


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
    amount = unstructure(money(surcount.get("value")))
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
    """A status without the blanks that Doshii's own types have around some."""
    text = data.text("status")
    return None if text is None else text.strip()


def quote(data: Reader, raw: JsonValue) -> Outcome:
    """How a pre-process ended, by its event (page Upon Order pre-processed)."""
    if status(data) == "rejected":
        said, code = data.text("rejectionReason"), data.text("rejectionCode")
        text = f"the POS refused the order: {said}" if said else "the POS refused the order"
        return ended(Failure("rejected", text, vendor_code=code, vendor_message=said), raw)
    result: JsonObject = {
        "order": order(data.get("order")),
        "quote_id": data.text("id"),
        "adjusted": data.flag("posAdjusted"),
        "valid_until": data.text("validUntil"),
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
                    "order_id": data.text("id") or data.text("orderId"),
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
    emitted = message.get("emit")
    if isinstance(emitted, list) and emitted and isinstance(emitted[0], str):
        data = emitted[1] if len(emitted) > 1 else {}
        return emitted[0], data if isinstance(data, dict) else {}
    name = message.get("event", message.get("type"))
    data = message.get("data")
    if not isinstance(name, str) or not isinstance(data, dict) or "doshii" in data:
        return None
    return name, data


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
