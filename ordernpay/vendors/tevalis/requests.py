"""From the contract's commands to Tevalis' requests: what is calculated, what is submitted, what is cancelled. Pure."""

from decimal import Decimal
from typing import Any

from attrs import field, frozen

from ordernpay.clock import utc
from ordernpay.commands import CancelOrder, Command, CreateOrder, GetMenu, QuoteOrder, UpdateOrder, VendorRequest
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, dumps
from ordernpay.orders import Order, Payment
from ordernpay.vendors.paths import climbs
from ordernpay.vendors.tevalis import wire
from ordernpay.vendors.tevalis.settings import Options, TevalisConfig


@frozen
class Plan:
    """What one command does at Tevalis: a calculation, a submission of it, or one request.

    Attributes:
        calculate: the body of the calculation, if there is one.
        submit: the body of the submission but for its UID, if there is one.
        uid: the UID to submit where nothing is calculated.
        request: method, path below the base address and body of anything else.
        expected_total: what the POS must come to.
        tips: the gratuity that the tenders have to cover.
        tendered: the sum of the tenders; None without any.
        reference: the kiosk's order id.
        needs_table: the calculation lacks the table, which an earlier command of this order knows.
    """

    calculate: JsonObject | None = None
    submit: JsonObject | None = None
    uid: str | None = None
    request: tuple[str, str, str | None] | None = None
    expected_total: Decimal | None = None
    tips: Decimal = wire.ZERO
    tendered: Decimal | None = None
    reference: str | None = None
    needs_table: bool = False
    repeatable: bool = False
    ids: dict[str, str] = field(factory=dict)


def plan(command: Command, config: TevalisConfig, options: Options, faults: list[Fault]) -> Plan:
    """What a command does; what cannot be said is added to `faults`."""
    match command.params:
        case QuoteOrder(order=order):
            return Plan(calculate=_calculate(order, config, options, faults), reference=order.reference)
        case CreateOrder(order=Order() as order):
            return _create(order, config, options, faults)
        case CreateOrder(quote_id=str() as uid):
            body = _submit(Order(), config, options, faults, merge=bool(options.merge))
            wire.write((wire.SUBMIT[1],), {"UID": uid}, "", faults)
            if options.expected_total is not None:
                why = "what a quote comes to was told with the quote: expected order, or no expected_total"
                faults.append(Fault("options.expected_total", why))
            return Plan(submit=body, uid=uid, ids={"uid": uid})
        case UpdateOrder() as update:
            return _update(update, config, options, faults)
        case _:
            return _single(command, config, faults)


def _single(command: Command, config: TevalisConfig, faults: list[Fault]) -> Plan:
    """A command that is one request."""
    match command.params:
        case CancelOrder() as cancel:
            values = {"SiteId": config.site_id, "UID": cancel.order_id, "Reason": cancel.reason}
            body = wire.write(wire.CANCEL, values, "", faults)
            path = _route(config, "CancelOnlineOrder")
            return Plan(request=("POST", path, dumps(body)), repeatable=True, ids={"order_id": cancel.order_id})
        case GetMenu():
            return Plan(request=("GET", f"Catalogue/GetCatalogues/{config.site_id}", None), repeatable=True)
        case VendorRequest() as native:
            return _native(native, faults)
        case _:
            raise TypeError(f"tevalis has no request for {type(command.params).__name__}")


def submit_body(body: JsonObject, uid: str) -> str:
    """A submission with its UID, in the order of the page."""
    return dumps({name: uid if name == "UID" else value for name, value in body.items()})


def calculate_route(config: TevalisConfig) -> str:
    """Where a calculation goes."""
    return _route(config, "CalculateOnlineOrder")


def submit_route(config: TevalisConfig) -> str:
    """Where a submission goes."""
    return _route(config, "SubmitCalculatedOnlineOrder")


def _route(config: TevalisConfig, action: str) -> str:
    return f"v{config.api_version}/OnlineOrders/{action}"


def _create(order: Order, config: TevalisConfig, options: Options, faults: list[Fault]) -> Plan:
    calculate = _calculate(order, config, options, faults)
    submit = _submit(order, config, options, faults, merge=bool(options.merge))
    tendered = sum((_tendered(payment) for payment in order.payments), wire.ZERO) if order.payments else None
    ids = {"table": order.table} if order.table is not None else {}
    return Plan(
        calculate=calculate,
        submit=submit,
        expected_total=options.expected_total,
        tips=_tips(order.payments),
        tendered=tendered,
        reference=order.reference,
        ids=ids,
    )


def _update(update: UpdateOrder, config: TevalisConfig, options: Options, faults: list[Fault]) -> Plan:
    """A round for an open bill: a calculation for its table, submitted with merge."""
    addition = Order(
        reference=update.reference,
        table=None if options.table is None else str(options.table),
        covers=update.covers,
        lines=update.lines,
        adjustments=update.adjustments,
        notes=update.notes,
        service_charge=update.service_charge,
        prices=update.prices,
    )
    calculate = _calculate(addition, config, options, faults, prefix="")
    submit = _submit(addition, config, options, faults, merge=True, prefix="")
    return Plan(
        calculate=calculate,
        submit=submit,
        expected_total=options.expected_total,
        reference=update.reference,
        needs_table=options.table is None,
        ids={"updates": update.order_id},
    )


def _calculate(
    order: Order, config: TevalisConfig, options: Options, faults: list[Fault], prefix: str = "order"
) -> JsonObject:
    path = f"{prefix}." if prefix else ""
    faults += [
        Fault(f"{path}{name}", "tevalis has no place for it") for name in ("notes", "training") if getattr(order, name)
    ]
    wire.no_adjustments(order.adjustments, f"{path}adjustments", faults)
    if not order.lines and not options.macro_items:
        faults.append(Fault(f"{path}lines", "expected at least one line"))
    priced = order.prices == "kiosk"
    values: dict[str, Any] = {
        "SiteId": config.site_id,
        "PriceGroupID": options.price_group_id,
        "TableNumber": wire.table_number(order.table, f"{path}table", faults),
        "Covers": order.covers,
        "ServiceChargeAmount": order.service_charge,
        "SalesArea": options.sales_area,
        "OrderItems": wire.items(order.lines, f"{path}lines", config, faults, priced=priced),
        "MacroItems": list(options.macro_items or ()),
        "ConfigurableDiscounts": list(options.configurable_discounts or ()) or None,
        "ManualPromotions": list(options.manual_promotions or ()) or None,
    }
    return wire.write(wire.CALCULATE, values, prefix, faults)


def _submit(
    order: Order, config: TevalisConfig, options: Options, faults: list[Fault], *, merge: bool, prefix: str = "order"
) -> JsonObject:
    path = f"{prefix}." if prefix else ""
    values: dict[str, Any] = {
        "SiteId": config.site_id,
        "UID": "00000000-0000-0000-0000-000000000000",
        "CRMMemberID": options.crm_member_id,
        "RequestedDeliveryTimeUTC": utc(order.ready_at),
        "GratuityAmount": _tips(order.payments) or None,
        "ThirdPartyOrigin": options.origin,
        "ThirdPartyTransactionID": order.reference,
        "ThirdPartyReference": order.reference,
        "OrderParams": options.order_params,
        "MergeOnToExistingBill": merge,
        "CustomerInfo": wire.customer_info(order.customer, f"{path}customer", faults),
        "Tenders": wire.tenders(order.payments, f"{path}payments", options, faults) or None,
    }
    return wire.write(wire.SUBMIT, values, prefix, faults)


def _tips(payments: tuple[Payment, ...]) -> Decimal:
    return sum((payment.tip or wire.ZERO for payment in payments), wire.ZERO)


def _tendered(payment: Payment) -> Decimal:
    return payment.amount + (payment.tip or wire.ZERO)


def _native(params: VendorRequest, faults: list[Fault]) -> Plan:
    """`vendor.request`: `{"method", "path", "body"}`; the path below the base address."""
    request: JsonObject = dict(params.request)
    method, path, body = request.pop("method", "POST"), request.pop("path", None), request.pop("body", None)
    if method not in ("GET", "POST"):
        faults.append(Fault("request.method", "expected GET or POST"))
    if not isinstance(path, str) or not path or path.startswith("/") or "://" in path or climbs(path):
        faults.append(Fault("request.path", "expected a path such as v2/OnlineOrders/CancelOnlineOrder"))
    faults += [Fault(f"request.{name[:60]}", "unknown; known are method, path, body") for name in request]
    text = None if body is None else dumps(body)
    # A GET with a body is no read here: PMSChargeToRoom posts money to a room, and a second one posts it again.
    return Plan(request=(str(method), str(path), text), repeatable=method == "GET" and text is None)
