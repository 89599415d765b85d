"""The commands of the contract (section 2): their own params, the common ones, and what each promises."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Annotated, Any, Final, Literal

import attrs
from attrs import field, frozen

from ordernpay.conversion import MOST_FAULTS, QUICK, Fault, Faults, as_given, structure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import (
    Adjustment,
    Covers,
    Identifier,
    Line,
    Notes,
    NotNegative,
    Order,
    OrderStatus,
    Payment,
    Prices,
    Reference,
)
from ordernpay.rules import SHOWN, FreeObject, Seconds, Text, unknown

Key = Annotated[str, Text(1, 128)]
SHORTEST_TIMEOUT: Final = 0.1
Timeout = Annotated[float, Seconds(SHORTEST_TIMEOUT, 600)]
Pin = Annotated[str, Text(1, 36, secret=True)]
Reason = Annotated[str, Text(1, 10_000, lines=True)]


@frozen
class QuoteOrder:
    """Price an order without placing it."""

    order: Order


@frozen
class CreateOrder:
    """Place an order, or a quote that the vendor keeps."""

    order: Order | None = None
    quote_id: Identifier | None = None


@frozen
class UpdateOrder:
    """Add to an order that stands; covers alone replaces."""

    order_id: Identifier
    lines: tuple[Line, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    notes: Notes = ()
    service_charge: NotNegative | None = None
    covers: Covers | None = None
    prices: Prices = "pos"
    reference: Reference | None = None


@frozen
class CancelOrder:
    """Withdraw an order."""

    order_id: Identifier
    reason: Reason


@frozen
class GetOrder:
    """Read one order."""

    order_id: Identifier


@frozen
class ListOrders:
    """Read the orders that the vendor lists."""

    table: Identifier | None = None
    mine: bool = False
    status: OrderStatus | None = None


@frozen
class CreatePayment:
    """Tell the vendor of money taken for an order."""

    order_id: Identifier
    payment: Payment


@frozen
class LookUpUser:
    """Find a member of staff by PIN. The PIN is written nowhere."""

    pin: Pin = field(repr=False)


@frozen
class GetMenu:
    """Read the vendor's menu."""


@frozen
class VendorRequest:
    """Send a request in the vendor's own words; its shape is that vendor's (README)."""

    request: FreeObject = field(repr=False)


KEY_REQUIRED: Final = (
    "required for {method}: without it, asking again after a lost answer could act twice. Make one key for each order or"
    " payment, 1 to 128 characters such as a UUID, and keep it until the outcome is known"
)


@frozen(kw_only=True)
class Common:
    """The params that every vendor command takes besides its own. `timeout` is in seconds."""

    session: Annotated[str, Text(1, 64)] | None = None
    idempotency_key: Key | None = None
    timeout: Timeout = 30.0
    when_offline: Literal["wait", "fail"] = "wait"
    wait: bool = True
    options: FreeObject = field(factory=dict, repr=False)


@frozen(kw_only=True)
class ChangeParams(Common):
    """The same for a command that changes something."""

    idempotency_key: Key


@frozen
class CommandType:
    """What one method takes and promises. A command that `changes` something is journaled."""

    method: str
    params: type[Any]
    changes: bool
    admin: bool = False

    @property
    def shared(self) -> type[Common]:
        """The class of the params that it shares with other commands."""
        return ChangeParams if self.changes else Common


COMMANDS: Final[Mapping[str, CommandType]] = {
    entry.method: entry
    for entry in (
        CommandType("order.quote", QuoteOrder, changes=False),
        CommandType("order.create", CreateOrder, changes=True),
        CommandType("order.update", UpdateOrder, changes=True),
        CommandType("order.cancel", CancelOrder, changes=True),
        CommandType("order.get", GetOrder, changes=False),
        CommandType("order.list", ListOrders, changes=False),
        CommandType("payment.create", CreatePayment, changes=True),
        CommandType("user.lookup", LookUpUser, changes=False),
        CommandType("menu.get", GetMenu, changes=False),
        CommandType("vendor.request", VendorRequest, changes=True, admin=True),
    )
}


@frozen
class Command:
    """One thing a kiosk asks of a session, checked."""

    id: str
    session: str
    method: str
    params: Any
    options: JsonObject = field(repr=False)
    key: str
    timeout: float
    when_offline: Literal["wait", "fail"] = "wait"

    @property
    def type(self) -> CommandType:
        """What the method takes and promises."""
        return COMMANDS[self.method]

    def content(self) -> JsonObject:
        """What must be the same for two calls to be the same command: what was given, whatever else this version knows."""
        return {"method": self.method, "params": as_given(self.params), "options": self.options}


def new_id() -> str:
    """A new command's identity."""
    return uuid.uuid4().hex


def read_params(method: str, params: JsonObject, options: type[Any] | None = None) -> tuple[Common, Any]:
    """Check a call's params against the method's own list and the common one.

    Args:
        method: one of `COMMANDS`.
        params: as they came.
        options: the vendor's own list of options, where it is known which vendor is meant. It is looked at only beside
            other faults, so that all are told at once; of a call without any the vendor checks them itself.

    Raises:
        Faults: with every fault of all.
    """
    kind = COMMANDS[method]
    read = _read_quickly(kind, params)
    if read is not None:
        return read
    shared, own_names = _NAMES[Common], _NAMES[kind.params]
    strange = nsmallest(MOST_FAULTS + 1, params.keys() - {*own_names, *shared})
    faults = [Fault(name[:SHOWN], unknown(name, [*own_names, *shared])) for name in strange]
    common, own = Common(), None
    try:
        common = structure({name: value for name, value in params.items() if name in shared}, kind.shared)
    except Faults as error:
        faults += error.faults
    try:
        own = structure({name: value for name, value in params.items() if name in own_names}, kind.params)
    except Faults as error:
        faults += error.faults
    faults += _across(own)
    if kind.changes and params.get("idempotency_key") is None:
        faults = [fault for fault in faults if fault.path != "idempotency_key"]
        faults.append(Fault("idempotency_key", KEY_REQUIRED.format(method=method)))
    if not kind.changes and not common.wait:
        faults.append(Fault("wait", f"{method} has no effect and is not journaled: it can only be waited for"))
    if faults:
        raise Faults(faults + _faults_of(params.get("options"), options))
    return common, own


_CLASSES: Final[tuple[type[Any], ...]] = (Common, *(kind.params for kind in COMMANDS.values()))
_NAMES: Final = {cls: tuple(attribute.name for attribute in attrs.fields(cls)) for cls in _CLASSES}


def _read_quickly(kind: CommandType, params: JsonObject) -> tuple[Common, Any] | None:
    """Read params in which nothing is wrong; None where the slow way has to say what is."""
    shared, own = _NAMES[Common], _NAMES[kind.params]
    if not all(name in shared or name in own for name in params):
        return None
    try:
        common = QUICK.structure({name: value for name, value in params.items() if name in shared}, kind.shared)
        read = QUICK.structure({name: value for name, value in params.items() if name in own}, kind.params)
    except Exception:  # noqa: BLE001 - whatever it is, it is found again
        return None
    return (common, read) if (kind.changes or common.wait) and not _across(read) else None


def _faults_of(given: JsonValue, options: type[Any] | None) -> list[Fault]:
    if options is None or not isinstance(given, dict):
        return []
    try:
        structure(given, options, "options")
    except Faults as error:
        return error.faults
    return []


def restore(method: str, params: JsonObject) -> Any:
    """Params as the journal kept them."""
    return structure(params, COMMANDS[method].params)


def _across(params: object) -> list[Fault]:
    """Rules over more than one field."""
    match params:
        case CreateOrder(order=None, quote_id=None) | CreateOrder(order=Order(), quote_id=str()):
            return [Fault("order", "expected exactly one of order and quote_id")]
        case CreateOrder(order=Order() as order):
            return [*_without_reference(order), *_of_order(order)]
        case QuoteOrder(order=order):
            return [*_of_order(order)]
        case UpdateOrder():
            added = (params.lines, params.adjustments, params.notes, params.service_charge, params.covers)
            if all(part is None or part == () for part in added):
                return [Fault("lines", "expected at least one of lines, adjustments, notes, service_charge, covers")]
            return [*_negative(params.lines, "lines")]
    return []


def _without_reference(order: Order) -> Iterator[Fault]:
    if order.reference is None:
        yield Fault("order.reference", "required to create: the kiosk's own order id, 1 to 64 characters")


def _of_order(order: Order) -> Iterator[Fault]:
    yield from _negative(order.lines, "order.lines")
    prices = [line.total if line.unit_price is None else line.unit_price * line.quantity for line in order.lines]
    known = [price for price in prices if price is not None]
    total = sum(known) + sum(adjustment.amount for adjustment in order.adjustments)
    if (
        total < 0
        and min(known, default=0) >= 0
        and len(known) == len(prices)
        and not any(line.children for line in order.lines)
    ):
        yield Fault("order.adjustments", f"expected a total of at least 0.00, got {total}")


def _negative(lines: Iterable[Line], path: str) -> Iterator[Fault]:
    """Lines of less than nothing; what is deducted inside one, as a modifier, is part of its price."""
    for place, line in enumerate(lines):
        for name, amount in (("unit_price", line.unit_price), ("total", line.total)):
            if amount is not None and amount < 0:
                said = f"expected money of at least 0.00, got {amount}; what is deducted is an adjustment"
                yield Fault(f"{path}[{place}].{name}", said)
