"""The pages of Order N Pay as tables of fields, and a reading of them that forgives nothing.

Sources, all below https://docs.powerepos.cloud/: ``Model/POSCorePublic.Models.OrderNPay.<ModelName>`` for the fields,
their limits and markers, ``Document/OrderNPay/Method<Name>`` for the messages.

Assumed, because no page that was seen says it:

================================  ==========================================================================
``OrderNPayNote``                 any JSON object: its page was not found
CreatePayment, get one order      ``SalesTransactionID``, and ``Payment`` for the former: the pages were not found
a *Nullable* field                may be left out, which means null
a boolean without a marker        may be left out, which means false, but is never null
a *Required* string               is not empty
``Quantity``, ``Covers``          at least 1, at least 0
================================  ==========================================================================
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

from attrs import frozen

TYPE_NAMES: Final = {str: "a string", bool: "a boolean", dict: "an object", list: "a list", int: "a whole number"}

Record = dict[str, Any]
Check = Callable[[Any, str], Any]

CENT: Final = Decimal("0.01")
NOTHING: Final = Decimal("0.00")
MONEY_DIGITS: Final = 13
INT32: Final = 2**31
GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class FieldError(Exception):
    """A field that is not as its page demands.

    Args:
        path: Where it stands, e.g. ``Payload.Products[0].Quantity``.
        problem: What is wrong with it, and never its value, which may be a PIN.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} {problem}.")
        self.path = path


@frozen
class Field:
    """One field of a page: how its value is read, and what its absence or a null means."""

    check: Check
    required: bool = True
    nullable: bool = False
    default: Any = None


def required(check: Check) -> Field:
    """Marked *Required* on its page."""
    return Field(check)


def nullable(check: Check) -> Field:
    """Marked *Nullable* on its page."""
    return Field(check, required=False, nullable=True)


def unmarked_flag() -> Field:
    """A boolean without a marker on its page."""
    return Field(flag, required=False, default=False)


def _of_type(value: Any, kind: type, path: str) -> None:
    if type(value) is not kind:
        raise FieldError(path, f"must be {TYPE_NAMES[kind]}")


def flag(value: Any, path: str) -> bool:
    """A JSON boolean."""
    _of_type(value, bool, path)
    return bool(value)


def whole(*, least: int = -INT32) -> Check:
    """A whole number of 32 bits, written without a fraction."""

    def check(value: Any, path: str) -> int:
        _of_type(value, int, path)
        if not least <= value < INT32:
            raise FieldError(path, f"must be at least {least} and below {INT32}")
        return int(value)

    return check


def money(*, least: Decimal | None = None) -> Check:
    """``decimal(13, 2)`` as a JSON number: 13 digits in all, 2 after the point. Units of the outlet's currency."""

    def check(value: Any, path: str) -> Decimal:
        if type(value) not in {int, Decimal}:
            raise FieldError(path, "must be a JSON number")
        amount = Decimal(value)
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -2:
            raise FieldError(path, "must have at most 2 decimals")
        if abs(amount) >= Decimal(10) ** (MONEY_DIGITS - 2):
            raise FieldError(path, f"must have at most {MONEY_DIGITS} digits")
        if least is not None and amount < least:
            raise FieldError(path, f"must be at least {least}")
        return amount.quantize(CENT)

    return check


def text(limit: int, *, least: int = 1) -> Check:
    """A string of at most ``limit`` characters."""

    def check(value: Any, path: str) -> str:
        _of_type(value, str, path)
        if not least <= len(value) <= limit:
            raise FieldError(path, f"must have {least} to {limit} characters")
        return str(value)

    return check


def seconds(value: Any, path: str) -> float:
    """How long something shall take, at most an hour."""
    if isinstance(value, bool | str) or not 0 <= (read := float(value)) <= 3600:
        raise FieldError(path, "must be a number of seconds from 0 to 3600")
    return read


def guid(value: Any, path: str) -> str:
    """A GUID in its 36-character form."""
    _of_type(value, str, path)
    if not GUID.fullmatch(value):
        raise FieldError(path, "must be a GUID")
    return str(value)


def anything(value: Any, path: str) -> Record:
    """An object whose fields no page tells."""
    _of_type(value, dict, path)
    return dict(value)


def rows(check: Check) -> Check:
    """A list whose entries are all read alike."""

    def check_rows(value: Any, path: str) -> list[Any]:
        _of_type(value, list, path)
        return [check(row, f"{path}[{index}]") for index, row in enumerate(value)]

    return check_rows


def record(fields: Mapping[str, Field]) -> Check:
    """An object with these fields and no others; what was left out is filled in with what its absence means."""

    def check(value: Any, path: str) -> Record:
        _of_type(value, dict, path or "The message")
        prefix = f"{path}." if path else ""
        for name in value:
            if name not in fields:
                raise FieldError(f"{prefix}{name}", "is no field of the page")
        return {name: _field(field, value, name, prefix + name) for name, field in fields.items()}

    return check


def _field(field: Field, holder: Record, name: str, path: str) -> Any:
    if name not in holder:
        if field.required:
            raise FieldError(path, "is required")
        return field.default
    if holder[name] is None:
        if field.nullable:
            return None
        raise FieldError(path, "must not be null")
    return field.check(holder[name], path)


OPTIONAL_TEXT_36: Final = nullable(text(36, least=0))
OPTIONAL_TEXT_40: Final = nullable(text(40, least=0))
OPTIONAL_TEXT_64: Final = nullable(text(64, least=0))

ADJUSTMENT: Final = {
    "Amount": required(money()),
    "Name": required(text(50)),
    "ProviderAdjustmentID": OPTIONAL_TEXT_64,
    "AdjustmentID": nullable(guid),
}
CHILD_PRODUCT: Final = {
    "ProductType": required(whole(least=0)),
    "Name": required(text(50)),
    "Quantity": required(whole(least=1)),
    "Price": required(money()),
    "TotalAmount": required(money()),
    "ProviderProductID": OPTIONAL_TEXT_64,
    "PLUIdentifier": OPTIONAL_TEXT_36,
    "SalesModifierIdentifier": OPTIONAL_TEXT_36,
    "SalesModifierName": nullable(text(32, least=0)),
}
PRODUCT: Final = {
    **CHILD_PRODUCT,
    "SalesModifierName": nullable(text(8, least=0)),
    "ChildProducts": nullable(rows(record(CHILD_PRODUCT))),
    "Adjustment": nullable(record(ADJUSTMENT)),
}
PAYMENT: Final = {
    "AmountSale": required(money()),
    "Name": required(text(32)),
    "ProviderPaymentID": OPTIONAL_TEXT_64,
    "AmountTip": nullable(money()),
    "AmountSurcharge": nullable(money()),
    "ExplicitServiceChargeAmount": nullable(money()),
    "MerchantID": OPTIONAL_TEXT_40,
    "TerminalID": OPTIONAL_TEXT_40,
}

REQUEST_ID: Final = text(256)
ENVELOPE: Final = record(
    {
        "RequestID": required(REQUEST_ID),
        "ProviderID": required(whole()),
        "ProviderName": required(text(64)),
        "DeviceID": required(text(64)),
        "UserIdentifier": Field(text(36), nullable=True),
        "MessageType": required(whole(least=0)),
        "Payload": required(anything),
    }
)

_ORDER_PARTS: Final = {
    "UseProviderPrices": unmarked_flag(),
    "Products": nullable(rows(record(PRODUCT))),
    "Adjustments": nullable(rows(record(ADJUSTMENT))),
    "Notes": nullable(rows(anything)),
    "ServiceChargeAmount": nullable(money(least=NOTHING)),
}
_NEW_ORDER: Final = {
    **_ORDER_PARTS,
    "ServiceModeID": required(guid),
    "ServiceModeEntityID": required(text(8)),
    "Payments": nullable(rows(record(PAYMENT))),
}
GET_USER_FROM_PIN: Final = record({"PIN": required(text(36))})
GET_OPEN_ORDERS: Final = record(
    {
        "ServiceModeEntityID": required(text(8, least=0)),
        "UserOrdersOnly": required(flag),
    }
)
GET_ORDER: Final = record({"SalesTransactionID": required(guid)})
CREATE_ORDER: Final = record(
    {
        **_NEW_ORDER,
        "ProviderOrderID": required(text(64)),
        "IsTraining": unmarked_flag(),
        "Covers": nullable(whole(least=0)),
    }
)
UPDATE_ORDER: Final = record(
    {
        **_ORDER_PARTS,
        "SalesTransactionID": required(guid),
        "ProviderOrderID": OPTIONAL_TEXT_64,
        "Covers": nullable(whole(least=0)),
    }
)
SIMULATE_ORDER: Final = record(
    {
        **_NEW_ORDER,
        "Products": required(rows(record(PRODUCT))),
        "ProviderOrderID": OPTIONAL_TEXT_64,
        "ApplyAutomaticAdjustments": unmarked_flag(),
    }
)
CREATE_PAYMENT: Final = record({"SalesTransactionID": required(guid), "Payment": required(record(PAYMENT))})


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _once(pairs: list[tuple[str, Any]]) -> Record:
    names = dict(pairs)
    if len(names) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return names


def read_json(frame: str) -> Any:
    """Read a frame; numbers with a fraction become ``Decimal``.

    Raises:
        FieldError: The frame is not JSON, or an object in it names a field twice.
    """
    try:
        return json.loads(frame, parse_float=Decimal, parse_constant=_no_constant, object_pairs_hook=_once)
    except (ValueError, ArithmeticError, RecursionError):
        raise FieldError("The message", "is not JSON") from None


def write_json(value: Any) -> str:
    """Write JSON in which a ``Decimal`` is a number with all of its decimals, as the pages write money."""
    match value:
        case Decimal():
            return f"{value:f}"
        case dict():
            return "{" + ", ".join(f"{json.dumps(name)}: {write_json(held)}" for name, held in value.items()) + "}"
        case list() | tuple():
            return "[" + ", ".join(write_json(held) for held in value) + "]"
        case _:
            return json.dumps(value)
