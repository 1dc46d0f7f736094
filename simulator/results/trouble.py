"""Errors of a results folder, each explained in one line with the cause that the system gave."""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile

from simulator.errors import UserError
from simulator.results.written import DATABASE
from simulator.surroundings import UNSUPPORTED

try:
    import fcntl
    import resource
except ModuleNotFoundError:  # only Windows lacks them
    raise UserError(UNSUPPORTED) from None

LOCK = ".lock"
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.EPERM)
ROOM = 2**20  # bytes; with less than this, writing fails because the disk is full
# SQLite's codes for a damaged or foreign file; 0 is for our own checks.
DAMAGE = {0, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}
DAMAGE |= {sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_TOOBIG}


def check_folder(folder: Path) -> None:
    """Refuse a results folder that cannot be used, without creating anything.

    Raises:
        UserError: it is a file, or it or its nearest existing parent is not writable.
    """
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"'{nearest}' is a file, not a folder; give --out a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to '{nearest}' (read-only); choose another --out")


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn disk and database errors inside the block into a one-line error.

    Raises:
        UserError: disk full, read-only, corrupt database, and the like.
    """
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise UserError(_explain_database(error, folder)) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(_disk_full(folder)) from error
        raise UserError(f"cannot use '{folder}': {error.strerror or error}; choose another --out") from error


def _disk_full(folder: Path) -> str:
    return f"disk full while writing to '{folder}'; finished rows are kept: free some space and run the same again"


def _is_full(folder: Path) -> bool:
    """Whether the file system has no room left, or this process may not write a larger file."""
    with suppress(OSError):
        return shutil.disk_usage(folder).free < ROOM or resource.getrlimit(resource.RLIMIT_FSIZE)[0] != -1
    return False


def _explain_database(error: Exception, folder: Path) -> str:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    said = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(folder)):
        return _disk_full(folder)
    if code in DAMAGE:
        return (
            f"'{folder / DATABASE}' is damaged or no results database ({error}); move it away or choose another --out"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"cannot write to '{folder}' ({error}); choose another --out"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"another program has '{folder / DATABASE}' locked ({said}); wait for it or choose another --out"
    if code in (sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        return f"the file system of '{folder}' lacks what SQLite needs ({said}); choose an --out on a local disk"
    return f"reading or writing '{folder}' failed ({said}); finished rows are kept: try again, or another --out"


def lock(folder: Path) -> int:
    """Take the folder's lock; the kernel releases it when the process ends, even if killed.

    Raises:
        UserError: another process holds it, or the file system lacks these locks or those that SQLite takes.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with TemporaryFile(dir=folder) as probe:  # a separate file: SQLite would lose its locks if this one were closed
            fcntl.lockf(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        what_to_do = "wait for it or choose another --out"
        raise UserError(f"results folder '{folder}' is in use by another sweep; {what_to_do}") from None
    except OSError as error:
        os.close(descriptor)
        if error.errno not in NO_LOCKS:
            raise
        reason = f"the file system of '{folder}' gives no locks ({error.strerror})"
        raise UserError(f"{reason}; choose an --out on a local disk") from None
    return descriptor
