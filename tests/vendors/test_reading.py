"""A vendor's JSON reads in any casing, and never fails over what is in it."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ordernpay.jsontext import TooManyValues, dumps
from ordernpay.vendors.reading import (
    DEEPEST,
    LARGEST_EXPONENT,
    LONGEST_NUMERAL,
    MOST_NODES,
    Reader,
    charset_of,
    tolerant,
    whole,
)
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


@pytest.mark.parametrize(
    ("text", "charset", "read"),
    [
        ('{"a": "Café"}'.encode("latin-1"), "iso-8859-1", "Café"),
        ('{"a": "Café"}'.encode("latin-1"), None, "Caf\ufffd"),
        ('{"a": "Café"}'.encode(), "latin-1", "CafÃ©"),
        ('{"a": "Café"}'.encode(), "utf-16", "Café"),
        ('{"a": "Café"}'.encode("utf-16"), "utf-16", "Café"),
        ('{"a": "Café"}'.encode("utf-16-le"), None, "Café"),
        ('{"a": "Café"}'.encode("utf-8-sig"), "utf-8", "Café"),
        (b'{"a": "Caf\xc3"}', "utf-8", "Caf\ufffd"),
        (b'{"a": "Caf\xc3"}', None, "Caf\ufffd"),
        (b'{"a": "x"}\0', None, "x"),
        (b'{"a": "x"}\r\n\0\0', None, "x"),
        (b'{"a": "y", "a": "x"}', None, "x"),
    ],
)
def test_a_charset_a_cut_letter_or_a_zero_byte_costs_no_answer(text: bytes, charset: str | None, read: str) -> None:
    assert tolerant(text, charset) == {"a": read}


@pytest.mark.parametrize(
    ("header", "charset"),
    [
        ("application/json; charset=ISO-8859-1", "iso8859-1"),
        ('application/json;charset="utf-16"; x=y', "utf-16"),
        ("text/json; Charset = windows-1252", "cp1252"),
        *((f"application/json; charset={name}", None) for name in ("zlib", "punycode", "idna", "rot13", "no-such", "")),
        ("application/json", None),
    ],
)
def test_a_charset_is_one_that_a_text_may_be_in(header: str, charset: str | None) -> None:
    assert charset_of(header) == charset


def test_the_values_of_a_text_have_a_bound() -> None:
    with pytest.raises(TooManyValues):
        tolerant("[" + "1," * MOST_NODES + "1]")


@pytest.mark.parametrize(
    ("came", "read"),
    [
        ("7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02", "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"),
        (" {7D2A9C44-52F1-4B0E-8E11-1F3C5A7B9D02} ", "7D2A9C44-52F1-4B0E-8E11-1F3C5A7B9D02"),
        ("7d2a9c4452f14b0e8e111f3c5a7b9d02", "7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d02"),
        *(
            (none, None)
            for none in ("00000000-0000-0000-0000-000000000000", "0" * 32, f"{{{'0' * 32}}}", "OK", "", None, 7)
        ),
        ("7d2a9c44-52f1-4b0e-8e11-1f3c5a7b9d0", None),
    ],
)
def test_a_guid_in_any_spelling_and_none_that_was_never_set(came: Any, read: str | None) -> None:
    assert Reader({"ID": came}).guid("id") == read


@pytest.mark.parametrize(
    ("came", "read", "in_utc"),
    [
        ("2026-04-05T02:30:00+11:00", "2026-04-04T15:30:00.000Z", "2026-04-04T15:30:00.000Z"),
        ("2026-04-05T02:30:00.1234567Z", "2026-04-05T02:30:00.1234567Z", "2026-04-05T02:30:00.1234567Z"),
        ("2026-04-05T02:30:00", None, "2026-04-05T02:30:00Z"),
        *((none, None, None) for none in ("0001-01-01T00:00:00Z", "05/04/2026 02:30", "soon", "", None, 7)),
        ("0001-01-01T00:00:00", None, None),
        ("2026-02-30T00:00:00Z", None, None),
    ],
)
def test_a_time_is_in_utc_or_none(came: Any, read: str | None, in_utc: str | None) -> None:
    assert Reader({"at": came}).moment("at") == read
    assert Reader({"at": came}).moment("at", in_utc=True) == in_utc


@pytest.mark.parametrize(
    ("came", "read"),
    [
        *(("0.30000000000000004", "0.30"), ("3.3000000000000003", "3.30"), ("-0.00", "0.00"), ("1e-17", "0.00")),
        *(("-1e-17", "0.00"), ("0.01000000001", "0.01"), ("0.00999999999", "0.01"), ("-2.4999999999999996", "-2.50")),
        *(("0.305", "0.305"), ("0.010000000011", "0.010000000011"), ("1e-3", "0.001")),
    ],
)
def test_the_dust_of_floats_is_no_money(came: str, read: str) -> None:
    amount = Reader(tolerant(f'{{"total": {came}}}')).money("total")
    assert str(amount) == read
