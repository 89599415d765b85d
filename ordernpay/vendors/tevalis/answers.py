"""From Tevalis' one answer, CalculateOnlineOrderV2ResponseDto, to the contract's words. Pure."""

import contextlib
from decimal import Decimal
from typing import Final

from ordernpay.clock import utc
from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut, OrderStatus
from ordernpay.outcomes import Failure, Outcome, ended
from ordernpay.rules import Moment, Wrong
from ordernpay.vendors.http import Answered
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.tries import MESSAGE_SHOWN

LONGEST_UID: Final = 128
"""Characters that a kiosk can give back as `order_id` or `quote_id`."""


def uid(dto: Reader) -> str | None:
    """The UID that an answer gives its order; a GUID that .NET has never set is all zeros, and nobody's."""
    told = dto.text("UID")
    return told if told and len(told) <= LONGEST_UID and told.strip("0-") else None


def said(dto: Reader) -> str | None:
    """What an answer that is no order says instead."""
    words = dto.text("ErrorMsg") or dto.text("Message")
    return words[:MESSAGE_SHOWN] if words else None


def declined(answer: Answered) -> Outcome | None:
    """How an answer ends a command that says `IsSuccess: false`, whatever its status; None where it does not."""
    raw = answer.json()
    dto = Reader(raw) if isinstance(raw, dict) else None
    if dto is None or dto.flag("IsSuccess") is not False:
        return None
    words = said(dto)
    return ended(Failure("rejected", f"tevalis said no: {words or 'and not why'}", vendor_message=words), raw)


def order(
    dto: Reader, *, uid: str | None, reference: str | None, status: OrderStatus | None, owing: Decimal | None
) -> JsonObject:
    """An order as Tevalis told it; it tells no number, currency or taxes."""
    table = dto.whole("TableNumber")
    told = OrderOut(
        id=uid,
        reference=reference,
        status=status,
        table=None if table is None else str(table),
        total=dto.money("TotalGross"),
        owing=owing,
        service_charge=dto.money("ServiceChargeAmount"),
        lines=[
            *(_line(item) for item in dto.objects("StandardOrderItems") or []),
            *(_deal(macro) for macro in dto.objects("StandardMacroItems") or []),
        ],
        adjustments=[
            *(_adjustment(entry, "PromotionID") for entry in dto.objects("Promotions") or []),
            *(_adjustment(entry, "DiscountID") for entry in dto.objects("ConfigurableDiscounts") or []),
        ],
        covers=dto.whole("Covers"),
        estimated_at=_moment(dto.text("EstimatedTimeUTC")),
    )
    written = unstructure(told)
    return written if isinstance(written, dict) else {}


def _moment(told: str | None) -> str | None:
    """A time in UTC, which is what one without an offset means by its name; null where it is no time of a day."""
    for text in () if told is None else (told, f"{told}Z"):
        with contextlib.suppress(Wrong):
            moment = Moment().read(text)
            return moment if moment.endswith(("Z", "+00:00")) else utc(moment)
    return None


def _line(item: Reader) -> JsonObject:
    notes = item.get("ItemNotes")
    children: list[JsonValue] = [_option(option) for option in item.objects("Modifiers") or []]
    return {
        "id": item.text("ItemRef"),
        "product": item.text("PLU"),
        "modifier": None,
        "modifier_name": None,
        "name": None,
        "quantity": item.whole("Quantity"),
        "unit_price": unstructure(item.money("OverridePrice")),
        "total": unstructure(item.money("ExpGross")),
        "children": children,
        "adjustment": None,
        "note": " ".join(note for note in notes if isinstance(note, str)) or None if isinstance(notes, list) else None,
    }


def _deal(macro: Reader) -> JsonObject:
    """A meal deal: the deal itself, and what is in it after its own options."""
    parent = macro.object("ParentOrderItem") or Reader({})
    options: list[JsonValue] = [_option(option) for option in parent.objects("Modifiers") or []]
    parts: list[JsonValue] = [_line(item) for item in macro.objects("ChildrenOrderItems") or []]
    return _line(parent) | {"children": options + parts}


def _option(option: Reader) -> JsonObject:
    children: list[JsonValue] = [_option(inner) for inner in option.objects("Modifiers") or []]
    return {
        "product": f"{option.text('OptionGroupID')}:{option.text('OptionItemID')}",
        "modifier": "remove" if option.flag("IsRemove") else None,
        "unit_price": unstructure(option.money("OverridePrice")),
        "total": unstructure(option.money("ExpGross")),
        "children": children,
    }


def _adjustment(entry: Reader, name: str) -> JsonObject:
    return {
        "name": None,
        "amount": unstructure(entry.money("ExpGross")),
        "id": None,
        "pos_id": entry.text(name),
        "lines": entry.get("AffectedItemRefs"),
    }
