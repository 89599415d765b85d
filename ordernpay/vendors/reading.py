"""What a vendor sends, read without regard to casing and without ever failing over what we do not need."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rules import CENT

LONGEST_NUMERAL: Final = 300
LARGEST_EXPONENT: Final = 300
DEEPEST: Final = 60


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

    def money(self, name: str) -> Decimal | None:
        """An amount, as two decimals where that loses nothing."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        amount = Decimal(value)
        if not amount.is_finite() or abs(amount) >= Decimal(10) ** 18:
            return None
        return amount.quantize(CENT) if amount == round(amount, 2) else amount

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


def tolerant(text: str | bytes) -> Any:
    """A vendor's JSON, exactly, and fit to be kept: an answer must not be lost over an oddity in it.

    Raises:
        ValueError: no JSON, or nested deeper than any answer is.
        RecursionError: the same, by far.
    """
    decoded = text if isinstance(text, str) else text.decode()
    decoded = decoded.removeprefix("\ufeff")  # the byte order mark that some writers of UTF-8 begin with
    return _tame(json.loads(decoded, parse_float=_number, parse_int=_number, parse_constant=str))


def _number(numeral: str) -> int | Decimal | str:
    """A number, exactly; one that no double could hold is kept as its text."""
    try:
        value = Decimal(numeral)
    except InvalidOperation:  # an exponent beyond all that a Decimal can count
        return numeral
    if len(numeral) > LONGEST_NUMERAL or not -LARGEST_EXPONENT < value.adjusted() < LARGEST_EXPONENT:
        return numeral
    return int(numeral) if numeral.lstrip("-").isdecimal() else value


def _tame(value: Any, depth: int = 0) -> Any:
    """The same value, fit to be kept: half an emoji, cut by a length limit, must not make an answer unreadable."""
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_tame(key): _tame(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, list):
        return [_tame(entry, depth + 1) for entry in value]
    return value
