"""From the POS' answer to the contract's words, also where the answer is not what its page promises."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.commands import Command
from ordernpay.conversion import structure
from ordernpay.jsontext import dumps
from ordernpay.outcomes import Failure, Outcome
from ordernpay.vendors.order_n_pay import answers
from ordernpay.vendors.order_n_pay.settings import OrderNPayConfig
from ordernpay.vendors.order_n_pay.wire import Response, read_response
from tests.support.daemons import session
from tests.support.fakes import ORDER, command

COMMANDS = {
    "order.create": command(),
    "order.quote": command("order.quote", order=ORDER),
    "order.update": command("order.update", order_id="o", covers=2, reference="r-2"),
    "order.get": command("order.get", order_id="o"),
    "order.list": command("order.list"),
    "payment.create": command("payment.create", order_id="o", payment={"method": "VISA", "amount": "1"}),
    "user.lookup": command("user.lookup", pin="9071"),
    "vendor.request": command("vendor.request", request={"MessageType": 1, "Payload": {}}),
}
SUMMARY = {
    "SalesTransactionID": "5e0a4f10", "ServiceModePrefix": "TBL", "ServiceModeEntityID": "14",
    "OrderNumberOpened": "B2000417", "OwnedBy_UserID": "0b7c", "CurrencyCode": "GBP", "Amount": 42.5,
    "AmountOwing": 30.0, "InUse": True, "InUseByTerminalDisplayID": "03", "InUseByUserName": "Leo",
}  # fmt: skip
DETAILED = {
    "SalesTransactionID": "5e0a4f10", "ServiceModeEntityID": "14", "OrderNumberOpened": "B2000417",
    "CurrencyCode": "GBP", "Amount": 12, "AmountOwing": 13.0, "IsClosed": False, "RemainingServiceChargeAmount": 1.5,
    "Covers": 2,
    "Products": [{"ProviderProductID": "l1", "PLUIdentifier": "1001", "SalesModifierIdentifier": "PINT",
                  "SalesModifierName": "PINT", "Name": "Carlsberg", "Quantity": 2, "Price": 6, "TotalAmount": 12.0,
                  "ChildProducts": [{"Name": "Lime", "Quantity": 1}],
                  "Adjustment": {"Name": "Happy", "Amount": -1, "AdjustmentID": "g"}}],
    "Taxes": [{"Name": "VAT", "Amount": 2.0, "TaxRate": 20, "IsAddOnTax": False}, {}],
    "Payments": [{"Name": "VISA", "AmountSale": 5, "AmountTip": 0.5}],
    "Adjustments": None, "Notes": ["plain", {"Text": "from a field"}, {"A": "two", "B": "texts"}, 7],
}  # fmt: skip


def config(**changes: Any) -> OrderNPayConfig:
    return structure(session(url="wss://pos.example.net/", **changes), OrderNPayConfig)


def response(code: int = 0, payload: Any = None, text: str | None = None) -> Response:
    message = {"RequestID": "a", "ResultCode": code, "ErrorMessage": text, "MessageType": 1, "Payload": payload}
    read = read_response(json.dumps(message))
    assert isinstance(read, Response)
    return read


def outcome(method: str, *told: Any, **settings: Any) -> Outcome:
    return answers.outcome(COMMANDS[method], response(*told), config(**settings))


def failure(*told: Any, **settings: Any) -> Failure:
    ended = outcome("order.create", *told, **settings)
    assert ended.failure is not None
    return ended.failure


def test_a_detailed_order_is_told_in_the_contracts_words() -> None:
    ended = outcome("order.create", 0, {"Order": DETAILED, "OutOfStockProducts": None})
    assert (ended.state, ended.vendor_ids) == ("succeeded", {"order_id": "5e0a4f10"})
    assert ended.result == {
        "order": {
            "id": "5e0a4f10",
            "reference": "r-1",
            "number": "B2000417",
            "status": "open",
            "table": "14",
            "currency": "GBP",
            "total": "12.00",
            "owing": "13.00",
            "service_charge": "1.50",
            "lines": [
                {
                    "id": "l1",
                    "product": "1001",
                    "modifier": "PINT",
                    "modifier_name": "PINT",
                    "name": "Carlsberg",
                    "quantity": 2,
                    "unit_price": "6.00",
                    "total": "12.00",
                    "children": [
                        {
                            "id": None,
                            "product": None,
                            "modifier": None,
                            "modifier_name": None,
                            "name": "Lime",
                            "quantity": 1,
                            "unit_price": None,
                            "total": None,
                            "children": [],
                            "adjustment": None,
                            "note": None,
                        }
                    ],
                    "adjustment": {"name": "Happy", "amount": "-1.00", "id": None, "pos_id": "g"},
                    "note": None,
                }
            ],
            "adjustments": None,
            "payments": [
                {
                    "method": "VISA",
                    "amount": "5.00",
                    "tip": "0.50",
                    "surcharge": None,
                    "service_charge": None,
                    "reference": None,
                    "merchant_id": None,
                    "terminal_id": None,
                }
            ],
            "taxes": [
                {"name": "VAT", "amount": "2.00", "rate": "20.00", "included": True},
                {"name": None, "amount": None, "rate": None, "included": None},
            ],
            "notes": ["plain", "from a field"],
            "covers": 2,
            "estimated_at": None,
        }
    }


def test_the_vendors_own_answer_goes_with_it_untouched() -> None:
    told = response(0, {"Order": DETAILED, "New": 1})
    assert answers.outcome(COMMANDS["order.create"], told, config()).vendor is told.raw


def test_a_note_is_the_configured_field() -> None:
    ended = outcome(
        "order.get", 0, {"Order": {"SalesTransactionID": "a", "Notes": [{"A": "two", "B": "texts"}]}}, note_field="b"
    )
    assert ended.result is not None
    assert ended.result["order"]["notes"] == ["texts"]  # type: ignore[index,call-overload]


@pytest.mark.parametrize(("closed", "status"), [(True, "closed"), (False, "open"), (None, None), ("yes", None)])
def test_the_status_is_what_the_till_says_of_it(closed: Any, status: str | None) -> None:
    ended = outcome("order.get", 0, {"Order": {"SalesTransactionID": "a", "IsClosed": closed}})
    assert ended.result is not None
    assert ended.result["order"]["status"] == status  # type: ignore[index,call-overload]


def test_the_reference_is_the_one_that_was_sent_since_the_till_does_not_tell_it() -> None:
    order = {"SalesTransactionID": "a", "Amount": 1}
    told = {
        method: outcome(method, 0, {"Order": order}).result["order"]["reference"]  # type: ignore[index,call-overload]
        for method in ("order.create", "order.quote", "order.update", "order.get")
    }
    assert told == {"order.create": "r-1", "order.quote": "r-1", "order.update": "r-2", "order.get": None}


def test_a_quote_has_the_contracts_further_keys() -> None:
    result = outcome("order.quote", 0, {"Order": DETAILED}).result
    assert result is not None
    assert set(result) == {"order", "quote_id", "adjusted", "valid_until"}


def test_the_smaller_answers() -> None:
    listed = outcome("order.list", 0, {"Orders": [SUMMARY, 7], "UserOrdersOnly": False}).result
    assert listed is not None
    listing: Any = listed["orders"]
    [summary] = listing
    assert (summary["id"], summary["total"], summary["owing"], summary["status"], summary["lines"]) == (
        "5e0a4f10", "42.50", "30.00", "open", None
    )  # fmt: skip
    paid = outcome("payment.create", 0, {"SalesTransactionPaymentID": "p", "OrderSummary": SUMMARY})
    assert paid.vendor_ids == {"payment_id": "p"}
    assert paid.result is not None
    assert paid.result["payment_id"] == "p"
    user = outcome("user.lookup", 0, {"UserID": "u", "UserName": "Asha", "CanMakePayments": True})
    assert user.result == {"user_id": "u", "name": "Asha", "may_pay": True}
    native = outcome("vendor.request", 0, {"x": 1})
    assert native.result == {"response": native.vendor}


ZEROS = "00000000-0000-0000-0000-000000000000"
NOTHING: list[Any] = [
    None,
    {},
    {"Order": None, "Orders": None, "UserID": None, "OrderSummary": None},
    [],
    "OK",
    {"Order": [], "Orders": {}, "UserID": ["u"], "OrderSummary": "paid"},
    {"Order": {"Products": []}, "UserID": ZEROS, "OrderSummary": {"SalesTransactionID": "{" + ZEROS + "}"}},
    {"Order": {"SalesTransactionID": ZEROS}, "UserID": "", "SalesTransactionPaymentID": ZEROS},
]


@pytest.mark.parametrize("payload", NOTHING, ids=range(len(NOTHING)))
@pytest.mark.parametrize("method", [method for method in COMMANDS if method != "vendor.request"])
def test_a_success_that_shows_nothing_of_what_was_asked_for_is_none(method: str, payload: Any) -> None:
    ended = outcome(method, 0, payload)
    told = ended.failure
    assert told is not None
    changes = COMMANDS[method].type.changes
    assert (ended.state, told.kind) == (("unknown", "outcome_unknown") if changes else ("failed", "vendor_unavailable"))
    assert (told.vendor_code, "without Payload." in told.message) == (0, True)
    assert ended.vendor is not None
    assert ended.vendor_ids == {}


def test_an_id_that_was_never_set_is_none() -> None:
    order = DETAILED | {"Adjustments": [{"Name": "Happy", "Amount": -1, "AdjustmentID": ZEROS}]}
    result = outcome("order.create", 0, {"Order": order}).result
    assert result is not None
    assert result["order"]["adjustments"][0]["pos_id"] is None  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    ("code", "state"), [(7, "unknown"), (1, "unknown"), (-1, "unknown"), (4, "rejected"), (6, "rejected")]
)
def test_a_code_without_a_published_meaning_refuses_nothing_of_what_was_sent_twice(code: int, state: str) -> None:
    ended = answers.outcome(COMMANDS["order.create"], response(code, None, "Had it."), config(), repeated=True)
    assert ended.state == state
    assert ended.failure is not None
    assert (ended.failure.vendor_code, ended.failure.vendor_message) == (code, "Had it.")
    named = config(result_codes={"7": "conflict"})
    ended = answers.outcome(COMMANDS["order.create"], response(7), named, repeated=True)
    assert ended.state == "rejected"
    ended = answers.outcome(COMMANDS["order.list"], response(7), config(), repeated=True)
    assert ended.state == "rejected"
    assert (
        outcome("order.create", 7, result_codes={"7": "duplicate"}).state == "unknown"
    )  # after a journal was lost, too


@pytest.mark.parametrize(("spelling", "code"), [("Success", 0), ("success", 0), ("InsufficientStock", 6), ("4", 4)])
def test_a_result_code_may_be_written_by_its_name(spelling: str, code: int) -> None:
    read = read_response(json.dumps({"RequestID": "a", "ResultCode": spelling}))
    assert isinstance(read, Response)
    assert read.result_code == code


def test_result_codes_as_the_contract_maps_them() -> None:
    assert (failure(4).kind, failure(4).code) == ("not_found", 1002)
    assert (failure(6).kind, failure(6).code) == ("out_of_stock", 1003)
    for code in (1, 2, 3, 5, 7, 99, -1):
        assert (failure(code).kind, failure(code).vendor_code) == ("rejected", code)
    assert failure(5, result_codes={"5": "conflict", "4": "unauthorised"}).kind == "conflict"
    assert failure(4, result_codes={"5": "conflict", "4": "unauthorised"}).code == 1004


def test_the_pos_own_words_are_told_and_a_code_where_it_has_none() -> None:
    said = failure(99, None, "Till is on fire")
    assert (said.message, said.vendor_message) == ("the POS refused: Till is on fire", "Till is on fire")
    assert failure(99).message == "the POS refused with result code 99"


@pytest.mark.parametrize(
    ("payload", "products"),
    [
        (None, []),
        ({"OutOfStockProducts": None, "Order": None}, []),
        (
            {"outOfStockProducts": [{"pluIdentifier": 1203, "Name": "Soup"}, None]},
            [{"product": "1203", "modifier": None, "name": "Soup"}],
        ),
    ],
)
def test_out_of_stock_lists_the_products_as_far_as_they_are_told(payload: Any, products: list[Any]) -> None:
    assert failure(6, payload).details == {"products": products}
    assert failure(99, payload).details is None


def test_what_is_expected_follows_from_the_request_and_not_from_the_answers_message_type() -> None:
    assert response(0, {"Order": DETAILED}).message_type == 1  # GetOpenOrders, by the answer
    result = outcome("order.create", 0, {"Order": DETAILED}).result
    assert result is not None
    assert result["order"]["id"] == "5e0a4f10"  # type: ignore[index,call-overload]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*DETAILED, *SUMMARY, "Order", "Text"]), inner)
    ),
    max_leaves=10,
)


@given(
    st.sampled_from(sorted(COMMANDS)),
    st.sampled_from([0, 4, 6, 99]),
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys([*DETAILED, "Order", "Orders", "OrderSummary", "OutOfStockProducts"], values)
    ),
)
def test_any_payload_gives_an_outcome_that_can_be_written_down(method: str, code: int, payload: dict[str, Any]) -> None:
    told: Command = COMMANDS[method]
    read = read_response(json.dumps({"RequestID": "a", "ResultCode": code, "Payload": payload}))
    assert isinstance(read, Response)
    ended = answers.outcome(told, read, config())
    dumps(ended.result)
    dumps(ended.vendor)
    assert all(isinstance(value, str) for value in ended.vendor_ids.values())


def test_money_that_is_finer_than_cents_is_told_as_it_is() -> None:
    read = read_response(
        '{"RequestID":"a","ResultCode":0,"Payload":{"Order":{"SalesTransactionID":"a","Amount":1.005,"AmountOwing":1.0050}}}'
    )
    assert isinstance(read, Response)
    result = answers.outcome(COMMANDS["order.get"], read, config()).result
    assert result is not None
    assert Decimal(result["order"]["total"]) == Decimal("1.005")  # type: ignore[index,call-overload,arg-type]
