"""The figures: quality against SNR or bandwidth, fit for print.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color), told apart with any colour vision; every curve has its
own marker too. The same results give the same bytes.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import UserError
from simulator.statistics import CONFIDENCE, METRICS, Point, summarise
from simulator.store import Results
from simulator.tables import cbr_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BOUND_COLOURS = ("#000000", "#7F7F7F")
BACKBONES = {"alex": "AlexNet", "vgg": "VGG", "squeeze": "SqueezeNet"}
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.7,
    "pdf.fonttype": 42,
    "figure.dpi": 200,
}


@dataclass(frozen=True)
class Curve:
    """One line of a figure: a scheme's points, with what tells it from the others."""

    label: str
    bound: bool
    colour: str
    marker: str
    points: list[Point]

    def keep(self, points: Iterable[Point]) -> "Curve":
        """The same line with other points."""
        return Curve(self.label, self.bound, self.colour, self.marker, list(points))


def draw(results: Sequence[Results], folder: Path, x: str | None = None) -> list[Path]:
    """Draw every metric there is against SNR or CBR, one figure per channel and value of the other axis.

    Args:
        results: one or more results folders, in one figure.
        folder: where PNG and PDF go; made when missing.
        x: "snr" or "cbr"; None takes CBR if there is only one SNR and several CBRs.

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
    for channel, fixed in dict.fromkeys((point.channel, _other(point, x)) for point in points):
        chosen = [
            curve.keep(p for p in curve.points if (p.channel, _other(p, x)) == (channel, fixed)) for curve in curves
        ]
        for metric in METRICS:
            with_metric = [curve.keep(p for p in curve.points if p.metrics[metric]) for curve in chosen]
            if any(curve.points for curve in with_metric):
                figure = _figure(with_metric, metric, x, _title(channel, fixed, x, with_metric), backbones)
                condition = f"snr-{fixed:g}dB" if x == "cbr" else f"cbr-{cbr_label(fixed)}"
                written += _save(figure, folder, f"{metric.removesuffix('_db')}-vs-{x}-{channel}-{condition}")
    return written


def remove_figures(folder: Path) -> None:
    """Delete the figures that `draw` made in a folder."""
    for metric in METRICS:
        for path in folder.glob(f"{metric.removesuffix('_db')}-vs-*"):
            path.unlink()


def make_curves(results: Sequence[Results]) -> list[Curve]:
    """One curve per scheme and results folder; the folder is named where a scheme comes from several."""
    found: list[tuple[str, bool, str, list[Point]]] = []
    for one in results:
        points = summarise(one.rows)
        for scheme in dict.fromkeys(point.scheme for point in points):
            own = [point for point in points if point.scheme == scheme]
            found.append((scheme, scheme in one.meta.get("bounds", ()), one.folder.name, own))
    names = [scheme for scheme, *_ in found]
    colours = {False: cycle(COLOURS), True: cycle(BOUND_COLOURS)}
    markers = cycle(MARKERS)
    curves = []
    for scheme, bound, origin, points in found:
        label = f"{scheme}, {origin}" if names.count(scheme) > 1 else scheme
        marker = "" if bound else next(markers)
        curves.append(Curve(f"{label} (bound)" if bound else label, bound, next(colours[bound]), marker, points))
    return curves


def _other(point: Point, x: str) -> float:
    """The coordinate that a figure against `x` holds fixed."""
    return point.cbr_target if x == "snr" else point.snr_db


def _title(channel: str, fixed: float, x: str, curves: Sequence[Curve]) -> str:
    condition = f"CBR {cbr_label(fixed)}" if x == "snr" else f"$E_s/N_0$ = {fixed:g} dB"
    counts = {point.images for curve in curves for point in curve.points}
    images = "-".join(str(count) for count in sorted({min(counts), max(counts)}))
    return f"{channel}, {condition}, {images} image{'' if images == '1' else 's'}"


def _figure(curves: Sequence[Curve], metric: str, x: str, title: str, backbones: set[str]) -> "Figure":
    """One metric above, and the outage rate below if there was any outage."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    outages = any(point.outage_rate for curve in curves for point in curve.points)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.5, 4.2 if outages else 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        grid: dict[str, Any] = {"sharex": True, "height_ratios": [4, 1]} if outages else {}
        axes = figure.subplots(2 if outages else 1, 1, squeeze=False, **grid)[:, 0]
        for curve in curves:
            _plot_metric(axes[0], curve, metric, x)
        axes[0].set_ylabel(_metric_label(metric, backbones))
        axes[0].set_title(title, fontsize=9)
        if outages:
            for curve in curves:
                _plot_outages(axes[1], curve, x)
            axes[1].set_ylabel("Outage rate")
            axes[1].set_ylim(-0.05, 1.05)
        _label_x(axes[-1], x, [point for curve in curves for point in curve.points])
        _legend(axes[0], outages, shaded=any(point.images > 1 for curve in curves for point in curve.points))
    return figure


def _abscissa(point: Point, x: str) -> float:
    return point.snr_db if x == "snr" else point.cbr


def _plot_metric(axes: "Axes", curve: Curve, metric: str, x: str) -> None:
    """Line, interval as a shade, and hollow markers where some trips ended in outage."""
    points = sorted(curve.points, key=lambda point: _abscissa(point, x))
    estimates = [estimate for point in points if (estimate := point.metrics[metric])]
    if not points:
        return
    where = [_abscissa(point, x) for point in points]
    line = "--" if curve.bound else "-"
    means = [estimate.mean for estimate in estimates]
    axes.plot(where, means, line, color=curve.colour, linewidth=1.3, zorder=3)
    for hollow in (False, True):
        some = [(a, b) for a, b, p in zip(where, means, points, strict=True) if (p.outage_rate > 0) == hollow]
        if some and (curve.marker or hollow):
            face = "white" if hollow else curve.colour
            style: dict[str, Any] = {"markersize": 4.5, "markerfacecolor": face, "markeredgecolor": curve.colour}
            axes.plot(*zip(*some, strict=True), curve.marker or "o", linestyle="none", zorder=4, **style)
    axes.plot([], [], f"{curve.marker}{line}", color=curve.colour, linewidth=1.3, markersize=4.5, label=curve.label)
    shaded = [(a, e.low, e.high) for a, e in zip(where, estimates, strict=True) if e.low is not None]
    if shaded:
        a, low, high = zip(*shaded, strict=True)
        alpha = 0.07 if curve.bound else 0.14
        axes.fill_between(a, low, high, color=curve.colour, alpha=alpha, linewidth=0, zorder=1)


def _plot_outages(axes: "Axes", curve: Curve, x: str) -> None:
    points = sorted(curve.points, key=lambda point: _abscissa(point, x))
    if not curve.bound or any(point.outage_rate for point in points):
        where, rates = [_abscissa(point, x) for point in points], [point.outage_rate for point in points]
        line = "--" if curve.bound else "-"
        axes.plot(where, rates, f"{curve.marker}{line}", color=curve.colour, linewidth=1, markersize=3)


def _metric_label(metric: str, backbones: set[str]) -> str:
    nets = ", ".join(BACKBONES.get(name, name) for name in sorted(backbones))
    return {"psnr_db": "PSNR (dB)", "ms_ssim": "MS-SSIM", "lpips": f"LPIPS ({nets}), lower is better"}[metric]


def _label_x(axes: "Axes", x: str, points: Sequence[Point]) -> None:
    if x == "snr":
        axes.set_xlabel("$E_s/N_0$ (dB)")
        return
    axes.set_xlabel("CBR, all costs billed (channel uses per source value)")
    targets = sorted({point.cbr_target for point in points})
    if len(targets) <= 6:
        axes.set_xticks(targets, [cbr_label(target) for target in targets])


def _legend(axes: "Axes", outages: bool, shaded: bool) -> None:
    """Name the curves, and what hollow markers and shades mean."""
    if outages:
        style: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markeredgecolor": "#555555"}
        axes.plot([], [], "o", markersize=4.5, label="some trips in outage", **style)
    if shaded:
        axes.fill_between([], [], [], color="#555555", alpha=0.2, linewidth=0, label=f"{CONFIDENCE:.0%} over images")
    axes.legend(loc="best")


def _save(figure: "Figure", folder: Path, name: str) -> list[Path]:
    """PNG and PDF without dates or versions, so that the same results give the same files."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9.=_-]+", "-", name)
    paths = [folder / f"{stem}.png", folder / f"{stem}.pdf"]
    metadata: list[dict[str, Any]] = [{"Software": None}, {"CreationDate": None, "Creator": None, "Producer": None}]
    with matplotlib.rc_context(STYLE):
        for path, entries in zip(paths, metadata, strict=True):
            figure.savefig(path, metadata=entries)
    return paths
