"""One panel: lines, intervals, notes on points outside the frame, ticks at the data."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from simulator.analysis.curves import AXES, estimate_of
from simulator.analysis.drawings import Curve, Drawing
from simulator.analysis.statistics import Estimate, Point
from simulator.analysis.words import cbr_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOSTLY_LOST = 0.5  # outage rate above which a point does not stretch the axis of quality
MOST_TICKS = 9
DODGE = 0.006  # of the axis, between the bars of two curves
Place = tuple[float, Point, Estimate]


def with_intervals(drawing: Drawing, intervals: str) -> bool:
    """Whether intervals are drawn: by default only against columns that the grid sets."""
    return intervals in ("bands", "bars") or (intervals == "auto" and drawing.x in AXES)


def with_bands(curves: Sequence[Curve], intervals: str) -> bool:
    """Whether intervals are bands: more than two are illegible where they overlap."""
    return intervals == "bands" or (intervals == "auto" and len({(c.scheme, c.condition) for c in curves}) <= 2)


def draw_panel(axes: "Axes", curves: Sequence[Curve], column: str, drawing: Drawing, intervals: str) -> None:
    """Draw one column of all curves.

    Args:
        axes: where.
        curves: those of the panel.
        column: the metric or cost of the vertical axis.
        drawing: the whole figure, for its horizontal axis and its number of curves.
        intervals: "bands", "bars", "none" or "auto".
    """
    places = [_places(curve, column, drawing.x) for curve in curves]
    span = _span([a for one in places for a, *_ in one])
    for order, (curve, own) in enumerate(zip(curves, places, strict=True)):
        _draw_line(axes, curve, own)
        if with_intervals(drawing, intervals):
            shift = 0.0 if drawing.x not in AXES else DODGE * span * (order - (len(curves) - 1) / 2)
            _draw_intervals(axes, curve, own, shift, with_bands(drawing.curves, intervals))
    if drawing.x in AXES:
        _limit(axes, places, column)
    else:
        _limit_plane(axes, places)


def _places(curve: Curve, column: str, x: str) -> list[Place]:
    """(abscissa, point, estimate) of the points that have both."""
    return [
        (a.mean, point, estimate)
        for point in curve.points
        if (a := estimate_of(point, x)) and (estimate := estimate_of(point, column))
    ]


def _span(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0


def _draw_line(axes: "Axes", curve: Curve, places: Sequence[Place]) -> None:
    """The line, with hollow markers where some trips ended in outage."""
    axes.plot([a for a, *_ in places], [e.mean for *_, e in places], linestyle=curve.line, color=curve.colour, zorder=3)
    for hollow in (False, True):
        some = [(a, e.mean) for a, point, e in places if (point.outage_rate > 0) == hollow]
        if some and (curve.marker or hollow):
            face = "white" if hollow else curve.colour
            look: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": curve.colour}
            axes.plot(*zip(*some, strict=True), marker=curve.marker or "o", linestyle="none", zorder=4, **look)


def _draw_intervals(axes: "Axes", curve: Curve, places: Sequence[Place], shift: float, bands: bool) -> None:
    """Bands, or thin bars beside each other."""
    known = [(a, e.low, e.high) for a, _, e in places if e.low is not None and e.high is not None]
    if not known:
        return
    where, low, high = zip(*known, strict=True)
    if bands:
        axes.fill_between(where, low, high, color=curve.colour, alpha=0.12, linewidth=0, zorder=1)
    else:
        axes.vlines([a + shift for a in where], low, high, color=curve.colour, alpha=0.45, linewidth=0.7, zorder=2)


def _limit(axes: "Axes", places: Sequence[Sequence[Place]], column: str) -> None:
    """Let the axis span the points with few outages: curves leave it at their cliff, and a note says how far."""
    there = [(point, e) for one in places for _, point, e in one]
    kept = [e.mean for point, e in there if point.outage_rate <= MOSTLY_LOST]
    kept += [bound for point, e in there if not point.outage_rate for bound in (e.low, e.high) if bound is not None]
    if not kept or not any(point.outage_rate > MOSTLY_LOST for point, _ in there) or column == "outage_rate":
        return
    margin = 0.06 * _span(kept) or 1.0
    bottom, top = min(kept) - margin, max(kept) + margin
    axes.set_ylim(bottom, top)
    fallen = [fall for one in places if (fall := _fall(one, bottom, top))]
    span, rows = _span([a for one in places for a, *_ in one]), Counter[bool]()
    last: dict[bool, float] = {}
    for a, mean in sorted(fallen):
        below = mean < bottom
        near = below in last and a - last[below] < 0.15 * span
        rows[below] = rows[below] + 1 if near else 0
        last[below] = a
        _note_fall(axes, a, mean, column, rows[below])


def _fall(places: Sequence[Place], bottom: float, top: float) -> tuple[float, float] | None:
    """Where a curve leaves the frame to a point at which all is lost, and at which value that point lies."""
    outside = [bool(point.outage_rate == 1 and not bottom <= e.mean <= top) for _, point, e in places]
    if not any(outside):
        return None
    at = max(place for place, out in enumerate(outside) if out)
    (a, _, lost), following = places[at], places[at + 1 : at + 2]
    if not following:
        return a, lost.mean
    (b, _, arrived), edge = following[0], bottom if lost.mean < bottom else top
    share = (edge - lost.mean) / (arrived.mean - lost.mean)
    return a + (b - a) * min(max(share, 0.0), 1.0), lost.mean


def _limit_plane(axes: "Axes", places: Sequence[Sequence[Place]]) -> None:
    """Let a plane of two metrics span the points with few outages."""
    kept = [(a, e.mean) for one in places for a, point, e in one if point.outage_rate <= MOSTLY_LOST]
    if kept:
        (left, right), (bottom, top) = map(_with_margin, zip(*kept, strict=True))
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)


def _with_margin(values: Sequence[float]) -> tuple[float, float]:
    margin = 0.05 * _span(values) or 1.0
    return min(values) - margin, max(values) + margin


def _note_fall(axes: "Axes", a: float, mean: float, column: str, row: int) -> None:
    """Note at the edge of the axes, right of where a curve leaves them, the value at which it continues.

    Args:
        row: how many notes are nearer to the edge at this place already.
    """
    bottom, top = axes.get_ylim()
    value = f"{mean:.0f} dB" if column.endswith("_db") else f"{mean:.2f}"
    common: dict[str, Any] = {"textcoords": "offset points", "color": "#555555", "fontsize": "small"}
    if mean < bottom:
        axes.annotate(f"↓ {value}", (a, bottom), (4, 3 + 8 * row), va="bottom", **common)
    else:
        axes.annotate(f"↑ {value}", (a, top), (4, -3 - 8 * row), va="top", **common)


def draw_outages(axes: "Axes", curves: Sequence[Curve], drawing: Drawing) -> None:
    """The outage rate of the curves that had any; the others would hide each other at 0."""
    for curve in curves:
        if any(point.outage_rate for point in curve.points):
            places = _places(curve, "outage_rate", drawing.x)
            where, rates = [a for a, *_ in places], [e.mean for *_, e in places]
            look: dict[str, Any] = {"color": curve.colour, "marker": curve.marker, "linestyle": curve.line}
            axes.plot(where, rates, linewidth=1, markersize=2.5, **look)
    axes.set_ylabel("Outage")
    highest = max(point.outage_rate for curve in curves for point in curve.points)
    top = next(one for one in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if highest <= one)
    axes.set_ylim(-0.08 * top, 1.08 * top)
    axes.set_yticks([0, top], ["0", f"{top:.0%}"])


def label_abscissa(axes: "Axes", drawing: Drawing, words: Callable[[str], str]) -> None:
    """Name the horizontal axis, and set its ticks where the data are."""
    points = [point for curve in drawing.curves for point in curve.points]
    if drawing.x == "snr_db":
        average = "" if {point.channel.partition(":")[0] for point in points} == {"awgn"} else "Average "
        axes.set_xlabel(f"{average}$E_s/N_0$ (dB)")
        ticks = _snr_ticks(points)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        return
    axes.set_xlabel(words(drawing.x))
    targets = sorted({point.cbr_target for point in points})
    if drawing.x in ("cbr", "cbr_data") and len(targets) <= 6:
        last = max(getattr(point, drawing.x) for point in points)
        if last < 1.05 * targets[-1]:
            axes.set_xticks(targets, [cbr_label(target) for target in targets])


def _snr_ticks(points: Sequence[Point]) -> list[float]:
    """The SNRs that most curves share, thinned out until they fit."""
    curves = {(point.scheme, point.channel, point.cbr_target, point.snr_db) for point in points}
    counts = Counter(snr for *_, snr in curves)
    ticks = sorted(snr for snr, count in counts.items() if 2 * count >= max(counts.values()))
    step = -(-(len(ticks) - 1) // (MOST_TICKS - 1)) if len(ticks) > MOST_TICKS else 1
    return ticks[::step]
