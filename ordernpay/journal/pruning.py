"""Pruning: what is settled and old goes, without a hole in what is kept.

A wall clock may be wrong by weeks until it is set, in either direction. So a record goes only when it is old by the wall
clock *and* by the time that a daemon has run on this journal since the record was settled, which no step of a clock
changes. Time in which no daemon ran does not count: a box that is off at night keeps everything for longer.
"""

import sqlite3
from collections.abc import Sequence
from typing import Final

from attrs import field, frozen

from ordernpay.clock import Clock
from ordernpay.journal.states import SETTLED

MOST: Final = 500
"""Rows of a table that go in one transaction, so that a command does not wait long behind it."""

FILE: Final = "file "
"""How the name of what was set aside begins where that is a whole file."""


class Lived:
    """Seconds for which daemons have run on this journal, suspended time included; survives restarts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.now()
        self.before = 0.0

    def seconds(self) -> float:
        """The seconds until now."""
        return self.before + max(0.0, self._clock.now() - self._since)

    def begin(self, connection: sqlite3.Connection) -> None:
        """Go on from what the journal says, and let its statements ask for it."""
        found = connection.execute("SELECT seconds FROM lived").fetchone()
        if found is not None and isinstance(found[0], float):
            self.before, self._since = max(0.0, found[0]), self._clock.now()
        connection.create_function("lived_seconds", 0, self.seconds)
        connection.create_function("lived_before", 0, lambda: self.before)

    @staticmethod
    def write(connection: sqlite3.Connection) -> None:
        """Write it down for the next life. What was not written before a kill is lost, so that things are kept longer."""
        connection.execute(
            "INSERT INTO lived (id, seconds) VALUES (1, lived_seconds())"
            " ON CONFLICT (id) DO UPDATE SET seconds = max(seconds, excluded.seconds)"
        )


@frozen
class Old:
    """What may go now: some of each, by their numbers."""

    commands: Sequence[int] = ()
    events: Sequence[int] = ()
    deliveries: Sequence[int] = ()
    damaged: Sequence[int] = ()
    files: Sequence[str] = field(factory=list)

    def __bool__(self) -> bool:
        return bool(self.commands or self.events or self.deliveries or self.damaged)


def find_old(connection: sqlite3.Connection, keep: float, wall: float, lived: float) -> Old:
    """Find what is older than `keep` seconds by both clocks; a time to come by the wall clock is no time at all."""
    if lived <= keep:
        return Old()
    times = {"before": wall - keep, "now": wall, "lived": lived - keep, "most": MOST}
    states = ", ".join(f"'{state}'" for state in SETTLED)
    commands = _either(
        connection,
        f"SELECT seq FROM commands WHERE state IN ({states}) AND settled_at {{}}"  # noqa: S608 - our own words
        " AND coalesce(settled_lived, 0) < :lived",
        times,
    )
    deliveries = _either(
        connection, "SELECT rowid FROM deliveries WHERE time {} AND coalesce(lived, 0) < :lived", times
    )
    damaged = _either(connection, "SELECT id, what FROM damaged WHERE time {} AND lived < :lived", times)
    oldest = connection.execute(
        "SELECT seq, NOT time BETWEEN :before AND :now AND coalesce(lived, 0) < :lived AS old"
        " FROM events ORDER BY seq LIMIT :most",
        times,
    )
    events: list[int] = []
    for seq, old in oldest:
        if not old:
            break
        events.append(seq)
    return Old(
        [seq for (seq,) in commands],
        events,
        [number for (number,) in deliveries],
        [number for number, _ in damaged],
        [what.removeprefix(FILE) for _, what in damaged if what.startswith(FILE)],
    )


def _either(connection: sqlite3.Connection, query: str, times: dict[str, float]) -> list[sqlite3.Row]:
    """What is old by the wall clock or from a time to come; as two queries, since each can go by an index."""
    both = f"{query.format('< :before')} UNION ALL {query.format('> :now')} LIMIT :most"
    return connection.execute(both, times).fetchall()


def forget(connection: sqlite3.Connection, old: Old) -> int:
    """Delete what was found, unless it was taken up again meanwhile; how much.

    An `unknown` command is never among it.
    """
    states = ", ".join(f"'{state}'" for state in SETTLED)
    gone = _delete(connection, f"DELETE FROM commands WHERE seq = ? AND state IN ({states})", old.commands)  # noqa: S608
    gone += _delete(connection, "DELETE FROM deliveries WHERE rowid = ?", old.deliveries)
    gone += _delete(connection, "DELETE FROM damaged WHERE id = ?", old.damaged)
    return gone + _delete(connection, "DELETE FROM events WHERE seq = ?", old.events)


def _delete(connection: sqlite3.Connection, statement: str, numbers: Sequence[int]) -> int:
    return sum(connection.execute(statement, (number,)).rowcount for number in numbers)
