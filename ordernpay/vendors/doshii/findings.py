"""What an answer, a list or an order of Doshii says of a command: whether it is ours, and how it ended. Pure."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from ordernpay.commands import (
    CancelOrder,
    Command,
    CreateOrder,
    CreatePayment,
    GetMenu,
    GetOrder,
    ListOrders,
    UpdateOrder,
)
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, succeeded, unknown
from ordernpay.vendors.doshii import answers, requests
from ordernpay.vendors.http import Answered
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.tries import refusal

CONFLICT: Final = 409
REFUSALS: Final = frozenset(range(400, 500))
OPEN: Final = frozenset({"pending", "accepted"})
CLOSED: Final = frozenset({"rejected", "cancelled", "venue_cancelled", "complete"})
CLOCKS_APART: Final = 600.0
"""Seconds by which Doshii's clock and ours may differ: with more it refuses our tokens."""


def is_closed(order: Reader) -> bool:
    """Whether an order is in a state that no change is allowed in any more."""
    return (order.text("status") or "") in CLOSED


def no(answer: Answered, now: Reader | None = None) -> Outcome:
    """A refusal; a stale version means that the order was changed meanwhile: twice, or so that it is closed `now`."""
    if answer.status != CONFLICT:
        return refusal(answer)
    why = "the order was changed by somebody else meanwhile"
    if now is not None:
        why = f"{why}, and is {now.text('status')} now"
    return ended(Failure("conflict", why, vendor_code=CONFLICT), answer.json())


def doubted(outcome: Outcome, doubtful: bool) -> Outcome:  # noqa: FBT001 - a fact, not a switch
    """After a change that was not answered a refusal, or an order that cannot be read, proves nothing."""
    if not doubtful or outcome.state == "unknown":
        return outcome
    said = outcome.failure.message if outcome.failure else ""
    return unknown(f"an earlier try was not answered, and may have acted; the last one: {said}")


def only_good(late: Callable[[Answered], None]) -> Callable[[Answered], None]:
    """After a change that was not answered, also a late refusal proves nothing."""

    def good(answer: Answered) -> None:
        if answer.ok:
            late(answer)

    return good


def reference_of(command: Command) -> str | None:
    """The kiosk's own id of the order that a command makes."""
    params: Any = command.params
    return params.order.reference if isinstance(params, CreateOrder) and params.order is not None else None


def lookup_path(command: Command) -> str | None:
    """Where what a command made would be found."""
    if isinstance(command.params, CreatePayment):
        return f"{requests.order_path(command.params.order_id)}/transactions"
    reference = reference_of(command)
    return None if reference is None else requests.by_reference(reference)


def is_ours(command: Command, found: Reader) -> bool:
    """Whether something found at Doshii was made by this command."""
    if isinstance(command.params, CreatePayment):
        return found.text("reference") == (command.params.payment.reference or command.key)
    return found.text("externalOrderRef") == reference_of(command)


def made_by(raw: JsonObject) -> float | None:
    """The wall time, on whichever clock, by which Doshii had made it; None where it does not say."""
    told = Reader(raw).text("createdAt") or ""
    try:
        made = datetime.fromisoformat(told if ":" in told else "")  # a day alone says too little
    except ValueError:
        return None
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp() + CLOCKS_APART


def was_there(raw: JsonObject, accepted_at: float | None) -> bool:
    """Whether something was at Doshii before a command was accepted: references are the kiosk's, and may come again."""
    made = made_by(raw)
    return made is not None and accepted_at is not None and made < accepted_at


def rows_of(answer: JsonValue) -> list[JsonObject]:
    """The entries of a list, whether Doshii's page of it or a bare one."""
    rows = answer.get("rows") if isinstance(answer, dict) else answer
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def carried_out(command: Command, raw: JsonObject) -> Outcome:
    """A change that Doshii carried out, by what it shows now."""
    identity = Reader(raw).text("id")
    if isinstance(command.params, CreatePayment):
        ids = {"payment_id": identity} if identity else {}
        return succeeded({"payment_id": identity, "order": None}, raw, **ids)
    name = "order_id" if isinstance(command.params, CreateOrder) else "changes"  # an order is made by one command alone
    return succeeded({"order": answers.order(raw)}, raw, **({name: identity} if identity else {}))


def cancelled(raw: JsonValue, order_id: str) -> Outcome:
    """An order that is cancelled."""
    return succeeded({"order": answers.order(raw), "cancellation_id": None}, raw, changes=order_id)


def told_by(command: Command, answer: Answered) -> Outcome:
    """How a command ended that Doshii answered with 2xx."""
    raw = answer.json()
    match command.params:
        case CreateOrder() | CreatePayment() | UpdateOrder() | GetOrder():
            return carried_out(command, raw if isinstance(raw, dict) else {})
        case CancelOrder(order_id=order_id):
            return cancelled(raw, order_id)
        case ListOrders():
            orders: list[JsonValue] = [answers.order(row) for row in rows_of(raw)]
            return succeeded({"orders": orders}, raw)
        case GetMenu():
            return succeeded({"menu": raw}, raw)
        case _:
            return succeeded({"response": raw}, raw)
