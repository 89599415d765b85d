"""The wire of Tevalis' OnlineOrders, as tables to read beside the vendor's pages, and what goes out.

Pages: api.tevalis.com/Help/Api/POST-vversion-OnlineOrders-… ; models: …/Help/ResourceModel?modelName=…
Property names are PascalCase, money a JSON number. Null and 0 of the service charge differ, so null is sent.

Assumed, since no page that could be read says it; what is cheap to set can be set (README, "Check with Tevalis"):

| assumption                                                                        | setting           |
|-----------------------------------------------------------------------------------|-------------------|
| `version` of the route is 2                                                       | `api_version`     |
| headers CompanyId, GUID, GUID2 (on POST), DevID (from a third party's client)     | –                 |
| the object in `ItemNotes` has one text field; its name is not published           | `note_field`      |
| the submitted order's UID is that of the submit's answer, else the calculated one | –                 |
| a submit that is taken is answered with the order: its UID, or what it comes to   | `submit_answers_nothing` |
| a submit or cancel answered with a 5xx may have acted                             | `submit_again_after_503` |
| `IsSuccess: false` is a no in every answer (documented for PMSChargeToRoom alone) | –                 |
| macro items, discounts and promotions: sent in the shape that the kiosk gives     | `options`         |
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import Adjustment, Customer, Line, Payment
from ordernpay.vendors.tables import Field, Manner
from ordernpay.vendors.tables import write as write_table
from ordernpay.vendors.tevalis.settings import Options, TevalisConfig

MANNER: Final = Manner("tevalis", 18)
ZERO: Final = Decimal("0.00")
DEEPEST: Final = 5
LONG: Final = 10_000
MOST_OPTIONS: Final = 10_000
"""An option has no quantity: two of one are two entries, and a kiosk's slip must not become a million of them."""
REMOVE: Final = "remove"

CALCULATE: Final = (  # CalculateOnlineOrderV2ApiModel
    Field("SiteId", "int", "@site_id", required=True),
    Field("PriceGroupID", "int", "@options.price_group_id", required=True),
    Field("TableNumber", "int", "table", absent=True),
    Field("Covers", "int", "covers"),
    Field("ServiceChargeAmount", "decimal", "service_charge"),
    Field("SalesArea", "text", "@options.sales_area", LONG, absent=True),
    Field("OrderItems", "list", "lines"),
    Field("MacroItems", "list", "@options.macro_items", absent=True),
    Field("ConfigurableDiscounts", "list", "@options.configurable_discounts", absent=True),
    Field("ManualPromotions", "list", "@options.manual_promotions", absent=True),
)
ITEM: Final = (  # CalculateOnlineOrderV2ItemApiModel
    Field("PLU", "text", "product", LONG, required=True),
    Field("Quantity", "int", "quantity", required=True),
    Field("OverridePrice", "decimal", "unit_price", absent=True),
    Field("ItemRef", "text", "id", required=True),
    Field("Modifiers", "list", "children"),
    Field("ItemNotes", "list", "note", absent=True),
)
OPTION: Final = (  # CalculateOnlineOrderV2ItemOptionApiModel
    Field("OptionGroupID", "int", "product", required=True),
    Field("OptionItemID", "int", "product", required=True),
    Field("IsRemove", "bool", "modifier"),
    Field("OverridePrice", "decimal", "unit_price", absent=True),
    Field("Modifiers", "list", "children"),
)
SUBMIT: Final = (  # SubmitCalculatedOnlineOrderV2ApiModel
    Field("SiteId", "int", "@site_id", required=True),
    Field("UID", "guid", "quote_id", required=True),
    Field("CRMMemberID", "text", "@options.crm_member_id", absent=True),
    Field("RequestedDeliveryTimeUTC", "text", "ready_at", absent=True),
    Field("GratuityAmount", "decimal", "payments", absent=True),
    Field("ThirdPartyOrigin", "text", "@options.origin", LONG, absent=True),
    Field("ThirdPartyTransactionID", "text", "reference", LONG, absent=True),
    Field("ThirdPartyReference", "text", "reference", LONG, absent=True),
    Field("OrderParams", "text", "@options.order_params", LONG, absent=True),
    Field("MergeOnToExistingBill", "bool", "@options.merge"),
    Field("CustomerInfo", "object", "customer", required=True),
    Field("Tenders", "list", "payments", absent=True),
)
TENDER: Final = (  # SubmitCalculateOrderV2TenderApiModel
    Field("TenderTypeID", "int", "@options.tender_type_id", absent=True),
    Field("PLU", "text", "@options.tender_plu", LONG, absent=True),
    Field("Amount", "decimal", "amount", required=True),
)
CANCEL: Final = (  # CancelOnlineOrderV2ApiModel
    Field("SiteId", "int", "@site_id", required=True),
    Field("UID", "guid", "order_id", required=True),
    Field("Reason", "text", "reason", LONG, required=True),
)


def write(model: Iterable[Field], values: Mapping[str, Any], path: str, faults: list[Fault]) -> JsonObject:
    """One model as JSON; see `tables.write`."""
    return write_table(model, values, path, faults, MANNER)


def table_number(table: str | None, path: str, faults: list[Fault]) -> int | None:
    """A table as Tevalis numbers it."""
    if table is None:
        return None
    if not table.isascii() or not table.isdecimal() or len(table) > 9:
        faults.append(Fault(path, f'expected a table number for tevalis, such as "24", got "{table[:60]}"'))
        return None
    return int(table)


def items(lines: Sequence[Line], path: str, config: TevalisConfig, faults: list[Fault], *, priced: bool) -> JsonValue:
    """Standard items, each with a reference of its own: the kiosk's line id, else one made of its place."""
    if sum(_options_of(line.children) for line in lines) > MOST_OPTIONS:
        faults.append(Fault(path, f"expected at most {MOST_OPTIONS} options, each of a quantity counted"))
        return []
    given = Counter(line.id for line in lines if line.id is not None)
    for i, line in enumerate(lines):
        if line.id is not None and given[line.id] > 1:
            faults.append(Fault(f"{path}[{i}].id", "expected another id for each line: tevalis ties discounts to it"))
    taken = set(given)
    return [
        _item(line, _reference(line, i, taken), f"{path}[{i}]", config, faults, priced=priced)
        for i, line in enumerate(lines)
    ]


def _options_of(children: Sequence[Line]) -> int:
    return sum(child.quantity * (1 + _options_of(child.children)) for child in children)


def _reference(line: Line, place: int, taken: set[str]) -> str:
    if line.id is not None:
        return line.id
    made = f"line-{place + 1}"
    while made in taken:
        made += "'"
    return made


def _item(
    line: Line, reference: str, path: str, config: TevalisConfig, faults: list[Fault], *, priced: bool
) -> JsonObject:
    faults += [
        Fault(f"{path}.{name}", "tevalis' items have none: use children, or options")
        for name in ("modifier", "adjustment")
        if getattr(line, name) is not None
    ]
    if priced and line.unit_price is None:
        faults.append(Fault(f"{path}.unit_price", "required where the kiosk's prices count (prices = kiosk)"))
    notes: list[JsonValue] | None = None
    if line.note is not None:
        if config.note_field is None:
            why = "tevalis needs the session's setting note_field for it (the item note's field is not published)"
            faults.append(Fault(f"{path}.note", why))
        notes = [{config.note_field or "": line.note}]
    values = {
        "PLU": line.product,
        "Quantity": line.quantity,
        "OverridePrice": line.unit_price if priced else None,
        "ItemRef": reference,
        "Modifiers": _options(line.children, f"{path}.children", 1, faults, priced=priced),
        "ItemNotes": notes,
    }
    return write(ITEM, values, path, faults)


def _options(children: Sequence[Line], path: str, depth: int, faults: list[Fault], *, priced: bool) -> list[JsonValue]:
    """Options, by `product` = "group:item"; `modifier` = "remove" takes one away; two of one are two entries."""
    if children and depth > DEEPEST:
        faults.append(Fault(path, f"tevalis takes options at most {DEEPEST} deep"))
        return []
    written: list[JsonValue] = []
    for i, child in enumerate(children):
        where = f"{path}[{i}]"
        group, _, item = (child.product or "").partition(":")
        numbers = group.isascii() and group.isdecimal() and item.isascii() and item.isdecimal()
        if not numbers:
            faults.append(Fault(f"{where}.product", 'expected a tevalis option as "group:item", such as "55:701"'))
        if child.modifier not in {None, REMOVE}:
            faults.append(Fault(f"{where}.modifier", f'expected nothing or "{REMOVE}"'))
        faults += [
            Fault(f"{where}.{name}", "tevalis' options have none")
            for name in ("adjustment", "note")
            if getattr(child, name) is not None
        ]
        values = {
            "OptionGroupID": int(group) if numbers else 0,
            "OptionItemID": int(item) if numbers else 0,
            "IsRemove": child.modifier == REMOVE,
            "OverridePrice": child.unit_price if priced else None,
            "Modifiers": _options(child.children, f"{where}.children", depth + 1, faults, priced=priced),
        }
        written += [write(OPTION, values, where, faults)] * child.quantity
    return written


def customer_info(customer: Customer | None, path: str, faults: list[Fault]) -> JsonObject:
    """SubmitCalculatedOnlineOrderV2CustomerApiModel; the object is required, nothing in it is."""
    if customer is None:
        return {}
    if customer.email is not None:
        faults.append(Fault(f"{path}.email", "tevalis has no place for it"))
    first, _, last = (customer.name or "").partition(" ")
    address = customer.address
    told: dict[str, str | None] = {"FirstName": first, "LastName": last, "ContactNumber": customer.phone}
    if address is not None:
        faults += [
            Fault(f"{path}.address.{name}", "tevalis has no place for it")
            for name in ("state", "country", "notes")
            if getattr(address, name) is not None
        ]
        told |= {"Line1": address.line1, "Line2": address.line2, "City": address.city, "PostCode": address.postal_code}
    return {name: value for name, value in told.items() if value}


def tenders(payments: Sequence[Payment], path: str, options: Options, faults: list[Fault]) -> list[JsonValue]:
    """Payments as tenders; a tip is tendered on top of the bill."""
    written: list[JsonValue] = []
    for i, payment in enumerate(payments):
        where = f"{path}[{i}]"
        if options.tender_type_id is None and options.tender_plu is None:
            why = "required for payments by tevalis, or options.tender_plu: the tender type, from the catalogue"
            faults.append(Fault("options.tender_type_id", why))
        faults += [
            Fault(f"{where}.{name}", "tevalis has no place for it")
            for name in ("surcharge", "service_charge", "merchant_id", "terminal_id")
            if getattr(payment, name) is not None
        ]
        values = {
            "TenderTypeID": options.tender_type_id,
            "PLU": options.tender_plu if options.tender_type_id is None else None,
            "Amount": payment.amount + (payment.tip or ZERO),
        }
        written.append(write(TENDER, values, where, faults))
    return written


def no_adjustments(adjustments: Sequence[Adjustment], path: str, faults: list[Fault]) -> None:
    """Discounts are the POS' own here."""
    if adjustments:
        why = "tevalis takes no free adjustments: use options.configurable_discounts or options.manual_promotions"
        faults.append(Fault(path, why))
