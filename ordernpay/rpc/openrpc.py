"""The OpenRPC document (open-rpc.org), made from the very classes that check the calls."""

import inspect
import types
from decimal import Decimal
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs
from attrs import frozen

from ordernpay.commands import COMMANDS
from ordernpay.conversion import unstructure
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.orders import OrderOut
from ordernpay.outcomes import KINDS
from ordernpay.rules import rule_of

OPENRPC: Final = "1.3.2"
TEXT: Final[JsonObject] = {"type": ["string", "null"]}
OBJECT: Final[JsonObject] = {"type": "object"}
ORDER: Final[JsonObject] = {"$ref": "#/components/schemas/OrderOut"}

RESULTS: Final[dict[str, JsonObject]] = {
    "order.quote": {"order": ORDER, "quote_id": TEXT, "adjusted": {"type": ["boolean", "null"]}, "valid_until": TEXT},
    "order.create": {"order": ORDER},
    "order.update": {"order": ORDER},
    "order.cancel": {"order": ORDER, "cancellation_id": TEXT},
    "order.get": {"order": ORDER},
    "order.list": {"orders": {"type": "array", "items": ORDER}},
    "payment.create": {"payment_id": TEXT, "order": ORDER},
    "user.lookup": {"user_id": TEXT, "name": TEXT, "may_pay": {"type": ["boolean", "null"]}},
    "menu.get": {"menu": {}},
    "vendor.request": {"response": {}},
}
"""What stands under `result` of a vendor command that succeeded."""


@frozen
class Described:
    """A method that is no vendor command."""

    name: str
    summary: str
    params: type[Any]


def document(methods: list[Described], version: str) -> JsonObject:
    """The whole document."""
    schemas: JsonObject = {}
    _schema(OrderOut, schemas)
    described: list[JsonValue] = [_command(name, schemas) for name in COMMANDS]
    described += [_method(method.name, method.summary, _params(method.params, schemas), OBJECT) for method in methods]
    errors: JsonObject = {kind.name: {"code": kind.code, "message": kind.name} for kind in KINDS.values()}
    return {
        "openrpc": OPENRPC,
        "info": {
            "title": "ordernpay",
            "version": version,
            "description": "The local socket of the ordernpay daemon. One JSON value a line, params by name.",
        },
        "methods": described,
        "components": {"schemas": schemas, "errors": errors},
    }


def _command(name: str, schemas: JsonObject) -> JsonObject:
    kind = COMMANDS[name]
    result: JsonObject = {
        "type": "object",
        "required": ["command_id", "state"],
        "properties": {
            "command_id": {"type": "string"},
            "session": {"type": "string"},
            "state": {"enum": ["succeeded", "accepted"]},
            "result": {"type": "object", "properties": RESULTS[name]},
            "vendor": {},
        },
    }
    params = _params(kind.params, schemas) + _params(kind.shared, schemas)
    return _method(name, inspect.getdoc(kind.params) or "", params, result)


def _method(name: str, summary: str, params: list[JsonValue], result: JsonObject) -> JsonObject:
    errors: list[JsonValue] = [{"$ref": f"#/components/errors/{kind}"} for kind in KINDS]
    return {
        "name": name,
        "summary": summary,
        "paramStructure": "by-name",
        "params": params,
        "result": {"name": "result", "schema": result},
        "errors": errors,
    }


def _params(cls: type[Any], schemas: JsonObject) -> list[JsonValue]:
    hints = get_type_hints(cls, include_extras=True)
    return [
        {
            "name": attribute.name,
            "required": attribute.default is attrs.NOTHING,
            "schema": _with_default(_schema(hints[attribute.name], schemas), attribute.default),
        }
        for attribute in attrs.fields(cls)
    ]


def _with_default(schema: JsonObject, default: Any) -> JsonObject:
    if default is attrs.NOTHING or default is None or isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return schema
    return {**schema, "default": unstructure(default)}


def _schema(annotation: Any, schemas: JsonObject) -> JsonObject:
    rule = rule_of(annotation)
    if rule is not None:
        return rule.schema()
    if attrs.has(annotation):
        return _reference(annotation, schemas)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        some = [_schema(arg, schemas) for arg in args if arg is not type(None)]
        choices: list[JsonValue] = [*some, {"type": "null"}] if type(None) in args else [*some]
        return {"oneOf": choices}
    if origin is Literal:
        return {"enum": [*args]}
    if origin in {tuple, list}:
        return {"type": "array", "items": _schema(args[0], schemas)}
    names: dict[Any, str] = {str: "string", int: "integer", bool: "boolean", float: "number", Decimal: "string"}
    return {"type": names[annotation]} if annotation in names else OBJECT


def _reference(cls: type[Any], schemas: JsonObject) -> JsonObject:
    reference: JsonObject = {"$ref": f"#/components/schemas/{cls.__name__}"}
    if cls.__name__ in schemas:
        return reference
    schemas[cls.__name__] = {}  # a class may contain itself
    hints = get_type_hints(cls, include_extras=True)
    fields = attrs.fields(cls)
    properties: JsonObject = {
        field.name: _with_default(_schema(hints[field.name], schemas), field.default) for field in fields
    }
    required: list[JsonValue] = [field.name for field in fields if field.default is attrs.NOTHING]
    schemas[cls.__name__] = {
        "type": "object",
        "description": inspect.getdoc(cls) or "",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return reference
