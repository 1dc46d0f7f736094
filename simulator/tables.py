"""Numbers as text: CSV for files, JSON for machines, tables for people."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.cache import write_atomically
from simulator.statistics import SUMMARY_COLUMNS, Estimate, Point
from simulator.store import PUBLIC_COLUMNS, Row, public_record

if TYPE_CHECKING:
    from rich.table import Table

_FORMATS = {"snr_db": ".10g", "cbr_target": ".10g", "cbr": ".10g", "cbr_payload": ".10g", "outage_rate": ".6f"}
_FORMATS |= {f"psnr_db{suffix}": ".4f" for suffix in ("", "_lo", "_hi")}
_FORMATS |= {f"{metric}{suffix}": ".6f" for metric in ("ms_ssim", "lpips") for suffix in ("", "_lo", "_hi")}
_FORMATS |= {"encode_s": ".4f", "decode_s": ".4f"}


def summary_csv(points: Iterable[Point]) -> str:
    """`summary.csv`: one line per point; a cell is empty where a metric is missing."""
    return _csv(SUMMARY_COLUMNS, (point.record() for point in points))


def rows_csv(rows: Iterable[Row]) -> str:
    """The rows themselves as CSV."""
    return _csv(PUBLIC_COLUMNS, (public_record(row) for row in rows))


def _csv(columns: Sequence[str], records: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(name, record[name]) for name in columns] for record in records)
    return text.getvalue()


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return format(value, _FORMATS[column]) if column in _FORMATS else str(value)


def to_json(records: Iterable[dict[str, Any]]) -> str:
    """A JSON list; null where a metric is missing."""
    return json.dumps(list(records), indent=2, allow_nan=False)


def cbr_label(cbr: float) -> str:
    """A bandwidth ratio as people write it: `1/16` where a small fraction says it, else decimals."""
    fraction = Fraction(cbr).limit_denominator(999)
    return str(fraction) if abs(float(fraction) - cbr) < 1e-9 else f"{cbr:.6g}"


def summary_table(points: Iterable[Point]) -> "Table":
    """The summary for people."""
    table = _table("scheme", "channel", "CBR")
    for name in ("Es/N0 dB", "PSNR dB", "MS-SSIM", "LPIPS", "outage", "billed CBR", "images"):
        table.add_column(name, justify="right", no_wrap=True)
    for point in points:
        metrics = point.metrics
        table.add_row(
            *(point.scheme, point.channel, cbr_label(point.cbr_target), f"{point.snr_db:g}"),
            *(_estimate(metrics["psnr_db"], 2), _estimate(metrics["ms_ssim"], 4), _estimate(metrics["lpips"], 3)),
            *(f"{point.outage_rate:.1%}", f"{point.cbr:.5f}", str(point.images)),
        )
    return table


def _estimate(estimate: Estimate | None, digits: int) -> str:
    return "-" if estimate is None else f"{estimate.mean:.{digits}f}"


def rows_table(rows: Iterable[Row]) -> "Table":
    """The rows for people."""
    columns = [name for name in PUBLIC_COLUMNS if name not in ("key", "cbr_target")]
    table = _table("CBR", *columns)
    for row in rows:
        record = public_record(row)
        table.add_row(cbr_label(row.cbr_target), *(_short(name, record[name]) for name in columns))
    return table


def _short(column: str, value: Any) -> str:
    if column in ("cbr", "cbr_payload"):
        return f"{value:.5f}"
    return "-" if value is None else _cell(column, value)


def _table(*columns: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, no_wrap=True)
    return table


def print_table(table: "Table") -> None:
    """Print to stdout; what is no terminal gets the whole width of the table."""
    from rich.console import Console

    console = Console()
    console.print(table) if console.is_terminal else Console(width=1000).print(table)


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    write_atomically(path, text.encode())


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, json.dumps(record, indent=2) + "\n")
