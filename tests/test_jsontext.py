"""Strict JSON: what is read can be written again, and no error repeats what it read."""

import json
import math
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import MAX_NODES, JsonError, JsonValue, TooManyValues, count_nodes, dumps, loads

texts = st.text(st.characters(exclude_categories=["Cs"]))
decimals = st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30)
values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(min_value=-(10**300), max_value=10**300) | decimals | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


def refusal(data: bytes | str, **bounds: int) -> JsonError:
    with pytest.raises(JsonError) as caught:
        loads(data, **bounds)
    return caught.value


@given(values)
def test_what_is_written_is_read_again(value: JsonValue) -> None:
    text = dumps(value)
    assert loads(text) == value
    assert loads(text.encode()) == value
    assert "\n" not in text
    assert dumps(loads(text)) == text


@given(values)
def test_the_standard_library_reads_the_same(value: JsonValue) -> None:
    assert json.loads(dumps(value), parse_float=Decimal) == value


@given(values, st.booleans())
def test_a_decimal_beside_it_changes_nothing_of_the_text(value: JsonValue, sort_keys: bool) -> None:  # noqa: FBT001
    alone = dumps(value, sort_keys=sort_keys)
    assert dumps([value, Decimal("1.0")], sort_keys=sort_keys) == f"[{alone},1.0]"


@given(st.dictionaries(texts, st.integers(), max_size=8))
def test_sorted_text_does_not_know_the_order_of_insertion(value: dict[str, JsonValue]) -> None:
    backwards = dict(reversed(value.items()))
    assert dumps(value, sort_keys=True) == dumps(backwards, sort_keys=True)


@given(st.binary() | texts)
def test_any_input_is_read_or_refused(data: bytes | str) -> None:
    try:
        value = loads(data)
    except JsonError:
        return
    assert loads(dumps(value)) == value


@given(st.text('[]{}",:\\u0d89 -+.eE1aNInfity\n', max_size=60))
def test_nearly_json_is_read_as_the_standard_library_reads_it_or_refused(text: str) -> None:
    try:
        value = loads(text)
    except JsonError:
        return
    assert value == json.loads(text, parse_float=Decimal)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6.00", Decimal("6.00")),
        ("0.1", Decimal("0.1")),
        ("-0.0", Decimal("-0.0")),
        ("1e2", Decimal("1E+2")),
        ("1.7e308", Decimal("1.7E+308")),
        ("5e-324", Decimal("5E-324")),
        ("0e5", Decimal("0E+5")),
        ("9" * 308, int("9" * 308)),
        ("1" + "0" * 308, 10**308),
        (r'"\ud83d\ude00"', "😀"),
        (r'["\\ud800"]', ["\\ud800"]),
        (" [1 ,\t2 ]\r\n", [1, 2]),
        ('{"a":{"a":1},"b":[{"a":2}]}', {"a": {"a": 1}, "b": [{"a": 2}]}),
    ],
)
def test_reads(text: str, value: JsonValue) -> None:
    read = loads(text)
    assert read == value
    assert str(read) == str(value)


@pytest.mark.parametrize(
    ("data", "problem", "position"),
    [
        ("", "not JSON: Expecting value", 0),
        ("nul", "not JSON: Expecting value", 0),
        ("[1,,2]", "not JSON: Expecting value", 3),
        ("1 2", "not JSON: Extra data", 2),
        ('"\x00"', "not JSON: Invalid control character", 1),
        ('["a\\', "not JSON: Unterminated string starting", 1),
        ('{"a" 1}', "not JSON: Expecting", 5),
        (r'"\x"', "not JSON: Invalid \\escape", 1),
        ("[NaN]", "NaN and Infinity", 1),
        ("Infinity", "NaN and Infinity", 0),
        ("[1,-Infinity]", "NaN and Infinity", 3),
        ("[1e400]", "number out of range", 1),
        ("-1e400", "number out of range", 0),
        ("[0.5,1e999999999]", "number out of range", 5),
        ("1e-400", "number out of range", 0),
        ("1e-999999999", "number out of range", 0),
        ("1e99999999999999999999", "number out of range", 0),
        ("0e999999999", "number out of range", 0),
        ("1e400-5", "number out of range", 0),
        ("9" * 309, "number out of range", 0),
        ("[" + "9" * 5000 + "]", "number of more than 400 characters", 1),
        ("0." + "3" * 5000, "number of more than 400 characters", 0),
        ('{"a":1,"b":2,"a":3}', "duplicate key a", 13),
        ('[{"x":{"ref":1,"\\u0072ef":2}}]', "duplicate key ref", 15),
        ('{"a":"x","b":["y",{}],"a":[1.5]}', "duplicate key a", 22),
        ("[" * 65 + "]" * 65, "nested deeper than 64", 64),
        ("[" * 5000 + "]" * 5000, "nested deeper than 64", 64),
        ('{"a":' * 5000, "nested deeper than 64", 320),
        ('"' + '\\"' * 200_000, "not JSON: Unterminated string", 0),
        (r'["a","\ud800"]', "lone surrogate in a string", 5),
        (r'"\ude00\ud83d"', "lone surrogate in a string", 0),
        (r'{"\uD800":"\ud83d\ude00"}', "lone surrogate in a string", 1),
        ("'\ud800'", "lone surrogate", 1),
        (b'["\xff"]', "invalid UTF-8", 2),
        (b'"\xed\xa0\x80"', "invalid UTF-8", 1),
        (b"\xef\xbb\xbf[]", "byte order mark", 0),
        ("\ufeff[]", "byte order mark", 0),
    ],
)
def test_refuses(data: bytes | str, problem: str, position: int) -> None:
    error = refusal(data)
    assert str(error).startswith(problem)
    assert str(error).endswith(f"at position {position}")
    assert error.position == position


def test_nesting_up_to_the_bound_is_read_and_brackets_in_strings_do_not_nest() -> None:
    loads("[" * 64 + "]" * 64)
    loads(dumps(["[{" * 500, {"]": "\\"}] * 100))
    assert refusal("[[[]]]", max_depth=2).position == 2


@pytest.mark.parametrize(
    "data",
    [
        '{"pin":"4711","4711":1,"4711":2}',
        '{"pin":"4711", 4711}',
        '{"pin":"4711\\ud800"}',
        '{"pin":4711e999}',
        '{"pin":"4711"} 4711',
        '["4711',
        b'{"pin":"4711\xff"}',
        '{"a-key-of-4711 and more":1,"a-key-of-4711 and more":2}',
        f'{{"k{"4711" * 20}":1,"k{"4711" * 20}":2}}',
    ],
)
def test_an_error_holds_nothing_of_what_was_read(data: bytes | str) -> None:
    error = refusal(data)
    assert "4711" not in str(error)
    assert "4711" not in repr(vars(error))
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("6.00"), "6.00"),
        (Decimal("1E+2"), "100"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("0E+3"), "0"),
        (Decimal("-0.00"), "-0.00"),
        (Decimal("1E+300"), "1E+300"),
        (Decimal("1.5E-200"), "1.5E-200"),
        (1.5, "1.5"),
        (True, "true"),
        ({}, "{}"),
        ([], "[]"),
        ({"é\n": [None, {"a": ()}]}, '{"é\\n":[null,{"a":[]}]}'),
    ],
)
def test_writes(value: JsonValue, text: str) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        Decimal("NaN"),
        Decimal("-Infinity"),
        {1: 2},
        {None: 1},
        {1, 2},
        b"bytes",
        [object()],
        "\ud800",
        {"\udfff": 1},
    ],
)
@pytest.mark.parametrize("sort_keys", [False, True])
def test_refuses_to_write(value: JsonValue, *, sort_keys: bool) -> None:
    with pytest.raises(JsonError) as caught:
        dumps([value], sort_keys=sort_keys)
    assert caught.value.position is None


def test_refuses_to_write_what_nests_without_end() -> None:
    endless_list: list[JsonValue] = []
    endless_list.append(endless_list)
    endless_object: dict[str, JsonValue] = {}
    endless_object["again"] = endless_object
    for value in (endless_list, endless_object):
        with pytest.raises(JsonError, match="nested deeper"):
            dumps(value)


@pytest.mark.parametrize(
    ("text", "values_in_it"),
    [("1", 1), ("[]", 1), ("[1]", 2), ("[1,2,3]", 4), ('{"a":1,"b":[2]}', 4), ('["a,b,[{", 1]', 3), ("[" * 9, 10)],
)
def test_no_text_holds_more_values_than_are_counted(text: str, values_in_it: int) -> None:
    assert values_in_it <= count_nodes(text) <= values_in_it + 1
    assert count_nodes(text, enough=1_000) >= count_nodes(text)


def test_more_values_than_the_bound_are_refused_and_commas_in_a_text_are_none() -> None:
    assert loads("[1,2]", max_nodes=4) == [1, 2]
    error = refusal("[1,2,3,4,5]", max_nodes=4)
    assert isinstance(error, TooManyValues)
    assert (error.max_nodes, str(error)) == (4, "more than 4 values")
    assert loads('["a,b,c,d,e,f"]', max_nodes=4) == ["a,b,c,d,e,f"]
    assert loads("[" + "1," * MAX_NODES + "1]", max_nodes=None)
    with pytest.raises(TooManyValues):
        loads("[" + "1," * MAX_NODES + "1]")


@pytest.mark.parametrize(
    "piece",
    ["[],", "{},", "1,", "1.5,", '{"a":1},', '"\\ud83d\\ude00",', "1" * 99, "[", '"a":[', "1e999999,", '"\\",'],
)
def test_what_is_dear_to_read_is_refused_before_it_costs_anything(piece: str) -> None:
    text = "[" + piece * (2**20 // len(piece)) + "1]"
    began = time.process_time()
    refusal(text, max_nodes=10_000)
    assert time.process_time() - began < 0.2  # what is read to the end takes over a second


def test_a_bracket_inside_a_text_is_no_nesting_and_the_place_is_that_of_the_whole_text() -> None:
    assert loads('["' + "[" * 100 + '"]', max_depth=2)
    assert refusal('["[[[[", [[]]]', max_depth=2).position == 10
