"""One figure of curves: quality against SNR or bandwidth, fit for print.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color), told apart with any colour vision; variants of a scheme
share its colour in lighter shades, and every curve has its own marker too. A panel is as wide as a column of a paper.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import TYPE_CHECKING, Any

from simulator.analysis.statistics import CONFIDENCE, Point, summarise
from simulator.analysis.tables import cbr_label
from simulator.results.store import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
BOUND_COLOURS = ("#000000", "#7F7F7F")
PANEL_WIDTH = 3.5  # inches: one of two columns of a paper
LIGHTEST = 0.55  # of white in the last variant's colour
MOSTLY_LOST = 0.5  # outage rate above which a point does not stretch the axis of quality
BACKBONES = {"alex": "AlexNet", "vgg": "VGG", "squeeze": "SqueezeNet"}
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
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

    scheme: str
    label: str
    bound: bool
    colour: str
    marker: str
    points: list[Point]

    @property
    def line(self) -> str:
        """Line style: bounds are dashed."""
        return "--" if self.bound else "-"

    def keep(self, points: Iterable[Point]) -> "Curve":
        """The same line with other points."""
        return replace(self, points=list(points))


def make_curves(results: Sequence[Results]) -> list[Curve]:
    """One curve per scheme and results folder; the folder is named where a scheme comes from several."""
    found: list[tuple[str, bool, str, list[Point]]] = []
    for one in results:
        points = summarise(one.rows)
        for scheme in dict.fromkeys(point.scheme for point in points):
            own = [point for point in points if point.scheme == scheme]
            found.append((scheme, scheme in one.meta.get("bounds", ()), one.folder.name, own))
    names = [scheme for scheme, *_ in found]
    colours = _colours([(scheme.partition(":")[0], bound) for scheme, bound, *_ in found])
    markers = cycle(MARKERS)
    curves = []
    for (scheme, bound, origin, points), colour in zip(found, colours, strict=True):
        label = f"{scheme}, {origin}" if names.count(scheme) > 1 else scheme
        marker = "" if bound else next(markers)
        curves.append(Curve(scheme, f"{label} (bound)" if bound else label, bound, colour, marker, points))
    return curves


def _colours(families: Sequence[tuple[str, bool]]) -> list[str]:
    """One colour per curve: a hue per family (name, whether it is a bound), lighter from member to member."""
    palettes = {False: cycle(COLOURS), True: cycle(BOUND_COLOURS)}
    hues = {family: next(palettes[family[1]]) for family in dict.fromkeys(families)}
    colours = []
    for index, family in enumerate(families):
        member, size = families[:index].count(family), families.count(family)
        white = LIGHTEST * member / max(size - 1, 1)
        channels = (int(hues[family][i : i + 2], 16) for i in (1, 3, 5))
        colours.append("#" + "".join(f"{round(255 * white + value * (1 - white)):02X}" for value in channels))
    return colours


def figure_of(curves: Sequence[Curve], metrics: Sequence[str], x: str, title: str, backbones: set[str]) -> "Figure":
    """The metrics side by side, and the outage rate below each if there was any outage."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points = [point for curve in curves for point in curve.points]
    outages = any(point.outage_rate for point in points)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(PANEL_WIDTH * len(metrics), 3.9 if outages else 3.2), layout="constrained")
        FigureCanvasAgg(figure)
        grid: dict[str, Any] = {"sharex": True, "height_ratios": [5, 1]} if outages else {}
        columns = figure.subplots(2 if outages else 1, len(metrics), squeeze=False, **grid).T
        for axes, metric in zip(columns, metrics, strict=True):
            for curve in curves:
                _plot_metric(axes[0], curve, metric, x)
            axes[0].set_ylabel(_metric_label(metric, backbones))
            if outages:
                _limit(axes[0], curves, metric, x)
                for curve in curves:
                    _plot_outages(axes[1], curve, x)
                axes[1].set_ylabel("Outage")
                axes[1].set_ylim(-0.08, 1.08)
                axes[1].set_yticks([0, 1], ["0", "1"])
            _label_x(axes[-1], x, points)
        _explain(columns[0][0], outages, shaded=any(point.images > 1 for point in points))
        _add_legend(figure, columns[0][0], title, most=2 if len(metrics) == 1 else 4)
    return figure


def _add_legend(figure: "Figure", axes: "Axes", title: str, most: int) -> None:
    """Put the legend above the panels, in as many columns as fit beside each other."""
    handles, names = axes.get_legend_handles_labels()
    for across in range(min(most, (len(names) + 1) // 2), 0, -1):
        legend = figure.legend(handles, names, title=title, loc="outside upper center", ncols=across)
        if across == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _abscissa(point: Point, x: str) -> float:
    return {"snr": point.snr_db, "cbr": point.cbr, "cbr-data": point.cbr_data}[x]


def _plot_metric(axes: "Axes", curve: Curve, metric: str, x: str) -> None:
    """Line, interval as a shade, and hollow markers where some trips ended in outage."""
    known = [(point, estimate) for point in curve.points if (estimate := point.metrics.get(metric))]
    known.sort(key=lambda pair: _abscissa(pair[0], x))
    if not known:
        return
    where, means = [_abscissa(point, x) for point, _ in known], [estimate.mean for _, estimate in known]
    axes.plot(where, means, curve.line, color=curve.colour, zorder=3)
    for hollow in (False, True):
        some = [(a, b) for a, b, (p, _) in zip(where, means, known, strict=True) if (p.outage_rate > 0) == hollow]
        if some and (curve.marker or hollow):
            face = "white" if hollow else curve.colour
            style: dict[str, Any] = {"markerfacecolor": face, "markeredgecolor": curve.colour}
            axes.plot(*zip(*some, strict=True), curve.marker or "o", linestyle="none", zorder=4, **style)
    axes.plot([], [], f"{curve.marker}{curve.line}", color=curve.colour, label=curve.label)
    shaded = [(a, e.low, e.high) for a, (_, e) in zip(where, known, strict=True) if e.low is not None]
    if shaded:
        a, low, high = zip(*shaded, strict=True)
        alpha = 0.05 if curve.bound else 0.1
        axes.fill_between(a, low, high, color=curve.colour, alpha=alpha, linewidth=0, zorder=1)


def _limit(axes: "Axes", curves: Sequence[Curve], metric: str, x: str) -> None:
    """Let the axis span what mostly arrives: curves fall out of it over their cliff, and a note says how far."""
    there = [(point, e) for curve in curves for point in curve.points if (e := point.metrics.get(metric))]
    kept = [e.mean for point, e in there if point.outage_rate <= MOSTLY_LOST]
    kept += [bound for point, e in there if not point.outage_rate for bound in (e.low, e.high) if bound is not None]
    if not kept or not any(point.outage_rate > MOSTLY_LOST for point, _ in there):
        return
    margin = 0.06 * (max(kept) - min(kept)) or 1.0
    bottom, top = min(kept) - margin, max(kept) + margin
    axes.set_ylim(bottom, top)
    for curve in curves:
        lost = [(_abscissa(p, x), e.mean) for p in curve.points if (e := p.metrics.get(metric)) and p.outage_rate == 1]
        outside = [(a, mean) for a, mean in lost if not bottom <= mean <= top]
        if outside:
            _note_fall(axes, *max(outside), metric)


def _note_fall(axes: "Axes", a: float, mean: float, metric: str) -> None:
    """Say at the edge of the axes, right of where a curve left them, at which value it goes on."""
    bottom, top = axes.get_ylim()
    value = f"{mean:.0f} dB" if metric == "psnr_db" else f"{mean:.2f}"
    common: dict[str, Any] = {"textcoords": "offset points", "color": "#555555", "fontsize": 6.5}
    if mean < bottom:
        axes.annotate(f"↓ {value}", (a, bottom), (4, 3), va="bottom", **common)
    else:
        axes.annotate(f"↑ {value}", (a, top), (4, -3), va="top", **common)


def _plot_outages(axes: "Axes", curve: Curve, x: str) -> None:
    points = sorted(curve.points, key=lambda point: _abscissa(point, x))
    if any(point.outage_rate for point in points):  # the others would hide each other at 0
        where, rates = [_abscissa(point, x) for point in points], [point.outage_rate for point in points]
        axes.plot(where, rates, f"{curve.marker}{curve.line}", color=curve.colour, linewidth=1, markersize=2.5)


def _metric_label(metric: str, backbones: set[str]) -> str:
    nets = ", ".join(BACKBONES.get(name, name) for name in sorted(backbones))
    known = {"psnr_db": "PSNR (dB)", "ms_ssim": "MS-SSIM", "lpips": f"LPIPS ({nets}), lower is better"}
    return known.get(metric, metric)


def _label_x(axes: "Axes", x: str, points: Sequence[Point]) -> None:
    if x == "snr":
        from matplotlib.ticker import MaxNLocator

        average = "" if {point.channel.partition(":")[0] for point in points} == {"awgn"} else "Average "
        axes.set_xlabel(f"{average}$E_s/N_0$ (dB)")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 3, 5, 10]))
        return
    billed = "all costs billed" if x == "cbr" else "without pilots, guard and prefix"
    axes.set_xlabel(f"CBR, {billed} (channel uses per source value)")
    targets = sorted({point.cbr_target for point in points})
    if len(targets) <= 6 and max(_abscissa(point, x) for point in points) < 1.05 * targets[-1]:
        axes.set_xticks(targets, [cbr_label(target) for target in targets])


def _explain(axes: "Axes", outages: bool, shaded: bool) -> None:
    """Add to the legend what hollow markers and shades mean."""
    if outages:
        style: dict[str, Any] = {"linestyle": "none", "markerfacecolor": "white", "markeredgecolor": "#555555"}
        axes.plot([], [], "o", label="some trips in outage", **style)
    if shaded:
        axes.fill_between([], [], [], color="#555555", alpha=0.2, linewidth=0, label=f"{CONFIDENCE:.0%} over images")
