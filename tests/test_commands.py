"""A call's params: all faults of one call at once, each with its path, and nothing coerced."""

import time
from decimal import Decimal
from typing import Any

import pytest

from ordernpay.commands import COMMANDS, Command, CreateOrder, LookUpUser, new_id, read_params, restore
from ordernpay.conversion import MOST_FAULTS, Faults, unstructure
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
    assert found == {
        "sesion": f"unknown; did you mean session? known are {known}",
        "when_ofline": f"unknown; did you mean when_offline? known are {known}",
    }


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
    read_params("order.quote", {"order": {"lines": [{}]}})
    read_params("order.create", KEY | {"quote_id": "q-1"})


@pytest.mark.parametrize("name", ["total", "unit_price"])
def test_no_line_and_no_order_is_worth_less_than_nothing(name: str) -> None:
    lines = [{"product": "1203"}, {"name": "x", name: "-0.01"}]
    told = faults_of("order.create", {"order": ORDER | {"lines": lines}})[f"order.lines[1].{name}"]
    assert told == "expected money of at least 0.00, got -0.01; what is deducted is an adjustment"
    assert f"lines[1].{name}" in faults_of("order.update", {"order_id": "o", "lines": lines})
    modified: dict[str, Any] = {"name": "Curry", name: "9.00", "children": [{"name": "no rice", name: "-1.00"}]}
    read_params("order.quote", {"order": {"lines": [modified]}})


def test_adjustments_take_no_more_than_the_lines_are_worth() -> None:
    order: dict[str, Any] = {"lines": [{"name": "Tea", "quantity": 2, "unit_price": "2.50"}]}
    read_params("order.quote", {"order": order | {"adjustments": [{"name": "on the house", "amount": "-5.00"}]}})
    more = order | {"adjustments": [{"name": "on the house", "amount": "-5.01"}]}
    assert faults_of("order.quote", {"order": more}) == {
        "order.adjustments": "expected a total of at least 0.00, got -0.01"
    }


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\n"])
def test_a_control_character_in_a_name_is_refused_and_never_repeated(character: str) -> None:
    order = ORDER | {"reference": f"r{character}", "table": character, "lines": [{"name": f"Soup{character}[2J"}]}
    found = faults_of("order.create", {"idempotency_key": f"k{character}", "session": character, "order": order})
    assert set(found) == {"idempotency_key", "session", "order.reference", "order.table", "order.lines[0].name"}
    assert found["order.lines[0].name"].endswith(f"got U+{ord(character):04X} at position 4")
    assert character not in "".join(found.values())


def test_a_note_may_have_line_breaks_and_no_other_control() -> None:
    for note in ("two\nlines", "a\ttab", "\r\n"):
        read_params("order.create", KEY | {"order": ORDER | {"notes": note, "lines": [{"name": "x", "note": note}]}})
    found = faults_of("order.create", {"order": ORDER | {"notes": ["\x1b[2J"], "lines": [{"note": "\0"}]}})
    assert {"order.notes", "order.lines[0].note"} <= set(found)


def test_of_very_many_faults_the_first_are_told_and_the_rest_is_not_looked_at() -> None:
    began = time.process_time()
    params = {"order": {"reference": "r", "lines": [{}] * 3 + [{"quantity": 0, "x": 1}] * 300_000}, "options": {}}
    found = faults_of("order.create", params | {f"k{number}": 1 for number in range(90_000)})
    assert time.process_time() - began < 1
    assert len(found) == MOST_FAULTS + 1
    assert found[""] == f"there are more faults; these are the first {MOST_FAULTS}"


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
    adjustment = {"name": "x", "amount": given}
    _, params = read_params("order.create", KEY | {"order": ORDER | {"adjustments": [adjustment]}})
    assert unstructure(params.order.adjustments[0].amount) == kept


@pytest.mark.parametrize(
    "given",
    ["1,50", "", "1.", ".5", "1.005", "1e3", "+1", "\u0661", Decimal("0.001"), True, 10**16, "1" * 17, {}, " 1"],
)
def test_other_money_is_refused(given: Any) -> None:
    assert "order.lines[0].total" in faults_of("order.create", {"order": ORDER | {"lines": [{"total": given}]}})


def test_notes_are_one_text_or_a_list() -> None:
    assert read_params("order.quote", {"order": ORDER | {"notes": "one"}})[1].order.notes == ("one",)
    assert read_params("order.quote", {"order": ORDER | {"notes": ["one", "two"]}})[1].order.notes == ("one", "two")


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
