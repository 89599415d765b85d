"""What Tevalis' models forbid is refused by the path of the field, and nothing is done."""

import uuid
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve

from ordernpay.simulator.pages import FieldError
from ordernpay.simulator.tevalis import NotFoundError, TevalisSimulator
from tests.simulator.tevalis_requests import (
    Message,
    calculation,
    cancellation,
    item,
    macro,
    option,
    parsed,
    sauces,
    submission,
    tender,
    without,
)

UID = "5f0a9f5e-8f1e-4e0b-b7fd-2a4a4f4c1d90"
FIRST = "OrderItems[0]"
BELOW = ".Modifiers[0]" * 5

NO_CALCULATION: list[tuple[Any, str]] = [
    ([], "The message"),
    (without(calculation(), "SiteId"), "SiteId"),
    (calculation(SiteId=None), "SiteId"),
    (calculation(SiteId="812"), "SiteId"),
    (calculation(SiteId=813), "SiteId"),
    ({**without(calculation(), "SiteId"), "SiteID": 812}, "SiteID"),
    (without(calculation(), "PriceGroupID"), "PriceGroupID"),
    (calculation(PriceGroupID=2), "PriceGroupID"),
    (calculation(PriceGroupID=3.0), "PriceGroupID"),
    (calculation(TableNumber=0), "TableNumber"),
    (calculation(TableNumber=100), "TableNumber"),
    (calculation(TableNumber="24"), "TableNumber"),
    (calculation(TableNumber=[24]), "TableNumber"),
    (calculation(Covers=-1), "Covers"),
    (calculation(Covers=2.5), "Covers"),
    (calculation(ServiceChargeAmount="0"), "ServiceChargeAmount"),
    (calculation(ServiceChargeAmount=-1), "ServiceChargeAmount"),
    (calculation(ServiceChargeAmount=0.125), "ServiceChargeAmount"),
    (calculation(SalesArea=7), "SalesArea"),
    (calculation(OrderItems=[]), "OrderItems"),
    (calculation(OrderItems=None), "OrderItems"),
    (calculation(OrderItems={}), "OrderItems"),
    (calculation(StandardOrderItems=[]), "StandardOrderItems"),
    (calculation(CustomerInfo={}), "CustomerInfo"),
    (calculation(without(item(), "PLU")), f"{FIRST}.PLU"),
    (calculation(item("")), f"{FIRST}.PLU"),
    (calculation(item(plu="soup")), f"{FIRST}.PLU"),
    (calculation(item(PLU=1203)), f"{FIRST}.PLU"),
    (calculation(item("x" * 10_001)), f"{FIRST}.PLU"),
    (calculation(without(item(), "Quantity")), f"{FIRST}.Quantity"),
    (calculation(item(Quantity=1.0)), f"{FIRST}.Quantity"),
    (calculation(item(Quantity="1")), f"{FIRST}.Quantity"),
    (calculation(item(Quantity=True)), f"{FIRST}.Quantity"),
    (calculation(item(Quantity=0)), f"{FIRST}.Quantity"),
    (calculation(item(Quantity=2**31)), f"{FIRST}.Quantity"),
    (calculation(item(OverridePrice="4.50")), f"{FIRST}.OverridePrice"),
    (calculation(item(OverridePrice=-1)), f"{FIRST}.OverridePrice"),
    (calculation(item(ItemRef=1)), f"{FIRST}.ItemRef"),
    (calculation(item(ItemNotes="no salt")), f"{FIRST}.ItemNotes"),
    (calculation(item(ItemNotes=["no salt"])), f"{FIRST}.ItemNotes[0]"),
    (calculation(item(quantity=1, ItemName="Soup")), f"{FIRST}.ItemName"),
    (calculation(item(Modifiers=[option()])), f"{FIRST}.Modifiers[0].OptionGroupID"),
    (calculation(item("BURG-CHK", Modifiers=[option(99)])), f"{FIRST}.Modifiers[0].OptionGroupID"),
    (calculation(item("BURG-CHK", Modifiers=[option(55, 744)])), f"{FIRST}.Modifiers[0].OptionItemID"),
    (calculation(item("BURG-CHK", Modifiers=[option(OptionItemID="702")])), f"{FIRST}.Modifiers[0].OptionItemID"),
    (calculation(item("BURG-CHK", Modifiers=[{"OptionItemID": 702}])), f"{FIRST}.Modifiers[0].OptionGroupID"),
    (calculation(item("BURG-CHK", Modifiers=[option(IsRemove=None)])), f"{FIRST}.Modifiers[0].IsRemove"),
    (calculation(item("BURG-CHK", Modifiers=[option(Quantity=2)])), f"{FIRST}.Modifiers[0].Quantity"),
    (calculation(item("CHIPS", Modifiers=sauces(6))), f"{FIRST}{BELOW}.Modifiers"),
    (calculation(MacroItems=[{"ParentOrderItem": item("LUNCH")}]), "MacroItems[0].ChildrenOrderItems"),
    (calculation(MacroItems=[macro(item("LUNCH"), item("FISH"))]), "MacroItems[0].ChildrenOrderItems[0].PLU"),
    (calculation(MacroItems=[macro(item("MENU"))]), "MacroItems[0].ParentOrderItem.PLU"),
    (calculation(ConfigurableDiscounts=[{"DiscountID": 4}]), "ConfigurableDiscounts[0].AffectedItemRefs"),
    (
        calculation(ConfigurableDiscounts=[{"DiscountID": 4, "AffectedItemRefs": ["a"]}]),
        "ConfigurableDiscounts[0].AffectedItemRefs[0]",
    ),
    (
        calculation(ConfigurableDiscounts=[{"DiscountID": 5, "AffectedItemRefs": []}]),
        "ConfigurableDiscounts[0].DiscountID",
    ),
    (
        calculation(ManualPromotions=[{"PromotionID": 9, "AffectedItemRefs": []}]),
        "ManualPromotions[0].PromotionID",
    ),
]


@pytest.mark.parametrize(
    ("message", "path"), NO_CALCULATION, ids=[f"{at}-{path}" for at, (_, path) in enumerate(NO_CALCULATION)]
)
def test_calculate_refuses_what_its_models_forbid(message: Any, path: str) -> None:
    simulator = TevalisSimulator()
    with pytest.raises(FieldError) as raised:
        simulator.calculate(parsed(message))
    assert raised.value.path == path
    assert not simulator.calculations


NO_SUBMISSION: list[tuple[Message, str]] = [
    (without(submission(UID), "SiteId"), "SiteId"),
    (submission(UID, SiteId=1), "SiteId"),
    (without(submission(UID), "UID"), "UID"),
    (submission("A17"), "UID"),
    (submission(UID.replace("-", "")), "UID"),
    (submission(f"{{{UID}}}"), "UID"),
    (without(submission(UID), "CustomerInfo"), "CustomerInfo"),
    (submission(UID, CustomerInfo=None), "CustomerInfo"),
    (submission(UID, CustomerInfo={"Email": "a@b.example"}), "CustomerInfo.Email"),
    (submission(UID, CustomerInfo={"FirstName": "x" * 10_001}), "CustomerInfo.FirstName"),
    (submission(UID, CustomerInfo={"AdditionalDetails": "none"}), "CustomerInfo.AdditionalDetails"),
    (submission(UID, CRMMemberID=7), "CRMMemberID"),
    (submission(UID, GratuityAmount=0), "GratuityAmount"),
    (submission(UID, GratuityAmount="2.50"), "GratuityAmount"),
    (submission(UID, DeliveryChargeAmount=0), "DeliveryChargeAmount"),
    (submission(UID, DeliveryChargeAmount=0.005), "DeliveryChargeAmount"),
    (submission(UID, ThirdPartyReference=17), "ThirdPartyReference"),
    (submission(UID, ThirdPartyTransactionID="x" * 10_001), "ThirdPartyTransactionID"),
    (submission(UID, MergeOnToExistingBill=None), "MergeOnToExistingBill"),
    (submission(UID, MergeOnToExistingBill="true"), "MergeOnToExistingBill"),
    (submission(UID, RequestedDeliveryTimeUTC=1_900_000_000), "RequestedDeliveryTimeUTC"),
    (submission(UID, RequestedDeliveryTimeUTC="tomorrow"), "RequestedDeliveryTimeUTC"),
    (submission(UID, RequestedDeliveryTimeUTC="2031-02-30T19:30:00Z"), "RequestedDeliveryTimeUTC"),
    (submission(UID, RequestedDeliveryTimeUTC="2031-03-04T19:30:00+01:00"), "RequestedDeliveryTimeUTC"),
    (submission(UID, RequestedDeliveryTimeUTC="2031-03-04T19:30:00.12345678Z"), "RequestedDeliveryTimeUTC"),
    (submission(UID, TableNumber=24), "TableNumber"),
    (submission(UID, OrderItems=[]), "OrderItems"),
    (submission(UID, {"TenderTypeID": 14}), "Tenders[0].Amount"),
    (submission(UID, {"Amount": 4.5}), "Tenders[0].TenderTypeID"),
    (submission(UID, {"Amount": 4.5, "PLU": ""}), "Tenders[0].PLU"),
    (submission(UID, tender(0)), "Tenders[0].Amount"),
    (submission(UID, tender(4.5, Amount="4.50")), "Tenders[0].Amount"),
    (submission(UID, tender(4.5, TenderTypeID="14")), "Tenders[0].TenderTypeID"),
    (submission(UID, tender(4.5, Tip=1)), "Tenders[0].Tip"),
]


@pytest.mark.parametrize(
    ("message", "path"), NO_SUBMISSION, ids=[f"{at}-{path}" for at, (_, path) in enumerate(NO_SUBMISSION)]
)
def test_submit_refuses_what_its_models_forbid(message: Message, path: str) -> None:
    simulator = TevalisSimulator()
    with pytest.raises(FieldError) as raised:
        simulator.submit(parsed(message))
    assert raised.value.path == path


@pytest.mark.parametrize(
    ("paid_with", "path"),
    [
        ({"TenderTypeID": 99}, "Tenders[0].TenderTypeID"),
        ({"PLU": "SOUP"}, "Tenders[0].PLU"),
        ({"PLU": "T-VOUCHER"}, "Tenders[0].PLU"),
        ({"TenderTypeID": 14, "PLU": "T-CASH"}, "Tenders[0].TenderTypeID"),
    ],
)
def test_a_tender_names_one_tender_type(paid_with: Message, path: str) -> None:
    simulator = TevalisSimulator()
    uid = simulator.calculate(parsed(calculation()))["UID"]
    with pytest.raises(FieldError) as raised:
        simulator.submit(parsed(submission(uid, {**paid_with, "Amount": 4.5})))
    assert raised.value.path == path
    assert (simulator.acts, simulator.orders, simulator.bills) == ([], [], [])


@pytest.mark.parametrize(
    "paid_with", [{"TenderTypeID": 14}, {"PLU": "T-CASH"}, {"TenderTypeID": 16, "PLU": "T-VOUCHER"}]
)
def test_a_tender_type_goes_by_its_number_or_by_a_plu_of_its_own(paid_with: Message) -> None:
    simulator = TevalisSimulator()
    uid = simulator.calculate(parsed(calculation()))["UID"]
    simulator.submit(parsed(submission(uid, {**paid_with, "Amount": 4.5})))
    assert simulator.acts[0].paid


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (without(cancellation(UID), "SiteId"), "SiteId"),
        (cancellation(UID, SiteId=1), "SiteId"),
        (without(cancellation(UID), "UID"), "UID"),
        (cancellation("1001"), "UID"),
        (without(cancellation(UID), "Reason"), "Reason"),
        (cancellation(UID, Reason=None), "Reason"),
        (cancellation(UID, Reason=""), "Reason"),
        (cancellation(UID, Reason="x" * 10_001), "Reason"),
        (cancellation(UID, Reference="A17"), "Reference"),
    ],
)
def test_cancel_refuses_what_its_model_forbids(message: Message, path: str) -> None:
    with pytest.raises(FieldError) as raised:
        TevalisSimulator().cancel(parsed(message))
    assert raised.value.path == path


def test_covers_are_not_taken_where_the_site_counts_them() -> None:
    simulator = TevalisSimulator()
    simulator.site = evolve(simulator.site, auto_covers=2)
    with pytest.raises(FieldError) as raised:
        simulator.calculate(parsed(calculation(Covers=2)))
    assert raised.value.path == "Covers"
    assert simulator.calculate(parsed(calculation(Covers=None)))["Covers"] == 2


def test_the_limits_themselves_are_allowed() -> None:
    simulator = TevalisSimulator()
    deep = item("CHIPS", Modifiers=sauces(5), ItemRef="x" * 10_000, ItemNotes=[{}], OverridePrice=0)
    answer = simulator.calculate(parsed(calculation(deep, TableNumber=99, Covers=0, ServiceChargeAmount=0)))
    assert answer["TotalGross"] == Decimal("1.00")
    simulator.submit(
        parsed(
            submission(
                answer["UID"].upper(),
                tender(1.03),
                GratuityAmount=0.01,
                DeliveryChargeAmount=0.02,
                CustomerInfo={"FirstName": "x" * 10_000, "Line2": "", "City": None, "AdditionalDetails": {"a": 1}},
                OrderParams="",
                RequestedDeliveryTimeUTC="2031-03-04T19:30:00.1234567",
            )
        )
    )
    assert simulator.acts[0].paid
    simulator.cancel(parsed(cancellation(answer["UID"], Reason="x" * 10_000)))


def test_what_is_not_required_may_be_left_out() -> None:
    simulator = TevalisSimulator()
    uid = simulator.calculate({"SiteId": 812, "PriceGroupID": 3, "OrderItems": [item()]})["UID"]
    simulator.submit({"SiteId": 812, "UID": uid, "CustomerInfo": {}})
    assert [act.kind for act in simulator.acts] == ["submit"]


def test_what_was_never_calculated_is_not_found() -> None:
    simulator = TevalisSimulator()
    with pytest.raises(NotFoundError):
        simulator.submit(submission(str(uuid.uuid4())))


def test_what_was_never_submitted_is_not_found() -> None:
    simulator = TevalisSimulator()
    uid = simulator.calculate(calculation())["UID"]
    with pytest.raises(NotFoundError):
        simulator.cancel(cancellation(uid))
