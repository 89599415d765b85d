"""The journal's file: its tables, its lock, and the ways to connect to it."""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

FILE_NAME: Final = "journal.sqlite3"
COMPANIONS: Final = ("-wal", "-shm")
_PATIENCE: Final = 10.0
"""Seconds to wait for another program that holds the file, such as a person's shell."""
_MOST_LOG: Final = 16 * 2**20

SQLITE_RAISES: Final = (sqlite3.Error, UnicodeDecodeError)
"""What comes out of SQLite: its messages hold names out of the file, and Python cannot decode those of a damaged one."""

MIGRATIONS: Final = (
    """
    CREATE TABLE identity (journal TEXT NOT NULL);
    CREATE TABLE commands (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        command_id TEXT NOT NULL UNIQUE,
        session TEXT NOT NULL,
        method TEXT NOT NULL,
        idempotency_key TEXT NOT NULL,
        fingerprint BLOB NOT NULL,
        content TEXT NOT NULL,
        whole INTEGER NOT NULL,
        state TEXT NOT NULL,
        timeout REAL NOT NULL,
        deadline_at REAL NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 1,
        peer_uid INTEGER,
        accepted_at REAL NOT NULL,
        sent_at REAL,
        settled_at REAL,
        result TEXT,
        error TEXT,
        vendor TEXT,
        note TEXT,
        UNIQUE (session, idempotency_key)
    ) STRICT;
    CREATE INDEX commands_by_state ON commands (state, settled_at);
    CREATE TABLE vendor_ids (
        command_id TEXT NOT NULL REFERENCES commands (command_id) ON DELETE CASCADE,
        session TEXT NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (command_id, name)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX vendor_ids_by_value ON vendor_ids (session, name, value);
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time REAL NOT NULL,
        session TEXT NOT NULL,
        kind TEXT NOT NULL,
        data TEXT NOT NULL,
        vendor TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_by_time ON events (time);
    """,
    """
    CREATE TABLE deliveries (
        session TEXT NOT NULL,
        name TEXT NOT NULL,
        time REAL NOT NULL,
        PRIMARY KEY (session, name)
    ) STRICT;
    CREATE INDEX deliveries_by_time ON deliveries (time);
    """,
    """
    ALTER TABLE commands ADD COLUMN settled_lived REAL;
    ALTER TABLE events ADD COLUMN lived REAL;
    ALTER TABLE deliveries ADD COLUMN lived REAL;
    CREATE TABLE lived (id INTEGER PRIMARY KEY CHECK (id = 1), seconds REAL NOT NULL) STRICT;
    CREATE TABLE damaged (
        id INTEGER PRIMARY KEY,
        what TEXT NOT NULL,
        reason TEXT NOT NULL,
        raw TEXT NOT NULL,
        time REAL NOT NULL,
        lived REAL NOT NULL
    ) STRICT;
    """,
)
"""One script a schema version; `PRAGMA user_version` tells how many have run. Released scripts are never edited."""


class JournalUnavailable(OSError):
    """The journal cannot be written now: disk full, read-only or failing. Nothing was changed."""


class DiskFailing(JournalUnavailable):
    """The disk answers with an error: what is on it is not known, and may be whole."""


class JournalInUse(Exception):
    """Another daemon holds this journal."""


class JournalTooNew(Exception):
    """The journal was written by a later version."""


class DamagedFile(Exception):
    """The file is not what was written to it."""


def lock(directory: Path) -> int:
    """Hold the directory's journal for this process, also on a disk that cannot be written.

    Returns:
        the file descriptor that holds the lock until it is closed.

    Raises:
        JournalInUse: another process holds it.
        JournalUnavailable: there is no such directory, and none can be made.
    """
    flags = os.O_CLOEXEC
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | flags, 0o600)
        except OSError:
            if not (directory / FILE_NAME).exists():
                raise
            descriptor = os.open(_lockable(directory), os.O_RDONLY | flags)
    except OSError as error:
        raise JournalUnavailable(f"state directory {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalInUse(f"the journal in {directory} is in use by another ordernpay; stop that one first") from None
    return descriptor


def _lockable(directory: Path) -> Path:
    """What can be locked on a disk that takes no new file: the lock's own file where there is one."""
    file = directory / "journal.lock"
    return file if file.exists() else directory


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
    try:
        path.chmod(0o600)
        _read_anything(connection)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {_MOST_LOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(directory: Path, *, alone: bool = False) -> sqlite3.Connection:
    """A connection that only reads.

    Args:
        directory: where the journal is.
        alone: nobody writes, since nobody can. The index of the write-ahead log, which SQLite shares in a file beside it,
            cannot be made or written then: it is this connection's own, and without a log nothing but the file counts.
    """
    file = (directory / FILE_NAME).absolute()
    log = file.with_name(f"{FILE_NAME}-wal")
    way = "mode=ro"
    if alone:
        way += "&readonly_shm=1" if log.exists() and log.stat().st_size else "&immutable=1"
    connection = sqlite3.connect(f"{file.as_uri()}?{way}", uri=True, isolation_level=None, check_same_thread=False)
    try:
        _read_anything(connection)
        connection.execute("PRAGMA query_only = ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _read_anything(connection: sqlite3.Connection) -> None:
    """Give rows by column, and text as it is: what is no UTF-8 is found by who reads it, and costs that record alone."""
    connection.row_factory = sqlite3.Row
    connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")


def migrate(connection: sqlite3.Connection, version: int, to: int | None = None) -> None:
    """Bring the tables from one version to another, by default to this program's."""
    for number in range(version, len(MIGRATIONS) if to is None else to):
        connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;")


def missing_columns(connection: sqlite3.Connection, version: int) -> set[str]:
    """The columns of a version that are not there, each with its table's name."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh, 0, version)
        return _columns(fresh) - _columns(connection)


def _columns(connection: sqlite3.Connection) -> set[str]:
    columns = (
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table'"
    )
    return {f"{table}.{column}" for table, column in connection.execute(columns)}
