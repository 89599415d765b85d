"""From the contract's words to the tables of `wire`: what goes out. Pure."""

from decimal import Decimal
from typing import Any, Final

from attrs import evolve, frozen

from ordernpay.commands import (
    Command,
    CreateOrder,
    CreatePayment,
    GetOrder,
    ListOrders,
    LookUpUser,
    QuoteOrder,
    UpdateOrder,
    VendorRequest,
)
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import Adjustment, Line, Order, Payment
from ordernpay.vendors.order_n_pay import wire
from ordernpay.vendors.order_n_pay.settings import Options, OrderNPayConfig
from ordernpay.vendors.reading import whole
from ordernpay.vendors.tables import Field

ZERO: Final = Decimal("0.00")

METHOD_SETTINGS: Final = {
    "order.quote": "simulate_order",
    "order.create": "create_order",
    "order.update": "update_order",
    "order.get": "get_order",
    "order.list": "get_open_orders",
    "payment.create": "create_payment",
    "user.lookup": "get_user_from_pin",
}
"""Which key of `message_types` numbers the message of a method."""


@frozen
class Message:
    """What goes into the envelope for one command."""

    message_type: int
    payload: JsonObject
    device_id: str | None
    user: str | None


@frozen
class Outgoing:
    """Where a translation stands: what it may look up and where it puts its complaints."""

    config: OrderNPayConfig
    options: Options
    faults: list[Fault]

    def write(self, model: tuple[Field, ...], values: dict[str, Any], path: str) -> JsonObject:
        return wire.write(model, values, path, self.faults)

    def refuse(self, path: str, message: str) -> None:
        self.faults.append(Fault(path, message))


def message(command: Command, config: OrderNPayConfig, options: Options, faults: list[Fault]) -> Message:
    """A command as a message; what cannot be said is added to `faults`."""
    out = Outgoing(config, options, faults)
    user: str | None = options.user
    device = options.device_id
    params = command.params
    if isinstance(params, VendorRequest):
        return _native(params, out)
    match params:
        case LookUpUser():
            payload, user = out.write(wire.GET_USER, {"PIN": params.pin}, ""), None
        case ListOrders():
            payload = _list_orders(params, out)
        case GetOrder():
            payload = out.write(wire.GET_ORDER, {"SalesTransactionID": params.order_id}, "")
        case QuoteOrder():
            payload = _order(params.order, wire.SIMULATE_ORDER, out)
        case CreateOrder(order=Order() as order):
            payload = _order(order, wire.CREATE_ORDER, out)
        case CreateOrder():
            payload = {}
            out.refuse("quote_id", "order-n-pay keeps no quotes: expected order")
        case UpdateOrder():
            payload = _update(params, out)
        case CreatePayment():
            values = {"SalesTransactionID": params.order_id, "Payment": _payment(params.payment, "payment", out)}
            payload = out.write(wire.CREATE_PAYMENT, values, "")
        case _:
            raise TypeError(f"order-n-pay has no message for {type(params).__name__}")
    if user is None and not isinstance(params, LookUpUser):
        out.refuse("options.user", "required by order-n-pay (UserIdentifier): here or as user of the session")
    number = getattr(config.message_types, METHOD_SETTINGS[command.method])
    return Message(number, payload, device, user)


def envelope(request_id: str, sent: Message, config: OrderNPayConfig, faults: list[Fault]) -> JsonObject:
    """The whole request (page OrderNPayWebsocketRequest)."""
    values = {
        "RequestID": request_id,
        "ProviderID": config.provider_id,
        "ProviderName": config.provider_name,
        "DeviceID": sent.device_id,
        "UserIdentifier": sent.user,
        "MessageType": sent.message_type,
        "Payload": sent.payload,
    }
    return wire.write(wire.ENVELOPE, values, "", faults)


def _native(params: VendorRequest, out: Outgoing) -> Message:
    request = dict(params.request)
    number = whole(request.pop("MessageType", None))
    payload = request.pop("Payload", None)
    device = _text_of(request, "DeviceID", out.options.device_id, out)
    user = _text_of(request, "UserIdentifier", out.options.user, out)
    if number is None:
        out.refuse("request.MessageType", "expected the number of an OrderNPayMessageType")
    if not isinstance(payload, dict):
        out.refuse("request.Payload", "expected an object")
    for name in request:
        out.refuse(f"request.{name[:60]}", "unknown; known are MessageType, Payload, DeviceID, UserIdentifier")
    return Message(number or 0, payload if isinstance(payload, dict) else {}, device, user)


def _text_of(request: JsonObject, name: str, default: str | None, out: Outgoing) -> str | None:
    value = request.pop(name, default)
    if value is None or isinstance(value, str):
        return value
    out.refuse(f"request.{name}", "expected text or null")
    return None


def _list_orders(params: ListOrders, out: Outgoing) -> JsonObject:
    if params.status not in {None, "open"}:
        out.refuse("status", f"order-n-pay lists open orders only: expected open or nothing, got {params.status}")
    return out.write(
        wire.GET_OPEN_ORDERS, {"ServiceModeEntityID": params.table or "", "UserOrdersOnly": params.mine}, ""
    )


def _order(order: Order, model: tuple[Field, ...], out: Outgoing) -> JsonObject:
    for name in ("customer", "ready_at"):
        if getattr(order, name) is not None:
            out.refuse(f"order.{name}", "order-n-pay has no place for it")
    if not order.lines:
        out.refuse("order.lines", "expected at least one line")
    names = {field.name for field in model}
    if "Covers" not in names and order.covers is not None:
        order = evolve(order, covers=None)  # a quote is priced without covers (page OrderNPaySimulateOrderRequest)
    priced = order.prices == "kiosk" or bool(order.payments)  # page MethodCreateOrder: payments force provider prices
    values = {
        "ProviderOrderID": order.reference,
        "ServiceModeID": out.options.service_mode_id,
        "ServiceModeEntityID": order.table,
        "IsTraining": order.training,
        "ApplyAutomaticAdjustments": bool(out.options.apply_automatic_adjustments),
        "UseProviderPrices": priced,
        "Products": _lines(order.lines, "order.lines", out, priced=priced),
        "Payments": [_payment(payment, f"order.payments[{i}]", out) for i, payment in enumerate(order.payments)]
        or None,
        "Adjustments": _adjustments(order.adjustments, "order.adjustments", out),
        "Notes": _notes(order.notes, "order.notes", out),
        "ServiceChargeAmount": order.service_charge,
        "Covers": order.covers,
    }
    return out.write(model, values, "order")


def _update(params: UpdateOrder, out: Outgoing) -> JsonObject:
    priced = params.prices == "kiosk"
    values = {
        "ProviderOrderID": params.reference,
        "SalesTransactionID": params.order_id,
        "UseProviderPrices": priced,
        "Products": _lines(params.lines, "lines", out, priced=priced),
        "Adjustments": _adjustments(params.adjustments, "adjustments", out),
        "Notes": _notes(params.notes, "notes", out),
        "ServiceChargeAmount": params.service_charge,
        "Covers": params.covers,
    }
    return out.write(wire.UPDATE_ORDER, values, "")


def _lines(lines: tuple[Line, ...], path: str, out: Outgoing, *, priced: bool) -> list[JsonValue]:
    return [_line(line, f"{path}[{i}]", out, priced=priced) for i, line in enumerate(lines)]


def _line(line: Line, path: str, out: Outgoing, *, priced: bool) -> JsonObject:
    children: list[JsonValue] = [
        _child(child, f"{path}.children[{i}]", out, priced=priced) for i, child in enumerate(line.children)
    ]
    if line.note is not None:
        children.append(_spoken(line.note, f"{path}.note", out))
    values = _product(line, path, out, priced=priced) | {
        "ChildProducts": children,
        "Adjustment": _adjustment(line.adjustment, f"{path}.adjustment", out) if line.adjustment else None,
    }
    return out.write(wire.PRODUCT, values, path)


def _child(child: Line, path: str, out: Outgoing, *, priced: bool) -> JsonObject:
    for name in ("children", "adjustment", "note"):
        if getattr(child, name):
            out.refuse(
                f"{path}.{name}", "order-n-pay's child products are one level deep and carry no adjustment or note"
            )
    return out.write(wire.CHILD_PRODUCT, _product(child, path, out, priced=priced), path)


def _product(line: Line, path: str, out: Outgoing, *, priced: bool) -> dict[str, Any]:
    total = line.total
    if priced and line.unit_price is None:
        out.refuse(f"{path}.unit_price", "required where the kiosk's prices count (prices = kiosk, or payments)")
    elif line.unit_price is not None:
        product = line.unit_price * line.quantity
        if total is None:
            total = product
        elif priced and total != product and line.adjustment is None:
            out.refuse(f"{path}.total", f"expected quantity x unit_price = {product}, got {total}")
    return {
        "ProviderProductID": line.id,
        "ProductType": out.options.product_type,
        "PLUIdentifier": line.product,
        "SalesModifierIdentifier": line.modifier,
        "SalesModifierName": line.modifier_name,
        "Name": line.name,
        "Quantity": line.quantity,
        "Price": ZERO if line.unit_price is None else line.unit_price,
        "TotalAmount": ZERO if total is None else total,
    }


def _spoken(text: str, path: str, out: Outgoing) -> JsonObject:
    """A free-text message to the kitchen, which travels as a child product (page MethodCreateOrder)."""
    if out.config.message_product_type is None:
        out.refuse(
            path, "order-n-pay needs the session's setting message_product_type for it (its number is not published)"
        )
    values = {"ProductType": out.config.message_product_type or 0, "Name": text, "Quantity": 1}
    faults: list[Fault] = []
    written = wire.write(wire.CHILD_PRODUCT, values | {"Price": ZERO, "TotalAmount": ZERO}, "", faults)
    for fault in faults:
        out.refuse(path, fault.message)
    return written


def _payment(payment: Payment, path: str, out: Outgoing) -> JsonObject:
    values = {
        "ProviderPaymentID": payment.reference,
        "Name": payment.method,
        "AmountSale": payment.amount,
        "AmountTip": payment.tip,
        "AmountSurcharge": payment.surcharge,
        "ExplicitServiceChargeAmount": payment.service_charge,
        "MerchantID": payment.merchant_id,
        "TerminalID": payment.terminal_id,
    }
    return out.write(wire.PAYMENT, values, path)


def _adjustments(adjustments: tuple[Adjustment, ...], path: str, out: Outgoing) -> list[JsonValue]:
    return [_adjustment(adjustment, f"{path}[{i}]", out) for i, adjustment in enumerate(adjustments)]


def _adjustment(adjustment: Adjustment, path: str, out: Outgoing) -> JsonObject:
    values = {
        "ProviderAdjustmentID": adjustment.id,
        "AdjustmentID": adjustment.pos_id,
        "Name": adjustment.name,
        "Amount": adjustment.amount,
    }
    return out.write(wire.ADJUSTMENT, values, path)


def _notes(notes: tuple[str, ...], path: str, out: Outgoing) -> list[JsonValue]:
    name = out.config.note_field
    if notes and name is None:
        out.refuse(path, "order-n-pay needs the session's setting note_field for it (OrderNPayNote is not published)")
    return [{name or "": note} for note in notes]
