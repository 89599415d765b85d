"""The statements of the journal. Each function is one operation: all of it happens, or none."""

import math
import sqlite3
from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen

from ordernpay.commands import Command
from ordernpay.journal.identities import DOUBTED, ids_of, recall, remember
from ordernpay.journal.rows import (
    Event,
    Figures,
    NewCommand,
    Row,
    Unknown,
    Unsettled,
    error_json,
    read_json,
    read_object,
    read_row,
)
from ordernpay.journal.states import OPEN, InvalidTransition, check
from ordernpay.jsontext import JsonObject, JsonValue, dumps
from ordernpay.outcomes import Outcome, State
from ordernpay.redaction import wordless

_LAST_CHARACTER = "\U0010ffff"


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
    found = connection.execute(
        "SELECT command_id FROM commands WHERE session = ? AND idempotency_key = ?", (command.session, command.key)
    ).fetchone()
    return _must(connection, found["command_id"]), False


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
        "UPDATE commands SET settled_at = ?, result = ?, error = ?, vendor = ?, note = coalesce(?, note)"
        " WHERE command_id = ?",
        (wall, _text(outcome.result), _text(error), dumps(outcome.vendor), note, command_id),
    )
    remember(connection, command_id, outcome.vendor_ids)
    row = _must(connection, command_id)
    data: JsonObject = {
        "command_id": row.command_id,
        "method": row.method,
        "idempotency_key": row.idempotency_key,
        "state": row.state,
        "result": row.result,
        "error": row.error,
    }
    return row, add_event(connection, row.session, "command.settled", data, outcome.vendor, wall)


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
        "INSERT INTO events (time, session, kind, data, vendor) VALUES (?, ?, ?, ?, ?)", (wall, session, kind, *texts)
    )
    return Event(cursor.lastrowid or 0, wall, session, kind, data, vendor, sum(map(len, texts)))


class Settling(Protocol):
    """News of a command: which one, by an identity at its vendor, and how it ended."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def outcome(self) -> Callable[[Command], Outcome]: ...
    @property
    def sole(self) -> str | None: ...
    @property
    def made_by(self) -> float | None: ...


class News(Protocol):
    """An event to write down, a command to settle, or both."""

    @property
    def kind(self) -> str | None: ...
    @property
    def data(self) -> JsonObject: ...
    @property
    def vendor(self) -> JsonValue: ...
    @property
    def settlement(self) -> Settling | None: ...
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
) -> Published | None:
    """Write news down, once for each name of a delivery; None where that was done before under one of its names."""
    names = (once,) if isinstance(once, str) else once or ()
    if [name for name in names if not _is_first(connection, session, name, wall, within)]:  # each of them is noted
        return None
    if of is not None:
        others = "DELETE FROM deliveries WHERE session = ? AND name <> ? AND name >= ? AND name < ?"
        connection.execute(others, (session, names[0] if names else None, of, of + _LAST_CHARACTER))
    if also is not None:
        _is_first(connection, session, also, wall, None)
    published = Published([], [])
    for report in news:
        if report.kind is not None and (report.known is None or recall(connection, session, *report.known)):
            published.events.append(add_event(connection, session, report.kind, report.data, report.vendor, wall))
        if report.settlement is not None:
            settled = settle_by_news(connection, session, report.settlement, wall)
            if settled is not None:
                published.settled.append(settled[0])
                published.events.append(settled[1])
    return published


def _is_first(connection: sqlite3.Connection, session: str, name: str, wall: float, within: float | None) -> bool:
    """Note a delivery; whether there was none of its name, or none for so long."""
    noted = connection.execute(
        "INSERT INTO deliveries (session, name, time) VALUES (?, ?, ?) ON CONFLICT (session, name)"
        " DO UPDATE SET time = excluded.time WHERE abs(excluded.time - deliveries.time) > ?",
        (session, name, wall, math.inf if within is None else within),
    )
    return noted.rowcount > 0


def settle_by_news(
    connection: sqlite3.Connection, session: str, news: Settling, wall: float
) -> tuple[Row, Event] | None:
    """Settle the newest command with this identity that is open or unknown, or that may have acted all the same.

    None where there is none, or where the news say nothing of its last try.
    """
    found = connection.execute(
        "SELECT command_id FROM vendor_ids JOIN commands USING (command_id)"
        " WHERE vendor_ids.session = ? AND name = ? AND value = ? AND accepted_at <= coalesce(?, accepted_at)"
        " AND (state IN ('sent', 'unknown') OR (state = 'accepted' AND sent_at IS NOT NULL)"
        " OR (state = 'failed' AND sent_at IS NOT NULL AND note IS NULL AND settled_at > ?))"
        " ORDER BY state = 'failed', seq DESC LIMIT 1",
        (session, news.name, news.value, news.made_by, wall - DOUBTED),
    ).fetchone()
    if found is None:
        return None
    row = _must(connection, found["command_id"])
    outcome = news.outcome(row.command())
    if outcome.state == "unknown":
        return None  # that is known already
    is_of_the_last_try = row.state == "unknown" or (row.state == "sent" and row.attempts == 1)
    if not is_of_the_last_try and outcome.state != "succeeded":
        return None  # a late no to an earlier try says nothing of the one under way, nor of the next
    if news.sole is not None and _is_of_another(connection, row, news.sole, outcome.vendor_ids.get(news.sole)):
        return None
    return settle(connection, row.command_id, outcome if row.whole else wordless(outcome), wall)


def _is_of_another(connection: sqlite3.Connection, row: Row, name: str, value: str | None) -> bool:
    """Whether what the vendor calls so was made by another command."""
    found = connection.execute(
        "SELECT 1 FROM vendor_ids WHERE session = ? AND name = ? AND value = ? AND command_id <> ?",
        (row.session, name, value, row.command_id),
    ).fetchone()
    return found is not None


# Reads


def get(connection: sqlite3.Connection, command_id: str) -> Row | None:
    """One command."""
    row = connection.execute("SELECT * FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    return None if row is None else read_row(row, ids_of(connection, command_id))


def open_commands(connection: sqlite3.Connection) -> list[Row]:
    """Every command that has no outcome yet, oldest first."""
    marks = ", ".join("?" for _ in OPEN)
    rows = connection.execute(f"SELECT * FROM commands WHERE state IN ({marks}) ORDER BY seq", OPEN)  # noqa: S608
    return [read_row(row, ids_of(connection, row["command_id"])) for row in rows.fetchall()]


def list_commands(
    connection: sqlite3.Connection,
    sessions: Sequence[str] | None,
    state: State | None,
    after: str | None,
    limit: int,
) -> list[Row]:
    """Commands, newest first, from the one that follows `after` in that order."""
    where, values = _filter("session", sessions)
    if state is not None:
        where, values = f"{where} AND state = ?", [*values, state]
    if after is not None:
        where = f"{where} AND seq < (SELECT seq FROM commands WHERE command_id = ?)"  # noqa: S608 - our own words
        values = [*values, after]
    query = f"SELECT * FROM commands WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own words and marks
    rows = connection.execute(query, (*values, limit)).fetchall()
    return [read_row(row, ids_of(connection, row["command_id"])) for row in rows]


def events_after(
    connection: sqlite3.Connection,
    seq: int,
    limit: int,
    sessions: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    size: float = math.inf,
) -> list[Event]:
    """Kept events above a number, in order: so many at most, and no more once their texts have come to this size."""
    by_session, session_values = _filter("session", sessions)
    by_kind, kind_values = _filter("kind", kinds)
    rows = connection.execute(
        f"SELECT * FROM events WHERE seq > ? AND {by_session} AND {by_kind} ORDER BY seq LIMIT ?",  # noqa: S608
        (seq, *session_values, *kind_values, limit),
    )
    events: list[Event] = []
    for row in rows:
        events.append(_read_event(row))
        size -= events[-1].size
        if size <= 0:
            break
    return events


def _read_event(row: sqlite3.Row) -> Event:
    data, vendor = row["data"], row["vendor"]
    told = read_object(data), read_json(vendor)
    return Event(row["seq"], row["time"], row["session"], row["kind"], *told, len(data) + len(vendor))


def event_bounds(connection: sqlite3.Connection) -> tuple[int, int]:
    """The number of the oldest kept event, and the last number given; the first is one above where none is kept."""
    last_given = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    last = last_given["seq"] if last_given else 0
    first = connection.execute("SELECT min(seq) AS first FROM events").fetchone()["first"]
    return (last + 1 if first is None else first), last


def unknown_by_session(connection: sqlite3.Connection) -> dict[str, Unsettled]:
    """The unknown commands of each session that has any."""
    rows = connection.execute(
        "SELECT session, count(*) AS n, min(accepted_at) AS at FROM commands WHERE state = 'unknown' GROUP BY session"
    )
    return {row["session"]: Unsettled(row["n"], row["at"]) for row in rows}


def figures(connection: sqlite3.Connection) -> Figures:
    """Counts for status and metrics."""
    states = {
        row["state"]: row["n"] for row in connection.execute("SELECT state, count(*) AS n FROM commands GROUP BY 1")
    }
    oldest = connection.execute(
        "SELECT command_id, session, accepted_at FROM commands WHERE state = 'unknown' ORDER BY accepted_at LIMIT 1"
    ).fetchone()
    first, last = event_bounds(connection)
    size = connection.execute("SELECT page_count * page_size AS n FROM pragma_page_count, pragma_page_size").fetchone()[
        "n"
    ]
    return Figures(states, None if oldest is None else Unknown(*oldest), first, last, size)


def _move(connection: sqlite3.Connection, command_id: str, to: State) -> None:
    was = _must(connection, command_id).state
    check(command_id, was, to)
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


def _filter(column: str, allowed: Sequence[str] | None) -> tuple[str, list[str]]:
    if allowed is None:
        return "1", []
    return f"{column} IN ({', '.join('?' for _ in allowed)})", list(allowed)


def _text(value: JsonValue) -> str | None:
    return None if value is None else dumps(value)
