"""Results on disk: one SQLite database per results folder, one writer, rows kept whatever happens to the process.

Rows are found by key, a hash of all that determines them. A sweep first writes down the keys of its plan; readers
see exactly the rows of the latest plan, in its order, while rows of earlier plans wait to be reused.
"""

import errno
import fcntl
import json
import os
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

from simulator.errors import UserError
from simulator.provenance import ENVIRONMENT, same_environment

DATABASE = "results.sqlite"
LOCK = ".lock"
APPLICATION_ID = 0x4C524953  # "LRIS": tells our databases from others
LAYOUT = 3  # of the tables; layout 2 had no fault, layout 1 no snr_db_realised either
_READABLE = (1, 2, LAYOUT)
ROW_FORMAT = 1  # part of every key: a change of what rows mean leaves the old ones unused


@dataclass(frozen=True, slots=True)  # slots: a million rows fit into 1 GB
class Row:
    """What became of one image on one trip. Column names are public.

    Attributes:
        key: hash of everything that determines the row.
        cbr_target, cbr, cbr_payload: channel uses per source value: allowed, billed in full, billed for payload only.
        snr_db, snr_db_realised: Es/N0 on average over channel draws, and what it came out at in this one; None if
            nothing was sent, or if the row is older than the column.
        psnr_db, ms_ssim, lpips: quality of the shown image; None where the metric does not exist.
        outage: nothing could be decoded.
        payload .. pilots: the bill, in complex channel uses.
        encode_s, decode_s: seconds; None for a bound, which neither encodes nor decodes.
        fault: None, or one line on what broke in the scheme: it raised, or showed what is no image. Such a row is
            scored as an outage whose whole budget was spent on padding, and the next run of the sweep tries it again.
        further: None, or a JSON object of the values of further metrics by name; `further_metrics` reads it.
    """

    key: str
    scheme: str
    channel: str
    snr_db: float
    cbr_target: float
    image: str
    realisation: int
    snr_db_realised: float | None
    psnr_db: float
    ms_ssim: float | None
    lpips: float | None
    outage: bool
    cbr: float
    cbr_payload: float
    payload: int
    side_information: int
    header: int
    crc: int
    padding: int
    pilots: int
    encode_s: float | None
    decode_s: float | None
    fault: str | None = None
    further: str | None = None


COLUMNS = tuple(field.name for field in fields(Row))
ORIGIN = "origin"  # a further column, for `Store.begin`; older programs do without
LATER_COLUMNS = {"snr_db_realised", "fault", "further"}  # which older layouts lack
META_KINDS = {"bounds": list, "images": list, "config": dict, "lpips": dict, "names": dict, "schemes": dict}
PUBLIC_COLUMNS = (*(name for name in COLUMNS if name not in ("key", "further")), "key")


@dataclass(frozen=True)
class Results:
    """The rows of the latest plan that are finished, in the plan's order, and what was written down with them.

    Attributes:
        folder: where they are.
        meta: what they need beside them.
        rows: of the plan.
        planned: rows that the plan has.
        unplanned: rows that are there for other plans.
    """

    folder: Path
    meta: dict[str, Any]
    rows: list[Row]
    planned: int
    unplanned: int = 0

    @property
    def faults(self) -> int:
        """How many of the rows are there only because a scheme broke."""
        return sum(row.fault is not None for row in self.rows)


class Store:
    """The writing side of a results folder; a context manager that holds the folder's lock."""

    def __init__(self, folder: Path, fresh: bool = False) -> None:
        """Open or create a results folder.

        Args:
            folder: created when missing.
            fresh: forget all earlier rows.

        Raises:
            UserError: not a folder, not writable, in use by another sweep, or holds a database that is not ours.
        """
        check_folder(folder)
        self.folder = folder
        self._path = folder / DATABASE
        self._origin: int | None = None
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(folder)
            try:
                _check_ours(self._path, any_layout=fresh)
                if fresh:
                    _remove(self._path)
                self._connection = _create(self._path)
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

    def set_plan(self, keys: Sequence[str], meta: dict[str, Any]) -> None:
        """Make `keys` the plan that readers see, with its JSON-serialisable description."""
        with self._transaction() as connection:
            if [key for (key,) in connection.execute("SELECT key FROM plan ORDER BY position")] != list(keys):
                connection.execute("DELETE FROM plan")
                connection.executemany("INSERT INTO plan VALUES (?, ?)", enumerate(keys))
            connection.execute("DELETE FROM meta")
            entries = [(name, json.dumps(value)) for name, value in meta.items()]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", entries)

    def finished(self) -> set[str]:
        """Keys of the plan's rows that are already there, faults left out: those are worth another try."""
        with explained(self.folder):
            # Reading all keys and matching them here takes a fifth of the time of a join, which seeks each in the tree.
            there = {key for (key,) in self._connection.execute("SELECT key FROM rows WHERE fault IS NULL")}
            return {key for (key,) in self._connection.execute("SELECT key FROM plan") if key in there}

    def begin(self, now: dict[str, Any], before: dict[str, Any], kept: Set[str]) -> list[dict[str, Any]]:
        """Note in which environment rows are made from now on.

        Args:
            now: this environment, as `simulator.provenance.environment` tells.
            before: that of the rows of which none was noted; what it does not tell is None.
            kept: keys of rows that are not computed again.

        Returns:
            The other environments in which rows of `kept` were made, the newest last, with the number of them (`rows`).
        """
        with self._transaction() as connection:
            if connection.execute("SELECT 1 FROM rows WHERE origin IS NULL LIMIT 1").fetchone():
                connection.execute("UPDATE rows SET origin = ? WHERE origin IS NULL", (_origin(connection, before),))
            self._origin = _origin(connection, now)
            there = connection.execute("SELECT key, origin FROM rows WHERE origin != ?", (self._origin,))
            count = Counter(origin for key, origin in there if key in kept)
            return [record | {"rows": count[one]} for one, record in _origins(connection) if count[one]]

    def add(self, rows: Iterable[Row]) -> None:
        """Write finished rows; they survive whatever comes next."""
        names, marks = ", ".join((*COLUMNS, ORIGIN)), ", ".join("?" * (len(COLUMNS) + 1))
        values = attrgetter(*COLUMNS)
        with self._transaction() as connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO rows ({names}) VALUES ({marks})",
                ((*values(row), self._origin) for row in rows),
            )

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


def load_results(folder: Path) -> Results:
    """Read a results folder, also while a sweep writes to it.

    Raises:
        UserError: no such folder, no results in it, or a database that is not ours.
    """
    path = folder / DATABASE
    if not path.is_file():
        raise UserError(f"no results in '{folder}' (it has no {DATABASE}); give a folder that a sweep wrote")
    with explained(folder):
        _check_ours(path)
        try:
            return _read_only(path, "mode=ro")
        except sqlite3.OperationalError:
            # A database in WAL mode cannot be opened in a read-only folder unless it is declared immutable.
            return _read_only(path, "immutable=1")


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
    """Turn failures of disk and database inside the block into one line.

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


def _explain_database(error: Exception, folder: Path) -> str:
    code = (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return _disk_full(folder)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"cannot write to '{folder}' ({error}); choose another --out"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _in_use(folder)
    return f"'{folder / DATABASE}' is damaged or no results database ({error}); move it away or choose another --out"


def _in_use(folder: Path) -> str:
    return f"results folder '{folder}' is in use by another sweep; wait for it or choose another --out"


def _lock(folder: Path) -> int:
    """Take the folder's lock; the kernel releases it when the process ends, however it ends."""
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UserError(_in_use(folder)) from None
    return descriptor


def _check_ours(path: Path, any_layout: bool = False) -> None:
    """Look at the header of the file (sqlite.org/fileformat2.html, section 1.3) before SQLite touches it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(100)
    ours = header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION_ID.to_bytes(4, "big")
    if not ours:
        raise UserError(f"'{path}' is not a results database of this program; move it away or choose another --out")
    layout = int.from_bytes(header[60:64], "big")
    if layout not in _READABLE and not any_layout:
        what_to_do = "sweep with --fresh or another --out"
        raise UserError(f"'{path}' has layout {layout}, this program reads {LAYOUT}; {what_to_do}")


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _create(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {LAYOUT}")
        rest = ", ".join(name for name in COLUMNS if name != "key")
        connection.execute(f"CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, {rest}, {ORIGIN}) WITHOUT ROWID")
        for name in {*COLUMNS, ORIGIN} - _columns(connection):
            connection.execute(f"ALTER TABLE rows ADD COLUMN {name}")
        connection.execute("CREATE TABLE IF NOT EXISTS plan (position INTEGER PRIMARY KEY, key TEXT NOT NULL)")
        connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("CREATE TABLE IF NOT EXISTS origins (id INTEGER PRIMARY KEY, record TEXT NOT NULL)")
        connection.execute("COMMIT")
        # Only now: the header that marks the file as ours must be in the file, not in the write-ahead log.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _origins(connection: sqlite3.Connection) -> list[tuple[int, dict[str, Any]]]:
    """The environments that were noted, oldest first, by the number that rows have in the column `ORIGIN`."""
    found = connection.execute("SELECT id, record FROM origins ORDER BY id")
    return [(one, json.loads(record)) for one, record in found]


def _origin(connection: sqlite3.Connection, record: dict[str, Any]) -> int:
    """The number of an environment, which is noted if it was not; command and date are those of its first run."""
    for one, known in _origins(connection):
        if same_environment(known, record):
            return one
    entry = json.dumps({name: record.get(name) for name in ENVIRONMENT})
    return int(connection.execute("INSERT INTO origins (record) VALUES (?)", (entry,)).lastrowid or 0)


def _columns(connection: sqlite3.Connection) -> set[str]:
    """Columns that the table of rows has; fewer than ours in a database of an older layout."""
    return {name for _, name, *_ in connection.execute("PRAGMA table_info(rows)")}


def _read_only(path: Path, mode: str) -> Results:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=30)
    try:
        _check_content(connection)
        return _read(connection, path.parent)
    finally:
        connection.close()


def _check_content(connection: sqlite3.Connection) -> None:
    """Hold a database that may come from anywhere to what `Store` writes.

    Raises:
        sqlite3.DatabaseError: a view in place of a table (it could compute for ever), or a value of another kind.
    """
    tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for name in ("rows", "plan", "meta"):
        if not str(tables.get(name)).startswith("CREATE TABLE"):
            raise sqlite3.DatabaseError(f"it has no table '{name}'")
    there = _columns(connection)
    if missing := sorted(set(COLUMNS) - there - LATER_COLUMNS):
        raise sqlite3.DatabaseError(f"its rows have no column '{missing[0]}'")
    sound = " AND ".join(_sound(name, kind) for name, kind in get_type_hints(Row).items() if name in there)
    odd = f"SELECT rows.key FROM plan JOIN rows USING (key) WHERE NOT ({sound}) LIMIT 1"
    if (found := connection.execute(odd).fetchone()) is not None:
        raise sqlite3.DatabaseError(f"row '{str(found[0])[:64]}' holds a value that cannot be")


def _sound(name: str, kind: Any) -> str:
    """An SQL condition: the column holds what `Row` says."""
    if type(None) in get_args(kind):
        (kind,) = set(get_args(kind)) - {type(None)}
        return f"(rows.{name} IS NULL OR {_sound(name, kind)})"
    if kind is str:
        # Pictures are found by key: it must not lead out of their folder.
        return f"typeof(rows.{name}) = 'text'" + " AND instr(rows.key, '/') = 0" * (name == "key")
    types = "'integer'" if kind in (int, bool) else "'integer', 'real'"
    return f"(typeof(rows.{name}) IN ({types}) AND rows.{name} BETWEEN -1e15 AND 1e15)"


def _read(connection: sqlite3.Connection, folder: Path) -> Results:
    there = _columns(connection)
    names = ", ".join(f"rows.{name}" if name in there else "NULL" for name in COLUMNS)
    found = connection.execute(f"SELECT {names} FROM plan JOIN rows USING (key) ORDER BY position")
    outage = COLUMNS.index("outage")
    rows = [Row(*(*values[:outage], bool(values[outage]), *values[outage + 1 :])) for values in found]
    for row in rows:
        _check_further(row)
    meta = _read_meta(connection)
    (planned,) = connection.execute("SELECT count(*) FROM plan").fetchone()
    (stored,) = connection.execute("SELECT count(*) FROM rows").fetchone()
    return Results(folder, meta, rows, planned, stored - len(rows))


def _check_further(row: Row) -> None:
    """Raises sqlite3.DatabaseError if the values of further metrics are not numbers by name."""
    try:
        found = {} if row.further is None else json.loads(row.further)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(type(one) in (int, float) and abs(one) < 1e15 for one in found.values()):
        raise sqlite3.DatabaseError(f"row '{str(row.key)[:64]}' holds further metrics that cannot be")


def _read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    """What was written down beside the rows, held to the kinds that readers count on.

    Raises:
        sqlite3.DatabaseError: it is not JSON, or of another kind.
    """
    try:
        meta = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM meta")}
    except (ValueError, TypeError, RecursionError):
        raise sqlite3.DatabaseError("its description is not JSON") from None
    for name, kind in META_KINDS.items():
        if not isinstance(meta.get(name, kind()), kind):
            raise sqlite3.DatabaseError(f"its description '{name}' is no {kind.__name__}")
    if not all(map(_names_image, meta.get("images", ()))):
        raise sqlite3.DatabaseError("its description 'images' names no images")
    return meta


def _names_image(one: Any) -> bool:
    """Whether it has a name and a hash; the source is found by the hash, which must not lead out of its folder."""
    known = isinstance(one, dict) and isinstance(one.get("name"), str)
    return known and re.fullmatch("[0-9a-f]{64}", str(one.get("sha256"))) is not None


def public_record(row: Row) -> dict[str, Any]:
    """A row as a flat record in the public order of columns."""
    record = asdict(row)
    return {name: record[name] for name in PUBLIC_COLUMNS} | further_metrics(row)


def further_metrics(row: Row) -> dict[str, float]:
    """The values of metrics beside the built-in ones, by name."""
    return {} if row.further is None else json.loads(row.further)
