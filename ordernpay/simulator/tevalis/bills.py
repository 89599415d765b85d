"""Orders that were submitted, and the bills on which they stand.

Source: https://api.tevalis.com/Help/Api/POST-vversion-OnlineOrders-SubmitCalculatedOnlineOrder: the bill with gratuity
and delivery charge must equal what is tendered, or it stays open.
"""

from decimal import Decimal
from typing import Literal

from attrs import Factory, define, field, frozen

from ordernpay.simulator.pages import NOTHING, Record
from ordernpay.simulator.tevalis.pricing import Calculation, total

Kind = Literal["submit", "merge", "cancel"]


@define(eq=False)
class Order:
    """One submitted order.

    Attributes:
        uid: What cancel is told.
        request: What was submitted, as read.
        reasons: The reasons with which it was cancelled, one for each time.
    """

    uid: str
    calculation: Calculation
    request: Record
    bill: "Bill" = field(repr=False)
    reasons: list[str] = Factory(list)

    @property
    def reference(self) -> int:
        """The number of its bill."""
        return self.bill.reference

    @property
    def total(self) -> Decimal:
        """``TotalGross``."""
        return self.calculation.total

    @property
    def due(self) -> Decimal:
        """What its tenders must be together for it to be paid."""
        extras = (self.request["GratuityAmount"], self.request["DeliveryChargeAmount"])
        return self.total + total(extra for extra in extras if extra is not None)

    @property
    def tendered(self) -> Decimal:
        """What its tenders are together."""
        return total(one["Amount"] for one in self.request["Tenders"] or ())

    @property
    def is_cancelled(self) -> bool:
        """Whether it does not count any more."""
        return bool(self.reasons)


@define(eq=False)
class Bill:
    """A bill; ``opened_with`` is what a waiter rang up before any online order came."""

    reference: int
    table: int | None
    opened_with: Decimal = NOTHING
    paid_at_till: Decimal = NOTHING
    orders: list[Order] = Factory(list)

    @property
    def due(self) -> Decimal:
        """What is to be paid, all in all."""
        return self.opened_with + total(one.due for one in self.orders if not one.is_cancelled)

    @property
    def tendered(self) -> Decimal:
        """What was paid, all in all."""
        return self.paid_at_till + total(one.tendered for one in self.orders if not one.is_cancelled)

    @property
    def is_void(self) -> bool:
        """Whether everything on it was cancelled."""
        return not self.opened_with and all(one.is_cancelled for one in self.orders)

    @property
    def is_paid(self) -> bool:
        """Whether the tenders equal the bill, so that it is closed."""
        return not self.is_void and self.tendered == self.due

    @property
    def is_open(self) -> bool:
        """Whether something is still to come."""
        return not self.is_void and not self.is_paid

    def pay_at_till(self) -> None:
        """The waiter takes what is still owed."""
        self.paid_at_till += self.due - self.tendered


@frozen
class Act:
    """One change that the point of sale made; ``uid`` is that of the submitted order."""

    kind: Kind
    uid: str
    reference: int
    total: Decimal
    tendered: Decimal
    paid: bool
