"""What the journal holds, as objects, and what it says of itself."""

import hashlib
import sqlite3
from typing import Any, Final

from attrs import field, frozen

from ordernpay.clock import rfc3339
from ordernpay.commands import Command, restore
from ordernpay.jsontext import JsonObject, JsonValue, dumps, loads
from ordernpay.outcomes import KINDS, Failure, Outcome, State

_DEPTH: Final = 150


@frozen
class Event:
    """Something that happened, kept so that a kiosk can catch up. `size` is the length of its text in the journal."""

    seq: int
    time: float
    session: str
    kind: str
    data: JsonObject
    vendor: JsonValue = None
    size: int = field(default=0, eq=False)

    def as_json(self) -> JsonObject:
        """The event as subscribers get it."""
        return {
            "seq": self.seq,
            "time": rfc3339(self.time),
            "session": self.session,
            "kind": self.kind,
            "data": self.data,
            "vendor": self.vendor,
        }


@frozen
class NewCommand:
    """A command about to be accepted. `content` is what may be kept of it; `deadline_at` is wall time."""

    command: Command
    content: JsonObject
    whole: bool
    deadline_at: float
    accepted_at: float
    peer_uid: int | None = None
    vendor_ids: dict[str, str] = field(factory=dict)

    def fingerprint(self) -> bytes:
        """The same for two calls that ask the same."""
        return hashlib.sha256(dumps(self.content, sort_keys=True).encode()).digest()


@frozen
class Row:
    """A command as the journal has it."""

    seq: int
    command_id: str
    session: str
    method: str
    idempotency_key: str
    fingerprint: bytes
    content: JsonObject
    whole: bool
    state: State
    timeout: float
    deadline_at: float
    attempts: int
    peer_uid: int | None
    accepted_at: float
    sent_at: float | None
    settled_at: float | None
    result: JsonObject | None
    error: JsonObject | None
    vendor: JsonValue
    note: str | None
    vendor_ids: dict[str, str]

    def command(self) -> Command:
        """The command again, as far as it was kept."""
        params: Any = self.content["params"]
        options: Any = self.content["options"]
        return Command(
            id=self.command_id,
            session=self.session,
            method=self.method,
            params=restore(self.method, params),
            options=options,
            key=self.idempotency_key,
            timeout=self.timeout,
        )

    def outcome(self) -> Outcome:
        """How it ended; only for a row that has."""
        failure = None
        if self.error is not None:
            data: Any = self.error["data"]
            failure = Failure(
                kind=data["kind"],
                message=str(self.error["message"]),
                vendor_code=data["vendor_code"],
                vendor_message=data["vendor_message"],
                details=data["details"],
                retryable=data["retryable"],
            )
        state: Any = self.state
        return Outcome(state, self.result, failure, self.vendor, self.vendor_ids)

    def as_json(self) -> JsonObject:
        """The row as `command.get` tells it."""
        ids: JsonObject = dict(self.vendor_ids)
        return {
            "command_id": self.command_id,
            "session": self.session,
            "method": self.method,
            "idempotency_key": self.idempotency_key,
            "state": self.state,
            "accepted_at": rfc3339(self.accepted_at),
            "sent_at": _told(self.sent_at),
            "settled_at": _told(self.settled_at),
            "deadline_at": rfc3339(self.deadline_at),
            "attempts": self.attempts,
            "peer_uid": self.peer_uid,
            "params": self.content["params"],
            "options": self.content["options"],
            "result": self.result,
            "error": self.error,
            "vendor": self.vendor,
            "vendor_ids": ids,
            "note": self.note,
        }


@frozen
class Unknown:
    """A command whose outcome nobody knows."""

    command_id: str
    session: str
    accepted_at: float


@frozen
class Unsettled:
    """The unknown commands of one session: how many, and when the oldest was accepted."""

    count: int
    oldest_at: float


@frozen
class Figures:
    """The journal's own figures."""

    states: dict[str, int]
    oldest_unknown: Unknown | None
    first_seq: int
    last_seq: int
    bytes: int


def error_json(outcome: Outcome, command_id: str) -> JsonObject | None:
    """An outcome's failure as the JSON-RPC error that its caller gets."""
    failure = outcome.failure
    if failure is None:
        return None
    return {
        "code": KINDS[failure.kind].code,
        "message": failure.message,
        "data": failure.data(command_id, outcome.state),
    }


def read_row(row: sqlite3.Row, vendor_ids: dict[str, str]) -> Row:
    """A row of the table `commands`."""
    values: dict[str, Any] = {name: row[name] for name in row.keys()}  # noqa: SIM118 - sqlite3.Row iterates over values
    for name in ("content", "result", "error", "vendor"):
        values[name] = None if values[name] is None else read_json(values[name])
    values["whole"] = bool(values["whole"])
    return Row(vendor_ids=vendor_ids, **values)


def read_json(text: str) -> JsonValue:
    """A value that the journal wrote; it may hold a vendor's answer inside an error inside an event."""
    return loads(text, max_depth=_DEPTH, max_nodes=None)


def read_object(text: str) -> JsonObject:
    """An object that the journal wrote."""
    value = read_json(text)
    return value if isinstance(value, dict) else {}


def _told(wall: float | None) -> str | None:
    return None if wall is None else rfc3339(wall)
