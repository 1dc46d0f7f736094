"""What figures are drawn of: a results folder's database or, where only its tables were kept, its `summary.csv`."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, count
from pathlib import Path
from typing import Any

from simulator.analysis.curves import described, source_of
from simulator.analysis.drawings import Source
from simulator.analysis.outputs import SUMMARY
from simulator.analysis.statistics import METRICS, SUMMARY_COLUMNS, Estimate, Point
from simulator.errors import UserError
from simulator.results.provenance import PROVENANCE
from simulator.results.soundness import wrong_kind
from simulator.results.store import DATABASE, load_results

_NUMBERS = ("outage_rate", "outage_rate_lo", "outage_rate_hi", "cbr", "cbr_data", "cbr_payload")


def load_sources(folders: Sequence[Path]) -> list[Source]:
    """Read results folders; folders of one name in different places are numbered.

    Raises:
        UserError: a folder has neither a database nor a summary, or they cannot be read.
    """
    found: list[Source] = []
    for folder in folders:
        source = load_source(folder)
        names = chain([source.name], (f"{source.name} ({number})" for number in count(2)))
        taken = {one.name for one in found}
        found.append(replace(source, name=next(name for name in names if name not in taken)))
    return found


def load_source(folder: Path) -> Source:
    """Read a results folder, or the `summary.csv` in it if there is no database.

    Raises:
        UserError: neither is there, or it cannot be read.
    """
    path = folder / SUMMARY
    if (folder / DATABASE).is_file() or not path.is_file():
        return source_of(load_results(folder))
    origin = folder / PROVENANCE
    meta = _read_meta(origin) if origin.is_file() else {}
    reader = csv.DictReader(io.StringIO(_read_text(path), newline=""))
    try:
        columns = reader.fieldnames or []
        if missing := [name for name in SUMMARY_COLUMNS if name not in columns]:
            raise UserError(f"'{path}' is not a summary of a sweep: it has no column '{missing[0]}'")
        further = [name for name in columns if name not in SUMMARY_COLUMNS and f"{name}_lo" in columns]
        points = [_point(line, (*METRICS, *further)) for line in reader]
    except (TypeError, ValueError, csv.Error) as error:
        raise UserError(f"'{path}' line {reader.line_num}: {error}; run the sweep again to rewrite it") from None
    return described(folder.resolve().name, points, meta)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"'{path}' cannot be read ({reason}); run the sweep again to rewrite it") from None


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"'{path}' cannot be read ({error}); run the sweep again to rewrite it") from None
    if not isinstance(meta, dict) or wrong_kind(meta):
        raise UserError(f"'{path}' is not a record of a sweep; run the sweep again to rewrite it")
    return meta


def _point(line: dict[str, str], metrics: Sequence[str]) -> Point:
    numbers: dict[str, Any] = {name: float(line[name]) for name in _NUMBERS}
    return Point(
        *(line["scheme"], line["channel"], float(line["snr_db"]), float(line["cbr_target"])),
        *(int(line["images"]), int(line["realisations"])),
        metrics={name: _estimate(line, name) for name in metrics},
        **numbers,
        encode_s=None,
        decode_s=None,
    )


def _estimate(line: dict[str, str], metric: str) -> Estimate | None:
    mean, low, high = (line[f"{metric}{suffix}"] for suffix in ("", "_lo", "_hi"))
    return Estimate(float(mean), float(low) if low else None, float(high) if high else None) if mean else None
