"""The database of a results folder as a file: its tables, and a journal that its file system can hold."""

import sqlite3
from contextlib import closing
from pathlib import Path

from simulator.results.rows import COLUMNS
from simulator.results.soundness import APPLICATION_ID, LAYOUT
from simulator.results.written import TABLE

ORIGIN = "origin"  # a further column, for `Store.begin`


def remove(path: Path) -> None:
    """Delete a database with its write-ahead log."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def create(path: Path) -> sqlite3.Connection:
    """Open a database for writing, in autocommit mode; make it if it is new."""
    with closing(_connect(path, "PRAGMA journal_mode")) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        rest = ", ".join(name for name in COLUMNS if name != "key")
        connection.execute(f"CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, {rest}, {ORIGIN}) WITHOUT ROWID")
        connection.execute("CREATE TABLE IF NOT EXISTS plan (position INTEGER PRIMARY KEY, key TEXT NOT NULL)")
        connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("CREATE TABLE IF NOT EXISTS origins (id INTEGER PRIMARY KEY, record TEXT NOT NULL)")
        connection.execute("CREATE TABLE IF NOT EXISTS late (key TEXT PRIMARY KEY, files TEXT) WITHOUT ROWID")
        connection.execute(TABLE)
        connection.execute("COMMIT")
    # Last, because the header that marks the file as ours must be in the file, not in the write-ahead log.
    return _connect(path, "PRAGMA journal_mode = WAL")


def _connect(path: Path, journal: str) -> sqlite3.Connection:
    """Connect, with a rollback journal where the file system cannot share the memory of a write-ahead log."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        (kind,) = connection.execute(journal).fetchone()
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the first use of the shared memory
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if kind == 'wal' else 'FULL'}")
    except sqlite3.OperationalError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL):
            raise
        return _connect_without_log(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_without_log(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        # The only user of a database reads what an earlier log has without shared memory.
        for setting in ("locking_mode = EXCLUSIVE", "journal_mode = DELETE", "locking_mode = NORMAL"):
            connection.execute(f"PRAGMA {setting}")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # makes the last setting take effect
    except BaseException:
        connection.close()
        raise
    return connection
