"""Forgetting what is settled and old, without a hole in what is kept."""

import sqlite3
from typing import Final

from attrs import frozen

from ordernpay.journal.states import SETTLED

MOST: Final = 500
"""Rows of a table that go in one transaction, so that a command does not wait long behind it."""

_ABOVE_ALL: Final = 2**63 - 1


@frozen
class Horizon:
    """What may be forgotten: what is older than `before`, and of that commands below one number, events up to another.

    A wall clock may have been wrong for a while. So nothing goes that came after something of late, and events go from
    the oldest on, without a hole among those that are kept.
    """

    before: float
    command: int
    event: int


def horizon(connection: sqlite3.Connection, before: float, now: float) -> Horizon:
    """Beyond what to forget by the wall clock of now. Numbers tell the order; times only what that clock said then."""
    found = connection.execute(
        "SELECT max(seq) AS seq FROM events WHERE time < ? AND seq < ?",
        (before, _first_of_late(connection, "events", "time", before, now)),
    ).fetchone()
    return Horizon(before, _first_of_late(connection, "commands", "accepted_at", before, now), found["seq"] or 0)


def prune(connection: sqlite3.Connection, beyond: Horizon) -> int:
    """Forget settled commands, events and names of deliveries beyond the horizon, some at a time; `unknown` ones stay."""
    marks = ", ".join("?" for _ in SETTLED)
    gone = connection.execute(
        f"DELETE FROM commands WHERE seq IN (SELECT seq FROM commands WHERE state IN ({marks})"  # noqa: S608 - marks only
        " AND settled_at < ? AND seq < ? LIMIT ?)",
        (*SETTLED, beyond.before, beyond.command, MOST),
    ).rowcount
    gone += connection.execute(
        "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM deliveries WHERE time < ? LIMIT ?)",
        (beyond.before, MOST),
    ).rowcount
    gone += connection.execute(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= ? ORDER BY seq LIMIT ?)",
        (beyond.event, MOST),
    ).rowcount
    return gone


def _first_of_late(connection: sqlite3.Connection, table: str, column: str, since: float, now: float) -> int:
    """The number of the first row that is neither old nor from a time to come; above all where there is none."""
    query = f"SELECT seq FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY seq LIMIT 1"  # noqa: S608 - our own words
    found = connection.execute(query, (since, now)).fetchone()
    return _ABOVE_ALL if found is None else int(found["seq"])
