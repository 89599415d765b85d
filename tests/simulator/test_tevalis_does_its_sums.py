"""What a calculation costs: list and override prices, options, macros, promotions, discounts and the service charge."""

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from ordernpay.simulator.pages import FieldError
from ordernpay.simulator.tevalis import TevalisSimulator
from tests.simulator.tevalis_requests import Message, calculation, item, macro, option, parsed, sauces


def calculated(message: Message, **site: Any) -> Message:
    simulator = TevalisSimulator()
    simulator.site = evolve(simulator.site, **site)
    return simulator.calculate(parsed(message))


CHEESE = option(55, 701, Modifiers=sauces(1))
TOTALS: list[tuple[str, Message, str]] = [
    ("list price", calculation(item("SOUP", 3)), "13.50"),
    ("two lines", calculation(item("SOUP"), item("CHIPS")), "7.75"),
    ("override", calculation(item("SOUP", 3, OverridePrice=1.25)), "3.75"),
    ("override of nothing", calculation(item("SOUP", OverridePrice=0)), "0.00"),
    ("option", calculation(item("BURG-CHK", 2, Modifiers=[option()])), "25.90"),
    ("option below an option", calculation(item("BURG-CHK", 2, Modifiers=[CHEESE])), "25.30"),
    ("same option twice", calculation(item("BURG-CHK", Modifiers=[option(), option()])), "13.95"),
    ("option with its own price", calculation(item("BURG-CHK", 2, Modifiers=[option(OverridePrice=0)])), "23.90"),
    ("option taken away", calculation(item("BURG-CHK", Modifiers=[option(56, 744, IsRemove=True)])), "11.95"),
    ("automatic promotion", calculation(item("BEER", 5)), "28.00"),
    ("one beer only", calculation(item("BEER", 1)), "6.00"),
    ("override ends promotions", calculation(item("BEER", 2), item("SOUP", OverridePrice=4.5)), "16.50"),
    (
        "override of an option ends promotions",
        calculation(item("BEER", 2), item("BURG-CHK", Modifiers=[option(OverridePrice=1)])),
        "24.95",
    ),
    (
        "override within a macro ends promotions",
        calculation(item("BEER", 2), MacroItems=[macro(item("LUNCH"), item("SOUP", OverridePrice=0))]),
        "26.00",
    ),
    ("macro", calculation(OrderItems=None, MacroItems=[macro(item("LUNCH"), item("SOUP"), item("BEER"))]), "14.00"),
    (
        "macro with an option",
        calculation(OrderItems=[], MacroItems=[macro(item("LUNCH"), item("BURG-CHK", Modifiers=[option()]))]),
        "15.00",
    ),
    (
        "discount on its products only",
        calculation(
            item("SOUP", ItemRef="a"),
            item("BEER", ItemRef="b"),
            ConfigurableDiscounts=[{"DiscountID": 4, "AffectedItemRefs": ["a", "b"]}],
        ),
        "10.05",
    ),
    (
        "manual promotion instead of automatic ones",
        calculation(
            item("SOUP", 2, ItemRef="a"),
            item("BEER", 2),
            ManualPromotions=[{"PromotionID": 21, "AffectedItemRefs": ["a"]}],
        ),
        "19.50",
    ),
]


@pytest.mark.parametrize(("message", "total"), [one[1:] for one in TOTALS], ids=[one[0] for one in TOTALS])
def test_total(message: Message, total: str) -> None:
    assert str(calculated(message)["TotalGross"]) == total


@pytest.mark.parametrize(
    ("fields", "charge"),
    [
        ({}, "0.00"),
        ({"TableNumber": 24}, "1.03"),
        ({"TableNumber": 24, "ServiceChargeAmount": None}, "1.03"),
        ({"TableNumber": 24, "ServiceChargeAmount": 0}, "0.00"),
        ({"TableNumber": 24, "ServiceChargeAmount": 2.5}, "2.50"),
        ({"ServiceChargeAmount": 2.5}, "2.50"),
    ],
)
def test_service_charge_is_automatic_or_none_or_as_stated(fields: Message, charge: str) -> None:
    answer = calculated(calculation(item("CHIPS"), item("SOUP"), item("SOUP", OverridePrice=2.5), **fields))
    assert str(answer["ServiceChargeAmount"]) == charge
    assert answer["TotalGross"] == Decimal("10.25") + Decimal(charge)


def test_automatic_service_charge_is_on_what_promotions_leave() -> None:
    answer = calculated(calculation(item("BEER", 2), TableNumber=1))
    assert (str(answer["ServiceChargeAmount"]), str(answer["TotalGross"])) == ("1.10", "12.10")


@pytest.mark.parametrize("sign", [1, -1])
def test_promotions_name_the_lines_they_changed(sign: int) -> None:
    answer = calculated(
        calculation(item("BEER", 4, ItemRef="a"), item("BEER", 2), item(ItemRef="b")), reduction_sign=sign
    )
    assert answer["Promotions"] == [
        {
            "PromotionID": 9,
            "ExpGross": sign * Decimal("3.00"),
            "AffectedItemRefs": ["a"],
            "AffectedItems": [{"ItemRef": "a", "AffectedValue": sign * Decimal("2.00")}],
        }
    ]
    assert answer["ConfigurableDiscounts"] == []


def test_a_changed_price_counts_from_the_next_calculation() -> None:
    simulator = TevalisSimulator()
    before = simulator.calculate(calculation())
    simulator.reprice("SOUP", Decimal("4.75"))
    after = simulator.calculate(calculation())
    assert (str(before["TotalGross"]), str(after["TotalGross"])) == ("4.50", "4.75")
    with pytest.raises(FieldError):
        simulator.reprice("FISH", Decimal(1))


def test_every_calculation_has_a_uid_of_its_own() -> None:
    simulator = TevalisSimulator()
    uids = [simulator.calculate(calculation())["UID"] for _ in range(3)]
    assert list(simulator.calculations) == uids
    assert len(set(uids)) == 3
    assert simulator.acts == []
