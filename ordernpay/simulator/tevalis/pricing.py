"""What the pretend point of sale charges for an order, and how it says so.

Sources: https://api.tevalis.com/Help/Api/POST-vversion-OnlineOrders-CalculateOnlineOrder for the rules,
https://api.tevalis.com/Help/Api/POST-vversion-OnlineOrders-CancelOnlineOrder for ``CalculateOnlineOrderV2ResponseDto``.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal

from attrs import frozen

from ordernpay.simulator.pages import CENT, NOTHING, FieldError, Record
from ordernpay.simulator.tevalis.catalogue import Catalogue, Promotion
from ordernpay.simulator.tevalis.site import Site


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of amounts of money."""
    return sum(amounts, NOTHING)


@frozen
class Reduction:
    """A promotion or a discount, and what it took off each line, as positive amounts."""

    number: int
    lines: tuple[tuple[str | None, Decimal], ...]

    @property
    def value(self) -> Decimal:
        """All that it took off."""
        return total(value for _, value in self.lines)

    def answer(self, name: str, sign: int) -> Record:
        """The reduction as the answer shows it; ``name`` is that of its number."""
        named = [(reference, value) for reference, value in self.lines if reference is not None]
        return {
            name: self.number,
            "ExpGross": sign * self.value,
            "AffectedItemRefs": [reference for reference, _ in named],
            "AffectedItems": [{"ItemRef": reference, "AffectedValue": sign * value} for reference, value in named],
        }


@frozen
class Calculation:
    """A priced order: the request, as read, and what came of it."""

    uid: str
    request: Record
    items: list[Record]
    macros: list[Record]
    promotions: list[Reduction]
    discounts: list[Reduction]
    service_charge: Decimal
    covers: int | None
    ready: datetime

    @property
    def total(self) -> Decimal:
        """``TotalGross``."""
        goods = total(line["ExpGross"] for line in _priced_lines(self.items, self.macros))
        return goods - total(one.value for one in (*self.promotions, *self.discounts)) + self.service_charge

    def answer(self, site: Site, uid: str) -> Record:
        """The calculation as ``CalculateOnlineOrderV2ResponseDto``."""
        return {
            "UID": uid,
            "TableNumber": self.request["TableNumber"],
            "PriceGroupID": self.request["PriceGroupID"],
            "Covers": self.covers,
            "ServiceChargeAmount": self.service_charge,
            "Terminal": site.terminal,
            "TotalGross": self.total,
            **({"SalesArea": self.request["SalesArea"]} if site.answers_sales_area else {}),
            "EstimatedTimeUTC": f"{self.ready:%Y-%m-%dT%H:%M:%S.%f}8{site.time_suffix}",
            "StandardOrderItems": self.items,
            "StandardMacroItems": self.macros,
            "Promotions": [one.answer("PromotionID", site.reduction_sign) for one in self.promotions],
            "ConfigurableDiscounts": [one.answer("DiscountID", site.reduction_sign) for one in self.discounts],
        }


def calculate(request: Record, catalogue: Catalogue, site: Site, uid: str, ready: datetime) -> Calculation:
    """Price an order.

    Raises:
        FieldError: The order names what the site does not have, or asks for what the pages forbid.
    """
    _check_site(request, site)
    pricing = _Pricing(catalogue)
    items = [pricing.item(line, f"OrderItems[{at}]") for at, line in enumerate(request["OrderItems"] or ())]
    macros = [pricing.macro(line, f"MacroItems[{at}]") for at, line in enumerate(request["MacroItems"] or ())]
    if not items and not macros:
        raise FieldError("OrderItems", "must not be empty where MacroItems is")
    promotions = pricing.promotions(request, items)
    discounts = pricing.discounts(request, items)
    goods = total(line["ExpGross"] for line in _priced_lines(items, macros))
    reduced = goods - total(one.value for one in (*promotions, *discounts))
    return Calculation(
        uid=uid,
        request=request,
        items=items,
        macros=macros,
        promotions=promotions,
        discounts=discounts,
        service_charge=_service_charge(request, site, reduced),
        covers=request["Covers"] if site.auto_covers is None else site.auto_covers,
        ready=ready,
    )


def _check_site(request: Record, site: Site) -> None:
    if request["PriceGroupID"] not in site.price_groups:
        raise FieldError("PriceGroupID", "is not known at this site")
    if request["TableNumber"] is not None and request["TableNumber"] not in site.tables:
        raise FieldError("TableNumber", "is not on the floorplan of this site")
    if request["Covers"] is not None and site.auto_covers is not None:
        raise FieldError("Covers", "must be null where the site uses Auto Covers")


def _service_charge(request: Record, site: Site, amount: Decimal) -> Decimal:
    stated: Decimal | None = request["ServiceChargeAmount"]
    if stated is not None:
        return stated
    if request["TableNumber"] is None:
        return NOTHING
    return _to_cents(amount * site.service_percent / 100)


def _to_cents(amount: Decimal) -> Decimal:
    return amount.quantize(CENT, ROUND_HALF_UP)


def _priced_lines(items: list[Record], macros: list[Record]) -> Iterator[Record]:
    yield from items
    for macro in macros:
        yield macro["ParentOrderItem"]
        yield from macro["ChildrenOrderItems"]


def _overrides(lines: Iterable[Record]) -> bool:
    return any(line["OverridePrice"] is not None or _overrides(line["Modifiers"] or ()) for line in lines)


class _Pricing:
    """The prices of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def item(self, line: Record, path: str, *, list_price: Decimal | None = None) -> Record:
        """An item as ``CalculateOnlineOrderV2ItemResponseDto``."""
        product = self._catalogue.product(line["PLU"], f"{path}.PLU")
        price = product.price if list_price is None else list_price
        if line["OverridePrice"] is not None:
            price = line["OverridePrice"]
        modifiers = self._modifiers(line, product.groups, path, line["Quantity"])
        return {
            "PLU": line["PLU"],
            "Quantity": line["Quantity"],
            "OverridePrice": line["OverridePrice"],
            "ItemRef": line["ItemRef"],
            "ExpGross": price * line["Quantity"] + total(one["ExpGross"] for one in modifiers),
            "ItemNotes": [_note(note) for note in line["ItemNotes"] or ()],
            "Modifiers": modifiers,
        }

    def macro(self, line: Record, path: str) -> Record:
        """A macro as ``CalculateOnlineOrderV2MacroItemResponseDto``."""
        return {
            "ParentOrderItem": self.item(line["ParentOrderItem"], f"{path}.ParentOrderItem"),
            "ChildrenOrderItems": [
                self.item(child, f"{path}.ChildrenOrderItems[{at}]", list_price=NOTHING)
                for at, child in enumerate(line["ChildrenOrderItems"])
            ],
        }

    def _modifiers(self, holder: Record, groups: tuple[int, ...], path: str, quantity: int) -> list[Record]:
        return [
            self._modifier(line, groups, f"{path}.Modifiers[{at}]", quantity)
            for at, line in enumerate(holder["Modifiers"] or ())
        ]

    def _modifier(self, line: Record, groups: tuple[int, ...], path: str, quantity: int) -> Record:
        option = self._catalogue.option(line, groups, path)
        below = self._modifiers(line, option.groups, path, quantity)
        price = option.price if line["OverridePrice"] is None else line["OverridePrice"]
        gross = NOTHING if line["IsRemove"] else price * quantity + total(one["ExpGross"] for one in below)
        return {
            "OptionGroupID": line["OptionGroupID"],
            "OptionItemID": line["OptionItemID"],
            "IsRemove": line["IsRemove"],
            "OverridePrice": line["OverridePrice"],
            "ExpGross": gross,
            "Modifiers": below,
        }

    def promotions(self, request: Record, items: list[Record]) -> list[Reduction]:
        """What fires: the promotions asked for, or else the automatic ones if no price is overridden."""
        asked = request["ManualPromotions"] or ()
        if asked:
            found = [
                _promote(
                    self._catalogue.promotion(one["PromotionID"], f"ManualPromotions[{at}].PromotionID"),
                    _lines_of(one, items, f"ManualPromotions[{at}]"),
                )
                for at, one in enumerate(asked)
            ]
        elif _overrides(_requested_lines(request)):
            return []
        else:
            found = [_promote(one, items) for one in self._catalogue.promotions if one.automatic]
        return [one for one in found if one.lines]

    def discounts(self, request: Record, items: list[Record]) -> list[Reduction]:
        """The discounts asked for, on those of their lines that hold one of their products."""
        found = []
        for at, one in enumerate(request["ConfigurableDiscounts"] or ()):
            path = f"ConfigurableDiscounts[{at}]"
            discount = self._catalogue.discount(one["DiscountID"], f"{path}.DiscountID")
            lines = [line for line in _lines_of(one, items, path) if line["PLU"] in discount.plus]
            off = tuple((line["ItemRef"], _to_cents(line["ExpGross"] * discount.percent / 100)) for line in lines)
            found.append(Reduction(discount.discount_id, off))
        return [one for one in found if one.lines]


def _requested_lines(request: Record) -> Iterator[Record]:
    return _priced_lines(request["OrderItems"] or [], request["MacroItems"] or [])


def _lines_of(asked: Record, items: list[Record], path: str) -> list[Record]:
    references = asked["AffectedItemRefs"]
    known = {line["ItemRef"] for line in items}
    for at, reference in enumerate(references):
        if reference not in known:
            raise FieldError(f"{path}.AffectedItemRefs[{at}]", "is no ItemRef of this order")
    return [line for line in items if line["ItemRef"] in references]


def _promote(promotion: Promotion, items: list[Record]) -> Reduction:
    lines = [line for line in items if line["PLU"] == promotion.plu and line["Quantity"] >= promotion.each]
    return Reduction(
        promotion.promotion_id,
        tuple(
            (line["ItemRef"], min(line["Quantity"] // promotion.each * promotion.off, line["ExpGross"]))
            for line in lines
        ),
    )


def _note(note: Record) -> str:
    return " ".join(value for value in note.values() if isinstance(value, str))
