"""Strict JSON text: what is read can be written again, number for number, and an error never repeats what it read.

===================================  =======================================================================
read                                 becomes
===================================  =======================================================================
number without fraction or exponent  ``int``
any other number                     ``decimal.Decimal``, digit for digit (``6.00`` keeps its cents)
byte order mark                      refused
duplicate key                        refused, at any depth
``NaN``, ``Infinity``                refused
number beyond a double's range       refused, towards zero (``1e-400``) as well as away from it (``1e400``)
number over 400 characters           refused
nesting over ``max_depth``           refused before anything is built
more than ``max_nodes`` values       refused before anything is built, with :exc:`TooManyValues`
invalid UTF-8, lone surrogate        refused, since neither can be written as UTF-8
===================================  =======================================================================

The text of a :exc:`JsonError` names the fault and its position. It quotes nothing, because what was read may be a PIN;
only a duplicate key is named, if it looks like an identifier.
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import accumulate, islice
from json.encoder import encode_basestring
from typing import Any, NoReturn, TypeAlias

JsonValue: TypeAlias = bool | int | float | Decimal | str | list["JsonValue"] | dict[str, "JsonValue"] | None
"""Any JSON value. :func:`loads` never gives a ``float``; :func:`dumps` takes one, for what is measured and not counted."""

JsonObject: TypeAlias = dict[str, JsonValue]

_Emit: TypeAlias = Callable[[str], object]
_Keys: TypeAlias = Callable[[dict[Any, object]], Iterable[object]]

_NUMERAL_LENGTH = 400
_SAFE_INT_LENGTH = 300
_ZERO_EXPONENT = 400
_PLAIN_EXPONENT = 30
_WRITE_DEPTH = 200

MAX_NODES = 500_000
"""Values that a text may hold, keys apart: as objects they take some 100 bytes each, and about a microsecond to build."""

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'  # an unterminated one reaches to the end: never a second look
_STRINGS = re.compile(_STRING, re.DOTALL)
_BRACKET = re.compile(rf"{_STRING}|([\[\]{{}}])", re.DOTALL)
_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_TOKEN = re.compile(
    rf"""(?P<string>{_STRING})
      | (?P<open>[\[{{])
      | (?P<close>[\]}}])
      | (?P<constant>NaN|-?Infinity)
      | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)""",
    re.VERBOSE | re.DOTALL,
)
_COLON = re.compile(r"[ \t\r\n]*:")
_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,31}")


class JsonError(ValueError):
    """A text that is not the JSON we accept, or a value that cannot be written as JSON.

    Args:
        problem: What is wrong, without any of the content.
        position: Where, in characters from the start (bytes, if it is not UTF-8); ``None`` for a value.
    """

    def __init__(self, problem: str, position: int | None = None) -> None:
        super().__init__(problem if position is None else f"{problem} at position {position}")
        self.problem = problem
        self.position = position


class TooManyValues(JsonError):
    """A text that holds more values than ``max_nodes``."""

    def __init__(self, max_nodes: int) -> None:
        super().__init__(f"more than {max_nodes} values")
        self.max_nodes = max_nodes


class _Refused(Exception):
    """A hook of the scanner met what we refuse; the scanner does not say where."""


def loads(data: bytes | str, *, max_depth: int = 64, max_nodes: int | None = MAX_NODES) -> JsonValue:
    """Read one JSON value.

    Args:
        data: The whole text; bytes are UTF-8.
        max_depth: How many arrays and objects may stand inside each other.
        max_nodes: How many values there may be; ``None`` for a text of our own, which was bounded when it came.

    Raises:
        JsonError: The text is not JSON, or breaks one of the rules at the top of this module.
    """
    text = _text(data)
    check_bounds(text, max_depth=max_depth, max_nodes=max_nodes)
    try:
        value: JsonValue = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        problem, position = f"not JSON: {error.msg.partition(':')[0].removesuffix(' at')}", error.pos
    except _Refused:
        problem, position = _locate(text)
    else:
        if _SURROGATE_ESCAPE.search(text) is None:
            return value
        fault = _lone_surrogate(text)
        if fault is None:
            return value
        problem, position = "lone surrogate in a string", fault
    # Raised out here, so that the text is not kept alive (and shown) as the context of the error.
    raise JsonError(problem, position)


def count_nodes(text: str, enough: float = 0) -> int:
    """Count the values of a text, or a few more, by its structural characters alone: no text holds more.

    Up to ``enough`` a count that takes the commas inside strings for separators will do.
    """
    if (count := sum(map(text.count, ",[{"), 1)) <= enough:
        return count
    return sum(map(_STRINGS.sub("", text).count, ",[{"), 1)


def check_bounds(text: str, *, max_depth: int = 64, max_nodes: int | None = MAX_NODES) -> None:
    """Refuse a text that would be dear to read, by a look at its structure that builds nothing.

    :func:`loads` does so itself; for a text that another parser is to read, call this before.

    Raises:
        JsonError: It nests deeper, or (:exc:`TooManyValues`) holds more values.
    """
    if max_nodes is not None and count_nodes(text, max_nodes) > max_nodes:
        raise TooManyValues(max_nodes)
    if text.count("[") + text.count("{") <= max_depth:
        return
    brackets = _STRINGS.sub("", text).encode(errors="replace").translate(None, _NO_BRACKETS)
    if max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) <= max_depth:
        return
    place = next(at for at, depth in enumerate(accumulate(map(_STEPS.__getitem__, brackets))) if depth > max_depth)
    found = (match.start() for match in _BRACKET.finditer(text) if match[1])
    raise JsonError(f"nested deeper than {max_depth}", next(islice(found, place, None)))


def dumps(value: JsonValue, *, sort_keys: bool = False) -> str:
    """Write a value as compact JSON on one line, non-ASCII as it is, and every ``Decimal`` digit for digit.

    Args:
        value: ``dict`` (keys are ``str``), ``list``, ``tuple``, ``str``, ``int``, ``Decimal``, ``float``, ``bool``, ``None``.
        sort_keys: Write keys in the order of their code points: equal values then give equal text. Numbers stay as
            they were written, so ``6.0`` and ``6.00`` differ.

    Raises:
        JsonError: The value holds what JSON has no text for, or what :func:`loads` would refuse to read as UTF-8.
    """
    text = _quick_text(value, sort_keys=sort_keys)
    if text is None:
        pieces: list[str] = []
        _write(value, pieces.append, _sorted if sort_keys else iter, _WRITE_DEPTH)
        text = "".join(pieces)
    if not text.isascii() and _first_unencodable(text) is not None:
        raise JsonError("lone surrogate in a string")
    return text


def _text(data: bytes | str) -> str:
    """The text, sure to be UTF-8 and without a byte order mark."""
    fault: int | None
    if isinstance(data, str):
        text, fault = data, None if data.isascii() else _first_unencodable(data)
        problem = "lone surrogate"
    else:
        problem = "invalid UTF-8"
        try:
            text, fault = data.decode(), None
        except UnicodeDecodeError as error:
            text, fault = "", error.start
    if fault is not None:
        raise JsonError(problem, fault)
    if text.startswith("\ufeff"):
        raise JsonError("byte order mark", 0)
    return text


def _first_unencodable(text: str) -> int | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def _parse_int(numeral: str) -> int:
    if len(numeral) > _SAFE_INT_LENGTH and (len(numeral) > _NUMERAL_LENGTH or math.isinf(float(numeral))):
        raise _Refused
    return int(numeral)


def _parse_decimal(numeral: str) -> Decimal:
    if len(numeral) > _NUMERAL_LENGTH:
        raise _Refused
    approximate = float(numeral)
    if math.isinf(approximate):
        raise _Refused
    if approximate == 0.0:
        mantissa, _, exponent = numeral.lower().partition("e")
        # A zero has no magnitude, yet 0e999999999 would be a gigabyte of zeros to whoever writes it out.
        if mantissa.strip("-0.") or abs(int(exponent or 0)) > _ZERO_EXPONENT:
            raise _Refused
    return Decimal(numeral)


def _parse_constant(_name: str) -> NoReturn:
    raise _Refused


def _parse_object(pairs: list[tuple[str, JsonValue]]) -> JsonObject:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise _Refused
    return result


_DECODER = json.JSONDecoder(
    parse_int=_parse_int,
    parse_float=_parse_decimal,
    parse_constant=_parse_constant,
    object_pairs_hook=_parse_object,
)


def _locate(text: str) -> tuple[str, int]:
    """What a hook refused, and where: a slow second look, token by token, at a text that is known to be at fault."""
    keys: list[set[str]] = []
    for match in _TOKEN.finditer(text):
        kind, position = match.lastgroup, match.start()
        if kind == "open":
            keys.append(set())
        elif kind == "close":
            keys.pop()
        elif kind == "constant":
            return "NaN and Infinity are not JSON", position
        elif kind == "number":
            problem = _number_problem(match[0])
            if problem is not None:
                return problem, position
        elif _COLON.match(text, match.end()):
            key = _DECODER.decode(match[0])
            if key in keys[-1]:
                return (f"duplicate key {key}" if _IDENTIFIER.fullmatch(key) else "duplicate key"), position
            keys[-1].add(key)
    return "not the JSON we accept", 0  # not reached: each hook has its branch above


def _number_problem(numeral: str) -> str | None:
    if len(numeral) > _NUMERAL_LENGTH:
        return f"number of more than {_NUMERAL_LENGTH} characters"
    try:
        _parse_decimal(numeral)
    except _Refused:
        return "number out of range"
    return None


def _lone_surrogate(text: str) -> int | None:
    """Where the first string begins that an escape has given half of a surrogate pair."""
    for match in _TOKEN.finditer(text):
        doubtful = match.lastgroup == "string" and _SURROGATE_ESCAPE.search(match[0])
        if doubtful and _first_unencodable(_DECODER.decode(match[0])) is not None:
            return match.start()
    return None


def _refuse(_value: object) -> NoReturn:
    raise _Refused


_ENCODERS = {
    sort_keys: json.JSONEncoder(
        ensure_ascii=False,
        check_circular=False,
        allow_nan=False,
        sort_keys=sort_keys,
        separators=(",", ":"),
        default=_refuse,
    ).encode
    for sort_keys in (False, True)
}
_NESTED = frozenset({dict, list, tuple})
_ATOMS = frozenset({str, int, bool, float, type(None)})


def _quick_text(value: object, *, sort_keys: bool) -> str | None:
    """Write a value with the standard library's encoder, several times as fast as ours.

    It cannot write a ``Decimal`` digit for digit, turns keys of other types into strings and knows no bound of depth:
    return ``None`` for a value with any of these, and for one with a fault, which the slow way names.
    """
    if not _is_plain(value, _WRITE_DEPTH):
        return None
    try:
        return _ENCODERS[sort_keys](value)
    except (_Refused, ValueError):
        return None


def _is_plain(value: object, depth: int) -> bool:
    """Return whether all keys are strings, all types those of JSON itself, and nothing nests deeper than ``depth``."""
    inner: Iterable[object] = ()
    if isinstance(value, dict):
        for key in value:
            if type(key) is not str:
                return False
        inner = value.values()
    elif isinstance(value, list | tuple):
        inner = value
    for entry in inner:
        kind = type(entry)
        if kind in _NESTED:
            if depth == 0 or not _is_plain(entry, depth - 1):
                return False
        elif kind not in _ATOMS:
            return False
    return True


def _sorted(value: dict[Any, object]) -> Iterable[object]:
    return sorted(value, key=str)


def _write(value: object, emit: _Emit, keys: _Keys, depth: int) -> None:
    """Write a value piece by piece; it may nest ``depth`` deeper."""
    if isinstance(value, str):
        emit(encode_basestring(value))
    elif isinstance(value, dict):
        _write_object(value, emit, keys, depth)
    elif isinstance(value, list | tuple):
        _write_array(value, emit, keys, depth)
    else:
        emit(_atom(value))


def _write_object(value: dict[Any, object], emit: _Emit, keys: _Keys, depth: int) -> None:
    if depth == 0:
        raise JsonError(f"nested deeper than {_WRITE_DEPTH}")
    lead = "{"
    for key in keys(value):
        if not isinstance(key, str):
            raise JsonError(f"a key is of type {type(key).__name__}, not a string")
        emit(lead + encode_basestring(key) + ":")
        _write(value[key], emit, keys, depth - 1)
        lead = ","
    emit("}" if value else "{}")


def _write_array(value: Iterable[object], emit: _Emit, keys: _Keys, depth: int) -> None:
    if depth == 0:
        raise JsonError(f"nested deeper than {_WRITE_DEPTH}")
    lead = "["
    for element in value:
        emit(lead)
        _write(element, emit, keys, depth - 1)
        lead = ","
    emit("]" if value else "[]")


def _atom(value: object) -> str:
    """The text of what holds nothing else, strings apart."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, Decimal):
        return _decimal_text(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise JsonError("NaN and Infinity are not JSON")
        return float.__repr__(value)
    raise JsonError(f"a value of type {type(value).__name__} has no JSON text")


def _decimal_text(value: Decimal) -> str:
    """Digit for digit; an exponent only where writing it out would be longer than anyone can mean."""
    if not value.is_finite():
        raise JsonError("NaN and Infinity are not JSON")
    text = str(value)
    if "E" in text and abs(value.adjusted()) <= _PLAIN_EXPONENT:
        return format(value, "f")
    return text
