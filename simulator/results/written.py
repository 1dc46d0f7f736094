"""List of the files that this program wrote to a results folder; it deletes and replaces no others.

The database lists every file by its path in the folder and the SHA-256 of its content; in a folder without its database
`provenance.json` does. A file whose content is not listed belongs to the user or was changed by them: it is
never deleted, and is renamed when the program needs its name.
"""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from simulator.disk import file_sha256, is_stream, set_aside, write_atomically
from simulator.results.looking import look
from simulator.results.provenance import PROVENANCE, read_provenance
from simulator.results.seal import proven, sealed

TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT, sha256 TEXT, PRIMARY KEY (path, sha256)) WITHOUT ROWID"
DATABASE = "results.sqlite"
PICTURES = "images"  # folder of kept reconstructions and their sources
OPTIONS: dict[str, Any] = {"isolation_level": None, "timeout": 30}  # autocommit


class Written:
    """The list of a results folder's files, and the only way to write or delete one of them.

    A file's entry is stored before the file, so that every file is listed even if the process dies. Entries of earlier
    contents stay until the file is deleted.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection, notify: Callable[[str], None]) -> None:
        """
        Args:
            folder: the results folder.
            connection: to its database, which has the table `files`; in autocommit mode.
            notify: receives a note when a user's file was renamed.
        """
        self.folder = folder
        self.notify = notify
        self._connection = connection

    def write(self, path: Path, data: bytes) -> None:
        """Write a file atomically; a user's file of this name is renamed first. A stream receives the data."""
        if is_stream(path):
            write_atomically(path, data)
            return
        digest = hashlib.sha256(data).hexdigest()
        if os.path.lexists(path):
            there = _sha256(path)
            if there == digest:
                return
            if there is None or not self._lists(path, there):
                self._set_aside(path)
        self._connection.execute("INSERT OR IGNORE INTO files VALUES (?, ?)", (self._name(path), digest))
        write_atomically(path, data)

    def write_provenance(self, record: Mapping[str, Any]) -> None:
        """Write the folder's provenance, which proves what else was written, but for the many kept pictures."""
        entries = self._connection.execute("SELECT path, sha256 FROM files WHERE path NOT LIKE ?", (f"{PICTURES}/%",))
        listed = {str(name): str(digest) for name, digest in entries if name != PROVENANCE and _stays_inside(name)}
        present = {name: _sha256(self.folder / name) for name in listed}
        files = {name: there for name, there in present.items() if there and self._lists(self.folder / name, there)}
        self.write(self.folder / PROVENANCE, sealed(record, files))

    def adopt(self) -> None:
        """List what the folder's provenance proves, so that files that came without a database can be replaced."""
        entries = [entry for entry in proven(self.folder).items() if _stays_inside(entry[0])]
        self._connection.executemany("INSERT OR IGNORE INTO files VALUES (?, ?)", entries)

    def remove(self, *patterns: str) -> None:
        """Delete the listed files whose path in the folder matches a pattern, such as `figures/*`."""
        listed = [name for (name,) in self._connection.execute("SELECT DISTINCT path FROM files")]
        for name in listed:
            if _stays_inside(name) and any(fnmatchcase(name, pattern) for pattern in patterns):
                self.discard(self.folder / name)

    def discard(self, path: Path) -> None:
        """Delete one file if it is listed."""
        if (there := _sha256(path)) is not None and self._lists(path, there):
            path.unlink()
            self._connection.execute("DELETE FROM files WHERE path = ?", (self._name(path),))

    def _lists(self, path: Path, digest: str) -> bool:
        entry = (self._name(path), digest)
        return (
            self._connection.execute("SELECT 1 FROM files WHERE path = ? AND sha256 = ?", entry).fetchone() is not None
        )

    def _name(self, path: Path) -> str:
        """The path in the folder; of a file outside only its name, because absolute paths are private."""
        try:
            return path.absolute().relative_to(self.folder.absolute()).as_posix()
        except ValueError:
            return path.name

    def _set_aside(self, path: Path) -> None:
        self.notify(f"'{path}' is not as this program wrote it; it is kept as '{set_aside(path).name}'")


@contextmanager
def written_in(folder: Path, notify: Callable[[str], None]) -> Iterator[Written]:
    """The list of an existing results folder, also while a sweep writes there.

    Where its database cannot be written, what is listed counts, and nothing is added to it.
    """
    with ExitStack() as stack:
        try:
            place = f"{(folder / DATABASE).absolute().as_uri()}?mode=rw"
            connection = stack.enter_context(closing(sqlite3.connect(place, **OPTIONS, uri=True)))
            connection.execute(TABLE)
        except sqlite3.OperationalError:
            connection = stack.enter_context(closing(sqlite3.connect(":memory:", **OPTIONS)))
            connection.execute(TABLE)
            entries = [(name, digest) for name, digests in listed_files(folder).items() for digest in digests]
            connection.executemany("INSERT INTO files VALUES (?, ?)", entries)
        written = Written(folder, connection, notify)
        yield written
        if proven(folder):  # a replaced file has another hash
            written.adopt()
            written.write_provenance(read_provenance(folder))


def listed_files(folder: Path) -> dict[str, set[str]]:
    """The SHA-256 of all contents that a folder's database or provenance lists, by path; none for a foreign folder."""
    proof = {name: {digest} for name, digest in proven(folder).items() if _stays_inside(name)}
    for name, digests in _listed_in_database(folder / DATABASE).items():
        proof.setdefault(name, set()).update(digests)
    return proof


def _listed_in_database(path: Path) -> dict[str, set[str]]:
    if not path.is_file():
        return {}
    try:
        entries = look(path, lambda connection: connection.execute("SELECT path, sha256 FROM files").fetchall())
    except (sqlite3.Error, OSError):
        return {}
    listed: dict[str, set[str]] = {}
    for name, digest in entries:
        listed.setdefault(str(name), set()).add(str(digest))
    return {name: digests for name, digests in listed.items() if _stays_inside(name)}


def remove_listed(folder: Path) -> None:
    """Delete every unchanged file that the folder's database lists."""
    for name, digests in listed_files(folder).items():
        if _sha256(folder / name) in digests:
            (folder / name).unlink()


def is_listed(path: Path, known: dict[Path, dict[str, set[str]]]) -> bool:
    """Whether a results folder that a file lies in, however deep, lists it.

    Args:
        path: the file.
        known: what folders list; filled here, for the next file.
    """
    path = path.resolve()
    for folder in path.parents:
        if folder not in known:
            known[folder] = listed_files(folder)
        digests = known[folder].get(path.relative_to(folder).as_posix())
        if digests is not None and _sha256(path) in digests:
            return True
    return False


def _sha256(path: Path) -> str | None:
    """SHA-256 of a file's content, in hex; None if it is not a readable file."""
    try:
        return file_sha256(path)
    except OSError:
        return None


def _stays_inside(name: str) -> bool:
    """Whether a listed path stays inside its folder; the database may be untrusted."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and "\\" not in name and name != ""
