"""How a command ended, and the table of errors of the contract (section 2)."""

from typing import Final, Literal

from attrs import field, frozen

from ordernpay.jsontext import JsonObject, JsonValue

State = Literal["accepted", "sent", "succeeded", "rejected", "failed", "unknown"]
FinalState = Literal["succeeded", "rejected", "failed", "unknown"]

STATES: Final[tuple[State, ...]] = ("accepted", "sent", "succeeded", "rejected", "failed", "unknown")


@frozen
class Kind:
    """One row of the contract's error table."""

    code: int
    name: str
    state: FinalState | None
    retryable: bool


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(-32602, "invalid_params", None, retryable=False),
        Kind(-32000, "session_unavailable", "failed", retryable=True),
        Kind(-32001, "too_large", None, retryable=False),
        Kind(-32002, "overloaded", None, retryable=True),
        Kind(-32003, "forbidden", None, retryable=False),
        Kind(-32004, "unsupported", None, retryable=False),
        Kind(-32005, "idempotency_conflict", None, retryable=False),
        Kind(-32006, "shutting_down", None, retryable=True),
        Kind(-32007, "unknown_session", None, retryable=False),
        Kind(1001, "rejected", "rejected", retryable=False),
        Kind(1002, "not_found", "rejected", retryable=False),
        Kind(1003, "out_of_stock", "rejected", retryable=False),
        Kind(1004, "unauthorised", "rejected", retryable=False),
        Kind(1005, "conflict", "rejected", retryable=False),
        Kind(1006, "outcome_unknown", "unknown", retryable=True),
        Kind(1007, "expired", "failed", retryable=True),
        Kind(1008, "vendor_unavailable", "failed", retryable=True),
    )
}


@frozen
class Failure:
    """Why a command did not succeed, as its caller is told."""

    kind: str
    message: str
    vendor_code: str | int | None = None
    vendor_message: str | None = None
    details: JsonValue = None
    retryable: bool | None = None

    @property
    def code(self) -> int:
        """The JSON-RPC error code of this kind."""
        return KINDS[self.kind].code

    def data(self, command_id: str | None, state: str | None) -> JsonObject:
        """The `data` of the JSON-RPC error, with at least the contract's members."""
        return {
            "kind": self.kind,
            "command_id": command_id,
            "state": state,
            "retryable": KINDS[self.kind].retryable if self.retryable is None else self.retryable,
            "vendor_code": self.vendor_code,
            "vendor_message": self.vendor_message,
            "details": self.details,
        }


@frozen
class Outcome:
    """How a command ended: with a result, or with a failure. `vendor` is the vendor's own answer, untouched."""

    state: FinalState
    result: JsonObject | None = None
    failure: Failure | None = None
    vendor: JsonValue = None
    vendor_ids: dict[str, str] = field(factory=dict)


class Refused(Exception):
    """A call that was answered with an error before anything was written or sent."""

    def __init__(self, failure: Failure, *, command_id: str | None = None, state: str | None = None) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.command_id = command_id
        self.state = state


def succeeded(result: JsonObject, vendor: JsonValue = None, **vendor_ids: str) -> Outcome:
    """The vendor did it."""
    return Outcome("succeeded", result=result, vendor=vendor, vendor_ids=vendor_ids)


def ended(failure: Failure, vendor: JsonValue = None) -> Outcome:
    """Any other end; the state follows from the kind."""
    return Outcome(KINDS[failure.kind].state or "failed", failure=failure, vendor=vendor)


def unknown(why: str, *, retryable: bool = True) -> Outcome:
    """Sent, and nobody can tell whether it acted."""
    return ended(Failure("outcome_unknown", why, retryable=retryable))


def expired(why: str) -> Outcome:
    """The timeout passed before a byte was sent; it will not be sent."""
    return ended(Failure("expired", why))


def session_unavailable(why: str) -> Outcome:
    """The session is down and the caller did not want to wait; never sent."""
    return ended(Failure("session_unavailable", why))
