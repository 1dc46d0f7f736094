"""Results on disk: one SQLite database per folder, one writer, and rows that survive a killed process.

Rows are found by key, a hash of all that determines them. A sweep first stores the keys of its plan; readers
see exactly the rows of the latest plan, in its order, and rows of earlier plans are kept for reuse.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from operator import attrgetter
from pathlib import Path
from typing import Any

from simulator.errors import UserError
from simulator.results.database import ORIGIN, create, remove
from simulator.results.looking import look
from simulator.results.provenance import ENVIRONMENT, same_environment
from simulator.results.rows import COLUMNS, Row, public_record
from simulator.results.soundness import check_content, check_further, check_ours, read_meta
from simulator.results.trouble import check_folder, explained, lock
from simulator.results.written import DATABASE, Written, remove_listed


@dataclass(frozen=True, repr=False)
class Results:
    """The finished rows of the latest plan, in the plan's order, and their metadata.

    Attributes:
        folder: where they are.
        meta: what they need beside them.
        rows: of the plan.
        planned: rows that the plan has.
        unplanned: number of rows of other plans.
    """

    folder: Path
    meta: dict[str, Any]
    rows: list[Row]
    planned: int
    unplanned: int = 0

    @property
    def name(self) -> str:
        """The folder's own: what gets sent to others should not tell where it lies."""
        return self.folder.resolve().name

    @property
    def faults(self) -> int:
        """Number of rows in which the scheme broke."""
        return sum(row.fault is not None for row in self.rows)

    def __repr__(self) -> str:
        schemes = dict.fromkeys(row.scheme for row in self.rows)
        return f"Results('{self.folder}': {len(self.rows)} of {self.planned} rows of {', '.join(schemes) or 'nothing'})"

    def _repr_html_(self) -> str:
        """What the rows are of, for a notebook."""
        said: dict[str, list[Any]] = {"folder": [self.folder], "rows": [f"{len(self.rows)} of {self.planned}"]}
        columns = {
            "scheme": "scheme",
            "channel": "channel",
            "SNR (dB)": "snr_db",
            "CBR": "cbr_target",
            "image": "image",
        }
        for name, column in columns.items():
            said[name] = list(dict.fromkeys(getattr(row, column) for row in self.rows))
        said |= {"faults": [self.faults]} if self.faults else {}
        texts = {name: ", ".join(map(_short, values)) for name, values in said.items()}
        lines = (f"<tr><th>{name}</th><td>{escape(text)}</td></tr>" for name, text in texts.items())
        return f"<table>{''.join(lines)}</table>"

    def to_pandas(self) -> Any:
        """The rows as a pandas DataFrame, with the public columns.

        Raises:
            UserError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise UserError("to_pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame([public_record(row) for row in self.rows])


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class Store:
    """The writing side of a results folder; a context manager that holds the folder's lock."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        """Open or create a results folder.

        Args:
            folder: created when missing.
            fresh: forget all earlier rows, and delete the files that earlier sweeps wrote here.

        Raises:
            UserError: not a folder, not writable, in use by another sweep, or holds a database that is not ours.
        """
        check_folder(folder)
        self.folder = folder
        self._path = folder / DATABASE
        self._origin: int | None = None
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder)
            try:
                check_ours(self._path, any_layout=fresh)
                if fresh:
                    remove_listed(folder)
                    remove(self._path)
                self._connection = create(self._path)
            except BaseException:
                os.close(self._lock)
                raise

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and release the folder."""
        self._connection.close()
        os.close(self._lock)

    def written(self, notify: Callable[[str], None]) -> Written:
        """The folder's files that this program wrote; `notify` receives a note when a user's file is renamed."""
        return Written(self.folder, self._connection, notify)

    def set_plan(self, keys: Sequence[str], meta: dict[str, Any]) -> None:
        """Make `keys` the plan that readers see, with its JSON-serialisable description."""
        with self._transaction() as connection:
            if [key for (key,) in connection.execute("SELECT key FROM plan ORDER BY position")] != list(keys):
                connection.execute("DELETE FROM plan")
                connection.executemany("INSERT INTO plan VALUES (?, ?)", enumerate(keys))
            connection.execute("DELETE FROM meta")
            entries = [(name, json.dumps(value)) for name, value in meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", entries)

    def rename(self, schemes: Mapping[str, str]) -> None:
        """Change what rows call their scheme, by key."""
        if schemes:
            with self._transaction() as connection:
                entries = [(name, key, name) for key, name in schemes.items()]
                connection.executemany("UPDATE rows SET scheme = ? WHERE key = ? AND scheme != ?", entries)

    def finished(self) -> set[str]:
        """Keys of the plan's finished rows, without faults, which are retried."""
        with explained(self.folder):
            # Reading all keys and matching them here takes a fifth of the time of a join, which looks up each one.
            there = {key for (key,) in self._connection.execute("SELECT key FROM rows WHERE fault IS NULL")}
            return {key for (key,) in self._connection.execute("SELECT key FROM plan") if key in there}

    def begin(self, now: dict[str, Any], kept: Set[str]) -> list[dict[str, Any]]:
        """Record the environment of the rows that follow.

        Args:
            now: this environment, as `simulator.results.provenance.environment` returns it.
            kept: keys of rows that are not computed again.

        Returns:
            The other environments in which rows of `kept` were made, the newest last, with the number of them (`rows`).
        """
        with self._transaction() as connection:
            self._origin = _origin(connection, now)
            there = connection.execute("SELECT key, origin FROM rows WHERE origin != ?", (self._origin,))
            count = Counter(origin for key, origin in there if key in kept)
            return [record | {"rows": count[one]} for one, record in _origins(connection) if count[one]]

    def forget_late(self) -> str:
        """Remove rows that depend on files which their keys do not cover; returns how many and which files."""
        with self._transaction() as connection:
            found = connection.execute("SELECT DISTINCT files FROM late JOIN rows USING (key)").fetchall()
            gone = connection.execute("DELETE FROM rows WHERE key IN (SELECT key FROM late)").rowcount
            connection.execute("DELETE FROM late")
        names = sorted({name for (files,) in found for name in json.loads(files)})
        return f"{gone} rows were made with {', '.join(names)}, which may have changed unnoticed" if gone else ""

    def add(self, rows: Iterable[Row], late: Mapping[str, Sequence[str]] | None = None) -> None:
        """Commit finished rows.

        Args:
            rows: finished.
            late: by key of some rows, files that they depend on but their keys do not cover.
        """
        names, marks = ", ".join((*COLUMNS, ORIGIN)), ", ".join("?" * (len(COLUMNS) + 1))
        values = attrgetter(*COLUMNS)
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO rows ({names}) VALUES ({marks})",
                ((*values(row), self._origin) for row in rows),
            )
            entries = [(key, json.dumps(files)) for key, files in (late or {}).items()]
            connection.executemany("INSERT OR REPLACE INTO late VALUES (?, ?)", entries)

    def results(self) -> Results:
        """The finished rows of the plan."""
        with explained(self.folder):
            return _read(self._connection, self.folder)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with explained(self.folder):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise


def load_results(folder: Path, keys: Sequence[str] | None = None) -> Results:
    """Read a results folder, also while a sweep writes to it.

    Args:
        folder: where a sweep wrote.
        keys: of another plan, whose reusable rows to read; None takes the latest plan.

    Raises:
        UserError: no such folder, no results in it, or a database that is not ours.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise UserError(f"no results in '{folder}' (it has no {DATABASE}); give a folder that a sweep wrote")
    with explained(folder):
        check_ours(path)
        return look(path, lambda connection: _read(connection, folder, keys))


def _origins(connection: sqlite3.Connection) -> list[tuple[int, dict[str, Any]]]:
    """The recorded environments, oldest first, by the number that rows have in the column `ORIGIN`."""
    found = connection.execute("SELECT id, record FROM origins ORDER BY id")
    return [(one, json.loads(record)) for one, record in found]


def _origin(connection: sqlite3.Connection, record: dict[str, Any]) -> int:
    """The number of an environment, recorded if it is new; command and date are those of its first run."""
    for one, known in _origins(connection):
        if same_environment(known, record):
            return one
    entry = json.dumps({name: record.get(name) for name in ENVIRONMENT})
    return int(connection.execute("INSERT INTO origins (record) VALUES (?)", (entry,)).lastrowid or 0)


def _read(connection: sqlite3.Connection, folder: Path, keys: Sequence[str] | None = None) -> Results:
    if keys is not None:  # a temporary table hides the stored one of its name, and changes no file
        connection.execute("CREATE TEMP TABLE plan (position INTEGER PRIMARY KEY, key TEXT NOT NULL)")
        connection.executemany("INSERT INTO plan VALUES (?, ?)", enumerate(keys))
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'late'").fetchone():  # later than layout 3
            connection.execute("DELETE FROM plan WHERE key IN (SELECT key FROM late)")
    check_content(connection)
    names = ", ".join(f"rows.{name}" for name in COLUMNS)
    found = connection.execute(f"SELECT {names} FROM plan JOIN rows USING (key) ORDER BY position")
    outage = COLUMNS.index("outage")
    rows = [Row(*(*values[:outage], bool(values[outage]), *values[outage + 1 :])) for values in found]
    for row in rows:
        check_further(row)
    meta = read_meta(connection)
    (planned,) = connection.execute("SELECT count(*) FROM plan").fetchone()
    (stored,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    return Results(folder, meta, rows, planned, stored - len(rows))
