"""Salvage: what can be read of a damaged journal goes on into a new one.

The old file is only read. Its pages are looked at one by one (see `pages`), so that neither a lost root nor a lost
header costs what hangs below it. Of a command whose record is lost the indexes still have the key: that command goes
on as `unknown`, and its key does not act again.
"""

import contextlib
import math
import re
import sqlite3
from collections.abc import Callable
from typing import Any, Final

import structlog
from attrs import define, field

from ordernpay.journal.pages import Image, Record, Value
from ordernpay.journal.rows import Damaged, error_json, is_text, raw_json, read_event, read_row, stand_in
from ordernpay.journal.store import insert_stand_in, keep
from ordernpay.jsontext import dumps
from ordernpay.outcomes import STATES, unknown

COMMANDS: Final = (
    *("seq", "command_id", "session", "method", "idempotency_key", "fingerprint", "content", "whole", "state"),
    *("timeout", "deadline_at", "attempts", "peer_uid", "accepted_at", "sent_at", "settled_at", "result", "error"),
    *("vendor", "note", "settled_lived"),
)
EVENTS: Final = ("seq", "time", "session", "kind", "data", "vendor", "lived")
DOUBTED: Final = 3_600.0
"""Seconds before the newest record within which a failed command may have been tried again by what is lost."""

_HEX: Final = re.compile("[0-9a-f]{32}")
_REALS: Final = {"timeout", "deadline_at", "accepted_at", "sent_at", "settled_at", "settled_lived", "time", "lived"}
_MOST_NAMED: Final = 50
_JUMP: Final = 1_000_000
"""Event numbers that may be among what is lost."""
_RANKS: Final = {"accepted": 0, "sent": 1, "unknown": 2, "failed": 2, "rejected": 3, "succeeded": 4}
"""How far on a state is within one attempt: of two versions of a record the one further on is the later."""

_NONE: Final = type(None)
_NUMBER: Final = (int, float)
_Fits = Callable[[tuple[Value, ...]], bool]

log = structlog.get_logger(__name__)


@define
class Salvaged:
    """What came over.

    Attributes:
        commands: how many, with their content.
        keys: how many of which only the key is known.
        events: how many.
        lost: what could not be read, in words; empty where nothing is missing.
    """

    commands: int = 0
    keys: int = 0
    events: int = 0
    lost: list[str] = field(factory=list)


class Salvage:
    """One salvage, into an empty journal of this version.

    Args:
        connection: to the new journal.
        wall: the time of it.
    """

    def __init__(self, connection: sqlite3.Connection, wall: float) -> None:
        self._db = connection
        self._wall = wall
        self._found = Salvaged()
        self._identity: str | None = None
        self._last: dict[str, int] = {}
        self._seconds = 0.0
        self._odd = 0
        self._tables: tuple[tuple[_Fits, Callable[[int, tuple[Value, ...]], None]], ...] = (
            (_numbered(20, 21), self._take_command),
            (_shape(_NONE, str, str, str, _NUMBER, _NUMBER), self._take_damaged),
            (_numbered(6, 7), self._take_event),
            (_shape(_NONE, _NUMBER), self._take_lived),
            (_shape(str, str, _NUMBER), self._take_delivery),
            (_shape(str, str, _NUMBER, (*_NUMBER, _NONE)), self._take_delivery),
            (_shape(str), self._take_identity),
            (_shape(str, int), self._take_last),
        )
        connection.create_function("lived_seconds", 0, lambda: math.inf)  # set right in the end, when it is known

    def run(self, image: Image, *, complete: bool) -> Salvaged:
        """Take over what can be read.

        Args:
            image: of the damaged journal.
            complete: whether nothing is known to be missing besides what the image itself shows.
        """
        db = self._db
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute("BEGIN IMMEDIATE")
        db.execute("CREATE TEMP TABLE ids (seq INTEGER, command_id TEXT)")
        db.execute("CREATE TEMP TABLE keys (seq INTEGER, session TEXT, key TEXT)")
        db.execute("CREATE TEMP TABLE settled (seq INTEGER, at REAL)")
        for record in image.records():
            with contextlib.suppress(
                sqlite3.IntegrityError, OverflowError, UnicodeError
            ):  # known already, or no record
                self._take(record)
        self._found.lost += image.lost
        if self._odd:
            self._found.lost.append(f"{self._odd} records of no known kind")
        self._name_the_lost()
        db.execute("DELETE FROM vendor_ids WHERE command_id NOT IN (SELECT command_id FROM commands)")
        hurt = image.hurt | ({""} if self._odd or not complete else set())
        if hurt & {"", "commands"}:
            self._doubt()
        self._go_on(events_hurt=bool(hurt & {"", "events", "sqlite_sequence"}))
        for table in ("ids", "keys", "settled"):
            db.execute(f"DROP TABLE temp.{table}")
        self._found.commands = db.execute("SELECT count(*) FROM commands").fetchone()[0] - self._found.keys
        self._found.events = db.execute("SELECT count(*) FROM events").fetchone()[0]
        db.execute("COMMIT")
        db.execute("PRAGMA foreign_keys = ON")
        return self._found

    def _take(self, record: Record) -> None:
        values = record.values
        if record.rowid is None:
            self._take_index(values)
            return
        for fits, take in self._tables:
            if fits(values):
                take(record.rowid, values)
                return
        if len(values) != len(("type", "name", "table", "root", "sql")):
            self._odd += 1

    def _take_command(self, seq: int, values: tuple[Value, ...]) -> None:
        row = _named(COMMANDS, seq, values)
        made, why = None, ""
        try:
            made = read_row(row, {})
        except Damaged as error:
            why = str(error)
        if made is None:
            keep(self._db, f"command {stand_in(row, {}, why).command_id}", why, raw_json(row), self._wall)
            insert_stand_in(self._db, stand_in(row, {}, why))
            return
        marks = ", ".join(f":{name}" for name in COMMANDS)
        self._db.execute(
            f"INSERT INTO commands ({', '.join(COMMANDS)}) VALUES ({marks}) ON CONFLICT (seq) DO UPDATE SET "  # noqa: S608
            + ", ".join(f"{name} = excluded.{name}" for name in COMMANDS[1:])
            + f" WHERE excluded.command_id = command_id AND (excluded.attempts, {_rank('excluded.')})"
            f" > (attempts, {_rank('')})",
            row,
        )

    def _take_event(self, seq: int, values: tuple[Value, ...]) -> None:
        marks = ", ".join("?" for _ in EVENTS)
        row = _named(EVENTS, seq, values)
        event = read_event(row)
        if event.damaged is not None:
            keep(self._db, f"event {seq}", event.damaged, raw_json(row), self._wall)
            row |= {"time": event.time or self._wall, "session": event.session, "kind": event.kind, "lived": None}
            row |= {"data": dumps(event.data), "vendor": "null"}
        self._db.execute(f"INSERT INTO events VALUES ({marks})", [row[name] for name in EVENTS])  # noqa: S608

    def _take_delivery(self, _: int, values: tuple[Value, ...]) -> None:
        session, name, time, *lived = values
        self._db.execute(
            "INSERT INTO deliveries VALUES (?, ?, ?, ?)", (session, name, time, lived[0] if lived else None)
        )

    def _take_damaged(self, _: int, values: tuple[Value, ...]) -> None:
        self._db.execute("INSERT INTO damaged (what, reason, raw, time, lived) VALUES (?, ?, ?, ?, ?)", values[1:])

    def _take_identity(self, _: int, values: tuple[Value, ...]) -> None:
        self._identity = str(values[0]) if _HEX.fullmatch(str(values[0])) else None

    def _take_last(self, _: int, values: tuple[Value, ...]) -> None:
        name, last = str(values[0]), values[1]
        if isinstance(last, int):
            self._last[name] = max(last, self._last.get(name, 0))

    def _take_lived(self, _: int, values: tuple[Value, ...]) -> None:
        if isinstance(values[1], int | float):
            self._seconds = max(self._seconds, float(values[1]))

    def _take_index(self, values: tuple[Value, ...]) -> None:
        match values:
            case (str() as first, str() as second, str() as third, str() as fourth):
                by_id = _HEX.fullmatch(first) is not None
                ids = (first, third, second, fourth) if by_id else (fourth, first, second, third)
                self._db.execute("INSERT INTO vendor_ids (command_id, session, name, value) VALUES (?, ?, ?, ?)", ids)
            case (str() as session, str() as key, int() as seq) if is_text(session) and is_text(key):
                self._db.execute("INSERT INTO temp.keys VALUES (?, ?, ?)", (seq, session, key))
            case (str() as command_id, int() as seq) if _HEX.fullmatch(command_id):
                self._db.execute("INSERT INTO temp.ids VALUES (?, ?)", (seq, command_id))
            case (str() as state, float() | int() as at, int() as seq) if state in STATES:
                self._db.execute("INSERT INTO temp.settled VALUES (?, ?)", (seq, float(at)))

    def _name_the_lost(self) -> None:
        """Make a stand-in for each command of which only an index still knows."""
        lost = self._db.execute(
            "SELECT keys.seq AS seq, command_id, session, key, at FROM temp.keys AS keys"
            " LEFT JOIN temp.ids AS ids USING (seq) LEFT JOIN temp.settled AS settled USING (seq)"
            " WHERE keys.seq NOT IN (SELECT seq FROM main.commands)"
            " AND NOT EXISTS (SELECT 1 FROM main.deliveries"
            " WHERE deliveries.session = keys.session AND deliveries.name = keys.key)"
        ).fetchall()
        named: list[str] = []
        for seq, command_id, session, key, at in lost:
            row: dict[str, Any] = dict.fromkeys(COMMANDS) | {"seq": seq, "command_id": command_id, "session": session}
            row |= {"idempotency_key": key, "accepted_at": at or self._wall, "settled_at": at or self._wall}
            why = "its record is lost; the index of keys still names it"
            made = stand_in(row, {}, why)
            try:
                insert_stand_in(self._db, made)
            except sqlite3.IntegrityError:
                continue  # its key has another command
            keep(self._db, f"command {made.command_id}", why, raw_json(row), self._wall)
            self._found.keys += 1
            named.append(made.command_id)
        if named:
            log.error("journal_commands_lost", count=len(named), command_ids=named[:_MOST_NAMED])

    def _doubt(self) -> None:
        """Doubt what a lost record may have changed.

        What was about to be sent may have been, and what failed of late may have been tried again.
        """
        newest = self._db.execute("SELECT max(max(accepted_at), max(coalesce(settled_at, 0))) FROM commands").fetchone()
        self._db.execute("UPDATE commands SET state = 'sent', sent_at = accepted_at WHERE state = 'accepted'")
        failed = self._db.execute(
            "SELECT command_id FROM commands WHERE state = 'failed' AND settled_at > ?", ((newest[0] or 0.0) - DOUBTED,)
        ).fetchall()
        outcome = unknown("it had failed, and the journal was damaged since: it may have been tried again")
        for (command_id,) in failed:
            error = error_json(outcome, command_id)
            self._db.execute(
                "UPDATE commands SET state = 'unknown', error = ? WHERE command_id = ?", (dumps(error), command_id)
            )

    def _go_on(self, *, events_hurt: bool) -> None:
        """Let numbers go on above the last, and the journal keep its identity where no event is missing."""
        db = self._db
        bounds = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0), count(*) FROM events"
        first, last, count = db.execute(bounds).fetchone()
        above = self._last.get("events")
        if above is None or events_hurt:
            above = max(max(above or 0, last) + _JUMP, int(self._wall * 1_000))
        elif self._identity is not None and count == last - first + 1 and last in {0, above}:
            db.execute("INSERT INTO identity VALUES (?)", (self._identity,))
        newest = db.execute("SELECT coalesce(max(seq), 0) FROM commands").fetchone()[0]
        for name, number in (("events", max(above, last)), ("commands", max(self._last.get("commands", 0), newest))):
            db.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            db.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, number))
        for table, column in (("commands", "settled_lived"), ("events", "lived"), ("deliveries", "lived")):
            query = f"SELECT max({column}) FROM {table} WHERE {column} < 9e999"  # noqa: S608 - our own words
            self._seconds = max(self._seconds, db.execute(query).fetchone()[0] or 0.0)
        db.execute("INSERT INTO lived VALUES (1, ?)", (self._seconds,))
        db.execute("UPDATE commands SET settled_lived = ? WHERE settled_lived = 9e999", (self._seconds,))
        db.execute("UPDATE damaged SET lived = ? WHERE lived = 9e999", (self._seconds,))


def _named(names: tuple[str, ...], rowid: int, values: tuple[Value, ...]) -> dict[str, Any]:
    """The columns by name; SQLite keeps the number apart, a whole real as an integer, and leaves out what was added later."""
    padded = (rowid, *values[1:], *(None for _ in range(len(names) - len(values))))
    named: dict[str, Any] = dict(zip(names, padded, strict=True))
    for name in _REALS & named.keys():
        if isinstance(named[name], int):
            named[name] = float(named[name])
    return named


def _rank(prefix: str) -> str:
    ranks = " ".join(f"WHEN '{state}' THEN {rank}" for state, rank in _RANKS.items())
    return f"CASE {prefix}state {ranks} END"


def _shape(*kinds: Any) -> _Fits:
    return lambda values: len(values) == len(kinds) and all(map(isinstance, values, kinds))


def _numbered(*lengths: int) -> _Fits:
    return lambda values: len(values) in lengths and values[0] is None
