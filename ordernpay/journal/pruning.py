"""Forgetting what is settled and old, without a hole in what is kept."""

import sqlite3
from typing import Final

from ordernpay.journal.states import SETTLED

MOST: Final = 500
"""Rows of a table that go in one transaction, so that a command does not wait long behind it."""

_ABOVE_ALL: Final = 2**63 - 1


def prune(connection: sqlite3.Connection, before: float, now: float) -> int:
    """Forget settled commands and events older than this, some at a time; `unknown` commands stay.

    Their numbers tell their order, their times only what the wall clock said, which may have been wrong. So nothing goes
    that came after something of late: events go from the oldest on, without a hole among those that are kept.
    """
    marks = ", ".join("?" for _ in SETTLED)
    gone = connection.execute(
        f"DELETE FROM commands WHERE seq IN (SELECT seq FROM commands WHERE state IN ({marks})"  # noqa: S608 - marks only
        " AND settled_at < ? AND seq < ? LIMIT ?)",
        (*SETTLED, before, _first_of_late(connection, "commands", "accepted_at", before, now), MOST),
    ).rowcount
    gone += connection.execute(
        "DELETE FROM deliveries WHERE rowid IN (SELECT rowid FROM deliveries WHERE time < ? LIMIT ?)",
        (before, MOST),
    ).rowcount
    last_old = (
        "SELECT max(seq) FROM (SELECT seq FROM events WHERE time < ? AND seq < ? ORDER BY seq DESC LIMIT 1)",
        (before, _first_of_late(connection, "events", "time", before, now)),
    )
    gone += connection.execute(
        "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= ? ORDER BY seq LIMIT ?)",
        (connection.execute(*last_old).fetchone()[0], MOST),
    ).rowcount
    return gone


def _first_of_late(connection: sqlite3.Connection, table: str, column: str, since: float, now: float) -> int:
    """The number of the first row that is neither old nor from a time to come; above all where there is none."""
    found = connection.execute(
        f"SELECT seq FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY seq LIMIT 1",  # noqa: S608 - our own words
        (since, now),
    ).fetchone()
    return _ABOVE_ALL if found is None else int(found["seq"])
