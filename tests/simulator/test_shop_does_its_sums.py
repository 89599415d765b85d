"""Prices, stock, service charge, payments and the small rules of each method."""

import json
from decimal import Decimal
from typing import Any

import pytest

from ordernpay.simulator.bill import AutomaticCharge, Lock, User
from ordernpay.simulator.shop import Shop
from tests.simulator.requests import (
    ASHA,
    BEN,
    OWNER,
    TRANSACTION,
    child,
    create,
    frame,
    look_up,
    payment,
    product,
    request,
    simulate,
    update,
)


def answer(shop: Shop, message: dict[str, Any], code: int = 0) -> Any:
    response = json.loads(shop.answer(frame(message)).text, parse_float=Decimal)
    assert response["ResultCode"] == code, response["ErrorMessage"]
    assert response["RequestID"] == message["RequestID"]
    assert (response["ErrorMessage"] is None) == (code == 0)
    return response["Payload"]


def test_the_till_prices_what_the_provider_did_not() -> None:
    order = answer(Shop(), create(product("1001", SalesModifierIdentifier="PINT", Quantity=2), product(Price=99.0)))[
        "Order"
    ]
    assert [line["Price"] for line in order["Products"]] == [Decimal("6.00"), Decimal("4.50")]
    assert order["Amount"] == order["AmountOwing"] == Decimal("16.50")


def test_the_providers_prices_count_when_it_says_so_or_pays() -> None:
    dear = product(Quantity=2, Price=7.1, TotalAmount=14.2)
    assert answer(Shop(), create(dear, UseProviderPrices=True))["Order"]["Amount"] == Decimal("14.20")
    paid = answer(Shop(), create(dear, UseProviderPrices=False, Payments=[payment(14.2, AmountTip=2.0)]))["Order"]
    assert (paid["Amount"], paid["AmountOwing"], paid["IsClosed"]) == (Decimal("14.20"), 0, True)


def test_children_and_adjustments_are_in_the_amount() -> None:
    burger = product(
        "1204",
        ChildProducts=[child(), child(None, ProductType=7, Name="no onions")],
        Adjustment={"Amount": -0.45, "Name": "Off"},
    )
    order = answer(Shop(), create(burger, Adjustments=[{"Amount": 1.0, "Name": "Sunday"}]))["Order"]
    assert order["Amount"] == Decimal("15.00")
    assert order["Adjustments"][0]["AdjustmentID"] is not None


def test_money_is_written_with_its_cents() -> None:
    shop = Shop()
    text = shop.answer(frame(create(product("1001", SalesModifierIdentifier="PINT", Quantity=2)))).text
    assert '"AmountOwing": 12.00' in text


def test_an_order_has_every_field_of_its_page() -> None:
    order = answer(Shop(), create(Payments=[], Notes=[{"Text": "pager 7"}]))["Order"]
    assert list(order) == [
        "SalesTransactionID",
        "ServiceModePrefix",
        "ServiceModeEntityID",
        "OrderNumberOpened",
        "CurrencyCode",
        "Amount",
        "AmountOwing",
        "IsClosed",
        "RemainingServiceChargeAmount",
        "Covers",
        "Products",
        "Taxes",
        "OwnedBy_UserID",
        "OwnedBy_UserName",
        "Payments",
        "Adjustments",
        "Notes",
    ]
    assert len(order["OrderNumberOpened"]) <= 8
    assert order["Notes"] == [{"Text": "pager 7"}]
    assert set(order["Products"][0]) == set(product())
    assert order["Taxes"] == [
        {"Name": "VAT", "Amount": Decimal("0.75"), "TaxRate": Decimal(20), "IsAddOnTax": False},
    ]


def test_stock_runs_out_and_a_lack_changes_nothing() -> None:
    shop = Shop()
    answer(shop, create(product("1401", Quantity=2)))
    lacking = answer(shop, create(product("1401", Quantity=2, Name="Fish"), product()), code=6)
    assert lacking == {
        "Order": None,
        "OutOfStockProducts": [{"PLUIdentifier": "1401", "SalesModifierIdentifier": None, "Name": "Fish"}],
    }
    assert shop.kitchen.stock["1401"] == 1
    answer(shop, create(product("1401"), IsTraining=True))
    answer(shop, simulate(product("1401")))
    answer(shop, create(product("1401")))
    assert shop.kitchen.stock["1401"] == 0
    answer(shop, simulate(product("1401")), code=6)
    assert len(shop.acts) == 3


def test_stock_is_counted_over_all_lines_of_a_request() -> None:
    shop = Shop()
    two = product("1401", Quantity=2)
    assert len(answer(shop, create(two, two), code=6)["OutOfStockProducts"]) == 1
    assert shop.acts == []


@pytest.mark.parametrize(("stated", "remaining"), [(None, "0.45"), (0.0, "0"), (2.5, "2.50")])
def test_service_charge_null_leaves_it_to_the_till_and_zero_means_none(stated: float | None, remaining: str) -> None:
    shop = Shop(automatic_charge=AutomaticCharge(from_covers=2))
    order = answer(shop, create(ServiceChargeAmount=stated))["Order"]
    assert order["RemainingServiceChargeAmount"] == Decimal(remaining)
    assert order["AmountOwing"] == Decimal("4.50") + Decimal(remaining)


def test_a_payment_without_an_explicit_service_charge_gives_it_out_of_the_sale() -> None:
    shop = Shop(automatic_charge=AutomaticCharge(from_covers=2))
    priced = product(Price=4.5, TotalAmount=4.5)
    taken_out = answer(shop, create(priced, Payments=[payment(4.5)]))["Order"]
    assert (taken_out["RemainingServiceChargeAmount"], taken_out["AmountOwing"]) == (0, Decimal("0.45"))
    beside = answer(shop, create(priced, Payments=[payment(4.5, ExplicitServiceChargeAmount=0.45)]))["Order"]
    assert (beside["AmountOwing"], beside["IsClosed"]) == (0, True)


def test_an_update_adds_and_covers_replace() -> None:
    shop = Shop()
    bill = shop.open_order(sales_transaction_id=TRANSACTION, covers=4)
    answer(shop, update(product(), Covers=2, Notes=[{"Text": "hot"}], ServiceChargeAmount=1.0))
    order = answer(shop, update(product(), Adjustments=[{"Amount": -1.0, "Name": "Off"}]))["Order"]
    assert (order["Covers"], len(order["Products"]), order["AmountOwing"]) == (2, 2, Decimal("9.00"))
    assert bill.owing == Decimal("9.00")


def test_a_simulation_keeps_nothing_and_adjusts_when_asked() -> None:
    shop = Shop()
    plain = answer(shop, simulate(product()))["Order"]
    adjusted = answer(shop, simulate(product(), ApplyAutomaticAdjustments=True))["Order"]
    assert (plain["Amount"], adjusted["Amount"]) == (Decimal("4.50"), Decimal("4.05"))
    assert adjusted["Adjustments"][0]["Amount"] == Decimal("-0.45")
    assert shop.acts == []
    assert shop.orders == {}


def test_a_payment_lowers_what_is_owed_and_the_last_one_closes() -> None:
    shop = Shop()
    shop.open_order(sales_transaction_id=TRANSACTION)
    answer(shop, update(product(Quantity=2)))
    pay = {"SalesTransactionID": TRANSACTION, "Payment": payment(4.0, AmountTip=1.0)}
    part = answer(shop, request(14, pay))
    assert part["OrderSummary"]["AmountOwing"] == Decimal("5.00")
    answer(shop, request(14, {**pay, "Payment": payment(5.01)}), code=3)
    assert answer(shop, request(14, {**pay, "Payment": payment(5.0)}))["OrderSummary"]["AmountOwing"] == 0
    answer(shop, request(14, pay), code=5)
    answer(shop, update(product()), code=5)
    assert answer(shop, request(1, {"ServiceModeEntityID": "", "UserOrdersOnly": False}))["Orders"] == []
    assert answer(shop, request(2, {"SalesTransactionID": TRANSACTION}))["Order"]["IsClosed"] is True
    assert [act.message_type for act in shop.acts] == [12, 14, 14]


def test_open_orders_are_filtered_by_table_and_owner() -> None:
    shop = Shop()
    shop.open_order(table="14", owner=OWNER).lock = Lock()
    shop.open_order(table="14")
    shop.open_order(table="7", owner=OWNER)

    def listed(table: str, *, own: bool) -> list[Any]:
        found = answer(shop, request(1, {"ServiceModeEntityID": table, "UserOrdersOnly": own}))
        assert found["UserOrdersOnly"] is own
        return list(found["Orders"])

    assert (len(listed("", own=False)), len(listed("14", own=False)), len(listed("", own=True))) == (3, 2, 2)
    (locked,) = listed("14", own=True)
    assert len(locked) == 11
    assert (locked["InUse"], locked["InUseByTerminalDisplayID"], locked["InUseByUserName"]) == (True, "03", "Leo")
    answer(shop, update(SalesTransactionID=locked["SalesTransactionID"]), code=5)


def test_staff_are_known_by_pin_and_by_id() -> None:
    shop = Shop()
    assert answer(shop, look_up("9071")) == {"UserID": ASHA, "UserName": "Asha", "CanMakePayments": True}
    assert answer(shop, look_up("1111")) == {"UserID": BEN, "UserName": "Ben", "CanMakePayments": False}
    assert answer(shop, look_up("0000"), code=4) is None
    answer(shop, {**create(), "UserIdentifier": "9071"})
    answer(shop, {**create(), "UserIdentifier": "no one"}, code=4)
    answer(shop, {**create(), "UserIdentifier": "1111"}, code=7)
    answer(shop, {**create(), "UserIdentifier": BEN}, code=7)
    shop.staff = [User(BEN, "Cleo", "4711")]
    assert answer(shop, look_up("4711"))["UserName"] == "Cleo"
    assert shop.refusals == 0


@pytest.mark.parametrize("named", [{"plu": "9999"}, {"SalesModifierIdentifier": "PINT"}])
def test_what_is_not_on_the_menu_is_not_found(named: dict[str, str]) -> None:
    answer(Shop(), create(product(**named)), code=4)


def test_the_guessed_numbers_can_be_set() -> None:
    shop = Shop(simulate_order=21, create_payment=22, get_order=23)
    answer(shop, {**simulate(product()), "MessageType": 21})
    answer(shop, simulate(product()), code=3)


def test_pins_are_in_no_representation() -> None:
    assert "9071" not in repr(OWNER)
