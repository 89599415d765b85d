"""The rules that an annotation may carry: ``Annotated[str, Text(1, 64)]``.

A rule checks a value, words the complaint and describes itself as JSON Schema, so that checks and `rpc.discover`
cannot differ. Nothing is coerced: `"5"` is no number, `1` is no text.
"""

import contextlib
import difflib
import ipaddress
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Protocol, get_args, get_origin, runtime_checkable

from attrs import frozen

from ordernpay.jsontext import JsonObject

SHOWN: Final = 60
_MONEY: Final = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,2})?", re.ASCII)
_GUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
CENT: Final = Decimal("0.01")
DUST: Final = CENT / 10**9
"""What a sum of binary floats is beside the cent that is meant, such as 0.30000000000000004."""
_MOST: Final = 10**16


_C1_AND_TURNS: Final = r"\u007f-\u009f\u202a-\u202e\u2066-\u2069"
_UNPRINTABLE: Final = {
    False: rf"\u0000-\u001f{_C1_AND_TURNS}",
    True: rf"\u0000-\u0008\u000b\u000c\u000e-\u001f{_C1_AND_TURNS}",
}
"""C0 and C1 controls, DEL, and what turns the direction of writing: on a till or a terminal they act, and show nothing.
With line breaks and tabs, and without."""

PRINTABLE: Final = {lines: f"^[^{characters}]*$" for lines, characters in _UNPRINTABLE.items()}
_CONTROL: Final = {lines: re.compile(f"[{characters}]") for lines, characters in _UNPRINTABLE.items()}


def cents(amount: Decimal) -> Decimal | None:
    """The cents that an amount is, without the dust of binary floats and a sign of nothing; None where it is none."""
    whole = amount.quantize(CENT)
    return whole + 0 if abs(amount - whole) <= DUST else None


class Wrong(ValueError):
    """A value that breaks a rule; the text says what came and what would be right."""


def shown(value: object) -> str:
    """A value as a person may see it in a complaint: short, and named by its JSON type where it is large."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            plain = len(value) <= SHOWN and _CONTROL[True].search(value) is None
            return f'"{value}"' if plain else f"a text of {len(value)} characters"
        case int() | float() | Decimal():
            text = str(value)
            return text if len(text) <= SHOWN else "a very long number"
        case Mapping():
            return "an object"
        case _:
            return "a list" if isinstance(value, list | tuple) else type(value).__name__


def printable(text: str, *, lines: bool = False) -> str:
    """The text itself; raises `Wrong` where a control character is in it. `lines`: breaks and tabs are none."""
    found = _CONTROL[lines].search(text)
    if found is not None:
        raise Wrong(f"expected text without control characters, got U+{ord(found[0]):04X} at position {found.start()}")
    return text


def nearest(given: str, known: Iterable[str]) -> str | None:
    """The name that somebody who typed this one may have meant."""
    names = {name.lower(): name for name in known}
    found = difflib.get_close_matches(given[:SHOWN].lower(), names, n=1, cutoff=0.7)
    return names[found[0]] if found else None


def unknown(given: str, known: Sequence[str], what: str = "unknown") -> str:
    """The complaint about a name that is none of those that are known."""
    near = nearest(given, known)
    return f"{what}; {f'did you mean {near}? ' if near else ''}known are {', '.join(known)}"


@runtime_checkable
class Rule(Protocol):
    """What an annotation may carry: a check with words, and its JSON Schema."""

    def read(self, value: object) -> object:
        """The checked value; raises `Wrong`."""
        ...

    def schema(self) -> JsonObject:
        """The same rule as JSON Schema."""
        ...


@frozen
class Text:
    """Text of `low` to `high` characters, without control characters.

    Attributes:
        secret: never shown in a complaint.
        lines: may have line breaks and tabs.
    """

    low: int = 0
    high: int | None = None
    pattern: str | None = None
    secret: bool = False
    lines: bool = False

    def read(self, value: object) -> str:
        if not isinstance(value, str):
            raise Wrong(f"expected {self}, got {self._came(value)}")
        if len(value) < self.low or (self.high is not None and len(value) > self.high):
            raise Wrong(f"expected {self}, got {len(value)} characters")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise Wrong(f"expected {self} like {self.pattern}, got {self._came(value)}")
        return printable(value, lines=self.lines)

    def _came(self, value: object) -> str:
        return "another value" if self.secret else shown(value)

    def schema(self) -> JsonObject:
        schema: JsonObject = {"type": "string"}
        if self.low:
            schema["minLength"] = self.low
        if self.high is not None:
            schema["maxLength"] = self.high
        schema["pattern"] = PRINTABLE[self.lines] if self.pattern is None else self.pattern
        return schema

    def __str__(self) -> str:
        if self.high is None:
            return "text" if not self.low else f"text of at least {self.low} characters"
        return f"text of {self.low} to {self.high} characters"


@frozen
class Guid:
    """A hyphenated GUID, kept as written."""

    def read(self, value: object) -> str:
        if not isinstance(value, str) or not _GUID.fullmatch(value):
            raise Wrong(f"expected a GUID such as 2ad7fb00-5b69-424c-8810-05c0bec7b640, got {shown(value)}")
        return value

    def schema(self) -> JsonObject:
        return {"type": "string", "format": "uuid"}


def is_guid(value: object) -> bool:
    """Whether a value is a GUID in the text form of the vendors' pages."""
    try:
        Guid().read(value)
    except Wrong:
        return False
    return True


@frozen
class Whole:
    """A whole number from `low` to `high`."""

    low: int = 0
    high: int = 2**31 - 1

    def read(self, value: object) -> int:
        if (
            isinstance(value, Decimal)
            and value.is_finite()
            and abs(value) < 2**63
            and value == value.to_integral_value()
        ):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise Wrong(f"expected a whole number, got {shown(value)}")
        if not self.low <= value <= self.high:
            raise Wrong(f"expected a whole number from {self.low} to {self.high}, got {shown(value)}")
        return value

    def schema(self) -> JsonObject:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@frozen
class Seconds:
    """A duration in seconds, fractions allowed."""

    low: float = 0.0
    high: float = 86_400.0

    def read(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            raise Wrong(f"expected a number of seconds, got {shown(value)}")
        try:
            seconds = float(value)  # Decimal("0.1") is below 0.1, and is meant to be 0.1
        except OverflowError:
            seconds = math.inf
        if not self.low <= seconds <= self.high:
            raise Wrong(f"expected seconds from {self.low:g} to {self.high:g}, got {shown(value)}")
        return seconds

    def schema(self) -> JsonObject:
        return {"type": "number", "minimum": Decimal(str(self.low)), "maximum": Decimal(str(self.high))}


@frozen
class Amount:
    """Money: a decimal string, a whole number, or a JSON number with at most two decimals. Kept as two decimals."""

    low: Decimal | None = None

    def read(self, value: object) -> Decimal:
        amount: Decimal | None = None
        if (isinstance(value, str) and _MONEY.fullmatch(value)) or (
            isinstance(value, int) and not isinstance(value, bool) and abs(value) < _MOST
        ):
            amount = Decimal(value)
        elif isinstance(value, Decimal) and value.is_finite() and abs(value) < _MOST:
            amount = cents(value)
        if amount is None:
            raise Wrong(f'expected money with at most two decimals such as "12.00", got {shown(value)}')
        if self.low is not None and amount < self.low:
            raise Wrong(f"expected money of at least {self.low}, got {amount}")
        return amount.quantize(CENT) + 0

    def schema(self) -> JsonObject:
        signless = self.low is not None and self.low >= 0
        pattern = _MONEY.pattern.removeprefix("-?") if signless else _MONEY.pattern
        text: JsonObject = {"type": "string", "pattern": f"^{pattern}$"}
        number: JsonObject = {"type": "number", "multipleOf": CENT, "exclusiveMaximum": _MOST}
        number |= {"exclusiveMinimum": -_MOST} if self.low is None else {"minimum": self.low}
        return {"oneOf": [text, number]}


@frozen
class Texts:
    """A text or a list of texts; kept as a tuple."""

    def read(self, value: object) -> tuple[str, ...]:
        entries = [value] if isinstance(value, str) else value
        if not isinstance(entries, list) or not all(isinstance(entry, str) and entry for entry in entries):
            raise Wrong(f"expected a text or a list of texts, none of them empty, got {shown(value)}")
        return tuple(printable(entry, lines=True) for entry in entries)

    def schema(self) -> JsonObject:
        one: JsonObject = {"type": "string", "minLength": 1, "pattern": PRINTABLE[True]}
        return {"oneOf": [one, {"type": "array", "items": one}]}


@frozen
class Moment:
    """A time as RFC 3339 with an offset, kept as written."""

    def read(self, value: object) -> str:
        pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)"
        if isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII):
            with contextlib.suppress(ValueError, OverflowError):
                datetime.fromisoformat(value).astimezone(UTC)  # vendors want it so, and the calendar has ends
                return value
        raise Wrong(f'expected a time such as "2026-11-22T18:30:00Z", got {shown(value)}')

    def schema(self) -> JsonObject:
        return {"type": "string", "format": "date-time"}


@frozen
class Network:
    """An IP address, or a network of them (CIDR), as written."""

    def read(self, value: object) -> str:
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                ipaddress.ip_network(value, strict=False)
                return value
        raise Wrong(f'expected an address or a network such as "10.0.0.0/8", got {shown(value)}')

    def schema(self) -> JsonObject:
        return {"type": "string"}


@frozen
class Free:
    """Any JSON object, as it is."""

    def read(self, value: object) -> JsonObject:
        if not isinstance(value, dict):
            raise Wrong(f"expected an object, got {shown(value)}")
        return value

    def schema(self) -> JsonObject:
        return {"type": "object"}


Money = Annotated[Decimal, Amount()]
FreeObject = Annotated[dict[str, Any], Free()]


def rule_of(annotation: object) -> Rule | None:
    """The rule that an annotation carries, if any."""
    if get_origin(annotation) is Annotated:
        return next((entry for entry in get_args(annotation)[1:] if isinstance(entry, Rule)), None)
    return None
