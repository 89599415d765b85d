"""From the contract's commands to Doshii's requests. Pure."""

from typing import Any, Final
from urllib.parse import urlencode

from attrs import field, frozen

from ordernpay.commands import (
    CancelOrder,
    Command,
    CreateOrder,
    CreatePayment,
    GetMenu,
    GetOrder,
    ListOrders,
    QuoteOrder,
    UpdateOrder,
    VendorRequest,
)
from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.orders import Order
from ordernpay.vendors.doshii import wire
from ordernpay.vendors.doshii.settings import DoshiiConfig, Options
from ordernpay.vendors.paths import climbs, segment

ORDER: Final = "external_ref"
PAYMENT: Final = "payment_ref"
"""What an order and a payment are found by at Doshii, in the words of the journal."""

MOST_LISTED: Final = 100
"""Orders that Doshii puts on one page (page Get Orders)."""


@frozen
class Work:
    """A request below the base address; `ids` are what it can be found by at Doshii."""

    method: str
    path: str
    body: JsonValue = None
    ids: dict[str, str] = field(factory=dict)

    @property
    def text(self) -> str | None:
        """The body as it goes out."""
        return None if self.body is None else dumps(self.body)


def work(command: Command, config: DoshiiConfig, options: Options, faults: list[Fault]) -> Work:
    """What a command asks of Doshii; what cannot be said is added to `faults`."""
    unfit = [
        Fault(name, f"expected the id of one, got {str(value)[:60]!r}, which no path of Doshii can hold")
        for name in ("order_id", "table")
        if (value := getattr(command.params, name, None)) is not None and not _fits_path(value)
    ]
    if unfit:
        faults += unfit
        return Work("GET", "")
    match command.params:
        case CreateOrder() | QuoteOrder() | UpdateOrder() | CreatePayment() | CancelOrder():
            return _change(command, config, options, faults)
        case GetOrder(order_id=order_id):
            return Work("GET", order_path(order_id))
        case ListOrders() as query:
            return Work("GET", _listing(query, faults))
        case GetMenu():
            return Work("GET", f"locations/{segment(config.location_id)}/menu")
        case VendorRequest() as native:
            return _native(native, faults)
        case _:
            raise TypeError(f"doshii has no request for {type(command.params).__name__}")


def _fits_path(identity: str) -> bool:
    try:
        segment(identity)
    except ValueError:
        return False
    return True


def order_path(order_id: str) -> str:
    """Where an order is; raises `ValueError` where no path can hold its id."""
    return f"orders/{segment(order_id)}"


def by_reference(reference: str) -> str:
    """Where orders with the kiosk's own id are."""
    return f"orders?{urlencode({'externalOrderRef': reference})}"


def by_status(statuses: list[str]) -> str:
    """Where the orders in these states are, the newest first."""
    return f"orders?{urlencode({'status': ','.join(statuses)})}"


def page(path: str, offset: int) -> str:
    """One page of what is at a path."""
    where = urlencode({"limit": MOST_LISTED} | ({"offset": offset} if offset else {}))
    return f"{path}{'&' if '?' in path else '?'}{where}"


def _change(command: Command, config: DoshiiConfig, options: Options, faults: list[Fault]) -> Work:
    params: Any = command.params
    match params:
        case QuoteOrder(order=order):
            return Work("POST", "orders/preprocess", wire.order_body(order, options, faults, status=None))
        case CreateOrder(order=Order() as order):
            body = wire.create_body(order, config, options, faults)
            return Work("POST", "orders", body, {ORDER: order.reference or ""})
        case CreateOrder():
            faults.append(Fault("quote_id", "doshii places no quotes: expected order"))
            return Work("POST", "orders")
        case UpdateOrder():
            return _append(params, config, faults)
        case CreatePayment(order_id=order_id, payment=payment):
            body = wire.transaction(payment, "payment", faults, prepaid=False, key=command.key)
            reference = {PAYMENT: payment.reference or command.key}
            return Work("POST", f"{order_path(order_id)}/transactions", body, reference)
        case _:
            return Work("PUT", order_path(params.order_id), {"status": "cancelled"})


def _append(update: UpdateOrder, config: DoshiiConfig, faults: list[Fault]) -> Work:
    faults += [
        Fault(name, "doshii appends lines only")
        for name in ("adjustments", "notes", "service_charge", "covers")
        if getattr(update, name) not in {None, ()}
    ]
    if not update.lines:
        faults.append(Fault("lines", "expected at least one line"))
    appended = wire.items(update.lines, "lines", faults)
    body: JsonValue = appended if config.items_body == "array" else {"version": None, "items": appended}
    return Work("POST", f"{order_path(update.order_id)}/items", body)


def _listing(query: ListOrders, faults: list[Fault]) -> str:
    wanted: dict[str, str | int] = {}
    if query.status is not None:
        states = [theirs for theirs, ours in wire.STATUSES.items() if ours == query.status]
        if not states:
            known = ", ".join(dict.fromkeys(wire.STATUSES.values()))
            faults.append(Fault("status", f"doshii's orders are never {query.status}: expected one of {known}"))
        wanted["status"] = ",".join(states)
    # A table's orders know no other query than the status, and no pages.
    path = "orders" if query.table is None else f"tables/{segment(query.table)}/orders"
    return f"{path}?{urlencode(wanted)}" if wanted else path


def _native(params: VendorRequest, faults: list[Fault]) -> Work:
    """`vendor.request`: `{"method", "path", "body"}`; the path below the base address."""
    request: JsonObject = dict(params.request)
    method, path, body = request.pop("method", "POST"), request.pop("path", None), request.pop("body", None)
    if method not in ("GET", "POST", "PUT", "DELETE"):
        faults.append(Fault("request.method", "expected GET, POST, PUT or DELETE"))
    if not isinstance(path, str) or not path or path.startswith("/") or "://" in path or climbs(path.split("?")[0]):
        faults.append(Fault("request.path", "expected a path below the base address, such as orders"))
    faults += [Fault(f"request.{name[:60]}", "unknown; known are method, path, body") for name in request]
    return Work(str(method), str(path), body)
