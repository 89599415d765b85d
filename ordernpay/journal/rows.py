"""Records of the journal as objects. A record that cannot be read is a stand-in for what was there, never an error.

The stand-in of a command is `unknown`: what it did is not known any more, and its key must not act again. The stand-in
of an event keeps its number, so that those who follow find no hole.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

from ordernpay.clock import rfc3339
from ordernpay.commands import COMMANDS, Command, restore
from ordernpay.journal.states import OPEN
from ordernpay.jsontext import JsonError, JsonObject, JsonValue, dumps, loads
from ordernpay.outcomes import KINDS, STATES, Failure, Outcome, State, unknown

_DEPTH: Final = 150
_LAST_TIME: Final = 253_402_300_799.0
"""The last second that a date of four digits can say."""


class Damaged(ValueError):
    """A record cannot be read; the text names the column and what is wrong with it, without its content."""


@frozen
class Event:
    """Something that happened, kept so that a kiosk can catch up.

    Attributes:
        size: the length of its text in the journal.
        damaged: what cannot be read of it.
    """

    seq: int
    time: float
    session: str
    kind: str
    data: JsonObject
    vendor: JsonValue = None
    size: int = field(default=0, eq=False)
    damaged: str | None = None

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
    """A command as the journal has it. `damaged`: what cannot be read of it."""

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
    damaged: str | None = None

    def asks_the_same(self, new: NewCommand) -> bool:
        """Whether a call with its key asks for the same; where it is not known any more what it asked for, it may."""
        return self.fingerprint in {b"", new.fingerprint()}

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


def read_row(row: Mapping[str, Any], vendor_ids: dict[str, str]) -> Row:
    """Read a record of the table `commands`.

    Args:
        row: its columns.
        vendor_ids: its identities at the vendor.

    Raises:
        Damaged: a column of it is not what this program writes.
    """
    values: dict[str, Any] = {name: _checked(name, row[name], check) for name, check in _COMMAND.items()}
    for name in ("content", "result", "error", "vendor"):
        values[name] = None if values[name] is None else _parsed(name, values[name])
    values["whole"] = bool(values["whole"])
    made = Row(vendor_ids=vendor_ids, **values)
    content: Any = made.content
    error: Any = made.error
    if not isinstance(content, dict) or not all(isinstance(content.get(part), dict) for part in ("params", "options")):
        raise Damaged("content: not a command's")
    if made.method not in COMMANDS and made.state != "unknown":  # which a stand-in is
        raise Damaged("method: none of ours")
    is_open = made.state in OPEN
    if is_open != (made.settled_at is None):
        raise Damaged("settled_at: does not go with the state")
    if made.result is not None and not isinstance(made.result, dict):
        raise Damaged("result: not an object")
    if made.state == "succeeded" and made.result is None:
        raise Damaged("result: missing")
    if error is not None and not _is_error(error):
        raise Damaged("error: not an error's")
    if error is None and not is_open and made.state != "succeeded":
        raise Damaged("error: missing")
    return made


def read_or_stand_in(row: Mapping[str, Any], vendor_ids: dict[str, str]) -> Row:
    """Read a record of the table `commands`, or say as `unknown` what can still be said of it."""
    try:
        return read_row(row, vendor_ids)
    except Damaged as error:
        return stand_in(row, vendor_ids, str(error))


def stand_in(row: Mapping[str, Any], vendor_ids: dict[str, str], why: str) -> Row:
    """What can still be said of a command whose record is damaged: that it is `unknown`, and which one it was."""
    known = {name: row[name] if check(row[name]) else None for name, check in _COMMAND.items()}
    seq: int = row["seq"]
    accepted_at = known["accepted_at"] or known["settled_at"] or 0.0
    command_id = known["command_id"] or f"damaged-{seq}"
    said = f"its record in the journal is damaged ({why}): look at the vendor whether it was done"
    outcome = unknown(said, retryable=False)
    method = known["method"] or ""
    return Row(
        seq=seq,
        command_id=command_id,
        session=known["session"] or "",
        method=method,
        idempotency_key=known["idempotency_key"] or f"damaged-{seq}",
        fingerprint=known["fingerprint"] or b"",
        content={"method": method, "params": {}, "options": {}},
        whole=False,
        state="unknown",
        timeout=known["timeout"] or 0.0,
        deadline_at=known["deadline_at"] or accepted_at,
        attempts=known["attempts"] or 1,
        peer_uid=known["peer_uid"],
        accepted_at=accepted_at,
        sent_at=known["sent_at"] or accepted_at,
        settled_at=known["settled_at"] or accepted_at,
        result=None,
        error=error_json(outcome, command_id),
        vendor=None,
        note=known["note"],
        vendor_ids=vendor_ids,
        damaged=why,
    )


def read_event(row: Mapping[str, Any]) -> Event:
    """Read a record of the table `events`; one that is damaged keeps its number."""
    try:
        values = {name: _checked(name, row[name], check) for name, check in _EVENT.items()}
        data = _parsed("data", values["data"])
        if not isinstance(data, dict):
            raise Damaged("data: not an object")
        vendor = _parsed("vendor", values["vendor"])
    except Damaged as error:
        known = {name: row[name] if check(row[name]) else None for name, check in _EVENT.items()}
        kind = known["kind"] or "vendor.event"
        told: JsonObject = {"damaged": str(error)}
        return Event(row["seq"], known["time"] or 0.0, known["session"] or "", kind, told, size=100, damaged=str(error))
    size = len(values["data"]) + len(values["vendor"])
    return Event(row["seq"], values["time"], values["session"], values["kind"], data, vendor, size)


def raw_json(row: Mapping[str, Any]) -> str:
    """A record as it is, for a person to look at."""
    return dumps({name: _shown(row[name]) for name in row.keys()})  # noqa: SIM118 - sqlite3.Row iterates over values


def _shown(value: Any) -> JsonValue:
    if isinstance(value, str):
        return value.encode(errors="surrogateescape").decode(errors="backslashreplace")
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    shown: JsonValue = value
    return shown


def _checked(name: str, value: Any, check: Callable[[Any], bool]) -> Any:
    if not check(value):
        raise Damaged(f"{name}: not what was written there")
    return value


def _parsed(name: str, text: str) -> Any:
    try:
        return loads(
            text, max_depth=_DEPTH, max_nodes=None
        )  # a vendor's answer may stand inside an error inside an event
    except JsonError as error:
        raise Damaged(f"{name}: {error}") from None


def _is_error(error: JsonValue) -> bool:
    if not isinstance(error, dict):
        return False
    data = error.get("data")
    return (
        isinstance(data, dict)
        and isinstance(error.get("message"), str)
        and data.keys() >= {"kind", "retryable", "vendor_code", "vendor_message", "details"}
        and isinstance(data["kind"], str)
        and data["kind"] in KINDS
    )


def is_text(value: Any) -> bool:
    """Whether it is text, all of it."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_name(value: Any) -> bool:
    return is_text(value) and value != ""


def _is_time(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= _LAST_TIME


def _is_whole(value: Any) -> bool:
    return isinstance(value, int)


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_COMMAND: Final[Mapping[str, Callable[[Any], bool]]] = {
    "seq": _is_whole,
    "command_id": _is_name,
    "session": is_text,
    "method": is_text,
    "idempotency_key": _is_name,
    "fingerprint": lambda value: isinstance(value, bytes),
    "content": is_text,
    "whole": _is_whole,
    "state": lambda value: value in STATES,
    "timeout": lambda value: isinstance(value, float) and 0 <= value <= _LAST_TIME,
    "deadline_at": _is_time,
    "attempts": _is_whole,
    "peer_uid": _or_none(_is_whole),
    "accepted_at": _is_time,
    "sent_at": _or_none(_is_time),
    "settled_at": _or_none(_is_time),
    "result": _or_none(is_text),
    "error": _or_none(is_text),
    "vendor": _or_none(is_text),
    "note": _or_none(is_text),
}
"""The columns of a command, and what each may hold."""

_EVENT: Final[Mapping[str, Callable[[Any], bool]]] = {
    "seq": _is_whole,
    "time": _is_time,
    "session": is_text,
    "kind": _is_name,
    "data": is_text,
    "vendor": is_text,
}


def _told(wall: float | None) -> str | None:
    return None if wall is None else rfc3339(wall)
