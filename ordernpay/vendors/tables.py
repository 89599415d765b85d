"""A vendor's models as tables, and how a table is written: checked against its page, in the order of its page."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal

from attrs import frozen

from ordernpay.conversion import Fault
from ordernpay.jsontext import JsonObject
from ordernpay.rules import Guid, Wrong, shown


@frozen
class Manner:
    """How a vendor writes: its name, for complaints, and the digits of its decimals, two of them after the point."""

    vendor: str
    digits: int


@frozen
class Field:
    """One field of a model: its wire name, its type, and which neutral field fills it (for complaints).

    `limit` is the page's maximum length for text; a decimal has the digits of the vendor's manner.
    `absent` fields are left out when there is nothing to say; the others are sent as null.
    """

    name: str
    type: Literal["text", "guid", "decimal", "int", "bool", "object", "list"]
    source: str
    limit: int | None = None
    required: bool = False
    absent: bool = False


def write(
    model: Iterable[Field], values: Mapping[str, Any], path: str, faults: list[Fault], manner: Manner
) -> JsonObject:
    """One model as JSON; what its page forbids is added to `faults` under the neutral field's path.

    Args:
        model: the table of its fields.
        values: by wire name; a name that is missing counts as null.
        path: where the values stand in the caller's params, e.g. ``order.lines[0]``.
        faults: takes what is wrong.
        manner: how this vendor writes.
    """
    written: JsonObject = {}
    for field in model:
        value = values.get(field.name)
        if value is None:
            if field.required:
                faults.append(Fault(_place(path, field), f"required by {manner.vendor} ({_described(field)})"))
            if not field.absent:
                written[field.name] = None
            continue
        complaint = _complaint(field, value, manner)
        if complaint is not None:
            faults.append(Fault(_place(path, field), f"{complaint} by {manner.vendor}'s {field.name}"))
        written[field.name] = value
    return written


def _place(path: str, field: Field) -> str:
    if field.source.startswith("@"):
        return field.source[1:]
    return f"{path}.{field.source}" if path else field.source


def _described(field: Field) -> str:
    limit = f", at most {field.limit} characters" if field.limit else ""
    return f"{field.name}, {field.type}{limit}"


def _complaint(field: Field, value: Any, manner: Manner) -> str | None:
    if field.type == "text" and field.limit is not None and len(value) > field.limit:
        return f"expected at most {field.limit} characters, got {len(value)}: refused"
    if field.type == "text" and field.required and not value:
        return "expected at least one character: refused"
    if field.type == "decimal" and abs(value) >= Decimal(10) ** (manner.digits - 2):
        return f"expected at most {manner.digits} digits, two of them after the point, got {shown(value)}: refused"
    if field.type == "guid":
        try:
            Guid().read(value)
        except Wrong as error:
            return f"{error}: refused"
    return None
