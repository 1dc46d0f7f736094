"""Numbers as text: CSV for files, JSON for machines, tables for people."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from simulator.analysis.comparison import BdRate, Difference
from simulator.analysis.fitting import Column, FittedTable
from simulator.analysis.scales import Scale, scale_of
from simulator.analysis.statistics import (
    LEDGER_ITEMS,
    METRICS,
    SUMMARY_COLUMNS,
    Bill,
    Estimate,
    Point,
    further_names,
)
from simulator.analysis.words import cbr_label
from simulator.results.rows import PUBLIC_COLUMNS, Row, further_metrics, public_record

if TYPE_CHECKING:
    from rich.console import RenderableType

_ENDS = ("", "_lo", "_hi")
_FORMATS = dict.fromkeys(("snr_db", "cbr_target", "cbr", "cbr_data", "cbr_payload"), ".10g")
_FORMATS |= {f"{name}{end}": ".6f" for name in ("ms_ssim", "lpips", "outage_rate", "difference") for end in _ENDS}
_FORMATS |= {f"psnr_db{end}": ".4f" for end in _ENDS} | dict.fromkeys(("reference_cbr", *LEDGER_ITEMS), ".6f")
_FORMATS |= dict.fromkeys(("snr_db_realised", "encode_s", "decode_s", "share"), ".4f")
_FORMATS |= dict.fromkeys(("percent", "bd_rate_percent"), ".2f")

WIDE = 1000  # characters, for files and pipes
NARROWEST = 40  # columns; COLUMNS=0 would show nothing

QUALITY_COLUMNS = (*("scheme", "channel", "snr_db", "cbr_target", *METRICS, "outage_rate", "encode_s", "decode_s"),)


class Recorded(Protocol):
    """What is a line of a table."""

    def record(self) -> dict[str, Any]:
        """A flat record with public columns."""
        ...


def summary_csv(points: Iterable[Point]) -> str:
    """`summary.csv`: one line per point; a cell is empty where a metric is missing. Further metrics come last."""
    points = list(points)
    further = [f"{name}{suffix}" for name in further_names(points) for suffix in _ENDS]
    return table_csv((*SUMMARY_COLUMNS, *further), points)


def rows_csv(rows: Iterable[Row]) -> str:
    """The rows themselves as CSV."""
    rows = list(rows)
    return records_csv((*PUBLIC_COLUMNS, *_further_names(rows)), (public_record(row) for row in rows))


def _further_names(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in further_metrics(row)))


def quality_csv(points: Iterable[Point]) -> str:
    """`table.csv`: quality and seconds per image, without intervals. Further metrics come last."""
    points = list(points)
    columns = (*QUALITY_COLUMNS, *further_names(points))
    means = ({name: one.mean for name, one in point.metrics.items() if one} for point in points)
    return records_csv(columns, (vars(point) | own for point, own in zip(points, means, strict=True)))


def quality_markdown(
    title: str, points: Iterable[Point], labels: Mapping[str, str], directions: Mapping[str, bool] | None = None
) -> str:
    """`table.md`: the same for people.

    Args:
        title: heading.
        points: one line each.
        labels: what to call a scheme, by name; those without one keep their name.
        directions: of metrics that the program does not know, by name: whether higher is better.
    """
    points = list(points)
    further = {name: scale_of(name, directions) for name in further_names(points)}
    heads = (
        *("scheme", "channel", "Es/N0 dB", "CBR", "PSNR dB", "MS-SSIM", "LPIPS"),
        *(f"{scale.label} {scale.arrow}" for scale in further.values()),
        *("outage", "encode s", "decode s"),
    )
    lines = [f"# {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * 2 + "---:|" * (len(heads) - 2)]
    for point in points:
        metrics, seconds = point.metrics, (point.encode_s, point.decode_s)
        cells = (
            *(labels.get(point.scheme, point.scheme), point.channel, f"{point.snr_db:g}", cbr_label(point.cbr_target)),
            *(_estimate(metrics.get(name), scale_of(name).digits) for name in (*METRICS, *further)),
            *(f"{point.outage_rate:.0%}", *("-" if one is None else f"{one:.2f}" for one in seconds)),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def table_csv(columns: Sequence[str], found: Iterable[Recorded]) -> str:
    """Points, comparisons or bills as CSV; a cell is empty where there is no value."""
    return records_csv(columns, (one.record() for one in found))


def records_csv(columns: Sequence[str], records: Iterable[dict[str, Any]]) -> str:
    """Flat records as CSV; what is no number of a known column is written as it prints."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(name, record.get(name)) for name in columns] for record in records)
    return text.getvalue()


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return format(value, _FORMATS[column]) if column in _FORMATS and isinstance(value, float) else str(value)


def to_json(records: Iterable[dict[str, Any]]) -> str:
    """A JSON list; null where a metric is missing."""
    return json.dumps(list(records), indent=2, allow_nan=False)


def summary_table(points: Iterable[Point], directions: Mapping[str, bool] | None = None) -> FittedTable:
    """The summary for people; `directions` as for `quality_markdown`."""
    points = list(points)
    further = {name: scale_of(name, directions) for name in further_names(points)}
    marked = [f"{name} {scale.arrow}" for name, scale in further.items()]
    numbers = ("Es/N0 dB", "PSNR dB", "MS-SSIM", "LPIPS", *marked, "outage", "billed CBR", "images")
    table = _table(*numbers, names=("scheme", "channel"), left=("CBR",), spare=("images", "billed CBR"))
    for point in points:
        metrics = point.metrics
        table.add(
            *(point.scheme, point.channel, cbr_label(point.cbr_target), f"{point.snr_db:g}"),
            *(_estimate(metrics.get(name), scale_of(name).digits) for name in (*METRICS, *further)),
            *(f"{point.outage_rate:.1%}", f"{point.cbr:.5f}", str(point.images)),
        )
    return table


def _estimate(estimate: Estimate | None, digits: int) -> str:
    return "-" if estimate is None else f"{estimate.mean:.{digits}f}"


def differences_table(found: Iterable[Difference], directions: Mapping[str, bool] | None = None) -> FittedTable:
    """Differences for people: one line per point and metric; `directions` as for `quality_markdown`."""
    columns = [Column("scheme", is_name=True), Column("channel", is_name=True)]
    columns += [Column(head, on_left=True) for head in ("CBR", "Es/N0 dB", "metric")]
    columns += [Column(head) for head in ("difference", "95 % interval", "relative")]
    table = FittedTable([*columns, Column("verdict", on_left=True)], spare=("relative",))
    for one in found:
        scale = scale_of(one.metric, directions)
        digits = scale.digits
        low, high = one.estimate.low, one.estimate.high
        interval = "-" if low is None or high is None else f"{low:+.{digits}f} .. {high:+.{digits}f}"
        table.add(
            *(one.scheme, one.channel, cbr_label(one.cbr_target)),
            *("mean" if one.snr_db is None else f"{one.snr_db:g}", one.metric),
            *(f"{one.estimate.mean:+.{digits}f}", interval, "" if one.percent is None else f"{one.percent:+.1f} %"),
            _verdict(scale, low, high),
        )
    return table


def _verdict(scale: Scale, low: float | None, high: float | None) -> str:
    """Better or worse where the interval leaves out 0."""
    if low is None or high is None or low <= 0 <= high:
        return ""
    return "better" if scale.improves(low) else "worse"


def bd_rates_table(found: Iterable[BdRate]) -> FittedTable:
    """BD-rates for people."""
    table = _table("BD-rate", names=("scheme", "channel"), left=("Es/N0 dB", "metric"))
    for one in found:
        percent = "-" if one.bd_rate_percent is None else f"{one.bd_rate_percent:+.1f} %"
        table.add(one.scheme, one.channel, f"{one.snr_db:g}", one.metric, percent)
    return table


def bd_rates_note(found: Iterable[BdRate]) -> str:
    """One line for people: why BD-rates are missing; empty where none is."""
    found = list(found)
    if not found:
        return "No BD-rates: they need two CBRs or more at one SNR, of the reference and of another scheme."
    reasons: dict[str, dict[str, None]] = {}
    for one in found:
        if one.bd_rate_percent is None:
            reasons.setdefault(one.reason, {})[f"{one.scheme} ({one.metric})"] = None
    said = "; ".join(f"{reason}: {', '.join(who)}" for reason, who in reasons.items())
    return f"No BD-rate where {said}." if said else ""


def bills_table(found: Iterable[Bill]) -> FittedTable:
    """Bills for people, in percent of all channel uses."""
    heads = ("Es/N0 dB", "billed CBR", *(item.replace("_", " ") for item in LEDGER_ITEMS))
    table = _table(*heads, names=("scheme", "channel"), left=("CBR",))
    for one in found:
        shares = (f"{share:.1%}" if share else "" for share in one.shares.values())
        table.add(one.scheme, one.channel, cbr_label(one.cbr_target), f"{one.snr_db:g}", f"{one.cbr:.5f}", *shares)
    return table


def rows_table(rows: Iterable[Row]) -> FittedTable:
    """The rows for people."""
    rows = list(rows)
    names = ("scheme", "channel", "image")
    known = [name for name in PUBLIC_COLUMNS if name not in ("key", "cbr_target", *names)]
    columns = [*known, *_further_names(rows)]
    spare = ("snr_db_realised", "encode_s", "decode_s", *reversed(LEDGER_ITEMS), "cbr_payload", "cbr")
    table = _table(*columns, names=names, left=("CBR",), spare=spare)
    for row in rows:
        record = public_record(row)
        cells = (_short(name, record.get(name)) for name in (*names, *columns))
        table.add(*(next(cells) for _ in names), cbr_label(row.cbr_target), *cells)
    return table


def _short(column: str, value: Any) -> str:
    if column in ("cbr", "cbr_payload"):
        return f"{value:.5f}"
    return "-" if value is None else _cell(column, value)


def _table(*numbers: str, names: Sequence[str], left: Sequence[str], spare: Sequence[str] = ()) -> FittedTable:
    """An empty table: names, then other text, then numbers."""
    columns = [*(Column(head, is_name=True) for head in names), *(Column(head, on_left=True) for head in left)]
    return FittedTable([*columns, *map(Column, numbers)], spare)


def print_table(table: "RenderableType") -> None:
    """Print to stdout; files and pipes get the whole width of the table, and a terminal of no width some."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            """Let the program handle it, as for any other output; Rich would exit with the code for faults."""
            raise  # the error that is being handled

    console = Output()
    Output(width=max(console.width, NARROWEST) if console.is_terminal else WIDE).print(table)
