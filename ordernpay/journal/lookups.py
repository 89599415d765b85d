"""The journal's statements that read. A damaged record comes as its stand-in (see `rows`); the rest is as it was."""

import itertools
import math
import sqlite3
from collections.abc import Sequence
from typing import Protocol

from attrs import frozen

from ordernpay.journal.identities import DOUBTED, ids_of
from ordernpay.journal.rows import Event, Row, read_event, read_or_stand_in
from ordernpay.journal.states import OPEN
from ordernpay.outcomes import STATES, State

_NEWEST_DAMAGED = 20


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
    """The journal's own figures.

    Attributes:
        states: how many commands are in each.
        oldest_unknown: of those whose outcome nobody knows.
        first_seq: of the oldest kept event.
        last_seq: of the last event.
        bytes: what its files take on the disk.
        wal_bytes: what the write-ahead log takes of that.
        damaged: how many records and files were set aside.
        newest_damaged: which these are, the newest first; not all where there are many.
    """

    states: dict[str, int]
    oldest_unknown: Unknown | None
    first_seq: int
    last_seq: int
    bytes: int = 0
    wal_bytes: int = 0
    damaged: int = 0
    newest_damaged: tuple[str, ...] = ()


class Match(Protocol):
    """Which command a vendor's later word is about, by an identity there; `made_by` is the wall time by which it was done."""

    @property
    def name(self) -> str: ...
    @property
    def value(self) -> str: ...
    @property
    def made_by(self) -> float | None: ...


def get(connection: sqlite3.Connection, command_id: str) -> Row | None:
    """One command."""
    row = connection.execute("SELECT * FROM commands WHERE command_id = ?", (command_id,)).fetchone()
    return None if row is None else read_or_stand_in(row, ids_of(connection, command_id))


def find(connection: sqlite3.Connection, session: str, key: str) -> Row | None:
    """The command that has an idempotency key."""
    query = "SELECT * FROM commands WHERE session = ? AND idempotency_key = ?"
    row = connection.execute(query, (session, key)).fetchone()
    return None if row is None else read_or_stand_in(row, ids_of(connection, row["command_id"]))


def match(connection: sqlite3.Connection, session: str, wanted: Match, wall: float) -> Row | None:
    """The newest command with this identity that is open or unknown, or that may have acted all the same."""
    row = connection.execute(
        "SELECT commands.* FROM vendor_ids JOIN commands USING (command_id)"
        " WHERE vendor_ids.session = ? AND name = ? AND value = ? AND accepted_at <= coalesce(?, accepted_at)"
        " AND (state IN ('sent', 'unknown') OR (state = 'accepted' AND sent_at IS NOT NULL)"
        " OR (state = 'failed' AND sent_at IS NOT NULL AND note IS NULL"
        " AND (settled_at > ? OR settled_lived > lived_seconds() - ?)))"
        " ORDER BY state = 'failed', seq DESC LIMIT 1",
        (session, wanted.name, wanted.value, wanted.made_by, wall - DOUBTED, DOUBTED),
    ).fetchone()
    return None if row is None else read_or_stand_in(row, ids_of(connection, row["command_id"]))


def open_commands(connection: sqlite3.Connection) -> list[Row]:
    """Every command that has no outcome yet, oldest first."""
    marks = ", ".join("?" for _ in OPEN)
    rows = connection.execute(f"SELECT * FROM commands WHERE state IN ({marks}) ORDER BY seq", OPEN)  # noqa: S608
    return [read_or_stand_in(row, ids_of(connection, row["command_id"])) for row in rows.fetchall()]


def list_commands(
    connection: sqlite3.Connection,
    sessions: Sequence[str] | None,
    state: State | None,
    after: str | None,
    limit: int,
    size: float = math.inf,
) -> list[Row]:
    """Commands, newest first, from the one that follows `after`: at most `limit`, and no more once they are of this size."""
    where, values = _filter("session", sessions)
    if state is not None:
        where, values = f"{where} AND state = ?", [*values, state]
    if after is not None:
        where = f"{where} AND seq < (SELECT seq FROM commands WHERE command_id = ?)"  # noqa: S608 - our own words
        values = [*values, after]
    query = f"SELECT * FROM commands WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608 - our own words and marks
    found: list[Row] = []
    for row in connection.execute(query, (*values, limit)):
        found.append(read_or_stand_in(row, ids_of(connection, row["command_id"])))
        size -= sum(len(entry) for entry in row if isinstance(entry, str))
        if size <= 0:
            break
    return found


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
        events.append(read_event(row))
        size -= events[-1].size
        if size <= 0:
            break
    return events


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
    count = connection.execute("SELECT count(*) AS n FROM damaged").fetchone()["n"]
    newest = connection.execute("SELECT what, reason FROM damaged ORDER BY id DESC LIMIT ?", (_NEWEST_DAMAGED,))
    return Figures(
        states,
        None if oldest is None else Unknown(*oldest),
        first,
        last,
        damaged=count,
        newest_damaged=tuple(f"{what} ({reason})" for what, reason in newest),
    )


def suspects(connection: sqlite3.Connection) -> list[int]:
    """The numbers of the commands that a start has to read: those that are open, and those in a state that is none."""
    known = sorted(STATES)
    between = [f"(state > '{one}' AND state < '{other}')" for one, other in itertools.pairwise(known)]
    odd = " OR ".join([f"state < '{known[0]}'", *between, f"state > '{known[-1]}'"])
    marks = ", ".join("?" for _ in OPEN)
    rows = connection.execute(f"SELECT seq FROM commands WHERE state IN ({marks}) OR {odd}", OPEN)  # noqa: S608
    return [row["seq"] for row in rows]


def _filter(column: str, allowed: Sequence[str] | None) -> tuple[str, list[str]]:
    if allowed is None:
        return "1", []
    return f"{column} IN ({', '.join('?' for _ in allowed)})", list(allowed)
