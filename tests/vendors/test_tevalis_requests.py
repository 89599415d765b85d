"""From the contract's commands to Tevalis' requests."""

import json
from typing import Any

import pytest

from ordernpay.conversion import Fault
from ordernpay.jsontext import dumps
from ordernpay.orders import Order
from ordernpay.vendors.tevalis.requests import Plan, calculate_route, plan, submit_body, submit_route
from ordernpay.vendors.tevalis.settings import Options
from tests.vendors.given import ORDER_ID, command, said, tevalis

LINE: dict[str, Any] = {"product": "SOUP", "quantity": 3}
NOBODY = "00000000-0000-0000-0000-000000000000"


def planned(
    method: str, params: dict[str, Any], options: Options | None = None, **config: Any
) -> tuple[Plan, list[Fault]]:
    faults: list[Fault] = []
    settings = tevalis(**config)
    return plan(command(method, params), settings, settings.merged(options or Options()), faults), faults


def create(options: Options | None = None, /, **order: Any) -> Plan:
    told, faults = planned("order.create", {"order": {"reference": "EX-1", "lines": [LINE], **order}}, options)
    assert faults == []
    return told


def refused(method: str, params: dict[str, Any], options: Options | None = None, **config: Any) -> dict[str, str]:
    return said(planned(method, params, options, **config)[1])


def calculated(**order: Any) -> dict[str, Any]:
    body = create(None, **order).calculate
    assert body is not None
    return body


def submitted(options: Options | None = None, /, **order: Any) -> dict[str, Any]:
    body = create(options, **order).submit
    assert body is not None
    return body


# Calculate


def test_a_calculation_is_that_of_the_page() -> None:
    body = calculated(table="24", service_charge="0")
    assert dumps(body) == (
        '{"SiteId":812,"PriceGroupID":3,"TableNumber":24,"Covers":null,"ServiceChargeAmount":0.00,'
        '"OrderItems":[{"PLU":"SOUP","Quantity":3,"ItemRef":"line-1","Modifiers":[]}],"MacroItems":[]}'
    )


@pytest.mark.parametrize(("charge", "text"), [(None, "null"), ("0", "0.00"), ("2.5", "2.50")])
def test_the_service_charge_has_three_states(charge: str | None, text: str) -> None:
    assert f'"ServiceChargeAmount":{text},' in dumps(calculated(service_charge=charge))


@pytest.mark.parametrize(("covers", "text"), [(None, "null"), (0, "0"), (4, "4")])
def test_covers_are_null_where_the_site_counts_them(covers: int | None, text: str) -> None:
    assert f'"Covers":{text},' in dumps(calculated(covers=covers))


def test_what_the_kiosk_gives_in_the_vendors_own_shape_goes_out_as_it_is() -> None:
    own = {"ParentOrderItem": {"PLU": "LUNCH"}, "ChildrenOrderItems": []}
    options = Options(
        macro_items=(own,),
        configurable_discounts=({"DiscountID": 4},),
        manual_promotions=({"PromotionID": 9},),
        sales_area="Terrace",
        price_group_id=0,
    )
    body = create(options, lines=[]).calculate
    assert body is not None
    assert body["MacroItems"] == [own]
    assert body["ConfigurableDiscounts"] == [{"DiscountID": 4}]
    assert body["ManualPromotions"] == [{"PromotionID": 9}]
    assert (body["SalesArea"], body["PriceGroupID"], body["OrderItems"]) == ("Terrace", 0, [])


def test_prices_of_the_kiosk() -> None:
    body = calculated(prices="kiosk", lines=[LINE | {"unit_price": "4.50"}])
    assert str(body["OrderItems"][0]["OverridePrice"]) == "4.50"


@pytest.mark.parametrize(
    ("order", "path"),
    [
        ({"notes": "x"}, "order.notes"),
        ({"training": True}, "order.training"),
        ({"adjustments": [{"name": "a", "amount": 1}]}, "order.adjustments"),
        ({"lines": []}, "order.lines"),
        ({"table": "T1"}, "order.table"),
        ({"lines": [{"quantity": 1}]}, "order.lines[0].product"),
    ],
)
@pytest.mark.parametrize("method", ["order.quote", "order.create"])
def test_what_cannot_be_calculated(method: str, order: dict[str, Any], path: str) -> None:
    assert list(refused(method, {"order": {"reference": "EX-1", "lines": [LINE], **order}})) == [path]


def test_without_a_price_group_nothing_is_calculated() -> None:
    assert "options.price_group_id" in refused("order.quote", {"order": {"lines": [LINE]}}, price_group_id=None)


def test_a_quote_is_a_calculation_alone() -> None:
    told, faults = planned("order.quote", {"order": {"reference": "EX-1", "lines": [LINE]}})
    assert faults == []
    assert (told.submit, told.request, told.uid, told.reference) == (None, None, None, "EX-1")
    assert told.calculate == calculated()


# Submit


def test_a_submission_is_that_of_the_page() -> None:
    options = Options(tender_type_id=14, origin="examplefood", crm_member_id="c-1", order_params="p", merge=True)
    plan_ = create(
        options,
        ready_at="2031-03-04T20:30:00+01:00",
        customer={"name": "Robin Vale", "phone": "+440000000000"},
        payments=[{"method": "card", "amount": "23.90", "tip": "2.50"}],
    )
    assert submit_body(plan_.submit or {}, ORDER_ID) == (
        f'{{"SiteId":812,"UID":"{ORDER_ID}","CRMMemberID":"c-1",'
        '"RequestedDeliveryTimeUTC":"2031-03-04T19:30:00.000Z","GratuityAmount":2.50,"ThirdPartyOrigin":"examplefood",'
        '"ThirdPartyTransactionID":"EX-1","ThirdPartyReference":"EX-1","OrderParams":"p","MergeOnToExistingBill":true,'
        '"CustomerInfo":{"FirstName":"Robin","LastName":"Vale","ContactNumber":"+440000000000"},'
        '"Tenders":[{"TenderTypeID":14,"Amount":26.40}]}'
    )
    assert (str(plan_.tips), str(plan_.tendered)) == ("2.50", "26.40")


def test_the_least_submission() -> None:
    plan_ = create()
    assert submit_body(plan_.submit or {}, ORDER_ID) == (
        f'{{"SiteId":812,"UID":"{ORDER_ID}","ThirdPartyTransactionID":"EX-1","ThirdPartyReference":"EX-1",'
        '"MergeOnToExistingBill":false,"CustomerInfo":{}}'
    )
    assert (str(plan_.tips), plan_.tendered, plan_.expected_total) == ("0.00", None, None)
    assert plan_.ids == {}


@pytest.mark.parametrize(
    ("tips", "sent"), [(["0"], None), (["0.00", None], None), (["0.01"], "0.01"), (["1", "2"], "3.00")]
)
def test_a_gratuity_of_nothing_is_left_out(tips: list[str | None], sent: str | None) -> None:
    payments = [{"method": "c", "amount": "1", "tip": tip} for tip in tips]
    told = submitted(Options(tender_type_id=1), payments=payments).get("GratuityAmount")
    assert (None if told is None else str(told)) == sent


def test_the_table_of_an_order_is_known_for_its_next_round() -> None:
    assert create(None, table="24").ids == {"table": "24"}


def test_a_quote_is_submitted_by_its_id() -> None:
    told, faults = planned("order.create", {"quote_id": ORDER_ID}, Options(merge=True))
    assert faults == []
    assert (told.uid, told.ids, told.calculate) == (ORDER_ID, {"uid": ORDER_ID}, None)
    assert submit_body(told.submit or {}, told.uid or "") == (
        f'{{"SiteId":812,"UID":"{ORDER_ID}","MergeOnToExistingBill":true,"CustomerInfo":{{}}}}'
    )


def test_a_quote_id_that_cannot_be_one() -> None:
    assert list(refused("order.create", {"quote_id": "17"})) == ["quote_id"]


def test_what_a_quote_must_come_to_cannot_be_checked_any_more() -> None:
    total = Options(expected_total=tevalis_total("9.00"))
    assert list(refused("order.create", {"quote_id": ORDER_ID}, total)) == ["options.expected_total"]
    assert create(total).expected_total == tevalis_total("9.00")


def tevalis_total(text: str) -> Any:
    order: Order = command("order.quote", {"order": {"service_charge": text}}).params.order
    return order.service_charge


# Update


def test_a_round_is_calculated_for_its_table_and_merged() -> None:
    told, faults = planned(
        "order.update",
        {"order_id": ORDER_ID, "lines": [LINE], "covers": 3, "service_charge": "0", "reference": "EX-2"},
        Options(table=24),
    )
    assert faults == []
    assert told.calculate is not None
    assert told.submit is not None
    assert (told.calculate["TableNumber"], told.calculate["Covers"]) == (24, 3)
    assert told.submit["MergeOnToExistingBill"] is True
    assert told.submit["ThirdPartyReference"] == "EX-2"
    assert (told.needs_table, told.ids, told.reference) == (False, {"updates": ORDER_ID}, "EX-2")


def test_a_table_that_is_not_given_has_to_be_known() -> None:
    told, _ = planned("order.update", {"order_id": ORDER_ID, "lines": [LINE]})
    assert told.needs_table
    assert "TableNumber" not in (told.calculate or {})


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"notes": "x"}, "notes"),
        ({"adjustments": [{"name": "a", "amount": 1}]}, "adjustments"),
        ({"lines": [{"quantity": 1}]}, "lines[0].product"),
        ({"lines": [], "covers": 2}, "lines"),
        ({"prices": "kiosk"}, "lines[0].unit_price"),
    ],
)
def test_complaints_of_an_update_stand_where_the_caller_wrote(changes: dict[str, Any], path: str) -> None:
    assert list(refused("order.update", {"order_id": ORDER_ID, "lines": [LINE], **changes}, Options(table=1))) == [path]


# Cancel


def test_a_cancel_is_that_of_the_page() -> None:
    uid = "2fc9f484-237d-43d5-8390-7dc58d311ee7"
    told, faults = planned("order.cancel", {"order_id": uid, "reason": "sample string 1"}, site_id=1)
    assert faults == []
    assert told.request is not None
    assert told.request[:2] == ("POST", "v2/OnlineOrders/CancelOnlineOrder")
    assert json.loads(told.request[2] or "") == {"SiteId": 1, "UID": uid, "Reason": "sample string 1"}
    assert (told.repeatable, told.ids) == (True, {"order_id": uid})


@pytest.mark.parametrize("length", [1, 10_000])
def test_a_reason_has_one_to_ten_thousand_characters(length: int) -> None:
    assert refused("order.cancel", {"order_id": ORDER_ID, "reason": "a" * length}) == {}


def test_an_order_that_is_no_guid_is_refused_here() -> None:
    assert list(refused("order.cancel", {"order_id": "17", "reason": "x"})) == ["order_id"]


# The rest


def test_the_catalogue() -> None:
    told, _ = planned("menu.get", {})
    assert (told.request, told.repeatable) == (("GET", "Catalogue/GetCatalogues/812", None), True)


@pytest.mark.parametrize(
    ("request_", "sent", "repeatable"),
    [
        ({"path": "v2/X", "body": {"a": 1}}, ("POST", "v2/X", '{"a":1}'), False),
        ({"method": "GET", "path": "v2/X"}, ("GET", "v2/X", None), True),
        (
            {"method": "GET", "path": "v2/OnlineOrders/PMSChargeToRoom", "body": {"SiteID": 812, "TableNumber": 7}},
            ("GET", "v2/OnlineOrders/PMSChargeToRoom", '{"SiteID":812,"TableNumber":7}'),
            False,
        ),
    ],
)
def test_a_request_in_the_vendors_own_words(request_: Any, sent: Any, repeatable: bool) -> None:  # noqa: FBT001 - a case
    told, faults = planned("vendor.request", {"request": request_})
    assert (told.request, told.repeatable, faults) == (sent, repeatable, [])


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"method": "PUT", "path": "x"}, "request.method"),
        ({"method": [], "path": "x"}, "request.method"),
        ({}, "request.path"),
        ({"path": ""}, "request.path"),
        ({"path": 1}, "request.path"),
        ({"path": "/x"}, "request.path"),
        ({"path": "https://elsewhere.example/"}, "request.path"),
        *(({"path": path}, "request.path") for path in ("../x", "v2/../../x", "v2/%2e%2e/x", "v2/.")),
        ({"path": "x", "header": 1}, "request.header"),
    ],
)
def test_a_request_that_cannot_be_made(request_: Any, path: str) -> None:
    assert list(refused("vendor.request", {"request": request_})) == [path]


def test_a_command_that_tevalis_does_not_have_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="tevalis has no request for GetOrder"):
        planned("order.get", {"order_id": "x"})


@pytest.mark.parametrize("version", ["2", "3.1"])
def test_the_version_is_a_setting(version: str) -> None:
    config = tevalis(api_version=version)
    assert calculate_route(config) == f"v{version}/OnlineOrders/CalculateOnlineOrder"
    assert submit_route(config) == f"v{version}/OnlineOrders/SubmitCalculatedOnlineOrder"


def test_no_submission_goes_out_under_nobodys_id() -> None:
    assert submitted()["UID"] == NOBODY
    assert NOBODY not in submit_body(submitted(), ORDER_ID)
