"""Orders and payments as Doshii keeps them, and as it answers them.

Source: the types of https://github.com/doshii-io/doshii-partner-node-sdk, ``lib/order.ts`` and ``lib/transaction.ts``.

Assumed, because the sources mix the types of numbers: see ``Style``.
"""

import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from attrs import define, field

from ordernpay.simulator.doshii import sums
from ordernpay.simulator.pages import Record

TEXT_MONEY: Final = frozenset(
    {"unitPrice", "totalBeforeSurcounts", "totalAfterSurcounts", "price", "amount", "value", "tip"}
)
OVER: Final = frozenset({"rejected", "cancelled", "venue_cancelled", "complete"})


def new_version() -> str:
    """An opaque version that nobody can compute."""
    return secrets.token_hex(20)


def as_time(seconds: float) -> str:
    """Epoch seconds as the pages write a time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@define
class Style:
    """How numbers are written in answers and events; the pages and the SDK differ.

    Args:
        text_money: Cents as strings, otherwise as numbers.
        text_quantity: ``quantity`` as a string, otherwise as a number, whatever was sent.
        text_paging: ``offset`` and ``limit`` of a list as strings.
    """

    text_money: bool = True
    text_quantity: bool = False
    text_paging: bool = False

    def write(self, value: Any, name: str = "") -> Any:
        """A value in its form for JSON."""
        match value:
            case dict():
                return {key: self.write(held, key) for key, held in value.items()}
            case list():
                return [self.write(held, name) for held in value]
            case bool() | str() | None:
                return value
            case _ if (name in TEXT_MONEY and self.text_money) or (name == "quantity" and self.text_quantity):
                return f"{value:f}" if isinstance(value, Decimal) else str(value)
            case Decimal():
                return int(value) if value == int(value) else float(value)
            case _:
                return value


@define(eq=False)
class Kept:
    """What has a version: every change makes another one."""

    clock: Callable[[], float]
    status: str = "pending"
    version: str = field(factory=new_version)
    rejection: Record = field(factory=dict)
    created: float = field(init=False)
    updated: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.created = self.updated = self.clock()

    def changed(self, status: str | None = None) -> None:
        """Note a change."""
        self.version = new_version()
        self.updated = self.clock()
        if status is not None:
            self.status = status

    def reject(self, code: str | None, reason: str | None) -> None:
        """Note a refusal; what is not set stays absent."""
        given = {"rejectionCode": code, "rejectionReason": reason}
        self.rejection = {name: value for name, value in given.items() if value is not None}
        self.changed("rejected")

    def _marks(self) -> Record:
        return {
            "status": self.status,
            **self.rejection,
            "version": self.version,
            "updatedAt": as_time(self.updated),
            "createdAt": as_time(self.created),
        }


@define(eq=False, kw_only=True)
class Transaction(Kept):
    """A payment."""

    order: "Order"
    fields: Record
    transaction_id: str = field(factory=lambda: str(uuid.uuid4()))

    @property
    def amount(self) -> int:
        """In cents."""
        return int(self.fields["amount"])

    def answer(self, base_url: str) -> Record:
        """As Doshii answers it."""
        return {
            "id": self.transaction_id,
            "orderId": self.order.order_id,
            "acceptLess": False,
            "partnerInitiated": True,
            "prepaid": False,
            "tip": 0,
            "surcounts": [],
            **self.fields,
            **self._marks(),
            "uri": f"{base_url}/transactions/{self.transaction_id}",
        }


@define(eq=False, kw_only=True)
class Order(Kept):
    """An order.

    Attributes:
        fields: What the App sent as ``order``, read, without its status.
        unapproved: Lines that the POS has not decided about, or refused.
    """

    order_id: str
    location_id: str
    fields: Record
    consumer: Record
    members: list[str] = field(factory=list)
    pos_terminal_id: str | None = None
    pos_ref: str | None = None
    unapproved: list[Record] = field(factory=list)
    transactions: list[Transaction] = field(factory=list)

    @property
    def external_order_ref(self) -> str:
        """The App's own reference."""
        return str(self.fields["externalOrderRef"])

    @property
    def total(self) -> int:
        """In cents."""
        return sums.total(self.fields)

    @property
    def paid(self) -> int:
        """In cents, what was paid in transactions that are complete."""
        return sum(one.amount for one in self.transactions if one.status == "complete")

    def add_line(self, item: Record, *, approved: bool) -> None:
        """Take a line, which gets its ``uuid`` by this."""
        line = {**item, "uuid": str(uuid.uuid4())}
        if approved:
            self.fields["items"].append(line)
        else:
            self.unapproved.append({**line, "status": "pending"})

    def answer(self, base_url: str) -> Record:
        """As Doshii answers it."""
        linked = {} if self.pos_ref is None else {"posRef": self.pos_ref}
        terminal = {} if self.pos_terminal_id is None else {"posTerminalId": self.pos_terminal_id}
        uri = f"{base_url}/orders/{self.order_id}"
        return {
            "id": self.order_id,
            "locationId": self.location_id,
            "manuallyProcessed": False,
            "taxes": None,
            **self.fields,
            **linked,
            **terminal,
            "unapprovedItems": self.unapproved,
            "consumer": self.consumer,
            "transactions": [one.answer(base_url) for one in self.transactions],
            **self._marks(),
            "uri": uri,
            "transactionsUri": f"{uri}/transactions",
        }
