"""From the contract's commands to Doshii's requests. Pure."""

from typing import Any, Final
from urllib.parse import quote, urlencode

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

MOST_LISTED: Final = 100


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
    match command.params:
        case CreateOrder() | QuoteOrder() | UpdateOrder() | CreatePayment() | CancelOrder():
            return _change(command, config, options, faults)
        case GetOrder(order_id=order_id):
            return Work("GET", order_path(order_id))
        case ListOrders() as query:
            return Work("GET", _listing(query, faults))
        case GetMenu():
            return Work("GET", f"locations/{quote(config.location_id, safe='')}/menu")
        case VendorRequest() as native:
            return _native(native, faults)
        case _:
            raise TypeError(f"doshii has no request for {type(command.params).__name__}")


def order_path(order_id: str) -> str:
    """Where an order is."""
    return f"orders/{quote(order_id, safe='')}"


def by_reference(reference: str) -> str:
    """Where orders with the kiosk's own id are."""
    return f"orders?{urlencode({'externalOrderRef': reference, 'limit': MOST_LISTED})}"


def by_status(statuses: list[str], page: int) -> str:
    """Where one page of the orders in these states is, the newest first."""
    wanted: dict[str, str | int] = {"status": ",".join(statuses), "limit": MOST_LISTED}
    return f"orders?{urlencode(wanted | ({'offset': page * MOST_LISTED} if page else {}))}"


def _change(command: Command, config: DoshiiConfig, options: Options, faults: list[Fault]) -> Work:
    params: Any = command.params
    match params:
        case QuoteOrder(order=order):
            return Work("POST", "orders/preprocess", wire.order_body(order, options, faults, status=None))
        case CreateOrder(order=Order() as order):
            body = wire.create_body(order, config, options, faults)
            return Work("POST", "orders", body, {"external_ref": order.reference or ""})
        case CreateOrder():
            faults.append(Fault("quote_id", "doshii places no quotes: expected order"))
            return Work("POST", "orders")
        case UpdateOrder():
            return _append(params, config, faults)
        case CreatePayment(order_id=order_id, payment=payment):
            body = wire.transaction(payment, "payment", faults, prepaid=False, key=command.key)
            return Work("POST", f"{order_path(order_id)}/transactions", body)
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
    if query.table is not None:
        path = f"tables/{quote(query.table, safe='')}/orders"  # which knows no other query than the status
        return f"{path}?{urlencode(wanted)}" if wanted else path
    return f"orders?{urlencode({'limit': MOST_LISTED, **wanted})}"


def _native(params: VendorRequest, faults: list[Fault]) -> Work:
    """`vendor.request`: `{"method", "path", "body"}`; the path below the base address."""
    request: JsonObject = dict(params.request)
    method, path, body = request.pop("method", "POST"), request.pop("path", None), request.pop("body", None)
    if method not in ("GET", "POST", "PUT", "DELETE"):
        faults.append(Fault("request.method", "expected GET, POST, PUT or DELETE"))
    if not isinstance(path, str) or not path or path.startswith("/") or "://" in path:
        faults.append(Fault("request.path", "expected a path such as orders"))
    faults += [Fault(f"request.{name[:60]}", "unknown; known are method, path, body") for name in request]
    return Work(str(method), str(path), body)
