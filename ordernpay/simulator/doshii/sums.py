"""The sums of an order, in cents.

Source: https://support.doshii.com/developer-support/hc/en-us/articles/360000657394-variants for the lines, and
``115003338974-surcounts-surcharges-discounts`` for surcounts: ``value`` is always cents, ``amount`` cents or percent.

Assumed, because no page that was seen says it:

=========================  =========================================================================================
who checks                 Doshii does: the pages say that it calculates nothing, and not what becomes of a wrong sum
a percentage               is taken of ``totalBeforeSurcounts``, or of all lines for the order's, within one cent
the line of a bundle       its ``totalBeforeSurcounts`` is not checked: no page says what included items add
the total of an order      lines after surcounts, the order's surcounts, and exclusive taxes of lines and order
=========================  =========================================================================================
"""

import copy
from collections.abc import Iterable, Mapping

from ordernpay.simulator.pages import FieldError, Record


def before_surcounts(item: Record) -> int:
    """What a line costs before its surcounts; variants count for every piece."""
    variants = sum(variant["price"] for option in item["options"] for variant in option["variants"])
    return int((item["unitPrice"] + variants) * item["quantity"])


def surcounts_of(holder: Record) -> int:
    """What the surcounts of a line or an order add, however many pieces there are."""
    return sum(surcount["value"] for surcount in holder["surcounts"])


def exclusive_taxes(holder: Record) -> int:
    """What taxes add."""
    return sum(tax["value"] for tax in holder.get("taxes", ()) if tax["taxType"] == "exclusive")


def total(order: Record) -> int:
    """What an order costs."""
    lines = sum(item["totalAfterSurcounts"] + exclusive_taxes(item) for item in order["items"])
    return int(lines + surcounts_of(order) + exclusive_taxes(order))


def check_items(items: Iterable[Record], path: str) -> None:
    """Check the sums of lines.

    Raises:
        FieldError: One is wrong.
    """
    for index, item in enumerate(items):
        place = f"{path}[{index}]"
        if item.get("type") != "bundle" and item["totalBeforeSurcounts"] != before_surcounts(item):
            raise FieldError(f"{place}.totalBeforeSurcounts", "must be (unitPrice + variants) x quantity")
        _check_surcounts(item, item["totalBeforeSurcounts"], place)
        if item["totalAfterSurcounts"] != item["totalBeforeSurcounts"] + surcounts_of(item):
            raise FieldError(f"{place}.totalAfterSurcounts", "must be totalBeforeSurcounts + the values of surcounts")


def check(order: Record, path: str) -> None:
    """Check the sums of an order.

    Raises:
        FieldError: One is wrong.
    """
    prefix = f"{path}." if path else ""
    check_items(order["items"], f"{prefix}items")
    _check_surcounts(order, sum(item["totalAfterSurcounts"] for item in order["items"]), path)


def _check_surcounts(holder: Record, base: int, path: str) -> None:
    prefix = f"{path}." if path else ""
    for index, surcount in enumerate(holder["surcounts"]):
        place = f"{prefix}surcounts[{index}].value"
        if surcount["type"] == "absolute":
            if surcount["value"] != surcount["amount"]:
                raise FieldError(place, "must be the amount, which is cents for an absolute surcount")
        elif abs(surcount["value"] - base * surcount["amount"] / 100) > 1:
            raise FieldError(place, "must be cents: the amount is percent for a percentage surcount")


def repriced(order: Record, prices: Mapping[str, int]) -> Record:
    """The order with the POS's own unit prices, by ``posId``, and the sums that follow; absolute surcounts stay."""
    priced = copy.deepcopy(order)
    for item in priced["items"]:
        price = prices.get(item.get("posId", ""), item["unitPrice"])
        if price == item["unitPrice"]:
            continue
        item["totalBeforeSurcounts"] += (price - item["unitPrice"]) * item["quantity"]
        item["unitPrice"] = price
        for surcount in item["surcounts"]:
            if surcount["type"] == "percentage":
                surcount["value"] = round(item["totalBeforeSurcounts"] * surcount["amount"] / 100)
        item["totalAfterSurcounts"] = item["totalBeforeSurcounts"] + surcounts_of(item)
    lines = sum(item["totalAfterSurcounts"] for item in priced["items"])
    for surcount in priced["surcounts"]:
        if surcount["type"] == "percentage":
            surcount["value"] = round(lines * surcount["amount"] / 100)
    return dict(priced)
