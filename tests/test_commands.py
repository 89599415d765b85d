"""A call's params: all faults of one call at once, each with its path, and nothing coerced."""

from decimal import Decimal
from typing import Any

import pytest

from ordernpay.commands import COMMANDS, Command, CreateOrder, LookUpUser, new_id, read_params, restore
from ordernpay.conversion import Faults, unstructure
from tests.support.fakes import ORDER, command

KEY: dict[str, Any] = {"idempotency_key": "k"}


def faults_of(method: str, params: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Faults) as caught:
        read_params(method, params)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_the_methods_of_the_contract_and_which_of_them_change_something() -> None:
    assert {name: kind.changes for name, kind in COMMANDS.items()} == {
        "order.quote": False,
        "order.create": True,
        "order.update": True,
        "order.cancel": True,
        "order.get": False,
        "order.list": False,
        "payment.create": True,
        "user.lookup": False,
        "menu.get": False,
        "vendor.request": True,
    }
    assert [name for name, kind in COMMANDS.items() if kind.admin] == ["vendor.request"]


def test_every_fault_of_a_call_is_told_at_once_with_its_path() -> None:
    found = faults_of(
        "order.create",
        {
            "timeout": 601,
            "wait": "yes",
            "when_offline": "perhaps",
            "idempotency_key": "",
            "options": [],
            "surprise": 1,
            "order": {
                "reference": "x" * 65,
                "covers": -1,
                "type": "buffet",
                "training": 1,
                "notes": [""],
                "service_charge": "-1",
                "ready_at": "2026-13-40T99:00:00Z",
                "lines": [{"quantity": "2"}, {"unit_price": "1.234"}, {"adjustment": {"name": "x"}}, 7],
                "payments": {"method": "VISA"},
                "extra": None,
            },
        },
    )
    assert set(found) == {
        "timeout",
        "wait",
        "when_offline",
        "idempotency_key",
        "options",
        "surprise",
        "order.reference",
        "order.covers",
        "order.type",
        "order.training",
        "order.notes",
        "order.service_charge",
        "order.ready_at",
        "order.lines[0].quantity",
        "order.lines[1].unit_price",
        "order.lines[2].adjustment.amount",
        "order.lines[3]",
        "order.payments",
        "order.extra",
    }
    assert found["order.lines[0].quantity"] == 'expected a whole number, got "2"'
    assert found["surprise"].startswith("unknown; known are order, quote_id")


def test_a_misspelt_param_is_told_with_all_that_could_have_been_meant() -> None:
    found = faults_of("order.get", {"order_id": "1", "sesion": "bar", "when_ofline": "fail"})
    known = "order_id, session, idempotency_key, timeout, when_offline, wait, options"
    assert found == {"sesion": f"unknown; known are {known}", "when_ofline": f"unknown; known are {known}"}


@pytest.mark.parametrize("timeout", [0.1, 1, Decimal("0.1"), Decimal(600), 600])
def test_a_timeout_within_its_bounds_is_taken(timeout: Any) -> None:
    common, _ = read_params("order.create", KEY | {"order": ORDER, "timeout": timeout})
    assert common.timeout == float(timeout)


@pytest.mark.parametrize("method", [name for name, kind in COMMANDS.items() if kind.changes])
@pytest.mark.parametrize("given", [{}, {"idempotency_key": None}])
def test_a_change_without_a_key_is_refused_with_the_reason(method: str, given: dict[str, Any]) -> None:
    told = faults_of(method, given)["idempotency_key"]
    assert told.startswith(f"required for {method}: ")
    assert "twice" in told
    assert "UUID" in told


@pytest.mark.parametrize("method", [name for name, kind in COMMANDS.items() if not kind.changes])
def test_a_read_needs_no_key(method: str) -> None:
    with pytest.raises(Faults) as caught:
        read_params(method, {"surprise": 1})
    assert "idempotency_key" not in {fault.path for fault in caught.value.faults}


@pytest.mark.parametrize("timeout", [0, Decimal("0.09"), Decimal("600.1"), True, "30", None])
def test_a_timeout_beyond_its_bounds_is_refused(timeout: Any) -> None:
    assert "timeout" in faults_of("order.create", {"order": ORDER, "timeout": timeout})


@pytest.mark.parametrize("key", ["k", "k" * 128, "clé ☕", "key with spaces"])
def test_a_key_may_have_1_to_128_characters(key: str) -> None:
    assert read_params("order.create", {"order": ORDER, "idempotency_key": key})[0].idempotency_key == key
    assert "idempotency_key" in faults_of("order.create", {"order": ORDER, "idempotency_key": key + "x" * 128})


def test_the_common_defaults_are_those_of_the_contract() -> None:
    common, _ = read_params("menu.get", {})
    assert (common.session, common.idempotency_key, common.timeout, common.when_offline) == (None, None, 30.0, "wait")
    assert (common.wait, common.options) == (True, {})


@pytest.mark.parametrize("method", [name for name, kind in COMMANDS.items() if not kind.changes])
def test_what_has_no_effect_can_only_be_waited_for(method: str) -> None:
    assert "wait" in faults_of(method, {"wait": False})


@pytest.mark.parametrize("params", [{}, {"order": ORDER, "quote_id": "q"}])
def test_create_takes_an_order_or_a_quote(params: dict[str, Any]) -> None:
    assert faults_of("order.create", KEY | params) == {"order": "expected exactly one of order and quote_id"}


def test_create_needs_the_kiosks_own_order_id_and_a_quote_does_not() -> None:
    assert "order.reference" in faults_of("order.create", {"order": {}})
    read_params("order.quote", {"order": {}})
    read_params("order.create", KEY | {"quote_id": "q-1"})


def test_an_update_adds_something() -> None:
    parts: list[dict[str, Any]] = [
        {"covers": 0},
        {"notes": "n"},
        {"service_charge": "0"},
        {"lines": [{"product": "1"}]},
    ]
    assert "lines" in faults_of("order.update", {"order_id": "o", "prices": "kiosk", "reference": "r"})
    for part in parts:
        read_params("order.update", KEY | {"order_id": "o", **part})
    read_params("order.update", KEY | {"order_id": "o", "adjustments": [{"name": "x", "amount": "-1"}]})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("order.quote", "order"),
        ("order.update", "order_id"),
        ("order.cancel", "reason"),
        ("order.get", "order_id"),
        ("payment.create", "payment"),
        ("user.lookup", "pin"),
        ("vendor.request", "request"),
    ],
)
def test_what_is_required_is_named(method: str, path: str) -> None:
    assert faults_of(method, {})[path] == "required"


@pytest.mark.parametrize("pin", [4711, "", "9" * 37, ["9071"], {"pin": "9071"}])
def test_a_wrong_pin_is_never_repeated_in_the_complaint(pin: Any) -> None:
    [(path, message)] = faults_of("user.lookup", {"pin": pin}).items()
    assert path == "pin"
    assert "4711" not in message
    assert "9071" not in message


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("12", "12.00"),
        ("12.5", "12.50"),
        (12, "12.00"),
        (Decimal("12.0"), "12.00"),
        (Decimal("1.2E1"), "12.00"),
        ("-3.10", "-3.10"),
        ("9999999999999999.99", "9999999999999999.99"),
    ],
)
def test_money_comes_as_text_or_number_and_is_kept_with_two_decimals(given: Any, kept: str) -> None:
    _, params = read_params("order.create", KEY | {"order": ORDER | {"lines": [{"unit_price": given}]}})
    assert unstructure(params.order.lines[0].unit_price) == kept


@pytest.mark.parametrize(
    "given",
    ["1,50", "", "1.", ".5", "1.005", "1e3", "+1", "\u0661", Decimal("0.001"), True, 10**16, "1" * 17, {}, " 1"],
)
def test_other_money_is_refused(given: Any) -> None:
    assert "order.lines[0].total" in faults_of("order.create", {"order": ORDER | {"lines": [{"total": given}]}})


def test_notes_are_one_text_or_a_list() -> None:
    assert read_params("order.quote", {"order": {"notes": "one"}})[1].order.notes == ("one",)
    assert read_params("order.quote", {"order": {"notes": ["one", "two"]}})[1].order.notes == ("one", "two")


def test_a_command_comes_back_from_the_journals_form_as_it_went_in() -> None:
    made = command(
        order=ORDER | {"payments": [{"method": "VISA", "amount": "4.50", "tip": 1}], "notes": "hot", "covers": 2}
    )
    content = made.content()
    assert restore(made.method, content["params"]) == made.params  # type: ignore[arg-type]
    assert isinstance(made.params, CreateOrder)


def test_two_calls_that_write_the_same_differently_are_the_same_command() -> None:
    one = command(order=ORDER | {"lines": [{"unit_price": "4.5", "quantity": Decimal("2.0")}], "notes": "x"})
    two = command(order=ORDER | {"lines": [{"unit_price": Decimal("4.50"), "quantity": 2}], "notes": ["x"]})
    assert one.content() == two.content()
    assert command().content() != command(order=ORDER | {"table": "15"}).content()


def test_a_command_is_what_was_given_so_that_a_later_version_with_more_fields_takes_a_repeat_for_the_same() -> None:
    assert command(order=ORDER | {"training": False, "lines": [{"unit_price": 4, "quantity": 1}]}).content() == {
        "method": "order.create",
        "params": {"order": {"reference": "r-1", "table": "14", "lines": [{"unit_price": "4.00"}]}},
        "options": {},
    }
    assert command("order.list", mine=True).content()["params"] == {"mine": True}
    assert command("menu.get").content()["params"] == {}


def test_a_command_knows_its_type_and_ids_are_new() -> None:
    assert command("user.lookup", pin="9071").params == LookUpUser("9071")
    assert isinstance(command(), Command)
    assert command().type is COMMANDS["order.create"]
    assert len({new_id() for _ in range(1000)}) == 1000
