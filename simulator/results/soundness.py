"""Validation of a results database, which may be untrusted, against the format that `Store` writes."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any, get_args, get_type_hints

from simulator.errors import UserError
from simulator.results.rows import COLUMNS, Row

APPLICATION_ID = 0x4C524953  # "LRIS": marks our databases
LAYOUT = 3  # of the tables; others are refused
META_KINDS = {"bounds": list, "images": list, "config": dict, "lpips": dict, "names": dict, "schemes": dict}
META_KINDS |= {"directions": dict}


def check_ours(path: Path, any_layout: bool = False) -> None:
    """Look at the header of the file (sqlite.org/fileformat2.html, section 1.3) before SQLite touches it."""
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(100)
    ours = header.startswith(b"SQLite format 3\0") and header[68:72] == APPLICATION_ID.to_bytes(4, "big")
    if not ours:
        raise UserError(f"'{path}' is not a results database of this program; move it away or choose another --out")
    layout = int.from_bytes(header[60:64], "big")
    if layout != LAYOUT and not any_layout:
        what_to_do = "sweep with --fresh or another --out"
        raise UserError(f"'{path}' has layout {layout}, this program reads {LAYOUT}; {what_to_do}")


def check_content(connection: sqlite3.Connection) -> None:
    """Check an untrusted database against the format that `Store` writes.

    Raises:
        sqlite3.DatabaseError: a view in place of a table (it could compute for ever), or a value of another kind.
    """
    tables = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'"))
    for name in ("rows", "plan", "meta"):
        if not str(tables.get(name)).startswith("CREATE TABLE"):
            raise sqlite3.DatabaseError(f"it has no table '{name}'")
    there = {name for _, name, *_ in connection.execute("PRAGMA table_info(rows)")}
    if missing := sorted(set(COLUMNS) - there):
        raise sqlite3.DatabaseError(f"its rows have no column '{missing[0]}'")
    sound = " AND ".join(_sound(name, kind) for name, kind in get_type_hints(Row).items())
    odd = f"SELECT rows.key FROM plan JOIN rows USING (key) WHERE NOT ({sound}) LIMIT 1"
    if (found := connection.execute(odd).fetchone()) is not None:
        raise sqlite3.DatabaseError(f"row '{str(found[0])[:64]}' has an impossible value")


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


def check_further(row: Row) -> None:
    """Raises sqlite3.DatabaseError if the values of further metrics are not numbers by name."""
    try:
        found = {} if row.further is None else json.loads(row.further)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(type(one) in (int, float) and abs(one) < 1e15 for one in found.values()):
        raise sqlite3.DatabaseError(f"row '{str(row.key)[:64]}' has impossible further metrics")


def read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    """The metadata of the rows, checked against the types that readers expect.

    Raises:
        sqlite3.DatabaseError: it is not JSON, or of another kind.
    """
    try:
        meta = {name: json.loads(value) for name, value in connection.execute("SELECT name, value FROM meta")}
    except (ValueError, TypeError, RecursionError):
        raise sqlite3.DatabaseError("its description is not JSON") from None
    if name := wrong_kind(meta):
        raise sqlite3.DatabaseError(f"its description '{name}' is no {META_KINDS[name].__name__}")
    if not all(map(_names_image, meta.get("images", ()))):
        raise sqlite3.DatabaseError("its description 'images' names no images")
    return meta


def wrong_kind(meta: dict[str, Any]) -> str | None:
    """The first entry of a description of results that is of another kind than readers expect."""
    return next((name for name, kind in META_KINDS.items() if not isinstance(meta.get(name, kind()), kind)), None)


def _names_image(one: Any) -> bool:
    """Whether it has name, size and hash; the source is found by the hash, which must not lead out of its folder."""
    if not isinstance(one, dict) or not isinstance(one.get("name"), str):
        return False
    size = one.get("size")
    sized = isinstance(size, list) and len(size) == 2 and all(type(side) is int for side in size)
    return sized and re.fullmatch("[0-9a-f]{64}", str(one.get("sha256"))) is not None
