"""The journal's statements that write. Each function is one operation: all of it happens, or none.

``lived_seconds()`` in them is how long the journal has been kept by a running daemon (see `lived`).
"""

import math
import sqlite3
from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from ordernpay.journal.identities import ids_of, recall, remember
from ordernpay.journal.lookups import find, get
from ordernpay.journal.rows import Event, NewCommand, Row, error_json, raw_json, read_event, read_or_stand_in
from ordernpay.journal.states import InvalidTransition, check
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.outcomes import Outcome, State
from ordernpay.redaction import wordless

_LAST_CHARACTER = "\U0010ffff"


class CommandMoved(Exception):
    """A command's state changed since it was read; nothing was written."""


def accept(connection: sqlite3.Connection, new: NewCommand) -> tuple[Row, bool]:
    """Write a command down, or find the one that has its key; tells which (true: written)."""
    command = new.command
    cursor = connection.execute(
        "INSERT INTO commands (command_id, session, method, idempotency_key, fingerprint, content, whole, state,"
        " timeout, deadline_at, peer_uid, accepted_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'accepted', ?, ?, ?, ?)"
        " ON CONFLICT (session, idempotency_key) DO NOTHING",
        (
            command.id,
            command.session,
            command.method,
            command.key,
            new.fingerprint(),
            dumps(new.content),
            new.whole,
            command.timeout,
            new.deadline_at,
            new.peer_uid,
            new.accepted_at,
        ),
    )
    if cursor.rowcount == 1:
        remember(connection, command.id, new.vendor_ids)
        return _must(connection, command.id), True
    found = find(connection, command.session, command.key)
    if found is None:
        raise LookupError(f"the key of command {command.id} is taken by none")
    if not found.fingerprint and found.damaged is None:  # a stand-in that learns what it stands for
        connection.execute(
            "UPDATE commands SET method = ?, fingerprint = ?, content = ?, whole = ? WHERE seq = ?",
            (command.method, new.fingerprint(), dumps(new.content), new.whole, found.seq),
        )
        found = _must(connection, found.command_id)
    return found, False


def mark_sent(connection: sqlite3.Connection, command_id: str, wall: float) -> None:
    """From here on bytes may go out."""
    _move(connection, command_id, "sent")
    connection.execute("UPDATE commands SET sent_at = ? WHERE command_id = ?", (wall, command_id))


def reopen(
    connection: sqlite3.Connection,
    command_id: str,
    to: State,
    timeout: float,
    deadline_at: float,
    vendor_ids: dict[str, str] | None = None,
) -> Row:
    """Give a settled command another try: `failed` to `accepted`, `unknown` to `sent`."""
    _must_be(connection, command_id, "failed" if to == "accepted" else "unknown", to)
    _move(connection, command_id, to)
    if vendor_ids is not None:
        connection.execute("DELETE FROM vendor_ids WHERE command_id = ?", (command_id,))
        remember(connection, command_id, vendor_ids)
    connection.execute(
        "UPDATE commands SET timeout = ?, deadline_at = ?, settled_at = NULL, result = NULL, error = NULL,"
        " vendor = NULL, attempts = attempts + 1 WHERE command_id = ?",
        (timeout, deadline_at, command_id),
    )
    return _must(connection, command_id)


def settle(
    connection: sqlite3.Connection, command_id: str, outcome: Outcome, wall: float, note: str | None = None
) -> tuple[Row, Event]:
    """Write an outcome down, and the event that tells it."""
    _move(connection, command_id, outcome.state)
    error = error_json(outcome, command_id)
    connection.execute(
        "UPDATE commands SET settled_at = ?, settled_lived = lived_seconds(), result = ?, error = ?, vendor = ?,"
        " note = coalesce(?, note) WHERE command_id = ?",
        (wall, _text(outcome.result), _text(error), dumps(outcome.vendor), note, command_id),
    )
    remember(connection, command_id, outcome.vendor_ids)
    row = _must(connection, command_id)
    return row, add_event(connection, row.session, "command.settled", _settled_data(row), outcome.vendor, wall)


def _settled_data(row: Row) -> JsonObject:
    return {
        "command_id": row.command_id,
        "method": row.method,
        "idempotency_key": row.idempotency_key,
        "state": row.state,
        "result": row.result,
        "error": row.error,
    }


def resolve(
    connection: sqlite3.Connection, command_id: str, verdict: Outcome, wall: float, note: str
) -> tuple[Row, Event]:
    """Write a person's verdict down: of a command that is `unknown`, and not of one that is being sent again."""
    _must_be(connection, command_id, "unknown", verdict.state)
    return settle(connection, command_id, verdict, wall, note)


def add_event(
    connection: sqlite3.Connection, session: str, kind: str, data: JsonObject, vendor: JsonValue, wall: float
) -> Event:
    """Write an event down; its number is one above the last."""
    texts = dumps(data), dumps(vendor)
    cursor = connection.execute(
        "INSERT INTO events (time, session, kind, data, vendor, lived) VALUES (?, ?, ?, ?, ?, lived_seconds())",
        (wall, session, kind, *texts),
    )
    return Event(cursor.lastrowid or 0, wall, session, kind, data, vendor, sum(map(len, texts)))


@frozen
class Verdict:
    """How a command ended by what its vendor said later.

    Attributes:
        row: the command as it was when that was read.
        outcome: what was read.
        unique_id: the name of the identity that one command alone may have: what it made at the vendor.
    """

    row: Row
    outcome: Outcome
    unique_id: str | None = None


class News(Protocol):
    """What may be an event to write down."""

    @property
    def kind(self) -> str | None: ...
    @property
    def data(self) -> JsonObject: ...
    @property
    def vendor(self) -> JsonValue: ...
    @property
    def known(self) -> tuple[str, str] | None: ...


@frozen
class Published:
    """What came of news."""

    events: list[Event]
    settled: list[Row]


def publish(
    connection: sqlite3.Connection,
    session: str,
    news: Sequence[News],
    once: str | tuple[str, ...] | None,
    wall: float,
    within: float | None = None,
    of: str | None = None,
    also: str | None = None,
    verdicts: Sequence[Verdict | None] = (),
) -> Published | None:
    """Write news and verdicts down, once for each name of a delivery; None where that was done under one of its names.

    Raises:
        CommandMoved: a verdict is of a state that does not last any more.
    """
    names = (once,) if isinstance(once, str) else once or ()
    if [name for name in names if not _is_first(connection, session, name, wall, within)]:  # each of them is noted
        return None
    if of is not None:
        others = "DELETE FROM deliveries WHERE session = ? AND name <> ? AND name >= ? AND name < ?"
        connection.execute(others, (session, names[0] if names else None, of, of + _LAST_CHARACTER))
    if also is not None:
        _is_first(connection, session, also, wall, None)
    published = Published([], [])
    for number, report in enumerate(news):
        if report.kind is not None and (report.known is None or recall(connection, session, *report.known)):
            published.events.append(add_event(connection, session, report.kind, report.data, report.vendor, wall))
        verdict = verdicts[number] if number < len(verdicts) else None
        if verdict is None or any(verdict.row.command_id == row.command_id for row in published.settled):
            continue
        settled = settle_by_verdict(connection, verdict, wall)
        if settled is not None:
            published.settled.append(settled[0])
            published.events.append(settled[1])
    return published


def _is_first(connection: sqlite3.Connection, session: str, name: str, wall: float, within: float | None) -> bool:
    """Note a delivery; whether there was none of its name, or none for so long.

    Within one run of the daemon that time has to have passed by its own count too: the wall clock may be stepped.
    """
    noted = connection.execute(
        "INSERT INTO deliveries (session, name, time, lived) VALUES (?1, ?2, ?3, lived_seconds())"
        " ON CONFLICT (session, name) DO UPDATE SET time = excluded.time, lived = excluded.lived"
        " WHERE abs(excluded.time - deliveries.time) > ?4"
        " AND (coalesce(deliveries.lived, 0) < lived_before() OR excluded.lived - deliveries.lived > ?4)",
        (session, name, wall, math.inf if within is None else within),
    )
    return noted.rowcount > 0


def settle_by_verdict(connection: sqlite3.Connection, verdict: Verdict, wall: float) -> tuple[Row, Event] | None:
    """Settle a command by what its vendor said later; None where that says nothing of its last try.

    Raises:
        CommandMoved: the command is not as it was when the vendor's word was read.
    """
    row, outcome = _must(connection, verdict.row.command_id), verdict.outcome
    if (row.state, row.attempts) != (verdict.row.state, verdict.row.attempts):
        raise CommandMoved(row.command_id)
    if outcome.state == "unknown":
        return None  # that is known already
    is_of_the_last_try = row.state == "unknown" or (row.state == "sent" and row.attempts == 1)
    if not is_of_the_last_try and outcome.state != "succeeded":
        return None  # a late no to an earlier try says nothing of the one under way, nor of the next
    unique = verdict.unique_id
    if unique is not None and _is_of_another(connection, row, unique, outcome.vendor_ids.get(unique)):
        return None
    return settle(connection, row.command_id, outcome if row.whole else wordless(outcome), wall)


def _is_of_another(connection: sqlite3.Connection, row: Row, name: str, value: str | None) -> bool:
    """Whether what the vendor calls so was made by another command."""
    found = connection.execute(
        "SELECT 1 FROM vendor_ids WHERE session = ? AND name = ? AND value = ? AND command_id <> ?",
        (row.session, name, value, row.command_id),
    ).fetchone()
    return found is not None


# Damaged records


def set_aside(connection: sqlite3.Connection, seq: int, wall: float) -> tuple[Row, Event] | None:
    """Keep a command's damaged record for a person to look at, and put its stand-in into its place.

    None where nothing is wrong with it (any more).
    """
    found = connection.execute("SELECT * FROM commands WHERE seq = ?", (seq,)).fetchone()
    row = None if found is None else read_or_stand_in(found, ids_of(connection, found["command_id"]))
    if row is None or row.damaged is None:
        return None
    keep(connection, f"command {row.command_id}", row.damaged, raw_json(found), wall)
    if row.command_id != found["command_id"]:
        connection.execute("DELETE FROM vendor_ids WHERE command_id = ?", (found["command_id"],))
    connection.execute("DELETE FROM commands WHERE seq = ?", (seq,))
    insert_stand_in(connection, row)
    remember(connection, row.command_id, row.vendor_ids)
    data = _settled_data(row)
    return row, add_event(connection, row.session, "command.settled", data, None, wall)


def insert_stand_in(connection: sqlite3.Connection, row: Row) -> None:
    """Write a stand-in down as the command that it stands for."""
    values: dict[str, Any] = {name: getattr(row, name) for name in _COLUMNS}
    values |= {"content": dumps(row.content), "error": _text(row.error)}
    marks = ", ".join(f":{name}" for name in _COLUMNS)
    connection.execute(
        f"INSERT INTO commands ({', '.join(_COLUMNS)}, settled_lived) VALUES ({marks}, lived_seconds())",  # noqa: S608
        values,
    )


def set_event_aside(connection: sqlite3.Connection, seq: int, wall: float) -> None:
    """Keep an event's damaged record for a person to look at, and put its stand-in into its place."""
    found = connection.execute("SELECT * FROM events WHERE seq = ?", (seq,)).fetchone()
    event = None if found is None else read_event(found)
    if event is None or event.damaged is None:
        return
    keep(connection, f"event {seq}", event.damaged, raw_json(found), wall)
    connection.execute(
        "UPDATE events SET time = ?, session = ?, kind = ?, data = ?, vendor = 'null' WHERE seq = ?",
        (event.time or wall, event.session, event.kind, dumps(event.data), seq),
    )


def keep(connection: sqlite3.Connection, what: str, reason: str, raw: str, wall: float) -> None:
    """Note what is damaged, where a person finds it."""
    connection.execute(
        "INSERT INTO damaged (what, reason, raw, time, lived) VALUES (?, ?, ?, ?, lived_seconds())",
        (what, reason, raw, wall),
    )


def _move(connection: sqlite3.Connection, command_id: str, to: State) -> None:
    found = connection.execute("SELECT state FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    if found is None:
        raise LookupError(f"no command {command_id} in the journal")
    check(command_id, found["state"], to)
    connection.execute("UPDATE commands SET state = ? WHERE command_id = ?", (to, command_id))


def _must_be(connection: sqlite3.Connection, command_id: str, expected: State, to: State) -> None:
    """Refuse a change that would be allowed, but from another state than the one that was seen when it was asked for."""
    was = _must(connection, command_id).state
    if was != expected:
        raise InvalidTransition(command_id, was, to)


def _must(connection: sqlite3.Connection, command_id: str) -> Row:
    row = get(connection, command_id)
    if row is None:
        raise LookupError(f"no command {command_id} in the journal")
    return row


def _text(value: JsonValue) -> str | None:
    return None if value is None else dumps(value)


_COLUMNS = (
    "seq",
    "command_id",
    "session",
    "method",
    "idempotency_key",
    "fingerprint",
    "content",
    "whole",
    "state",
    "timeout",
    "deadline_at",
    "attempts",
    "peer_uid",
    "accepted_at",
    "sent_at",
    "settled_at",
    "error",
    "note",
)
"""What a stand-in says of a command."""
