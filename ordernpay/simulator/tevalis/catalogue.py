"""What the pretend site sells and takes for it.

Sources: https://api.tevalis.com (``Catalogue/GetCatalogues`` holds products, measures, option groups, price groups and
tender types), https://api.tevalis.com/Help/ResourceModel?modelName=SubmitCalculateOrderV2TenderApiModel (the PLU of a
tender must be that of one tender type only).
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, TypeVar

from attrs import evolve, frozen

from ordernpay.simulator.pages import FieldError, Record


@frozen
class Option:
    """One choice in a group; ``groups`` may stand below it."""

    option_id: int
    name: str
    price: Decimal
    groups: tuple[int, ...] = ()


@frozen
class OptionGroup:
    """Choices of one kind."""

    group_id: int
    name: str
    options: tuple[Option, ...]


@frozen
class Product:
    """What a PLU means; ``groups`` are the option groups it may be ordered with."""

    plu: str
    name: str
    price: Decimal
    groups: tuple[int, ...] = ()


@frozen
class TenderType:
    """A way to pay."""

    tender_type_id: int
    name: str
    plu: str


@frozen
class Promotion:
    """``off`` for every ``each`` pieces of a product that stand on one line; one not ``automatic`` must be asked for."""

    promotion_id: int
    plu: str
    each: int
    off: Decimal
    automatic: bool = True


@frozen
class Discount:
    """``percent`` off some products, on the lines for which it is asked."""

    discount_id: int
    plus: frozenset[str]
    percent: Decimal


@frozen
class Catalogue:
    """All that the site sells."""

    products: tuple[Product, ...]
    option_groups: tuple[OptionGroup, ...] = ()
    tender_types: tuple[TenderType, ...] = ()
    promotions: tuple[Promotion, ...] = ()
    discounts: tuple[Discount, ...] = ()

    def repriced(self, plu: str, price: Decimal) -> "Catalogue":
        """The same with another price for one product.

        Raises:
            FieldError: Nothing has this PLU.
        """
        known = self.product(plu, "plu")
        changed = tuple(evolve(one, price=price) if one is known else one for one in self.products)
        return evolve(self, products=changed)

    def product(self, plu: str, path: str) -> Product:
        """The product with a PLU, which stands at ``path``."""
        return _known((one for one in self.products if one.plu == plu), path)

    def option(self, line: Record, groups: Iterable[int], path: str) -> Option:
        """The option that a modifier names, from one of these groups."""
        wanted = line["OptionGroupID"]
        found = (one for one in self.option_groups if one.group_id == wanted and wanted in groups)
        group = _known(found, f"{path}.OptionGroupID")
        options = (one for one in group.options if one.option_id == line["OptionItemID"])
        return _known(options, f"{path}.OptionItemID")

    def promotion(self, promotion_id: int, path: str) -> Promotion:
        """A promotion that may be asked for."""
        return _known((one for one in self.promotions if one.promotion_id == promotion_id and not one.automatic), path)

    def discount(self, discount_id: int, path: str) -> Discount:
        """A discount that is set up at the site."""
        return _known((one for one in self.discounts if one.discount_id == discount_id), path)

    def tender_type(self, tender: Record, path: str) -> TenderType:
        """The one tender type that a tender names."""
        number, plu = tender["TenderTypeID"], tender["PLU"]
        by_plu = [one for one in self.tender_types if plu is None or one.plu == plu]
        if not by_plu:
            raise FieldError(f"{path}.PLU", "is of no tender type")
        if number is not None:
            return _known((one for one in by_plu if one.tender_type_id == number), f"{path}.TenderTypeID")
        if len(by_plu) > 1:
            raise FieldError(f"{path}.PLU", "is of more than one tender type")
        return by_plu[0]

    def answer(self, site_id: int, price_groups: Iterable[int]) -> Record:
        """The answer of ``GetCatalogues``."""
        return {
            "SiteID": site_id,
            "Products": [
                {"PLU": one.plu, "Name": one.name, "Price": one.price, "OptionGroupIDs": list(one.groups)}
                for one in self.products
            ],
            "Measures": [],
            "OptionGroups": [
                {
                    "OptionGroupID": group.group_id,
                    "Name": group.name,
                    "Options": [
                        {"OptionItemID": one.option_id, "Name": one.name, "Price": one.price} for one in group.options
                    ],
                }
                for group in self.option_groups
            ],
            "PriceGroups": [{"PriceGroupID": number} for number in price_groups],
            "TenderTypes": [
                {"TenderTypeID": one.tender_type_id, "Name": one.name, "PLU": one.plu} for one in self.tender_types
            ],
        }


Known = TypeVar("Known")


def _known(found: Iterable[Known], path: str) -> Known:
    for one in found:
        return one
    raise FieldError(path, "is not known at this site")


CATALOGUE: Final = Catalogue(
    products=(
        Product("BURG-CHK", "Chicken burger", Decimal("11.95"), (55, 56)),
        Product("SOUP", "Soup", Decimal("4.50")),
        Product("CHIPS", "Chips", Decimal("3.25"), (57,)),
        Product("BEER", "Beer", Decimal("6.00")),
        Product("LUNCH", "Lunch deal", Decimal("14.00")),
    ),
    option_groups=(
        OptionGroup(
            55, "Cheese", (Option(701, "Cheddar", Decimal("0.50"), (57,)), Option(702, "Brie", Decimal("1.00")))
        ),
        OptionGroup(56, "Salad", (Option(744, "Onions", Decimal("0.30")),)),
        OptionGroup(57, "Sauce", (Option(760, "Ketchup", Decimal("0.20"), (57,)),)),
    ),
    tender_types=(
        TenderType(14, "Card", "T-CARD"),
        TenderType(15, "Cash", "T-CASH"),
        TenderType(16, "Paper voucher", "T-VOUCHER"),
        TenderType(17, "Gift voucher", "T-VOUCHER"),
    ),
    promotions=(
        Promotion(9, "BEER", each=2, off=Decimal("1.00")),
        Promotion(21, "SOUP", each=1, off=Decimal("0.75"), automatic=False),
    ),
    discounts=(Discount(4, frozenset({"SOUP", "CHIPS"}), Decimal(10)),),
)
