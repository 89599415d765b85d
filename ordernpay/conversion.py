"""From JSON or TOML values to the classes of the contract, strictly, with every fault and its path.

What a field may hold says the rule in its annotation (`rules`); an unknown key is a fault.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import cache
from heapq import nsmallest
from types import NoneType, UnionType
from typing import Any, Final, Literal, TypeVar, Union, get_args, get_origin

import attrs
from attrs import frozen
from cattrs import Converter
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError, IterableValidationError
from cattrs.gen import make_dict_structure_fn

from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.rules import SHOWN, Text, Whole, Wrong, rule_of, shown, unknown

T = TypeVar("T")

MOST_FAULTS: Final = 50
"""Faults that are looked for in one value: who has more has another problem, and a line of 1 MiB has room for 350,000."""


@frozen
class Fault:
    """One thing wrong with what came in, e.g. ``order.lines[0].quantity`` and what would have been right."""

    path: str
    message: str

    def as_json(self) -> JsonObject:
        """The fault as an entry of `details`."""
        return {"path": self.path, "message": self.message}


class Faults(ValueError):
    """Everything wrong with one value, all at once; of very many faults the first ones."""

    def __init__(self, faults: list[Fault]) -> None:
        if len(faults) > MOST_FAULTS:
            more = Fault("", f"there are more faults; these are the first {MOST_FAULTS}")
            faults = [*[fault for fault in faults if fault.path][:MOST_FAULTS], more]
        super().__init__(
            "; ".join(f"{fault.path}: {fault.message}" if fault.path else fault.message for fault in faults)
        )
        self.faults = faults


def _origin(annotation: Any) -> object:
    return get_origin(annotation)


def _is_optional(annotation: Any) -> bool:
    return (
        get_origin(annotation) in {Union, UnionType}
        and len(get_args(annotation)) == 2
        and NoneType in get_args(annotation)
    )


def _optional_reader(converter: Converter, annotation: Any) -> Callable[[object, object], object]:
    inner = next(kind for kind in get_args(annotation) if kind is not NoneType)
    read = converter.get_structure_hook(inner)
    return lambda value, _: None if value is None else read(value, inner)


def _read_bool(value: object, _: object) -> bool:
    if not isinstance(value, bool):
        raise Wrong(f"expected true or false, got {shown(value)}")
    return value


def _read_literal(value: object, annotation: object) -> object:
    choices = get_args(annotation)
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise Wrong(f"expected one of {', '.join(map(str, choices))}, got {shown(value)}")
    return value


def _rule_reader(annotation: Any) -> Callable[[object, object], object]:
    rule = rule_of(annotation)
    if rule is None:
        raise TypeError(f"{annotation} carries no rule")
    read = rule.read
    return lambda value, _: read(value)


def _object_reader(converter: Converter, cls: type[Any]) -> Callable[[object, object], object]:
    inner = make_dict_structure_fn(
        cls,
        converter,
        _cattrs_forbid_extra_keys=True,
        _cattrs_detailed_validation=converter.detailed_validation,
    )

    def read(value: object, annotation: object) -> object:
        if not isinstance(value, dict):
            raise Wrong(f"expected an object, got {shown(value)}")
        return inner(value, annotation)

    return read


def _tuple_reader(converter: Converter, annotation: Any) -> Callable[[object, object], object]:
    (item, _) = get_args(annotation)

    @cache
    def hook() -> Callable[[object, object], object]:
        return converter.get_structure_hook(item)  # not before it is used: a class may hold itself

    def read(value: object, _: object) -> object:
        if not isinstance(value, list):
            raise Wrong(f"expected a list, got {shown(value)}")
        if not converter.detailed_validation:
            read_one = hook()
            return tuple([read_one(entry, item) for entry in value])
        return tuple(_read_each(converter, item, ((f"[{place}]", entry) for place, entry in enumerate(value))).values())

    return read


def _mapping_reader(converter: Converter, annotation: Any) -> Callable[[object, object], object]:
    (_, item) = get_args(annotation)

    def read(value: object, _: object) -> object:
        if not isinstance(value, dict):
            raise Wrong(f"expected a table of values, got {shown(value)}")
        return _read_each(converter, item, value.items())

    return read


def _read_each(converter: Converter, item: Any, entries: Iterable[tuple[str, object]]) -> dict[str, object]:
    """Read entries by their names; with enough faults the rest is not looked at."""
    read_values, faults = {}, []
    for name, entry in entries:
        try:
            read_values[name] = converter.structure(entry, item)
        except Exception as error:  # noqa: BLE001 - every entry's faults are gathered
            faults += list(_walk(error, name))
            if len(faults) > MOST_FAULTS:
                break
    if faults:
        raise Faults(faults)
    return read_values


def make_converter(*, detailed: bool) -> Converter:
    """Make a converter that refuses what it does not know.

    Args:
        detailed: report every fault with its path, which costs a call without one several times as much.
    """
    converter = Converter(forbid_extra_keys=True, detailed_validation=detailed)
    converter.register_structure_hook(str, lambda value, _: Text().read(value))
    converter.register_structure_hook(int, lambda value, _: Whole(-(2**63), 2**63 - 1).read(value))
    converter.register_structure_hook(bool, _read_bool)
    converter.register_structure_hook_func(lambda annotation: _origin(annotation) is Literal, _read_literal)
    converter.register_structure_hook_factory(attrs.has, lambda cls: _object_reader(converter, cls))
    converter.register_structure_hook_factory(
        lambda annotation: _origin(annotation) is tuple, lambda annotation: _tuple_reader(converter, annotation)
    )
    converter.register_structure_hook_factory(
        lambda annotation: _origin(annotation) is dict, lambda annotation: _mapping_reader(converter, annotation)
    )
    converter.register_structure_hook_factory(lambda annotation: rule_of(annotation) is not None, _rule_reader)
    converter.register_structure_hook_factory(_is_optional, lambda annotation: _optional_reader(converter, annotation))
    return converter


QUICK: Final = make_converter(detailed=False)
DETAILED: Final = make_converter(detailed=True)


def structure(value: JsonValue, cls: type[T], path: str = "") -> T:
    """Read a value as an instance of `cls`.

    Args:
        value: what came, as parsed JSON or TOML.
        cls: an attrs class.
        path: what stands before each fault's path, e.g. ``options``.

    Raises:
        Faults: with every fault found, not only the first.
    """
    with contextlib.suppress(Exception):  # the second pass finds all that is wrong, and says where
        return QUICK.structure(value, cls)
    try:
        return DETAILED.structure(value, cls)
    except Exception as error:
        faults = list(_walk(error, path))
        if not faults:
            raise
        raise Faults(faults) from None


def unstructure(value: object) -> JsonValue:
    """An attrs value as JSON: money as a decimal string, tuples as lists."""
    return _as_json(value, lambda _entry, _default: True)


def as_given(value: object) -> JsonValue:
    """An attrs value as JSON like `unstructure`, without members that stand at their default.

    A field that a later version adds, with a default, then changes nothing about what an earlier one wrote.
    """
    return _as_json(value, lambda entry, default: entry != default)


@cache
def _members(kind: type[Any]) -> tuple[tuple[str, object], ...] | None:
    """The public members of an attrs class with their defaults; None for any other class."""
    if not attrs.has(kind):
        return None
    return tuple((field.name, field.default) for field in attrs.fields(kind) if not field.name.startswith("_"))


def _as_json(value: object, wanted: Callable[[object, object], bool]) -> JsonValue:
    if value is None or isinstance(value, bool | int | str):
        return value
    members = _members(type(value))  # type: ignore[arg-type] # a class is hashable
    if members is not None:
        given = ((name, getattr(value, name), default) for name, default in members)
        return {name: _as_json(entry, wanted) for name, entry, default in given if wanted(entry, default)}
    match value:
        case Decimal():
            return format(value, "f")
        case dict():
            return {str(key): _as_json(entry, wanted) for key, entry in value.items()}
        case list() | tuple():
            return [_as_json(entry, wanted) for entry in value]
        case float():
            return Decimal(str(value))
        case _:
            raise TypeError(f"{type(value).__name__} has no JSON form")


def _walk(error: Exception, path: str) -> Iterator[Fault]:
    if isinstance(error, Faults):
        for fault in error.faults:
            yield Fault(_join(path, fault.path), fault.message)
    elif isinstance(error, ClassValidationError):
        noted, rest = error.group_exceptions()
        inner = [(exception, _join(path, note.name)) for exception, note in noted]
        yield from _walk_all([*inner, *((exception, path) for exception in rest)])
    elif isinstance(error, IterableValidationError):
        entries, rest = error.group_exceptions()
        inner = [(exception, f"{path}[{place.index}]") for exception, place in entries]
        yield from _walk_all([*inner, *((exception, path) for exception in rest)])
    elif isinstance(error, ForbiddenExtraKeysError):
        known = [attribute.name for attribute in attrs.fields(error.cl)]
        for name in nsmallest(MOST_FAULTS + 1, error.extra_fields):
            yield Fault(_join(path, name[:SHOWN]), unknown(name, known))
    elif isinstance(error, KeyError):
        yield Fault(path, "required")
    elif isinstance(error, Wrong):
        yield Fault(path, str(error))


def _walk_all(errors: list[tuple[Exception, str]]) -> Iterator[Fault]:
    for error, path in errors:
        yield from _walk(error, path)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name and not name.startswith("[") else path + name
