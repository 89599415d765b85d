"""An order as the pretend POS keeps it, with the sums of the pages.

Sources: https://docs.powerepos.cloud/Model/POSCorePublic.Models.OrderNPay.OrderNPayOrderDetailed,
``...OrderNPayOpenOrderSummary`` and ``...OrderNPayPayment``.

Assumed, because no page that was seen says it: an adjustment is added with its own sign, so a discount is negative;
``TotalAmount`` of a product holds neither its children nor its adjustment; an order is closed by the payment that
leaves nothing owing; tax is part of the prices.
"""

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from attrs import Factory, define, field, frozen

from ordernpay.simulator.pages import CENT, NOTHING, Record

CURRENCY: Final = "GBP"
SERVICE_MODE_PREFIX: Final = "TBL"
FALLBACK_ADJUSTMENT: Final = "00000000-0000-4000-8000-0000000000fa"
TAX_PERCENT: Final = Decimal("20.00")


def to_cents(amount: Decimal) -> Decimal:
    """Round half away from zero to two decimals."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def _with_fallback(adjustment: Record) -> Record:
    return {**adjustment, "AdjustmentID": adjustment["AdjustmentID"] or FALLBACK_ADJUSTMENT}


@frozen
class User:
    """A member of staff; one who may not pay is refused every other method of the interface too."""

    user_id: str
    name: str
    pin: str = field(repr=False)
    may_pay: bool = True


@frozen
class AutomaticCharge:
    """The service charge that the POS adds by itself to the orders of large parties, where nobody said otherwise."""

    percent: Decimal = Decimal(10)
    from_covers: int = 6

    def of(self, amount: Decimal, covers: int) -> Decimal:
        """The charge on a sale of ``amount`` for ``covers`` people."""
        return to_cents(amount * self.percent / 100) if covers >= self.from_covers else NOTHING


@frozen
class Lock:
    """Who works on an order right now, at which terminal of the POS."""

    terminal: str = "03"
    user_name: str = "Leo"


@define
class Bill:
    """One order: what was ordered, what was paid, what is owed."""

    sales_transaction_id: str
    table: str
    number: str
    owner: User | None
    automatic_charge: AutomaticCharge = AutomaticCharge()
    provider_order_id: str | None = None
    covers: int = 0
    training: bool = False
    service_charge: Decimal | None = None
    """The charge somebody stated, 0 for none; None leaves it to the POS."""
    lock: Lock | None = None
    products: list[Record] = Factory(list)
    adjustments: list[Record] = Factory(list)
    notes: list[Record] = Factory(list)
    payments: list[Record] = Factory(list)
    paid_sale: Decimal = NOTHING
    paid_service_charge: Decimal = NOTHING

    def add(self, products: list[Record], adjustments: list[Record], notes: list[Record]) -> None:
        """Add to the order; an adjustment without a POS adjustment becomes the POS's fallback adjustment."""
        self.products += [
            {**one, "Adjustment": one["Adjustment"] and _with_fallback(one["Adjustment"])} for one in products
        ]
        self.adjustments += map(_with_fallback, adjustments)
        self.notes += notes

    @property
    def amount(self) -> Decimal:
        """The sale, before payments and without service charge."""
        lines = [line for product in self.products for line in (product, *product["ChildProducts"])]
        adjusted = [product["Adjustment"] for product in self.products if product["Adjustment"] is not None]
        return sum(
            (*(line["TotalAmount"] for line in lines), *(one["Amount"] for one in (*adjusted, *self.adjustments))),
            NOTHING,
        )

    @property
    def remaining_service_charge(self) -> Decimal:
        """The service charge that is still unpaid."""
        stated = self.service_charge
        charge = self.automatic_charge.of(self.amount, self.covers) if stated is None else stated
        return max(charge - self.paid_service_charge, NOTHING)

    @property
    def owing(self) -> Decimal:
        """The sale without what was paid, and the unpaid service charge."""
        return self.amount - self.paid_sale + self.remaining_service_charge

    @property
    def is_closed(self) -> bool:
        """Whether the order is paid and done with."""
        return bool(self.payments) and self.owing <= NOTHING

    def payable_by(self, payment: Record) -> Decimal:
        """The highest ``AmountSale`` that this payment may have."""
        sale = self.amount - self.paid_sale
        return sale if payment["ExplicitServiceChargeAmount"] is not None else sale + self.remaining_service_charge

    def pay(self, payment: Record) -> None:
        """Book a payment; tip and surcharge go beside the sale and pay nothing of it.

        With ``ExplicitServiceChargeAmount`` null, the POS takes the service charge out of ``AmountSale``.
        """
        sale, explicit = payment["AmountSale"], payment["ExplicitServiceChargeAmount"]
        charge = min(self.remaining_service_charge, sale) if explicit is None else explicit
        self.paid_sale += sale - charge if explicit is None else sale
        self.paid_service_charge += charge
        self.payments.append(payment)

    def summary(self) -> Record:
        """The order as an ``OrderNPayOpenOrderSummary``."""
        return {
            "SalesTransactionID": self.sales_transaction_id,
            "ServiceModePrefix": SERVICE_MODE_PREFIX,
            "ServiceModeEntityID": self.table,
            "OrderNumberOpened": self.number,
            "OwnedBy_UserID": self.owner and self.owner.user_id,
            "CurrencyCode": CURRENCY,
            "Amount": self.amount,
            "AmountOwing": self.owing,
            "InUse": self.lock is not None,
            "InUseByTerminalDisplayID": self.lock and self.lock.terminal,
            "InUseByUserName": self.lock and self.lock.user_name,
        }

    def detailed(self) -> Record:
        """The order as an ``OrderNPayOrderDetailed``."""
        return {
            "SalesTransactionID": self.sales_transaction_id,
            "ServiceModePrefix": SERVICE_MODE_PREFIX,
            "ServiceModeEntityID": self.table,
            "OrderNumberOpened": self.number,
            "CurrencyCode": CURRENCY,
            "Amount": self.amount,
            "AmountOwing": self.owing,
            "IsClosed": self.is_closed,
            "RemainingServiceChargeAmount": self.remaining_service_charge,
            "Covers": self.covers,
            "Products": list(self.products),
            "Taxes": [
                {
                    "Name": "VAT",
                    "Amount": to_cents(self.amount * TAX_PERCENT / (100 + TAX_PERCENT)),
                    "TaxRate": TAX_PERCENT,
                    "IsAddOnTax": False,
                }
            ],
            "OwnedBy_UserID": self.owner and self.owner.user_id,
            "OwnedBy_UserName": self.owner and self.owner.name,
            "Payments": list(self.payments),
            "Adjustments": list(self.adjustments),
            "Notes": list(self.notes),
        }
