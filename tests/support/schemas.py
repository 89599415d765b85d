"""The part of JSON Schema that our OpenRPC document uses: what it allows, and examples of both."""

import re
import string
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from ordernpay.rules import PRINTABLE

JSON_TYPES: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
    "integer": int,
    "number": (int, Decimal),
}
KEYWORDS = {
    "$ref", "type", "enum", "oneOf", "items", "properties", "required", "additionalProperties", "description",
    "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "default", "minItems",
}  # fmt: skip
FORMATS = {
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "date-time": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)",
}

TURNING = "".join(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))

Schema = Mapping[str, Any]


def unknown_keywords(schema: Any, path: str = "") -> list[str]:
    """Keywords that this module does not know, so that it never says yes for lack of understanding."""
    found: list[str] = []
    if not isinstance(schema, Mapping):
        return [path]
    found += [f"{path}/{name}" for name in schema if name not in KEYWORDS]
    for name, inner in schema.get("properties", {}).items():
        found += unknown_keywords(inner, f"{path}/{name}")
    for index, inner in enumerate(schema.get("oneOf", [])):
        found += unknown_keywords(inner, f"{path}/{index}")
    if "items" in schema:
        found += unknown_keywords(schema["items"], f"{path}/items")
    return found


def allows(schema: Schema, value: Any, schemas: Schema) -> bool:
    """Whether a value is as the schema says."""
    if "$ref" in schema:
        return allows(schemas[schema["$ref"].rsplit("/", 1)[1]], value, schemas)
    if "oneOf" in schema:
        return sum(allows(one, value, schemas) for one in schema["oneOf"]) == 1
    if "enum" in schema and not any(value == one and type(value) is type(one) for one in schema["enum"]):
        return False
    return _typed(schema, value) and _bounded(schema, value) and _held(schema, value, schemas)


def _typed(schema: Schema, value: Any) -> bool:
    if "type" not in schema:
        return True
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(
        (isinstance(value, JSON_TYPES[one]) and (one == "boolean" or not isinstance(value, bool)))
        or (one == "integer" and isinstance(value, Decimal) and value == value.to_integral_value())
        for one in types
    )


def _bounded(schema: Schema, value: Any) -> bool:
    if isinstance(value, str):
        pattern = FORMATS[schema["format"]] if "format" in schema else None
        return (
            schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
            and (
                "pattern" not in schema
                or re.search(re.sub(r"\$$", r"\\Z", schema["pattern"]), value, re.ASCII) is not None
            )
            and (pattern is None or re.fullmatch(pattern, value, re.ASCII) is not None)
        )
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return (
            schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
            and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
            and ("multipleOf" not in schema or value % schema["multipleOf"] == 0)
        )
    return True


def _held(schema: Schema, value: Any, schemas: Schema) -> bool:
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        return (
            set(schema.get("required", [])) <= set(value)
            and (schema.get("additionalProperties", True) or set(value) <= set(properties))
            and all(allows(properties[name], held, schemas) for name, held in value.items() if name in properties)
        )
    if isinstance(value, list):
        return len(value) >= schema.get("minItems", 0) and all(
            allows(schema.get("items", {}), one, schemas) for one in value
        )
    return True


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**17) | st.decimals("-9", "9", places=3) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)


def examples(schema: Schema, schemas: Schema, depth: int = 2) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - a table
    """Values that the schema allows."""
    if "$ref" in schema:
        return examples(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas, depth - 1)
    if "oneOf" in schema:
        return st.one_of(*(examples(one, schemas, depth) for one in schema["oneOf"]))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "string":
            return _strings(schema)
        case "integer":
            return st.integers(schema.get("minimum"), schema.get("maximum"))
        case "number":
            return _numbers(schema)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            if depth <= 0:  # a class may hold itself
                return st.just([])
            return st.lists(examples(schema.get("items", {}), schemas, depth), max_size=2)
        case "object":
            return _objects(schema, schemas, depth)
        case _:
            return ANY


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    match schema.get("format"), str(schema.get("pattern", PRINTABLE[False])):
        case "uuid", _:
            return st.uuids().map(str)
        case "date-time", _:
            return st.datetimes().map(lambda moment: f"{moment.replace(microsecond=0).isoformat()}Z")
        case _, pattern if pattern in PRINTABLE.values():
            low, high = schema.get("minLength", 0), schema.get("maxLength", 20)
            letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=TURNING) | st.sampled_from(
                string.ascii_letters
            )
            return st.text(letters, min_size=low, max_size=min(high, low + 40)) | st.just("x" * high)
        case _, pattern:
            return st.from_regex(re.compile(pattern, re.ASCII)).filter(lambda text: not text.endswith("\n"))


def _numbers(schema: Schema) -> st.SearchStrategy[Any]:
    low = schema.get("minimum", schema.get("exclusiveMinimum", -(10**9)))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 10**9))
    places = 2 if "multipleOf" in schema else 3
    inside = st.decimals(low, high, places=places) | st.integers(-(-int(low) // 1), int(high))
    return inside.filter(lambda value: _bounded(schema, value))


def _objects(schema: Schema, schemas: Schema, depth: int) -> st.SearchStrategy[Any]:
    properties, required = schema.get("properties"), schema.get("required", [])
    if properties is None:
        return st.dictionaries(TEXTS, ANY, max_size=2)
    needed = {name: examples(properties[name], schemas, depth) for name in required}
    optional = [name for name in properties if name not in required] if depth > 0 else []
    return st.fixed_dictionaries(
        needed, optional={name: examples(properties[name], schemas, depth) for name in optional}
    )
