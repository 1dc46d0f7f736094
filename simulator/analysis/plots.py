"""Which figures there are, and what their files are called. The same results give the same bytes."""

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.analysis.curves import STYLE, Curve, figure_of, make_curves
from simulator.analysis.statistics import METRICS, Point, further_names
from simulator.analysis.tables import cbr_label
from simulator.disk import write_atomically
from simulator.errors import UserError
from simulator.results.store import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Write = Callable[[Path, bytes], None]


def draw(results: Sequence[Results], folder: Path, x: str | None = None, write: Write = write_atomically) -> list[Path]:
    """Draw every metric there is against SNR or CBR, one figure per channel and value of the other axis.

    Args:
        results: one or more results folders, in one figure.
        folder: where PNG and PDF go; made when missing.
        x: "snr", "cbr" or "cbr-data" (without what the channel spends on pilots, guard and prefix); None takes CBR if
            there is only one SNR and several CBRs.
        write: writes a file.

    Returns:
        The files written.

    Raises:
        UserError: the results have no rows.
    """
    curves = make_curves(results)
    points = [point for curve in curves for point in curve.points]
    if not points:
        raise UserError("nothing to draw: the results hold no finished rows; run the sweep first")
    if x is None:
        x = "cbr" if len({p.snr_db for p in points}) == 1 < len({p.cbr_target for p in points}) else "snr"
    backbones = {one.meta.get("lpips", {}).get("net", "none") for one in results} - {"none"}
    written = []
    for channel, fixed, chosen in _grouped(curves, x):
        for metric in (*METRICS, *further_names(points)):
            with_metric = [curve.keep(p for p in curve.points if p.metrics.get(metric)) for curve in chosen]
            if any(curve.points for curve in with_metric):
                figure = figure_of(with_metric, (metric,), x, _title(channel, fixed, x, with_metric), backbones)
                written += save(figure, folder, f"{_short(metric)}-vs-{x}-{channel}-{_condition(fixed, x)}", write)
    return written


def draw_panels(
    results: Results,
    folder: Path,
    name: str,
    metrics: Sequence[str],
    x: str,
    labels: Mapping[str, str],
    write: Write = write_atomically,
) -> list[Path]:
    """Draw several metrics side by side, one figure per channel and value of the other axis.

    Args:
        results: the rows.
        folder: where PNG and PDF go; made when missing.
        name: what the files' names begin with.
        metrics: one panel each; those that the results lack are left out.
        x: "snr" or "cbr".
        labels: what the legend calls a scheme, by name; those without one keep their name.
        write: writes a file.

    Returns:
        The files written.
    """
    curves = [replace(curve, label=labels.get(curve.scheme, curve.label)) for curve in make_curves([results])]
    backbones = {results.meta.get("lpips", {}).get("net", "none")} - {"none"}
    there = [one for one in metrics if any(point.metrics[one] for curve in curves for point in curve.points)]
    groups = list(_grouped(curves, x)) if there else []
    several_channels, several_values = (len({group[axis] for group in groups}) > 1 for axis in (0, 1))
    written = []
    for channel, fixed, chosen in groups:
        figure = figure_of(chosen, there, x, _title(channel, fixed, x, chosen), backbones)
        said = [channel] * several_channels + [_condition(fixed, x)] * several_values
        written += save(figure, folder, "-".join((name, *map(_short, there), *said)), write)
    return written


def _grouped(curves: Sequence[Curve], x: str) -> Iterator[tuple[str, float, list[Curve]]]:
    """(channel, value of the other axis, the curves' points there) for each figure against `x`."""
    for group in dict.fromkeys((point.channel, _other(point, x)) for curve in curves for point in curve.points):
        kept = [curve.keep(p for p in curve.points if (p.channel, _other(p, x)) == group) for curve in curves]
        yield *group, [curve for curve in kept if curve.points]


def _condition(fixed: float, x: str) -> str:
    return f"cbr-{cbr_label(fixed)}" if x == "snr" else f"snr-{fixed:g}dB"


def _short(metric: str) -> str:
    return metric.removesuffix("_db")


def _other(point: Point, x: str) -> float:
    """The coordinate that a figure against `x` holds fixed."""
    return point.cbr_target if x == "snr" else point.snr_db


def _title(channel: str, fixed: float, x: str, curves: Sequence[Curve]) -> str:
    condition = f"CBR {cbr_label(fixed)}" if x == "snr" else f"$E_s/N_0$ = {fixed:g} dB"
    counts = {point.images for curve in curves for point in curve.points}
    images = "-".join(str(count) for count in sorted({min(counts), max(counts)}))
    return f"{'AWGN' if channel == 'awgn' else channel}, {condition}, {images} image{'' if images == '1' else 's'}"


def save(figure: "Figure", folder: Path, name: str, write: Write = write_atomically) -> list[Path]:
    """Write PNG and PDF without dates or versions, so that the same results give the same files."""
    import matplotlib

    stem = re.sub(r"[^A-Za-z0-9.=_-]+", "-", name)
    paths = [folder / f"{stem}.png", folder / f"{stem}.pdf"]
    metadata: list[dict[str, Any]] = [{"Software": None}, {"CreationDate": None, "Creator": None, "Producer": None}]
    with matplotlib.rc_context(STYLE):
        for path, entries in zip(paths, metadata, strict=True):
            file = io.BytesIO()
            figure.savefig(file, format=path.suffix[1:], metadata=entries)
            write(path, file.getvalue())
    return paths
