"""From JSON to the contract's classes and back: strict, complete, and with a path for each fault."""

import contextlib
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.conversion import DETAILED, QUICK, Fault, Faults, structure, unstructure
from ordernpay.orders import Line, Order
from ordernpay.rules import Amount, Free, Guid, Moment, Rule, Seconds, Text, Texts, Whole, Wrong, rule_of, shown

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@frozen
class Shelf:
    label: Annotated[str, Text(1, 5)]
    size: Annotated[int, Whole(0, 9)] = 3
    kind: Literal["oak", "pine", 5] = "oak"
    parts: tuple[Annotated[str, Text(1)], ...] = ()
    weights: dict[str, Annotated[int, Whole(1, 2)]] | None = None
    count: int = 0
    on: bool = False
    inner: "Shelf | None" = None
    word: str = ""


def faults(value: Any, path: str = "") -> list[tuple[str, str]]:
    with pytest.raises(Faults) as caught:
        structure(value, Shelf, path)
    return [(fault.path, fault.message) for fault in caught.value.faults]


def test_a_whole_object_is_read() -> None:
    value: Any = {
        "label": "a",
        "kind": 5,
        "parts": ["x"],
        "weights": {"y": 2},
        "count": -7,
        "on": True,
        "inner": {"label": "b"},
    }
    assert structure(value, Shelf) == Shelf("a", 3, 5, ("x",), {"y": 2}, -7, on=True, inner=Shelf("b"))


NEARLY: dict[str, st.SearchStrategy[Any]] = {
    "label": st.text(max_size=6),
    "size": st.integers(-1, 10) | st.decimals(-1, 10, places=1),
    "kind": st.sampled_from(["oak", "pine", 5, "5", "elm"]),
    "parts": st.lists(st.text(max_size=2), max_size=3),
    "weights": st.none() | st.dictionaries(st.text(max_size=2), st.integers(0, 3), max_size=2),
    "count": st.integers(),
    "on": st.booleans(),
    "inner": st.none() | st.fixed_dictionaries({}, optional={"label": st.text(max_size=6), "other": st.none()}),
    "word": st.text(max_size=3),
    "unknown": JSON,
}


@given(st.fixed_dictionaries({}, optional={name: nearly | JSON for name, nearly in NEARLY.items()}) | JSON)
def test_the_quick_pass_takes_exactly_what_the_detailed_one_takes(value: Any) -> None:
    results: list[Shelf | None] = []
    for converter in (QUICK, DETAILED):
        try:
            results.append(converter.structure(value, Shelf))
        except Exception:  # noqa: BLE001 - they may say no in different ways, but both do
            results.append(None)
    assert results[0] == results[1]


def test_faults_are_told_all_together_with_where_they_stand() -> None:
    found = faults(
        {
            "label": "",
            "size": 10,
            "kind": "5",
            "parts": ["", 3],
            "weights": {"a": 0, "b": 2, "c": "x"},
            "count": 2**63,
            "on": 1,
            "inner": {"label": "much too long", "extra": 0, "inner": []},
            "word": 1,
            "other": {},
        },
        "shelf",
    )
    assert found == [
        ("shelf.label", "expected text of 1 to 5 characters, got 0 characters"),
        ("shelf.size", "expected a whole number from 0 to 9, got 10"),
        ("shelf.kind", 'expected one of oak, pine, 5, got "5"'),
        ("shelf.parts[0]", "expected text of at least 1 characters, got 0 characters"),
        ("shelf.parts[1]", "expected text of at least 1 characters, got 3"),
        ("shelf.weights.a", "expected a whole number from 1 to 2, got 0"),
        ("shelf.weights.c", 'expected a whole number, got "x"'),
        ("shelf.count", f"expected a whole number from {-(2**63)} to {2**63 - 1}, got {2**63}"),
        ("shelf.on", "expected true or false, got 1"),
        ("shelf.inner.label", "expected text of 1 to 5 characters, got 13 characters"),
        ("shelf.inner.inner", "expected an object, got a list"),
        ("shelf.inner.extra", "unknown; known are label, size, kind, parts, weights, count, on, inner, word"),
        ("shelf.word", "expected text, got 1"),
        ("shelf.other", "unknown; known are label, size, kind, parts, weights, count, on, inner, word"),
    ]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({}, ("label", "required")),
        ([], ("", "expected an object, got a list")),
        ("x", ("", 'expected an object, got "x"')),
        ({"label": "a", "parts": {}}, ("parts", "expected a list, got an object")),
        ({"label": "a", "parts": "ab"}, ("parts", 'expected a list, got "ab"')),
        ({"label": "a", "weights": []}, ("weights", "expected a table of values, got a list")),
        ({"label": "a", "kind": True}, ("kind", "expected one of oak, pine, 5, got true")),
    ],
)
def test_a_value_of_another_shape_is_one_fault(value: Any, fault: tuple[str, str]) -> None:
    assert faults(value) == [fault]


def test_a_long_unknown_name_is_cut_and_faults_read_as_one_text() -> None:
    [(path, _)] = faults({"label": "a", "x" * 500: 1})
    assert len(path) == 60
    error = Faults([Fault("a.b", "wrong"), Fault("", "all wrong")])
    assert str(error) == "a.b: wrong; all wrong"
    assert error.faults[0].as_json() == {"path": "a.b", "message": "wrong"}


def test_an_error_of_the_reader_itself_is_not_taken_for_a_fault_of_the_value() -> None:
    @frozen
    class Odd:
        thing: complex

    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever the library raises, but no Faults
        structure({"thing": object()}, Odd)  # type: ignore[dict-item]
    assert not isinstance(caught.value, Faults)


@given(JSON)
def test_any_json_is_read_or_refused_with_faults(value: Any) -> None:
    for cls in (Shelf, Order, Line):
        with contextlib.suppress(Faults):
            structure(value, cls)


@given(
    st.builds(
        Line,
        name=st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=20),
        quantity=st.integers(1, 99_999),
    )
)
def test_what_is_written_is_read_again(line: Line) -> None:
    assert structure(unstructure(line), Line) == line


@pytest.mark.parametrize(
    ("value", "json"),
    [
        (Decimal("1E+2"), "100"),
        (1.5, Decimal("1.5")),
        (("a", None), ["a", None]),
        ({1: Decimal("0.10")}, {"1": "0.10"}),
        (True, True),
    ],
)
def test_values_have_one_json_form(value: object, json: object) -> None:
    assert unstructure(value) == json


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no JSON form"):
        unstructure({1})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "null"),
        (False, "false"),
        ("x" * 60, '"' + "x" * 60 + '"'),
        ("x" * 61, "a text of 61 characters"),
        (10**70, "a very long number"),
        (1.5, "1.5"),
        (Decimal("1.50"), "1.50"),
        ({}, "an object"),
        ((), "a list"),
        (b"", "bytes"),
    ],
)
def test_a_value_is_shown_short(value: object, told: str) -> None:
    assert shown(value) == told


def read(rule: Rule, value: object) -> object:
    return rule.read(value)


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Text(), ["", "x" * 10_000], [1, None, b"x"]),
        (Text(1, 2, r"[a-z]+"), ["a", "ab"], ["", "abc", "A", "a\n"]),
        (Guid(), ["2AD7FB00-5b69-424c-8810-05c0bec7b640"], ["2ad7fb005b69424c881005c0bec7b640", "", 1, "{}"]),
        (Whole(-1, 1), [-1, 0, 1, Decimal("1.0")], [2, -2, Decimal("0.5"), True, "1", 1.0, None, Decimal("1e300")]),
        (Seconds(0.5, 2), [0.5, 2, Decimal("1.5")], [0.4, 2.1, 10**400, True, "1", float("nan"), float("inf"), None]),
        (Texts(), ["a", ["a", "b"], []], ["", ["a", ""], [1], None, {}]),
        (
            Moment(),
            ["2026-11-22T18:30:00Z", "2026-11-22T18:30:00.123+01:00"],
            [
                *("2026-11-22", "2026-11-22T18:30:00", "2026-02-30T18:30:00Z", 1, "٢٠٢٦-11-22T18:30:00Z"),
                *("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"),
            ],
        ),
        (Free(), [{}, {"a": [1]}], [[], None, "x"]),
    ],
)
def test_each_rule_takes_what_it_says_and_nothing_else(rule: Rule, good: list[Any], bad: list[Any]) -> None:
    assert isinstance(rule, Rule)
    for value in good:
        read(rule, value)
    for value in bad:
        with pytest.raises(Wrong, match=r"^expected .*, got "):
            read(rule, value)
    assert rule.schema()


def test_a_secret_text_is_never_shown() -> None:
    for value in (4711, "4711 4711", ["4711"]):
        with pytest.raises(Wrong) as caught:
            Text(1, 4, "[a-z]+", secret=True).read(value)
        assert "4711" not in str(caught.value)
    with pytest.raises(Wrong) as caught:
        Text(1, 4, "[a-z]+", secret=True).read("4711")
    assert str(caught.value).endswith("got another value")


def test_an_annotation_tells_its_rule() -> None:
    assert rule_of(Annotated[str, "prose", Text(1, 2)]) == Text(1, 2)
    assert rule_of(Annotated[str, "prose"]) is None
    assert rule_of(str) is None
    assert DETAILED.structure("ab", Annotated[str, Text(1, 2)]) == "ab"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("came", "read"),
    [
        *((Decimal("0.30000000000000004"), "0.30"), (Decimal("-0.00"), "0.00"), (Decimal("1e-17"), "0.00")),
        *(("-0.00", "0.00"), (Decimal("0.01000000001"), "0.01")),
    ],
)
def test_the_dust_of_floats_in_params_is_no_money(came: Any, read: str) -> None:
    assert str(Amount().read(came)) == read


@pytest.mark.parametrize("came", [Decimal("0.305"), Decimal("0.010000000011"), Decimal("0.001")])
def test_what_is_more_than_dust_is_refused_and_not_rounded(came: Decimal) -> None:
    with pytest.raises(Wrong, match="two decimals"):
        Amount().read(came)
