"""A vendor's JSON reads in any casing, and never fails over what is in it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import dumps
from ordernpay.vendors.reading import DEEPEST, LARGEST_EXPONENT, LONGEST_NUMERAL, Reader, tolerant, whole
from tests.vendors.given import anything, objects

NAMES = ("id", "Id", "ID", "items", "amount")


@given(objects(*NAMES) | st.dictionaries(st.sampled_from(NAMES), anything))
def test_any_object_reads_without_a_fault(raw: dict[str, Any]) -> None:
    reader = Reader(raw)
    for name in (*NAMES, "missing"):
        assert reader.text(name) is None or isinstance(reader.text(name), str)
        assert reader.whole(name) is None or isinstance(reader.whole(name), int)
        assert reader.flag(name) in {True, False, None}
        amount = reader.money(name)
        assert amount is None or dumps(amount)
        inner = reader.object(name)
        assert inner is None or isinstance(inner, Reader)
        rows = reader.objects(name)
        assert rows is None or all(isinstance(row, Reader) for row in rows)
    assert reader.raw is raw


@pytest.mark.parametrize("name", ["remoteOrderID", "RemoteOrderId", "REMOTEORDERID", "remoteorderid"])
def test_casing_does_not_matter(name: str) -> None:
    assert Reader({name: "x"}).get("remoteOrderID") == "x"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", ""), (7, "7"), (Decimal("7.50"), "7.50"), (True, None), (None, None), ([], None), ({}, None)],
)
def test_text(value: Any, text: str | None) -> None:
    assert Reader({"a": value}).text("a") == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0, 0),
        (-3, -3),
        ("12", 12),
        ("-12", -12),
        ("999999999", 999_999_999),
        ("9999999999", None),
        ("1.0", None),
        ("٣", None),
        ("", None),
        (Decimal("4.0"), 4),
        (Decimal("4.5"), None),
        (Decimal("1e9"), 1_000_000_000),
        (Decimal("1e99"), None),
        (2**31 - 1, 2**31 - 1),
        (2**31, None),
        (-(2**31), None),
        (True, None),
        (None, None),
        ([1], None),
    ],
)
def test_whole_numbers(value: Any, number: int | None) -> None:
    assert whole(value) == number
    assert Reader({"a": value}).whole("a") == number


@pytest.mark.parametrize(
    ("value", "amount"),
    [
        (5, "5.00"),
        (Decimal("5.0"), "5.00"),
        (Decimal("5.125"), "5.125"),
        (Decimal("-0.10"), "-0.10"),
        (Decimal(10) ** 18, None),
        (Decimal(10) ** 18 - 1, "999999999999999999.00"),
        (True, None),
        ("5.00", None),
        (None, None),
    ],
)
def test_money(value: Any, amount: str | None) -> None:
    read = Reader({"a": value}).money("a")
    assert (None if read is None else str(read)) == amount


def test_flags_objects_and_lists() -> None:
    reader = Reader({"yes": True, "one": 1, "inner": {"A": 1}, "rows": [{"B": 2}, 3, None, {}]})
    assert (reader.flag("yes"), reader.flag("one")) == (True, None)
    inner, rows = reader.object("inner"), reader.objects("rows")
    assert inner is not None
    assert inner.get("a") == 1
    assert [row.raw for row in rows or []] == [{"B": 2}, {}]
    assert (reader.object("rows"), reader.objects("inner")) == (None, None)


# Text


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_any_text_is_json_that_can_be_kept_or_none(text: str | bytes) -> None:
    try:
        value = tolerant(text)
    except (ValueError, RecursionError):
        return
    assert dumps(value)


@given(anything)
def test_what_json_says_is_kept_digit_for_digit(value: Any) -> None:
    text = dumps(value)
    assert dumps(tolerant(text)) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("6.00", "Decimal('6.00')"),
        ("NaN", "'NaN'"),
        ("1e999999999999999999999", "'1e999999999999999999999'"),
        (f"1e{LARGEST_EXPONENT}", f"'1e{LARGEST_EXPONENT}'"),
        (f"1e{LARGEST_EXPONENT - 1}", f"Decimal('1E+{LARGEST_EXPONENT - 1}')"),
        (f"1e-{LARGEST_EXPONENT}", f"'1e-{LARGEST_EXPONENT}'"),
        ('"\\ud83d"', "'\ufffd'"),
        ('{"\\ud83d": 1, "a": [null, true]}', "{'\ufffd': 1, 'a': [None, True]}"),
        ('\ufeff{"a": 1}', "{'a': 1}"),
    ],
)
def test_oddities_are_tamed(text: str, value: str) -> None:
    assert repr(tolerant(text)) == value


@pytest.mark.parametrize(("length", "kind"), [(LONGEST_NUMERAL, int), (LONGEST_NUMERAL + 1, str), (50_000, str)])
def test_a_very_long_number_is_kept_as_text(length: int, kind: type[object]) -> None:
    value = tolerant("1" * length)
    assert type(value) is kind


def test_one_byte_order_mark_is_none_of_the_vendors_words() -> None:
    assert tolerant(b"\xef\xbb\xbf[1]") == [1]
    for text in (b"\xef\xbb\xbf", b"\xef\xbb\xbf\xef\xbb\xbf[1]", b"[\xef\xbb\xbf1]"):
        with pytest.raises(ValueError, match=r"Expecting value|BOM"):
            tolerant(text)


def test_the_depth_has_a_bound() -> None:
    assert tolerant("[" * DEEPEST + "1" + "]" * DEEPEST)
    with pytest.raises(ValueError, match="nested too deeply"):
        tolerant("[" * (DEEPEST + 1) + "1" + "]" * (DEEPEST + 1))
    with pytest.raises((ValueError, RecursionError)):
        tolerant("[" * 100_000)
