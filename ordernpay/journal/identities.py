"""What commands are known by at their vendors: identities kept with a command, and commands found by them."""

import sqlite3
from typing import Final

from ordernpay.journal.rows import Row, is_text, read_or_stand_in

MOST_UNDECIDED: Final = 1_000
DOUBTED: Final = 3_600.0
"""Seconds for which it may still be shown that a command was done that ended as failed: vendors repeat for an hour."""


def remember(connection: sqlite3.Connection, command_id: str, vendor_ids: dict[str, str]) -> None:
    """Keep a command's identities at the vendor."""
    connection.executemany(
        "INSERT INTO vendor_ids (command_id, session, name, value)"
        " SELECT command_id, session, ?, ? FROM commands WHERE command_id = ?"
        " ON CONFLICT (command_id, name) DO UPDATE SET value = excluded.value",
        [(name, value, command_id) for name, value in vendor_ids.items()],
    )


def recall(connection: sqlite3.Connection, session: str, name: str, value: str) -> dict[str, str]:
    """What the newest command with this identity at its vendor has remembered."""
    found = connection.execute(
        "SELECT command_id FROM vendor_ids JOIN commands USING (command_id)"
        " WHERE vendor_ids.session = ? AND name = ? AND value = ? ORDER BY seq DESC LIMIT 1",
        (session, name, value),
    ).fetchone()
    return {} if found is None else ids_of(connection, found["command_id"])


def undecided(
    connection: sqlite3.Connection, session: str, wall: float, name: str | None = None, value: str | None = None
) -> list[Row]:
    """Commands of a session without a certain outcome, oldest first; with this identity at the vendor, if one is named.

    One that ended as `failed` although it was sent is of them for as long as its vendor may still show that it acted.
    """
    query = (
        "SELECT * FROM commands WHERE session = ? AND (state IN ('accepted', 'sent', 'unknown')"
        " OR (state = 'failed' AND sent_at IS NOT NULL AND note IS NULL AND settled_at > ?))"
    )
    values: list[str | float] = [session, wall - DOUBTED]
    if name is not None and value is not None:
        query += " AND command_id IN (SELECT command_id FROM vendor_ids WHERE session = ? AND name = ? AND value = ?)"
        values += [session, name, value]
    rows = connection.execute(f"{query} ORDER BY seq LIMIT {MOST_UNDECIDED}", values)
    return [read_or_stand_in(row, ids_of(connection, row["command_id"])) for row in rows.fetchall()]


def ids_of(connection: sqlite3.Connection, command_id: str) -> dict[str, str]:
    """All identities of a command, by name; what cannot be read of them is left out."""
    if not is_text(command_id):  # of a damaged record
        return {}
    rows = connection.execute("SELECT name, value FROM vendor_ids WHERE command_id = ?", (command_id,))
    return {name: value for name, value in rows if is_text(name) and is_text(value)}
