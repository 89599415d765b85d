"""Orders as a kiosk gives them and as a vendor's answer is told, in the words of the contract (section 2)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from attrs import frozen

from ordernpay.rules import Amount, FreeObject, Moment, Money, Text, Texts, Whole

Label = Annotated[str, Text(1, 255)]
Remark = Annotated[str, Text(1, 255, lines=True)]
Reference = Annotated[str, Text(1, 64)]
Identifier = Annotated[str, Text(1, 128)]
Quantity = Annotated[int, Whole(1, 99_999)]
Covers = Annotated[int, Whole(0, 9_999)]
Notes = Annotated[tuple[str, ...], Texts()]
NotNegative = Annotated[Decimal, Amount(low=Decimal(0))]
Time = Annotated[str, Moment()]

OrderType = Literal["dine_in", "pickup", "delivery"]
Prices = Literal["pos", "kiosk"]
OrderStatus = Literal["submitted", "open", "accepted", "ready", "closed", "rejected", "cancelled"]


@frozen
class Adjustment:
    """A discount or a surcharge, of one line or of the whole order. `amount` carries its own sign."""

    name: Label
    amount: Money
    id: Identifier | None = None
    pos_id: Identifier | None = None


@frozen
class Line:
    """One product of an order. `total` is for the whole quantity."""

    product: Identifier | None = None
    name: Label | None = None
    quantity: Quantity = 1
    id: Identifier | None = None
    modifier: Identifier | None = None
    modifier_name: Label | None = None
    unit_price: Money | None = None
    total: Money | None = None
    children: tuple[Line, ...] = ()
    adjustment: Adjustment | None = None
    note: Remark | None = None


@frozen
class Payment:
    """Money that the kiosk has taken. `amount` is the sale's part alone, without tip and surcharge."""

    method: Label
    amount: Money
    tip: NotNegative | None = None
    surcharge: NotNegative | None = None
    service_charge: NotNegative | None = None
    reference: Identifier | None = None
    merchant_id: Identifier | None = None
    terminal_id: Identifier | None = None


@frozen
class Address:
    """Where a delivery goes."""

    line1: Label
    line2: Label | None = None
    city: Label | None = None
    state: Label | None = None
    postal_code: Label | None = None
    country: Label | None = None
    notes: Remark | None = None


@frozen
class Customer:
    """Who ordered, as far as the vendor needs it."""

    name: Label | None = None
    phone: Label | None = None
    email: Label | None = None
    address: Address | None = None


@frozen
class Order:
    """An order as a kiosk gives it. `service_charge`: null lets the POS decide, `"0"` means none."""

    reference: Reference | None = None
    type: OrderType | None = None
    table: Identifier | None = None
    covers: Covers | None = None
    lines: tuple[Line, ...] = ()
    adjustments: tuple[Adjustment, ...] = ()
    payments: tuple[Payment, ...] = ()
    notes: Notes = ()
    service_charge: NotNegative | None = None
    prices: Prices = "pos"
    customer: Customer | None = None
    ready_at: Time | None = None
    training: bool = False


@frozen
class OrderOut:
    """An order as a vendor told it; what the vendor does not tell is null. Money is a decimal string."""

    id: str | None = None
    reference: str | None = None
    number: str | None = None
    status: OrderStatus | None = None
    table: str | None = None
    currency: str | None = None
    total: Decimal | None = None
    owing: Decimal | None = None
    service_charge: Decimal | None = None
    lines: list[FreeObject] | None = None
    adjustments: list[FreeObject] | None = None
    payments: list[FreeObject] | None = None
    taxes: list[FreeObject] | None = None
    notes: list[str] | None = None
    covers: int | None = None
    estimated_at: str | None = None
