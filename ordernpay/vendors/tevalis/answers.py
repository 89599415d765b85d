"""From Tevalis' one answer, CalculateOnlineOrderV2ResponseDto, to the contract's words. Pure."""

from decimal import Decimal

from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut, OrderStatus
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.tries import MESSAGE_SHOWN


def uid(dto: Reader) -> str | None:
    """The UID that an answer gives its order."""
    return dto.guid("UID")


def said(dto: Reader) -> str | None:
    """What an answer that is no order says instead."""
    words = dto.text("ErrorMsg") or dto.text("Message")
    return words[:MESSAGE_SHOWN] if words else None


def is_bill(raw: JsonValue) -> bool:
    """Whether an answer is the CalculateOnlineOrderV2ResponseDto of an order: its UID is told, or what it comes to."""
    dto = Reader(raw if isinstance(raw, dict) else {})
    return uid(dto) is not None or dto.money("TotalGross") is not None


def is_catalogue(raw: JsonValue) -> bool:
    """Whether an answer can be a catalogue, whose fields are not published: a list of objects, or an object with lists."""
    if isinstance(raw, list):
        return any(isinstance(entry, dict) for entry in raw)
    return isinstance(raw, dict) and any(isinstance(entry, list | dict) for entry in raw.values())


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
        estimated_at=dto.moment("EstimatedTimeUTC", in_utc=True),
    )
    written = unstructure(told)
    return written if isinstance(written, dict) else {}


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
