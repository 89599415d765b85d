"""What an answer, a list or an order of Doshii says of a command: whether it is ours, and how it ended. Pure.

An answer of 2xx is Doshii's word only where it shows what Doshii's pages promise:

| request                   | what its answer must hold                                                        |
|---------------------------|----------------------------------------------------------------------------------|
| an order made or read     | its `id` and `status`; where it names a reference, a location or an id, the right one |
| an order cancelled        | the same, and a status that says so                                              |
| a payment                 | its `id`, and a status or the reference that was sent                            |
| a list                    | `rows` (page Get Orders), or the bare array of a table's orders and of payments  |
| a menu                    | `products`, or its `version`                                                     |

Anything else, a portal's page or an empty object, is no success of a change, and no list in which something is missing.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import evolve, frozen

from ordernpay.commands import (
    CancelOrder,
    Command,
    CreateOrder,
    CreatePayment,
    GetMenu,
    GetOrder,
    UpdateOrder,
)
from ordernpay.jsontext import JsonObject, JsonValue
from ordernpay.outcomes import Failure, Outcome, ended, succeeded, unknown
from ordernpay.vendors.doshii import answers, requests, wire
from ordernpay.vendors.http import Answered
from ordernpay.vendors.reading import Reader
from ordernpay.vendors.tries import refusal

CONFLICT: Final = 409
TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
REFUSALS: Final = frozenset(range(400, 500))
OPEN: Final = frozenset({"pending", "accepted"})
CANCELLED: Final = frozenset({"cancelled", "venue_cancelled"})
CLOSED: Final = CANCELLED | {"rejected", "complete"}
PAYMENT_STATUSES: Final = frozenset({"requested", "pending", "waiting", "cancelled", "rejected", "complete"})
NOT_PAID: Final = frozenset({"rejected", "cancelled"})
CLOCKS_APART: Final = 600.0
"""Seconds by which Doshii's clock and ours may differ: with more it refuses our tokens."""


# Answers


def shows(command: Command, location: str) -> Callable[[Answered], bool]:
    """What an answer of 2xx to this command must hold."""
    params: Any = command.params
    match params:
        case CreateOrder():
            return lambda answer: is_order(answer.json(), location, reference=reference_of(command))
        case CreatePayment():
            return lambda answer: is_payment(answer.json(), command)
        case CancelOrder() | UpdateOrder() | GetOrder():
            wanted = CANCELLED if isinstance(params, CancelOrder) else None
            return lambda answer: is_order(answer.json(), location, order_id=params.order_id, statuses=wanted)
        case GetMenu():
            return lambda answer: is_menu(answer.json())
        case _:
            return lambda answer: answer.json() is not None or not answer.body.strip()


def is_order(
    raw: JsonValue,
    location: str,
    *,
    order_id: str | None = None,
    reference: str | None = None,
    statuses: frozenset[str] | None = None,
) -> bool:
    """Whether this is an order of Doshii: of this location, with this id and reference, in one of these states."""
    order = Reader(raw if isinstance(raw, dict) else {})
    identity, status = answers.identity(order, "id"), answers.status(order)
    if identity is None or status is None or answers.is_elsewhere(location, order.raw):
        return False
    named = order.text("externalOrderRef")
    if reference is not None and named is not None and named != reference:
        return False
    if order_id is not None and identity.lower() != order_id.strip().lower():
        return False
    known = statuses or wire.STATUSES
    return status in known or (statuses is None and reference is not None and named == reference)


def is_payment(raw: JsonValue, command: Command) -> bool:
    """Whether this can be the payment that a command made."""
    params: Any = command.params
    payment = Reader(raw if isinstance(raw, dict) else {})
    order_id = payment.text("orderId")
    if answers.identity(payment, "id") is None or (order_id is not None and order_id != params.order_id):
        return False
    named, ours = payment.text("reference"), payment_reference(command)
    return named == ours if named is not None else answers.status(payment) in PAYMENT_STATUSES


def is_menu(raw: JsonValue) -> bool:
    """Whether this is a menu of Doshii."""
    menu = Reader(raw if isinstance(raw, dict) else {})
    return menu.objects("products") is not None or menu.text("version") is not None


def is_closed(order: Reader) -> bool:
    """Whether an order is in a state that no change is allowed in any more."""
    return answers.status(order) in CLOSED


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


def final(late: Callable[[Answered], None], *, doubtful: bool = False) -> Callable[[Answered], None]:
    """Leave out late answers that prove nothing: after a change that was not answered a refusal, ever a 429 and a 503."""

    def on_late(answer: Answered) -> None:
        if answer.ok or (not doubtful and answer.status not in {TOO_MANY, UNAVAILABLE}):
            late(answer)

    return on_late


# What a command may have made


@frozen
class Contested:
    """What was found can be another command's as well, or cannot be read: it says neither yes nor no."""

    why: str


def reference_of(command: Command) -> str | None:
    """The kiosk's own id of the order that a command makes."""
    params: Any = command.params
    return params.order.reference if isinstance(params, CreateOrder) and params.order is not None else None


def payment_reference(command: Command) -> str:
    """What a payment can be found by: the kiosk's own reference, or the command's key."""
    params: Any = command.params
    return params.payment.reference or command.key


def known_by(command: Command) -> tuple[str, str] | None:
    """Name and value of what the journal finds this command and its rivals by; None where it makes nothing."""
    if isinstance(command.params, CreatePayment):
        return requests.PAYMENT, payment_reference(command)
    reference = reference_of(command)
    return None if reference is None else (requests.ORDER, reference)


def lookup_path(command: Command) -> str | None:
    """Where what a command made would be found."""
    if isinstance(command.params, CreatePayment):
        return f"{requests.order_path(command.params.order_id)}/transactions"
    reference = reference_of(command)
    return None if reference is None else requests.by_reference(reference)


def is_ours(command: Command, found: Reader, location: str) -> bool:
    """Whether something found at Doshii has the reference of this command."""
    if isinstance(command.params, CreatePayment):
        return found.text("reference") == payment_reference(command)
    return found.text("externalOrderRef") == reference_of(command) and not answers.is_elsewhere(location, found.raw)


def may_share(command: Command, other: Command) -> bool:
    """Whether what one command made can be taken for what another has made."""
    one: Any = command.params
    two: Any = other.params
    if isinstance(one, CreatePayment):
        return isinstance(two, CreatePayment) and one.order_id == two.order_id
    return isinstance(two, CreateOrder)


def was_there(raw: JsonObject, accepted_at: float | None) -> bool:
    """Whether something was at Doshii before a command was accepted: references are the kiosk's, and may come again."""
    made = made_by(raw)
    return made is not None and accepted_at is not None and made < accepted_at


def made_by(raw: JsonObject) -> float | None:
    """The wall time, on whichever clock, by which Doshii had made it; None where it does not say."""
    told = Reader(raw).text("createdAt") or ""
    try:
        made = datetime.fromisoformat(told if ":" in told else "")  # a day alone says too little
    except ValueError:
        return None
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp() + CLOCKS_APART


def content(raw: JsonValue) -> Hashable:
    """What an order or a payment is made of, in whatever spelling: the same for what was sent and what was made of it."""
    reader = Reader(raw if isinstance(raw, dict) else {})
    if reader.objects("items") is None:
        tip = wire.money(reader.get("tip"))
        return wire.money(reader.get("amount")), tip or wire.ZERO, (reader.text("method") or "").lower()
    items = Counter(_item(item) for item in reader.objects("items") or [])
    surcounts = Counter(wire.money(surcount.get("value")) for surcount in reader.objects("surcounts") or [])
    at = reader.moment("requiredAt")
    notes = " ".join((reader.text("notes") or "").split())
    return (reader.text("type"), notes, at, frozenset(items.items()), frozenset(surcounts.items()))


def _item(item: Reader) -> Hashable:
    variants = sorted(
        str(variant.text("posId"))
        for option in item.objects("options") or []
        for variant in option.objects("variants") or []
    )
    amounts = [wire.money(item.get(name)) for name in ("unitPrice", "totalAfterSurcounts")]
    return (item.text("posId"), item.text("name"), item.whole("quantity"), *amounts, tuple(variants))


def pick(ours: JsonValue, theirs: Sequence[JsonValue], found: Sequence[JsonObject]) -> JsonObject | Contested | None:
    """Which of the orders or payments that were found a command has made.

    Args:
        ours: what the command sent.
        theirs: what other commands sent that may have made them as well: the same reference, and no outcome yet.
        found: those that have its reference and are not known to be another command's.
    """
    if not theirs:
        likely = [raw for raw in found if _may_be(raw, ours)]
        if found and not likely:
            return Contested("a payment with its reference is there, of another amount")
        fitting = [raw for raw in likely if content(raw) == content(ours)]
        return next(iter(fitting or likely), None)
    fitting = [raw for raw in found if content(raw) == content(ours)]
    others = {content(sent) for sent in theirs}
    if content(ours) not in others and fitting:
        return fitting[0]
    if any(content(raw) not in others or content(raw) == content(ours) for raw in found):
        return Contested("another command with its reference was not answered either, and they cannot be told apart")
    return None


def _may_be(raw: JsonObject, sent: JsonValue) -> bool:
    """Whether a payment is of the amount that was sent, as far as it says. An order may be changed by the POS."""
    if not isinstance(sent, dict) or "items" in sent:
        return True
    return wire.money(raw.get("amount")) in {None, wire.money(sent.get("amount"))}


# Outcomes


def carried_out(command: Command, raw: JsonObject) -> Outcome:
    """How a change ended that Doshii carried out, by what it shows now."""
    reader = Reader(raw)
    identity = answers.identity(reader, "id")
    if isinstance(command.params, CreatePayment):
        ids = {"payment_id": identity} if identity else {}
        outcome = succeeded({"payment_id": identity, "order": None}, raw, **ids)
        return _refused("payment", reader, outcome) if answers.status(reader) in NOT_PAID else outcome
    made = isinstance(command.params, CreateOrder)
    name = "order_id" if made else "changes"  # an order is made by one command alone
    outcome = succeeded({"order": answers.order(raw)}, raw, **({name: identity} if identity else {}))
    return _refused("order", reader, outcome) if made and answers.status(reader) == "rejected" else outcome


def _refused(what: str, reader: Reader, outcome: Outcome) -> Outcome:
    """The POS has said no to what was made; the id is kept, so that it is nobody else's."""
    code, said = reader.text("rejectionCode"), reader.text("rejectionReason")
    text = f"the {what} was made, and is {answers.status(reader)}" + (f": {said}" if said else "")
    failure = Failure("rejected", text, vendor_code=code, vendor_message=said)
    return evolve(ended(failure, outcome.vendor), vendor_ids=outcome.vendor_ids)


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
        case GetMenu():
            return succeeded({"menu": raw}, raw)
        case _:
            return succeeded({"response": raw}, raw)


# Lists


def rows_of(answer: JsonValue, *, bare: bool) -> list[JsonObject] | None:
    """The entries of a list; None where this is no list of Doshii.

    Args:
        answer: one page of it.
        bare: whether the page of this list shows a bare array; another has its entries in `rows`.
    """
    rows = Reader(answer).get("rows") if isinstance(answer, dict) else answer if bare else None
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


@frozen
class Page:
    """One page of a list: its entries, and how many entries there are in all, and on a page, as far as it says."""

    rows: list[JsonObject]
    count: int | None
    limit: int | None

    @classmethod
    def of(cls, answer: JsonValue, *, bare: bool) -> "Page | None":
        """Read a page; None where it is none."""
        rows = rows_of(answer, bare=bare)
        if rows is None:
            return None
        head = Reader(answer if isinstance(answer, dict) else {})
        return cls(rows, head.whole("count"), head.whole("limit"))

    def ends(self, offset: int) -> bool:
        """Whether nothing follows this page, which begins at this entry.

        A server may put fewer on a page than it was asked for; and a count may be of the page alone.
        """
        come = offset + len(self.rows)
        if not self.rows:
            return True
        if self.count is not None and self.count > come:
            return False
        if len(self.rows) >= (self.limit or requests.MOST_LISTED):
            return self.count is not None and offset > 0
        return self.count is not None or self.limit is not None
