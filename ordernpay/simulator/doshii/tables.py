"""What an App may send to Doshii, as tables of fields; a field that no page names is refused.

Sources: the pages of Create Order, Update Order, Create Transaction and of the order pre-process, below
https://support.doshii.io/hc/en-us/articles/; for what those leave out, the types of Doshii's own partner SDK,
https://github.com/doshii-io/doshii-partner-node-sdk (``lib/order.ts``, ``lib/transaction.ts``).

Assumed, because no page that was seen says it:

===========================  ===========================================================================
an optional field            may be left out, but is never null
``status`` of a new order    required and ``pending``; a pre-process may leave it out
``externalOrderRef``         required for an order, optional for a pre-process
``items``                    at least one
``posId``                    optional everywhere: without it a line, a variant or a surcount is a free one
a surcount                   has at least ``name``, ``type``, ``amount`` and ``value``
``consumer``                 has at least a ``name``
a transaction                has at least an ``amount``, which is not 0
a string                     has at most 1000 characters
===========================  ===========================================================================
"""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final

from ordernpay.simulator.pages import Check, Field, FieldError, flag, record, required, rows, text

MOST_CENTS: Final = 10**9
WHOLE: Final = re.compile(r"0|-?[1-9][0-9]{0,12}")
FIGURE: Final = re.compile(r"-?(0|[1-9][0-9]{0,12})(\.[0-9]{1,6})?")
UTC_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
STATUSES: Final = ("pending", "accepted", "rejected", "cancelled", "venue_cancelled", "complete")
METHODS: Final = (
    *("cash", "visa", "mastercard", "amex", "diners", "giftcard", "loyalty", "crypto", "credit", "directdeposit"),
    *("cheque", "alipay", "wechatpay", "zip", "moto", "other", "paypal", "eftpos"),
)
COURSES: Final = ("appetiser", "entree", "main", "dessert")
MEAL_PHASES: Final = (
    *("ordered", "delayed", "billed", "fulfilled", "delivering", "delivered"),
    *(f"{course}_{step}" for course in COURSES for step in ("preparing", "prepared", "served")),
)


def optional(check: Check) -> Field:
    """A field that may be left out but is not null."""
    return Field(check, required=False)


def number(*, least: int = -MOST_CENTS) -> Check:
    """A whole JSON number, such as the amount of a payment: cents."""

    def check(value: Any, path: str) -> int:
        if type(value) is not int:
            raise FieldError(path, "must be a whole JSON number")
        if not least <= value <= MOST_CENTS:
            raise FieldError(path, f"must be from {least} to {MOST_CENTS}")
        return int(value)

    return check


def whole_or_text(*, least: int = -MOST_CENTS) -> Check:
    """A whole number, as a JSON number or as a string of digits."""

    def check(value: Any, path: str) -> int:
        if type(value) is str and WHOLE.fullmatch(value):
            value = int(value)
        if type(value) is not int:
            raise FieldError(path, "must be a whole number or a string of one")
        return int(number(least=least)(value, path))

    return check


def figure(value: Any, path: str) -> Decimal:
    """A number that may have decimals, such as a percentage, as a JSON number or as a string."""
    if (type(value) is str and FIGURE.fullmatch(value)) or type(value) in {int, Decimal}:
        read = Decimal(value)
        if abs(read) <= MOST_CENTS:
            return read
    raise FieldError(path, "must be a number or a string of one")


def not_nothing(value: Any, path: str) -> int:
    """Cents that are not 0."""
    cents = number()(value, path)
    if cents == 0:
        raise FieldError(path, "must not be 0")
    return int(cents)


def one_of(names: Iterable[str]) -> Check:
    """One of these words, written exactly so."""
    known = tuple(names)

    def check(value: Any, path: str) -> str:
        if value not in known:
            raise FieldError(path, f"must be one of {', '.join(known)}")
        return str(value)

    return check


def utc_time(value: Any, path: str) -> str:
    """A time in ISO-8601 and UTC, as in the pages' examples."""
    if type(value) is not str or not UTC_TIME.fullmatch(value):
        raise FieldError(path, "must be a time such as 2026-03-02T01:45:00.000Z")
    return value


def some(check: Check) -> Check:
    """A list with at least one entry."""

    def check_rows(value: Any, path: str) -> list[Any]:
        read: list[Any] = rows(check)(value, path)
        if not read:
            raise FieldError(path, "must have at least one entry")
        return read

    return check_rows


def read(check: Check, value: Any, path: str = "") -> Any:
    """What was sent, without the fields that were left out."""
    return _given(check(value, path))


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _given(held) for name, held in value.items() if held is not None}
    if isinstance(value, list):
        return [_given(held) for held in value]
    return value


WORDS: Final = text(1000)
ANY_WORDS: Final = text(1000, least=0)

SURCOUNT: Final = record(
    {
        "posId": optional(WORDS),
        "name": required(WORDS),
        "description": optional(ANY_WORDS),
        "type": required(one_of(("absolute", "percentage"))),
        "amount": required(figure),
        "value": required(whole_or_text()),
        "rewardRef": optional(WORDS),
    }
)
TAX: Final = record(
    {
        "posId": optional(WORDS),
        "name": required(WORDS),
        "amount": required(figure),
        "type": required(one_of(("absolute", "percentage"))),
        "taxType": required(one_of(("exclusive", "inclusive"))),
        "value": required(whole_or_text()),
    }
)
OPTION: Final = record(
    {
        "posId": optional(WORDS),
        "name": required(WORDS),
        "min": optional(number(least=0)),
        "max": optional(number(least=0)),
        "variants": required(
            rows(record({"posId": optional(WORDS), "name": required(WORDS), "price": required(number())}))
        ),
    }
)
INCLUDED: Final = record(
    {
        "posId": optional(WORDS),
        "name": required(WORDS),
        "quantity": required(whole_or_text(least=1)),
        "unitPrice": required(whole_or_text(least=0)),
        "options": required(rows(OPTION)),
    }
)
ITEM: Final = record(
    {
        "posId": optional(WORDS),
        "name": required(WORDS),
        "quantity": required(whole_or_text(least=1)),
        "unitPrice": required(whole_or_text(least=0)),
        "totalBeforeSurcounts": required(whole_or_text()),
        "totalAfterSurcounts": required(whole_or_text()),
        "description": optional(ANY_WORDS),
        "tags": optional(rows(WORDS)),
        "type": optional(one_of(("single", "bundle"))),
        "includedItems": optional(rows(INCLUDED)),
        "options": required(rows(OPTION)),
        "surcounts": required(rows(SURCOUNT)),
        "taxes": optional(rows(TAX)),
        "rewardRef": optional(WORDS),
    }
)
LOG: Final = record(
    {
        name: optional(WORDS)
        for name in ("employeeId", "employeeName", "employeePosRef", "deviceRef", "deviceName", "area")
    }
)
_ORDER: Final = {
    "type": required(one_of(("delivery", "pickup", "dinein"))),
    "status": required(one_of(("pending",))),
    "externalOrderRef": required(WORDS),
    "items": required(some(ITEM)),
    "surcounts": required(rows(SURCOUNT)),
    "taxes": optional(rows(TAX)),
    "notes": optional(ANY_WORDS),
    "mealPhase": optional(one_of(MEAL_PHASES)),
    "manuallyProcessed": optional(flag),
    "requiredAt": optional(utc_time),
    "availableEta": optional(utc_time),
    "checkinId": optional(WORDS),
    "revenueCentre": optional(WORDS),
    "log": optional(LOG),
}
CONSUMER: Final = record(
    {
        "name": required(WORDS),
        "phone": optional(WORDS),
        "email": optional(WORDS),
        "marketingOptIn": optional(flag),
        "address": optional(
            record(
                {
                    "line1": optional(ANY_WORDS),
                    "line2": optional(ANY_WORDS),
                    "city": optional(ANY_WORDS),
                    "state": optional(ANY_WORDS),
                    "postalCode": optional(ANY_WORDS),
                    "country": optional(text(2, least=2)),
                    "notes": optional(ANY_WORDS),
                }
            )
        ),
    }
)
_TRANSACTION: Final = {
    "amount": required(not_nothing),
    "prepaid": optional(flag),
    "reference": optional(WORDS),
    "invoice": optional(WORDS),
    "method": optional(one_of(METHODS)),
    "tip": optional(number(least=0)),
    "linkedTrxId": optional(WORDS),
    "surcounts": optional(rows(SURCOUNT)),
    "trn": optional(WORDS),
}
TRANSACTION: Final = record(_TRANSACTION)
LOOSE_TRANSACTION: Final = record({**_TRANSACTION, "orderId": required(WORDS)})
CREATE_ORDER: Final = record(
    {
        "order": required(record(_ORDER)),
        "consumer": required(CONSUMER),
        "transactions": optional(rows(TRANSACTION)),
        "members": optional(rows(WORDS)),
        "posTerminalId": optional(WORDS),
    }
)
PREPROCESS: Final = record({**_ORDER, "status": optional(one_of(("pending",))), "externalOrderRef": optional(WORDS)})
UPDATE_ORDER: Final = record(
    {
        "version": required(WORDS),
        "status": optional(one_of(("cancelled",))),
        "mealPhase": optional(one_of(MEAL_PHASES)),
        "log": optional(LOG),
    }
)
ITEMS: Final = some(ITEM)
VERSIONED_ITEMS: Final = record({"version": required(WORDS), "items": required(ITEMS)})
UPDATE_TRANSACTION: Final = record(
    {
        **_TRANSACTION,
        "amount": optional(not_nothing),
        "version": required(WORDS),
        "status": required(one_of(("complete", "cancelled", "rejected"))),
        "rejectionCode": optional(WORDS),
        "rejectionReason": optional(WORDS),
    }
)


def _epoch_seconds(value: Any, path: str) -> str:
    if not WHOLE.fullmatch(value) or not 0 <= int(value) < 10**11:
        raise FieldError(path, "must be epoch seconds")
    return str(value)


def _statuses(value: Any, path: str) -> list[str]:
    return [str(one_of(STATUSES)(name, path)) for name in value.split(",")]


def _count(least: int, most: int) -> Check:
    def check(value: Any, path: str) -> int:
        if not WHOLE.fullmatch(value) or not least <= int(value) <= most:
            raise FieldError(path, f"must be from {least} to {most}")
        return int(value)

    return check


ORDERS_QUERY: Final = record(
    {
        "status": optional(_statuses),
        "posRef": optional(WORDS),
        "externalOrderRef": optional(WORDS),
        **{name: optional(_epoch_seconds) for name in ("from", "to", "updatedFrom", "updatedTo", "posFrom", "posTo")},
        **{name: optional(one_of(("asc", "desc"))) for name in ("sort", "updatedSort", "posSort")},
        "offset": Field(_count(0, 10**6), required=False, default=0),
        "limit": Field(_count(1, 100), required=False, default=50),
    }
)
