"""What a vendor sends, read without regard to casing and without ever failing over what we do not need."""

import codecs
import contextlib
import json
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ordernpay.clock import utc
from ordernpay.jsontext import JsonObject, JsonValue, TooManyValues
from ordernpay.rules import Moment, Wrong, cents

LONGEST_NUMERAL: Final = 300
LARGEST_EXPONENT: Final = 300
DEEPEST: Final = 60
MOST_NODES: Final = 250_000
"""Values of one text; what has more is dear to read, and no answer of any vendor."""

CHARSETS: Final = re.compile(r"utf|iso|latin|windows|cp1?25|us|ascii|mac")
"""Names of charsets that a text may be in: some other codecs of Python take for ever."""


class TooDeep(ValueError):
    """A text that nests deeper than any answer does."""


class Reader:
    """A JSON object of the POS, read without regard to casing; a field of another type than expected reads as null."""

    def __init__(self, raw: JsonObject) -> None:
        self.raw = raw
        self._values = {name.lower(): value for name, value in raw.items()}

    def get(self, name: str) -> JsonValue:
        """The field as it is."""
        return self._values.get(name.lower())

    def text(self, name: str) -> str | None:
        """Text; numbers are told as text, since identifiers come as either."""
        value = self.get(name)
        if isinstance(value, str):
            return value
        return str(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else None

    def whole(self, name: str) -> int | None:
        """A whole number."""
        return whole(self.get(name))

    def flag(self, name: str) -> bool | None:
        """True or false."""
        value = self.get(name)
        return value if isinstance(value, bool) else None

    def guid(self, name: str) -> str | None:
        """A GUID with its hyphens; null where it is none, or was never set."""
        return guid(self.get(name))

    def moment(self, name: str, *, in_utc: bool = False) -> str | None:
        """A time in UTC; see `moment`."""
        return moment(self.get(name), in_utc=in_utc)

    def money(self, name: str) -> Decimal | None:
        """An amount in cents where that loses nothing but the dust of binary floats, else as it came."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) >= Decimal(10) ** 18:
            return None
        whole_cents = cents(amount)
        return amount if whole_cents is None else whole_cents

    def object(self, name: str) -> "Reader | None":
        """An object."""
        value = self.get(name)
        return Reader(value) if isinstance(value, dict) else None

    def objects(self, name: str) -> "list[Reader] | None":
        """The objects of a list; null where there is no list."""
        value = self.get(name)
        return [Reader(entry) for entry in value if isinstance(entry, dict)] if isinstance(value, list) else None


def whole(value: JsonValue) -> int | None:
    """A whole number, also one that came as text or as 4.0."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value, re.ASCII):
        return int(value)
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and abs(value) < 2**31 and value == value.to_integral_value() else None
    return value if isinstance(value, int) and abs(value) < 2**31 else None


def guid(value: JsonValue) -> str | None:
    """A GUID with its hyphens, the case of its letters kept.

    .NET writes one also in braces, in parentheses or without hyphens; all zeros is one that was never set.
    """
    if not isinstance(value, str):
        return None
    digits = value.strip().strip("{}()").replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{32}", digits, re.ASCII | re.IGNORECASE) or not digits.strip("0"):
        return None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def moment(value: JsonValue, *, in_utc: bool = False) -> str | None:
    """A time in UTC; null where it is none, or was never set.

    Args:
        value: as it came.
        in_utc: whether one without an offset is in UTC, as its field says; no other is guessed.
    """
    told = value.strip() if isinstance(value, str) else ""
    for text in (told, f"{told}Z") if in_utc else (told,):
        with contextlib.suppress(Wrong):
            written = Moment().read(text)
            if datetime.fromisoformat(written).astimezone(UTC).year == 1:  # .NET writes the first day of all for none
                return None
            return written if written.endswith(("Z", "+00:00")) else utc(written)
    return None


def charset_of(content_type: str) -> str | None:
    """The charset that a ``Content-Type`` names; None where it names none that a text may be in."""
    found = re.search(r"charset\s*=\s*[\"']?([\w:.-]{1,40})", content_type, re.ASCII | re.IGNORECASE)
    named = found[1].lower() if found else ""
    with contextlib.suppress(LookupError):
        return codecs.lookup(named).name if CHARSETS.match(named) else None
    return None


def tolerant(text: str | bytes, charset: str | None = None) -> Any:
    """A vendor's JSON, exactly, and fit to be kept: an answer must not be lost over an oddity in it.

    A byte order mark, another charset, a letter that was cut, a trailing NUL, a key twice (the last one counts), a
    number beyond all doubles and half a surrogate pair are such oddities.

    Args:
        text: what came.
        charset: which it says to be in.

    Raises:
        ValueError: no JSON.
        TooDeep: nested deeper than any answer is.
        TooManyValues: more values than any answer has.
        RecursionError: the same, by far.
    """
    if isinstance(text, str):
        return _value(text)
    for name in (charset, json.detect_encoding(text).removesuffix("-sig")):
        if name is not None:
            with contextlib.suppress(UnicodeDecodeError, json.JSONDecodeError):
                return _value(text.decode(name))
    return _value(text.decode(errors="replace"))


def _value(text: str) -> Any:
    text = text.removeprefix("\ufeff").rstrip("\0 \t\r\n")
    if sum(map(text.count, ",[{")) > MOST_NODES:  # also those inside texts: to tell them apart is dear itself
        raise TooManyValues(MOST_NODES)
    return _tame(json.loads(text, parse_float=_number, parse_int=_number, parse_constant=str))


def _number(numeral: str) -> int | Decimal | str:
    """A number, exactly; one that no double could hold is kept as its text."""
    if len(numeral) > LONGEST_NUMERAL:
        return numeral
    try:
        value = Decimal(numeral)
    except InvalidOperation:  # an exponent beyond all that a Decimal can count
        return numeral
    if not -LARGEST_EXPONENT < value.adjusted() < LARGEST_EXPONENT:
        return numeral
    return int(numeral) if numeral.lstrip("-").isdecimal() else value


def _tame(value: Any, depth: int = 0) -> Any:
    """The same value, fit to be kept: half an emoji, cut by a length limit, must not make an answer unreadable."""
    if depth > DEEPEST:
        raise TooDeep("nested too deeply")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_tame(key): _tame(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_tame(entry, depth + 1) for entry in value]
    return value
