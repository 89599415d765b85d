"""From the contract's words to frames: what is translated how, and what the vendor's pages forbid."""

import json
import uuid
from typing import Any

import pytest

from ordernpay.conversion import Faults, structure
from ordernpay.jsontext import JsonObject
from ordernpay.vendors.order_n_pay.preparation import Work, derived_request_id, prepare, supported, unsupported
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.protocol import Prepared
from tests.support import planted
from tests.support.daemons import SERVICE_MODE, session
from tests.support.fakes import ORDER, command

GUID = "a60fba87-58ec-4b12-b71c-57572036c6bc"


def config(**changes: Any) -> OrderNPayConfig:
    table = session(url="wss://pos.example.net/", **changes)
    return structure({name: value for name, value in table.items() if value is not None}, OrderNPayConfig)


def prepared(
    method: str = "order.create",
    *,
    with_config: OrderNPayConfig | None = None,
    options: JsonObject | None = None,
    **params: Any,
) -> Prepared:
    return prepare("bar", with_config or config(), command(method, options=options, **params))


def frame(method: str = "order.create", **given: Any) -> dict[str, Any]:
    work: Work = prepared(method, **given).work
    read: dict[str, Any] = json.loads(work.frame)
    return read


def payload(method: str = "order.create", **given: Any) -> dict[str, Any]:
    read: dict[str, Any] = frame(method, **given)["Payload"]
    return read


def faults(method: str = "order.create", **given: Any) -> dict[str, str]:
    with pytest.raises(Faults) as caught:
        prepared(method, **given)
    return {fault.path: fault.message for fault in caught.value.faults}


def order(**changes: Any) -> dict[str, Any]:
    return ORDER | changes


def test_the_envelope_is_the_sessions_own() -> None:
    sent = frame(idempotency_key="k")
    assert list(sent) == [
        "RequestID", "ProviderID", "ProviderName", "DeviceID", "UserIdentifier", "MessageType", "Payload"
    ]  # fmt: skip
    del sent["Payload"]
    assert sent == {
        "RequestID": derived_request_id("bar", "k"),
        "ProviderID": 12345,
        "ProviderName": "Example Provider",
        "DeviceID": "DeviceABC123",
        "UserIdentifier": planted.USER,
        "MessageType": 11,
    }


def test_options_of_a_call_stand_above_the_sessions() -> None:
    options = {"device_id": "till-2", "user": GUID, "service_mode_id": GUID, "product_type": 4}
    sent = frame(options=options)
    assert (sent["DeviceID"], sent["UserIdentifier"]) == ("till-2", GUID)
    assert sent["Payload"]["ServiceModeID"] == GUID
    assert sent["Payload"]["Products"][0]["ProductType"] == 4


def test_wrong_options_are_told_with_the_orders_own_faults() -> None:
    found = faults(options={"device_id": "", "colour": "red"}, order=order(table="123456789"))
    assert set(found) == {"options.device_id", "options.colour", "order.table"}


def test_a_changing_commands_request_id_follows_from_session_and_key_alone() -> None:
    assert prepared(idempotency_key="k").vendor_ids == {"request_id": derived_request_id("bar", "k")}
    assert derived_request_id("bar", "k") == "68975af8-8107-524b-aec2-38a13653046d"  # must never change
    assert uuid.UUID(derived_request_id("bar", "k")).version == 5
    different = {derived_request_id(*pair) for pair in (("bar", "k"), ("bar", "l"), ("ba", "rk"), ("ba", "r\0k"))}
    assert len(different) == 4


def test_a_readings_request_id_is_new_each_time() -> None:
    first, second = (prepared("order.list", idempotency_key="k").work.request_id for _ in range(2))
    assert first != second


def test_a_created_order_in_full() -> None:
    given = order(
        type="dine_in",
        covers=2,
        training=True,
        prices="kiosk",
        notes=["pager 7"],
        service_charge="0",
        adjustments=[{"name": "Staff", "amount": "-1.50", "id": "a1", "pos_id": GUID}],
        payments=[
            {
                "method": "VISA",
                "amount": "12.00",
                "tip": "1.00",
                "surcharge": "0.10",
                "service_charge": "0",
                "reference": "p1",
                "merchant_id": "m",
                "terminal_id": "t",
            }
        ],
        lines=[
            {
                "id": "l1",
                "product": "1001",
                "modifier": "PINT",
                "modifier_name": "PINT",
                "name": "Carlsberg",
                "quantity": 2,
                "unit_price": "6.00",
                "adjustment": {"name": "Happy hour", "amount": -1},
                "children": [{"product": "1301", "name": "Cheese", "unit_price": 0, "modifier_name": "M" * 32}],
                "note": "no ice",
            }
        ],
    )
    assert payload(order=given, with_config=config(note_field="Text", message_product_type=7)) == {
        "ProviderOrderID": "r-1",
        "ServiceModeID": SERVICE_MODE,
        "ServiceModeEntityID": "14",
        "IsTraining": True,
        "UseProviderPrices": True,
        "Products": [
            {
                "ProviderProductID": "l1",
                "ProductType": 0,
                "PLUIdentifier": "1001",
                "SalesModifierIdentifier": "PINT",
                "Name": "Carlsberg",
                "SalesModifierName": "PINT",
                "Quantity": 2,
                "Price": 6.0,
                "TotalAmount": 12.0,
                "ChildProducts": [
                    {
                        "ProviderProductID": None,
                        "ProductType": 0,
                        "PLUIdentifier": "1301",
                        "SalesModifierIdentifier": None,
                        "Name": "Cheese",
                        "SalesModifierName": "M" * 32,
                        "Quantity": 1,
                        "Price": 0,
                        "TotalAmount": 0,
                    },
                    {
                        "ProviderProductID": None,
                        "ProductType": 7,
                        "PLUIdentifier": None,
                        "SalesModifierIdentifier": None,
                        "Name": "no ice",
                        "SalesModifierName": None,
                        "Quantity": 1,
                        "Price": 0,
                        "TotalAmount": 0,
                    },
                ],
                "Adjustment": {"ProviderAdjustmentID": None, "AdjustmentID": None, "Name": "Happy hour", "Amount": -1},
            }
        ],
        "Payments": [
            {
                "ProviderPaymentID": "p1",
                "Name": "VISA",
                "AmountSale": 12,
                "AmountTip": 1,
                "AmountSurcharge": 0.1,
                "ExplicitServiceChargeAmount": 0,
                "MerchantID": "m",
                "TerminalID": "t",
            }
        ],
        "Adjustments": [{"ProviderAdjustmentID": "a1", "AdjustmentID": GUID, "Name": "Staff", "Amount": -1.5}],
        "Notes": [{"Text": "pager 7"}],
        "ServiceChargeAmount": 0,
        "Covers": 2,
    }


def test_without_prices_zero_is_sent_and_not_nothing() -> None:
    [line] = payload()["Products"]
    assert (line["Price"], line["TotalAmount"]) == (0, 0)
    work: Work = prepared().work
    assert '"Price":0.00' in work.frame
    assert payload()["Payments"] is None
    assert payload()["ServiceChargeAmount"] is None


def test_payments_make_the_kiosks_prices_count() -> None:
    found = faults(order=order(payments=[{"method": "VISA", "amount": "4.50"}]))
    assert found == {
        "order.lines[0].unit_price": "required where the kiosk's prices count (prices = kiosk, or payments)"
    }


def test_a_total_is_quantity_times_price_unless_an_adjustment_explains_it() -> None:
    line = {"name": "Soup", "quantity": 2, "unit_price": "4.50", "total": "8.00"}
    found = faults(order=order(prices="kiosk", lines=[line]))
    assert found == {"order.lines[0].total": "expected quantity x unit_price = 9.00, got 8.00"}
    adjusted = line | {"adjustment": {"name": "x", "amount": "-1"}}
    assert payload(order=order(prices="kiosk", lines=[adjusted]))["Products"][0]["TotalAmount"] == 8
    assert payload(order=order(prices="pos", lines=[line]))["Products"][0]["TotalAmount"] == 8


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"customer": {"name": "Asha"}}, "order.customer"),
        ({"ready_at": "2026-11-22T18:30:00Z"}, "order.ready_at"),
        ({"table": None}, "order.table"),
        ({"notes": ["hot"]}, "order.notes"),
        ({"lines": [{"product": "1"}]}, "order.lines[0].name"),
        ({"lines": [{"name": "a", "note": "hot"}]}, "order.lines[0].note"),
        ({"lines": [{"name": "a", "children": [{"name": "b", "note": "c"}]}]}, "order.lines[0].children[0].note"),
        (
            {"lines": [{"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}]},
            "order.lines[0].children[0].children",
        ),
        (
            {"lines": [{"name": "a", "children": [{"name": "b", "adjustment": {"name": "c", "amount": 1}}]}]},
            "order.lines[0].children[0].adjustment",
        ),
        ({"lines": [{"name": "a", "modifier_name": "x" * 9}]}, "order.lines[0].modifier_name"),
        ({"lines": [{"name": "a", "product": "x" * 37}]}, "order.lines[0].product"),
        ({"lines": [{"name": "a" * 51}]}, "order.lines[0].name"),
        (
            {"lines": [{"name": "a", "adjustment": {"name": "b", "amount": 1, "pos_id": "7"}}]},
            "order.lines[0].adjustment.pos_id",
        ),
        ({"adjustments": [{"name": "x" * 51, "amount": 1}]}, "order.adjustments[0].name"),
        ({"service_charge": "100000000000.00"}, "order.service_charge"),
        ({"lines": [{"name": "a", "unit_price": "99999999999.99", "quantity": 2}]}, "order.lines[0].total"),
    ],
)
def test_what_the_pages_have_no_place_for_is_refused_with_its_path(changes: dict[str, Any], path: str) -> None:
    assert set(faults(order=order(**changes))) == {path}


def test_a_message_to_the_kitchen_is_as_long_as_a_products_name() -> None:
    settings = config(message_product_type=7)
    line = {"name": "a", "note": "x" * 51}
    assert set(faults(order=order(lines=[line]), with_config=settings)) == {"order.lines[0].note"}


def test_missing_settings_are_named_as_the_option_that_would_do() -> None:
    without = config(device_id=None, user=None, service_mode_id=None)
    assert set(faults(with_config=without)) == {"options.device_id", "options.user", "options.service_mode_id"}


def test_a_quote_is_priced_without_covers_and_may_apply_automatic_adjustments() -> None:
    sent = payload("order.quote", order=order(covers=4), options={"apply_automatic_adjustments": True})
    assert "Covers" not in sent
    assert "IsTraining" not in sent
    assert sent["ApplyAutomaticAdjustments"] is True
    assert payload("order.quote", order=order())["ApplyAutomaticAdjustments"] is False


def test_an_update_adds_and_only_covers_replaces() -> None:
    sent = payload("order.update", order_id=GUID, covers=5, notes=[], service_charge="1.00")
    assert (sent["Covers"], sent["ServiceChargeAmount"], sent["Products"]) == (5, 1, [])
    assert "Covers" not in payload("order.update", order_id=GUID, lines=[{"name": "a"}])
    assert set(faults("order.update", order_id="14", lines=[{}], prices="kiosk")) == {
        "order_id", "lines[0].name", "lines[0].unit_price"
    }  # fmt: skip


def test_the_smaller_messages() -> None:
    assert payload("order.list", table="014", mine=True) == {"ServiceModeEntityID": "014", "UserOrdersOnly": True}
    assert payload("order.list", status="open") == {"ServiceModeEntityID": "", "UserOrdersOnly": False}
    assert payload("order.get", order_id=GUID) == {"SalesTransactionID": GUID}
    paid = payload("payment.create", order_id=GUID, payment={"method": "VISA", "amount": "4.50"})
    assert paid["SalesTransactionID"] == GUID
    assert paid["Payment"]["AmountSale"] == 4.5
    looked_up = frame("user.lookup", pin="9071")
    assert (looked_up["UserIdentifier"], looked_up["Payload"], looked_up["MessageType"]) == (None, {"PIN": "9071"}, 0)
    assert set(faults("order.list", status="closed")) == {"status"}
    assert set(faults("order.list", table="123456789")) == {"table"}
    assert set(faults("payment.create", order_id="x", payment={"method": "x" * 33, "amount": 1})) == {
        "order_id", "payment.method"
    }  # fmt: skip
    assert set(faults(order=None, quote_id="q")) == {"quote_id"}


def test_a_native_request_takes_the_envelope_from_the_session() -> None:
    sent = frame("vendor.request", request={"MessageType": 99, "Payload": {"Anything": [1]}})
    assert (sent["MessageType"], sent["Payload"]) == (99, {"Anything": [1]})
    assert (sent["DeviceID"], sent["UserIdentifier"]) == ("DeviceABC123", planted.USER)
    sent = frame("vendor.request", request={"MessageType": "1", "Payload": {}, "DeviceID": "d", "UserIdentifier": None})
    assert (sent["MessageType"], sent["DeviceID"], sent["UserIdentifier"]) == (1, "d", None)


def test_a_native_request_that_is_none_is_refused() -> None:
    request = {"MessageType": "x", "Payload": [], "DeviceID": 5, "RequestID": "mine"}
    assert set(faults("vendor.request", request=request)) >= {
        "request.MessageType", "request.Payload", "request.DeviceID", "request.RequestID"
    }  # fmt: skip


def test_commands_without_a_published_number_are_unsupported_and_name_the_setting() -> None:
    bare = config(message_types={})
    assert supported(bare) == ("order.create", "order.update", "order.list", "user.lookup", "vendor.request")
    failure = unsupported("bar", bare, "order.quote")
    assert failure is not None
    assert failure.kind == "unsupported"
    assert failure.details == {
        "supported": [*supported(bare)],
        "setting": "sessions.bar.message_types.simulate_order",
    }
    none = unsupported("bar", bare, "menu.get")
    assert none is not None
    assert none.message == "order-n-pay has no menu.get"
    assert unsupported("bar", bare, "order.create") is None


def test_configured_numbers_are_used() -> None:
    numbers = {"create_order": 101, "simulate_order": 102, "create_payment": 103, "get_order": 104}
    settings = config(message_types=numbers)
    assert frame(with_config=settings)["MessageType"] == 101
    assert frame("order.quote", order=order(), with_config=settings)["MessageType"] == 102
    assert frame("order.get", order_id=GUID, with_config=settings)["MessageType"] == 104


@pytest.mark.parametrize("method", ["order.create", "order.quote"])
def test_an_order_has_a_line(method: str) -> None:
    assert faults(method, order=order(lines=[]))["order.lines"] == "expected at least one line"
