"""Reading an SQLite database without leaving a file beside it, also while another process writes to it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import TypeVar

T = TypeVar("T")


def look(path: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    """What `read` makes of a database.

    A connection that may only read still creates the write-ahead log and its index where they are missing, and cannot
    delete them. So a database that nobody has open is read as one that does not change.

    Args:
        path: an existing file.
        read: gets a connection; it may be called again if another process begins to write meanwhile.

    Raises:
        sqlite3.Error: it is no database, or `read` says so.
        OSError: the file or its log cannot be read.
    """
    if _has_log_format(path) and not _beside(path, "-shm").exists():
        if _size(_beside(path, "-wal")):
            return _read_copy(path, read)
        try:
            found = _read(path, "immutable=1", read)
        except sqlite3.Error:
            if not _beside(path, "-wal").exists():
                raise
        else:
            if not _beside(path, "-wal").exists():
                return found
    try:
        return _read(path, "mode=ro", read)
    except sqlite3.OperationalError:  # a read-only folder, or a file system without shared memory
        return _read_copy(path, read) if _size(_beside(path, "-wal")) else _read(path, "immutable=1", read)


def _read(path: Path, mode: str, read: Callable[[sqlite3.Connection], T]) -> T:
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=30)) as connection:
        return read(connection)


def _read_copy(path: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    """Read a database whose log has content that the file lacks, as a killed process leaves it."""
    with TemporaryDirectory() as folder:
        for one in (path, _beside(path, "-wal")):
            copyfile(one, Path(folder, one.name))
        return _read(Path(folder, path.name), "mode=rw", read)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _has_log_format(path: Path) -> bool:
    """Whether the database is one with a write-ahead log (sqlite.org/fileformat2.html, section 1.3)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\2\2"
