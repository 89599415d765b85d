"""The journal's file: opened, checked, brought to this version's schema, or moved aside where it is damaged."""

import contextlib
import fcntl
import os
import sqlite3
import time
import uuid
from pathlib import Path
from typing import Final

import structlog
from attrs import frozen

from ordernpay.journal.rows import read_row
from ordernpay.journal.states import OPEN
from ordernpay.jsontext import JsonError

FILE_NAME: Final = "journal.sqlite3"
_COMPANIONS: Final = ("", "-wal", "-shm")
_MOVED: Final = ".damaged-"
_READ_AHEAD: Final = 2**20

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
)
"""One script a schema version; `PRAGMA user_version` tells how many have run. Released scripts are never edited."""

log = structlog.get_logger(__name__)


class JournalUnavailable(OSError):
    """The journal cannot be written now: disk full, read-only, or damaged. Nothing was changed."""


class JournalInUse(Exception):
    """Another daemon holds this journal."""


class JournalTooNew(Exception):
    """The journal was written by a later version."""


@frozen
class Opened:
    """An open journal. `journal` identifies the file: another one means that event numbers began anew."""

    connection: sqlite3.Connection
    journal: str
    moved_aside: Path | None


def lock(directory: Path) -> int:
    """Hold the directory's journal for this process.

    Returns:
        the file descriptor that holds the lock until it is closed.

    Raises:
        JournalInUse: another process holds it.
        JournalUnavailable: the directory cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(directory / "journal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalUnavailable(f"state directory {directory}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalInUse(f"the journal in {directory} is in use by another ordernpay; stop that one first") from None
    return descriptor


def open_journal(directory: Path) -> Opened:
    """Open the journal for writing; a damaged file is moved aside and a fresh one begun.

    Raises:
        JournalTooNew: never moved aside, since nothing is wrong with it.
        JournalUnavailable: the file cannot be opened or written.
    """
    path = directory / FILE_NAME
    moved_aside = None
    try:
        if path.exists() and path.stat().st_size == 0:  # to SQLite a new file; to us one that has lost everything
            raise sqlite3.DatabaseError("the file is empty")
        _read_ahead(path)
        connection, journal = _open(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and not _damaged(error):
            raise JournalUnavailable(f"journal {path}: {error}") from None
        moved_aside = _move_aside(path)
        log.error("journal_damaged", file=str(path), moved_to=str(moved_aside), reason=str(error))
        try:
            connection, journal = _open(path)
        except sqlite3.Error as again:
            raise JournalUnavailable(f"journal {path}: {again}") from None
    return Opened(connection, journal, moved_aside)


def connect_reader(directory: Path) -> sqlite3.Connection:
    """A connection that only reads."""
    connection = sqlite3.connect(
        f"{(directory / FILE_NAME).absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA query_only = ON")
    return connection


def _read_ahead(path: Path) -> None:
    """Read the file from front to end: the check goes by its tree, for which a disk just powered up needs much longer."""
    with contextlib.suppress(OSError), path.open("rb", buffering=0) as file:  # whatever is wrong, the check will tell
        while file.read(_READ_AHEAD):
            pass


def _open(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the file, or begin it."""
    if not path.exists():
        _begin(path)
    connection = _connect(path)
    return connection, _prepare(connection)


def _begin(path: Path) -> None:
    """Make a fresh journal whole under another name, then give it its own.

    A process that is killed meanwhile, or that a full disk stops, leaves nothing that looks like a damaged journal.
    """
    draft = path.with_name(f"{path.name}.new")
    leftovers = [path.with_name(path.name + companion) for companion in _COMPANIONS[1:]]  # of a file that was deleted
    leftovers += [draft, draft.with_name(f"{draft.name}-journal")]
    try:
        for one in leftovers:
            one.unlink(missing_ok=True)
        with contextlib.closing(sqlite3.connect(draft, isolation_level=None)) as connection:
            draft.chmod(0o600)
            connection.execute("PRAGMA synchronous = FULL")
            _migrate(connection, 0)
            if any(path.parent.glob(f"{path.name}{_MOVED}*")):
                # The numbers of events go on above all that the lost file can have given.
                connection.execute("INSERT INTO sqlite_sequence VALUES ('events', ?)", (int(time.time() * 1000),))
        draft.rename(path)
        _keep_names(path.parent)
    except (sqlite3.Error, OSError) as error:
        for one in leftovers:
            one.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise JournalUnavailable(f"journal {path}: {error.strerror}") from None
        raise


def _keep_names(directory: Path) -> None:
    """Make a renaming durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
    try:
        path.chmod(0o600)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def _migrate(connection: sqlite3.Connection, version: int) -> None:
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(f"BEGIN IMMEDIATE; {MIGRATIONS[number]}; PRAGMA user_version = {number + 1}; COMMIT;")


def _prepare(connection: sqlite3.Connection) -> str:
    try:
        complaints = [row[0] for row in connection.execute("PRAGMA quick_check(1)")]
        if complaints != ["ok"]:
            raise sqlite3.DatabaseError(f"integrity check: {complaints[0]}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(MIGRATIONS):
            raise JournalTooNew(
                f"the journal has schema version {version}, this ordernpay knows {len(MIGRATIONS)}: "
                "install the version that wrote it, or a later one"
            )
        _migrate(connection, version)
        _check_readable(connection)
        if connection.execute("SELECT count(*) FROM identity").fetchone()[0] == 0:
            connection.execute("INSERT INTO identity VALUES (?)", (uuid.uuid4().hex,))
        journal: str = connection.execute("SELECT journal FROM identity").fetchone()[0]
    except BaseException:
        connection.close()
        raise
    return journal


def _check_readable(connection: sqlite3.Connection) -> None:
    """Sound pages may still hold what cannot be read; whatever a start needs has to be."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        _migrate(fresh, 0)
        missing = _columns(fresh) - _columns(connection)
    if missing:
        raise sqlite3.DatabaseError(f"no column {', '.join(sorted(missing))}")
    marks = ", ".join("?" for _ in OPEN)
    try:
        for row in connection.execute(f"SELECT * FROM commands WHERE state IN ({marks})", OPEN):  # noqa: S608 - marks only
            read_row(row, {})
    except (JsonError, sqlite3.OperationalError) as error:
        raise sqlite3.DatabaseError(f"a command in it cannot be read: {error}") from None


def _columns(connection: sqlite3.Connection) -> set[str]:
    """Every column of every table, with its table's name."""
    columns = (
        "SELECT tables.name, columns.name FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table'"
    )
    return {f"{table}.{column}" for table, column in connection.execute(columns)}


def _damaged(error: sqlite3.OperationalError) -> bool:
    return error.sqlite_errorname in {"SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CORRUPT_INDEX"}


def _move_aside(path: Path) -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name = f"{path.name}{_MOVED}{stamp}"
    taken = sum(1 for other in path.parent.iterdir() if other.name.startswith(name))
    target = path.with_name(f"{name}-{taken}" if taken else name)
    for companion in _COMPANIONS:
        source = path.with_name(path.name + companion)
        if source.exists():
            source.rename(target.with_name(target.name + companion))
    return target
