"""From the contract's commands to Doshii's requests."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from ordernpay.conversion import Fault, structure
from ordernpay.vendors.doshii.requests import Work, by_reference, page, work
from ordernpay.vendors.doshii.settings import Options
from tests.vendors.given import KEY, command, doshii, said

LINE: dict[str, Any] = {"product": "eggs", "name": "Eggs", "unit_price": "11.00"}
ORDER: dict[str, Any] = {"reference": "APP 1/&", "type": "pickup", "lines": [LINE]}


def made(method: str, params: dict[str, Any], **config: Any) -> tuple[Work, dict[str, str]]:
    faults: list[Fault] = []
    given = command(method, params)
    settings = doshii(**config)
    options = settings.merged(structure(given.options, Options, "options"))
    return work(given, settings, options, faults), said(faults)


def good(method: str, params: dict[str, Any], **config: Any) -> Work:
    told, faults = made(method, params, **config)
    assert faults == {}
    return told


def test_a_quote_is_bare() -> None:
    told = good("order.quote", {"order": ORDER})
    assert (told.method, told.path, told.ids) == ("POST", "orders/preprocess", {})
    assert isinstance(told.body, dict)
    assert {"type", "items"} <= told.body.keys()
    assert not {"order", "consumer", "transactions", "status"} & told.body.keys()


def test_a_new_order_is_wrapped_and_can_be_found_again() -> None:
    told = good("order.create", {"order": ORDER})
    assert (told.method, told.path, told.ids) == ("POST", "orders", {"external_ref": "APP 1/&"})
    assert isinstance(told.body, dict)
    assert isinstance(told.body["order"], dict)
    assert told.body["order"]["status"] == "pending"


def test_a_quote_is_not_placed() -> None:
    assert list(made("order.create", {"quote_id": "q-1"})[1]) == ["quote_id"]


def test_lines_are_appended_as_a_bare_array_or_with_the_version() -> None:
    params = {"order_id": "a/b", "lines": [LINE]}
    bare = good("order.update", params)
    assert (bare.method, bare.path) == ("POST", "orders/a%2Fb/items")
    assert isinstance(bare.body, list)
    versioned = good("order.update", params, items_body="versioned")
    assert versioned.body == {"version": None, "items": bare.body}


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"adjustments": [{"name": "a", "amount": 1}]}, "adjustments"),
        ({"notes": "x"}, "notes"),
        ({"service_charge": "0"}, "service_charge"),
        ({"covers": 0}, "covers"),
        ({"lines": [{"product": "a", "unit_price": "1"}]}, "lines[0].name"),
    ],
)
def test_only_lines_are_appended(changes: dict[str, Any], path: str) -> None:
    assert list(made("order.update", {"order_id": "1", "lines": [LINE], **changes})[1]) == [path]


def test_an_update_without_lines() -> None:
    assert list(made("order.update", {"order_id": "1", "covers": 2})[1]) == ["covers", "lines"]


def test_a_payment_carries_the_commands_key() -> None:
    told = good("payment.create", {"order_id": "9 1", "payment": {"method": "visa", "amount": "1"}})
    assert (told.method, told.path) == ("POST", "orders/9%201/transactions")
    assert told.body == {"amount": 100, "reference": KEY, "method": "visa"}


def test_a_cancel_is_a_status() -> None:
    told = good("order.cancel", {"order_id": "7", "reason": "x"})
    assert (told.method, told.path, told.body) == ("PUT", "orders/7", {"status": "cancelled"})
    assert told.text == '{"status":"cancelled"}'


@pytest.mark.parametrize(
    ("order_id", "path"), [("7", "orders/7"), ("x/y?z#", "orders/x%2Fy%3Fz%23"), ("ü", "orders/%C3%BC")]
)
def test_an_order_by_its_id(order_id: str, path: str) -> None:
    told = good("order.get", {"order_id": order_id})
    assert (told.method, told.path, told.text) == ("GET", path, None)


def test_orders_by_the_kiosks_reference() -> None:
    asked = urlsplit(by_reference("APP 1/&=ü"))
    assert asked.path == "orders"
    assert parse_qs(asked.query) == {"externalOrderRef": ["APP 1/&=ü"]}


CLIMBING: list[str] = [".", "..", "../x", "..%2Fx", "%2e%2e", "x/..", "..\\x", "%252e."]


@pytest.mark.parametrize("identity", CLIMBING)
def test_an_id_never_leads_out_of_its_path(identity: str) -> None:
    pay = {"payment": {"method": "visa", "amount": "1.00"}}
    given: list[tuple[str, dict[str, Any]]] = [
        *(("order.get", {}), ("order.cancel", {"reason": "x"}), ("payment.create", pay)),
        ("order.update", {"lines": [LINE]}),
    ]
    for method, params in given:
        assert list(made(method, {"order_id": identity} | params)[1]) == ["order_id"]
    assert list(made("order.list", {"table": identity})[1]) == ["table"]
    assert list(made("vendor.request", {"request": {"path": f"orders/{identity}?a=.."}})[1]) == ["request.path"]


def test_pages_of_a_list() -> None:
    assert page("orders", 0) == "orders?limit=100"
    assert page("orders?status=pending", 200) == "orders?status=pending&limit=100&offset=200"


@pytest.mark.parametrize(
    ("params", "path", "query"),
    [
        ({}, "orders", {}),
        ({"status": "submitted"}, "orders", {"status": ["pending"]}),
        ({"status": "cancelled"}, "orders", {"status": ["cancelled,venue_cancelled"]}),
        ({"status": "closed"}, "orders", {"status": ["complete"]}),
        ({"table": "T 1/2"}, "tables/T%201%2F2/orders", {}),
        ({"table": "5", "status": "accepted"}, "tables/5/orders", {"status": ["accepted"]}),
    ],
)
def test_lists(params: dict[str, Any], path: str, query: dict[str, list[str]]) -> None:
    asked = urlsplit(good("order.list", params).path)
    assert (asked.path, parse_qs(asked.query)) == (path, query)


@pytest.mark.parametrize("status", ["open", "ready"])
def test_a_status_that_doshii_does_not_have_lists_no_other(status: str) -> None:
    assert list(made("order.list", {"status": status})[1]) == ["status"]


def test_the_menu_of_the_location() -> None:
    assert good("menu.get", {}, location_id="Q/1").path == "locations/Q%2F1/menu"


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"path": "orders", "body": {"a": 1}}, ("POST", "orders", '{"a":1}')),
        *(({"method": method, "path": "x"}, (method, "x", None)) for method in ("GET", "PUT", "DELETE")),
    ],
)
def test_a_request_in_the_vendors_own_words(request_: Any, told: Any) -> None:
    found = good("vendor.request", {"request": request_})
    assert (found.method, found.path, found.text) == told


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        ({"method": "PATCH", "path": "x"}, "request.method"),
        ({"method": {}, "path": "x"}, "request.method"),
        ({}, "request.path"),
        ({"path": "/x"}, "request.path"),
        ({"path": "http://elsewhere.example"}, "request.path"),
        ({"path": "x", "more": 1}, "request.more"),
    ],
)
def test_a_request_that_cannot_be_made(request_: Any, path: str) -> None:
    assert list(made("vendor.request", {"request": request_})[1]) == [path]


def test_a_command_that_doshii_does_not_have_is_a_fault_of_ours() -> None:
    with pytest.raises(TypeError, match="doshii has no request for LookUpUser"):
        made("user.lookup", {"pin": "1"})
