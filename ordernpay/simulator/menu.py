"""What the pretend POS sells, and how it finds what a request names.

Sources: https://docs.powerepos.cloud/Model/POSCorePublic.Models.OrderNPay.OrderNPayProduct (a PLU by its GUID or number,
a sales modifier by its GUID or prefix), https://docs.powerepos.cloud/Document/ROS/StockLevels (stock hangs on the
product, not on the modifier).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Final

from attrs import frozen

from ordernpay.simulator.decision import DeclinedError, ResultCode
from ordernpay.simulator.pages import NOTHING, FieldError, Record


@frozen
class Modifier:
    """A way to sell a product, with its own price."""

    modifier_id: str
    prefix: str
    price: Decimal


@frozen
class MenuItem:
    """A product; ``stock`` is how many there are at the start, None for no end of them."""

    plu_id: str
    plu_number: str
    name: str
    price: Decimal
    modifiers: tuple[Modifier, ...] = ()
    stock: int | None = None

    def is_named(self, identifier: str) -> bool:
        """Whether a ``PLUIdentifier`` means this product."""
        return identifier.lower() in {self.plu_id.lower(), self.plu_number.lower()}

    def price_with(self, identifier: str | None) -> Decimal | None:
        """The unit price with a ``SalesModifierIdentifier``; None if the product has no such modifier."""
        if identifier is None:
            return self.price
        wanted = identifier.lower()
        return next(
            (one.price for one in self.modifiers if wanted in {one.modifier_id.lower(), one.prefix.lower()}), None
        )


MENU: Final = (
    MenuItem(
        "cc0c93fd-7268-4252-b792-171a37e32696",
        "1001",
        "Carlsberg",
        Decimal("3.20"),
        (
            Modifier("07c8fd3e-6331-4646-99b2-b4ef3486fb19", "PINT", Decimal("6.00")),
            Modifier("3f0b1f0c-52d5-4b0b-9d2f-5a0f6f5d8a11", "HALF", Decimal("3.20")),
        ),
    ),
    MenuItem("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1203", "1203", "Soup", Decimal("4.50")),
    MenuItem("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1204", "1204", "Burger", Decimal("12.95")),
    MenuItem("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1301", "1301", "Extra cheese", Decimal("1.50")),
    MenuItem("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1401", "1401", "Dish of the day", Decimal("9.90"), stock=3),
    MenuItem("5b0e2a1d-3f64-4a27-8c55-0d9f4d1b1402", "1402", "Oysters", Decimal("18.00"), stock=0),
)


def every_line(products: Iterable[Record]) -> Iterator[Record]:
    """The products of a request and their children, as they stand."""
    for product in products:
        yield product
        yield from product["ChildProducts"] or ()


class Kitchen:
    """Prices what is ordered and knows what is left.

    Attributes:
        stock: What is left, by PLU number; products without an end are not in it.
    """

    def __init__(self, menu: Iterable[MenuItem]) -> None:
        self.menu = tuple(menu)
        self.stock = {item.plu_number: item.stock for item in self.menu if item.stock is not None}

    def price(self, products: Iterable[Record], *, by_provider: bool) -> list[Record]:
        """The products with the prices that count: the provider's, or those of the menu.

        Raises:
            FieldError: A product is none, or the provider's total is not ``Quantity`` x ``Price``.
            DeclinedError: A product or its modifier is not on the menu.
        """
        priced = []
        for index, product in enumerate(products):
            path = f"Payload.Products[{index}]"
            if product["PLUIdentifier"] is None:
                raise FieldError(f"{path}.PLUIdentifier", "must not be null: only a child can be a free-text message")
            line = self._price_line(product, path, by_provider=by_provider)
            line["ChildProducts"] = [
                self._price_line(child, f"{path}.ChildProducts[{place}]", by_provider=by_provider)
                for place, child in enumerate(product["ChildProducts"] or ())
            ]
            priced.append(line)
        return priced

    def missing(self, products: Iterable[Record]) -> list[Record]:
        """The products of which too few are left, each once, as ``OrderNPayOutOfStockProduct``."""
        lines = list(every_line(products))
        lacking = {number for number, count in self._wanted(lines).items() if count > self.stock[number]}
        missing: dict[tuple[str, str | None], Record] = {}
        for line in lines:
            item = self._find(line)
            if item is not None and item.plu_number in lacking:
                named = {name: line[name] for name in ("PLUIdentifier", "SalesModifierIdentifier", "Name")}
                missing.setdefault((line["PLUIdentifier"], line["SalesModifierIdentifier"]), named)
        return list(missing.values())

    def take(self, products: Iterable[Record]) -> None:
        """Take the products from stock."""
        for number, count in self._wanted(every_line(products)).items():
            self.stock[number] -= count

    def _find(self, line: Record) -> MenuItem | None:
        identifier = line["PLUIdentifier"]
        return None if identifier is None else next((item for item in self.menu if item.is_named(identifier)), None)

    def _wanted(self, lines: Iterable[Record]) -> Counter[str]:
        wanted: Counter[str] = Counter()
        for line in lines:
            item = self._find(line)
            if item is not None and item.plu_number in self.stock:
                wanted[item.plu_number] += line["Quantity"]
        return wanted

    def _price_line(self, line: Record, path: str, *, by_provider: bool) -> Record:
        price = self._list_price(line, path)
        if not by_provider:
            return {**line, "Price": price, "TotalAmount": price * line["Quantity"]}
        if line["TotalAmount"] != line["Price"] * line["Quantity"]:
            raise FieldError(f"{path}.TotalAmount", "must be Quantity x Price where the provider's prices are used")
        return dict(line)

    def _list_price(self, line: Record, path: str) -> Decimal:
        if line["PLUIdentifier"] is None:
            return NOTHING
        item = self._find(line)
        if item is None:
            raise DeclinedError(ResultCode.NOT_FOUND, f"No product has the given {path}.PLUIdentifier.")
        price = item.price_with(line["SalesModifierIdentifier"])
        if price is None:
            raise DeclinedError(ResultCode.NOT_FOUND, f"The product has no such {path}.SalesModifierIdentifier.")
        return price
