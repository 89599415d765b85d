"""From an answer of the POS to the contract's words. Pure.

What payload to expect follows from the request, never from the answer's MessageType: two of the vendor's own
examples carry a foreign one.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from ordernpay.commands import Command, CreateOrder, CreatePayment, ListOrders, LookUpUser, QuoteOrder, VendorRequest
from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut
from ordernpay.outcomes import Failure, Outcome, ended, succeeded
from ordernpay.vendors.order_n_pay import wire
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.order_n_pay.wire import Response
from ordernpay.vendors.reading import Reader

_Value = TypeVar("_Value")


class _Lacking(Exception):
    """A success that does not show what it must hold; the text names it."""


def outcome(command: Command, response: Response, config: OrderNPayConfig, *, repeated: bool = False) -> Outcome:
    """How a command ended, by the answer of the POS (ResultCode, section 2 of the contract).

    Args:
        command: what was asked.
        response: the answer.
        config: of the session; its `result_codes` name what is not published.
        repeated: whether the POS may have read more than one copy of the request. Then a code that is not published may
            say that it has the first one already, and refuses nothing.
    """
    code, said = response.result_code, response.error_message
    if code == wire.RESULT_SUCCESS:
        try:
            result, vendor_ids = _result(command, response, config)
        except _Lacking as lacking:
            return untold(command, f"the POS answered with success, but without {lacking}", code, said, response.raw)
        return succeeded(result, response.raw, **vendor_ids)
    kind = {wire.RESULT_NOT_FOUND: "not_found", wire.RESULT_INSUFFICIENT_STOCK: "out_of_stock"}.get(code, "rejected")
    named = config.result_codes.get(str(code))
    text = f"the POS refused: {said}" if said else f"the POS refused with result code {code}"
    doubtful = repeated and named is None and code not in wire.PUBLISHED_RESULTS and command.type.changes
    if doubtful or named == "duplicate":
        why = f"the POS may have done it already: it answered a repeat with result code {code}"
        return untold(command, f"{why}: {said}" if said else why, code, said, response.raw)
    kind = named or kind
    failure = Failure(kind, text, vendor_code=code, vendor_message=said, details=_details(kind, response))
    return ended(failure, response.raw)


def untold(
    command: Command, why: str, code: int | None = None, said: str | None = None, vendor: JsonValue = None
) -> Outcome:
    """The end of a command whose answer does not tell how it ended: nobody knows, or it had no effect anyway."""
    kind = "outcome_unknown" if command.type.changes else "vendor_unavailable"
    return ended(Failure(kind, why, vendor_code=code, vendor_message=said), vendor)


def _details(kind: str, response: Response) -> JsonValue:
    if kind != "out_of_stock":
        return None
    missing = (response.payload and response.payload.objects("OutOfStockProducts")) or []
    return {
        "products": [
            {
                "product": product.text("PLUIdentifier"),
                "modifier": product.text("SalesModifierIdentifier"),
                "name": product.text("Name"),
            }
            for product in missing
        ]
    }


def _result(command: Command, response: Response, config: OrderNPayConfig) -> tuple[JsonObject, dict[str, str]]:
    """What a success tells; raises `_Lacking` where it shows nothing of what was asked for."""
    payload = response.payload or Reader({})
    match command.params:
        case VendorRequest():
            return {"response": response.raw}, {}
        case LookUpUser():
            return {
                "user_id": _must(_id(payload, "UserID"), "UserID"),
                "name": payload.text("UserName"),
                "may_pay": payload.flag("CanMakePayments"),
            }, {}
        case ListOrders():
            return {"orders": [_summary(order) for order in _must(payload.objects("Orders"), "Orders")]}, {}
        case CreatePayment():
            summary = payload.object("OrderSummary")
            payment_id = _id(payload, "SalesTransactionPaymentID")
            _must(payment_id or (summary and _id(summary, "SalesTransactionID")), "SalesTransactionPaymentID")
            return {"payment_id": payment_id, "order": _summary(summary) if summary else None}, _named(
                payment_id=payment_id
            )
        case _:
            order = _detailed(_must(payload.object("Order"), "Order"), _reference(command), config)
            result: JsonObject = {"order": unstructure(order)}
            if isinstance(command.params, QuoteOrder):
                _must(order.total, "Order.Amount")
                result |= {"quote_id": None, "adjusted": None, "valid_until": None}
            else:
                _must(order.id, "Order.SalesTransactionID")
            return result, _named(order_id=order.id)


def _must(value: _Value | None, name: str) -> _Value:
    if value is None:
        raise _Lacking(f"Payload.{name}")
    return value


def _id(reader: Reader, name: str) -> str | None:
    """An identifier; null where it was never set, which .NET writes as a GUID of zeros."""
    value = reader.text(name)
    return value if value and value.strip("{}- \t0") else None


def _named(**ids: str | None) -> dict[str, str]:
    return {name: value for name, value in ids.items() if value is not None}


def _reference(command: Command) -> str | None:
    params = command.params
    order: Any = params.order if isinstance(params, CreateOrder | QuoteOrder) else params
    return getattr(order, "reference", None)


def _summary(order: Reader) -> JsonObject:
    """OrderNPayOpenOrderSummary."""
    told = OrderOut(
        id=_id(order, "SalesTransactionID"),
        number=order.text("OrderNumberOpened"),
        status="open",
        table=order.text("ServiceModeEntityID"),
        currency=order.text("CurrencyCode"),
        total=order.money("Amount"),
        owing=order.money("AmountOwing"),
    )
    told_as_json = unstructure(told)
    assert isinstance(told_as_json, dict)  # noqa: S101 - for the type checker: an attrs class becomes an object
    return told_as_json


def _detailed(order: Reader, reference: str | None, config: OrderNPayConfig) -> OrderOut:
    """OrderNPayOrderDetailed."""
    closed = order.flag("IsClosed")
    return OrderOut(
        id=_id(order, "SalesTransactionID"),
        reference=reference,
        number=order.text("OrderNumberOpened"),
        status=None if closed is None else "closed" if closed else "open",
        table=order.text("ServiceModeEntityID"),
        currency=order.text("CurrencyCode"),
        total=order.money("Amount"),
        owing=order.money("AmountOwing"),
        service_charge=order.money("RemainingServiceChargeAmount"),
        lines=_each(order.objects("Products"), _line_told),
        adjustments=_each(order.objects("Adjustments"), _adjustment_told),
        payments=_each(order.objects("Payments"), _payment_told),
        taxes=_each(order.objects("Taxes"), _tax_told),
        notes=_notes_told(order.get("Notes"), config),
        covers=order.whole("Covers"),
    )


def _each(entries: list[Reader] | None, told: Callable[[Reader], JsonObject]) -> list[JsonObject] | None:
    return None if entries is None else [told(entry) for entry in entries]


def _line_told(product: Reader) -> JsonObject:
    adjustment = product.object("Adjustment")
    return {
        "id": product.text("ProviderProductID"),
        "product": product.text("PLUIdentifier"),
        "modifier": product.text("SalesModifierIdentifier"),
        "modifier_name": product.text("SalesModifierName"),
        "name": product.text("Name"),
        "quantity": product.whole("Quantity"),
        "unit_price": unstructure(product.money("Price")),
        "total": unstructure(product.money("TotalAmount")),
        "children": [_line_told(child) for child in product.objects("ChildProducts") or []],
        "adjustment": _adjustment_told(adjustment) if adjustment else None,
        "note": None,
    }


def _adjustment_told(adjustment: Reader) -> JsonObject:
    return {
        "name": adjustment.text("Name"),
        "amount": unstructure(adjustment.money("Amount")),
        "id": adjustment.text("ProviderAdjustmentID"),
        "pos_id": _id(adjustment, "AdjustmentID"),
    }


def _payment_told(payment: Reader) -> JsonObject:
    return {
        "method": payment.text("Name"),
        "amount": unstructure(payment.money("AmountSale")),
        "tip": unstructure(payment.money("AmountTip")),
        "surcharge": unstructure(payment.money("AmountSurcharge")),
        "service_charge": unstructure(payment.money("ExplicitServiceChargeAmount")),
        "reference": payment.text("ProviderPaymentID"),
        "merchant_id": payment.text("MerchantID"),
        "terminal_id": payment.text("TerminalID"),
    }


def _tax_told(tax: Reader) -> JsonObject:
    added = tax.flag("IsAddOnTax")
    return {
        "name": tax.text("Name"),
        "amount": unstructure(tax.money("Amount")),
        "rate": unstructure(tax.money("TaxRate")),
        "included": None if added is None else not added,
    }


def _notes_told(notes: JsonValue, config: OrderNPayConfig) -> list[str] | None:
    """OrderNPayNote has no published fields: its text is the configured field, or the only text that it holds."""
    if not isinstance(notes, list):
        return None
    told = []
    for note in notes:
        if isinstance(note, str):
            told.append(note)
        elif isinstance(note, dict):
            text = Reader(note).text(config.note_field) if config.note_field else None
            texts = [value for value in note.values() if isinstance(value, str)]
            if text is not None or len(texts) == 1:
                told.append(text if text is not None else texts[0])
    return told
