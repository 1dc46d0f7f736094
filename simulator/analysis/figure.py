"""One figure of curves: panels with a legend above them and one panel of outages below."""

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from simulator.analysis.curves import AXES
from simulator.analysis.drawings import Curve, Drawing
from simulator.analysis.panel import draw_outages, draw_panel, label_abscissa, with_bands, with_intervals
from simulator.analysis.statistics import CONFIDENCE
from simulator.analysis.styles import STYLES, Style
from simulator.analysis.words import column_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHARACTER = 0.6  # mean width of a letter over the size of its font
POINTS_PER_INCH = 72
OUTAGE_SHARE = 0.18  # of a panel's height


def figure_of(
    drawing: Drawing,
    columns: Sequence[str],
    title: str,
    words: Callable[[str], str] = column_words,
    style: Style = STYLES["paper"],
    intervals: str = "auto",
) -> "Figure":
    """Draw columns side by side, or one column at several conditions side by side; outages below, if there were any.

    Args:
        drawing: the curves.
        columns: metrics or costs, a panel each.
        title: stands above the legend.
        words: what an axis of a column is called.
        style: sizes and fonts.
        intervals: "bands", "bars", "none", or "auto": bands for up to two curves, bars for more.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    conditions = drawing.panels
    several = len(conditions) > 1
    lost = _lost(drawing, columns)
    panels = [(column, panel) for column in columns for panel in conditions]
    across = min(len(panels), style.most)
    down = -(-len(panels) // across)
    with style.active():
        shares = [share for _ in range(down) for share in (1.0, OUTAGE_SHARE)[: 1 + bool(lost and several)]]
        shares += [OUTAGE_SHARE] * bool(lost and not several)
        height = style.height * sum(share if share == 1 else 0.1 + share for share in shares)
        figure = Figure(figsize=(style.width * across, height), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.add_gridspec(len(shares), across, height_ratios=shares)
        for place, (column, panel) in enumerate(panels):
            row, at = divmod(place, across)
            first = figure.axes[0] if several and place and len(columns) == 1 else None
            axes = figure.add_subplot(grid[row * (1 + bool(lost and several)), at], sharey=first)
            draw_panel(axes, _of(drawing, panel), column, drawing, intervals)
            axes.set_ylabel(words(column))
            axes.set_title(panel)
            label_abscissa(axes, drawing, words)
            if several and panel in lost and column == columns[0]:
                _add_outages(figure, grid[2 * row + 1, at], drawing, panel, axes)
        if lost and not several:
            _add_outages(figure, grid[-1, :], drawing, lost[0], figure.axes[0] if across == down == 1 else None)
        _add_legend(figure, drawing, title, intervals)
    return figure


def _of(drawing: Drawing, panel: str) -> list[Curve]:
    return [curve for curve in drawing.curves if curve.panel == panel]


def _lost(drawing: Drawing, columns: Sequence[str]) -> list[str]:
    """The conditions under which some trips ended in outage, where a panel of outages makes sense."""
    if drawing.x not in AXES or "outage_rate" in columns:
        return []
    return [panel for panel in drawing.panels if any(p.outage_rate for c in _of(drawing, panel) for p in c.points)]


def _add_outages(figure: "Figure", cell: Any, drawing: Drawing, panel: str, above: "Axes | None") -> None:
    """A panel of outages: below one panel with its axis, or across the figure with ticks of its own."""
    axes = figure.add_subplot(cell, sharex=above)
    draw_outages(axes, _of(drawing, panel), drawing)
    label_abscissa(axes, drawing, column_words)
    if above is None:
        axes.set_xlabel("")
    else:
        above.set_xlabel("")
        above.tick_params(labelbottom=False)


def _add_legend(figure: "Figure", drawing: Drawing, title: str, intervals: str) -> None:
    """Put the legend above the panels, in as many columns as fit, and make room for it."""
    import matplotlib

    handles = [*_handles(drawing), *_explanations(drawing, intervals)]
    letter = CHARACTER * matplotlib.rcParams["font.size"] / POINTS_PER_INCH
    title = textwrap.fill(title, max(20, int(figure.get_figwidth() / letter)))
    for across in range(min(5, len(handles)), 0, -1):
        legend = figure.legend(handles=handles, title=title, loc="outside upper center", ncols=across)
        extent = legend.get_window_extent()
        if across == 1 or extent.width <= figure.bbox.width:
            figure.set_figheight(figure.get_figheight() + extent.height / figure.dpi)
            return
        legend.remove()


def _handles(drawing: Drawing) -> list[Any]:
    """A line for each scheme and a grey one for each condition; where one of the two is single, one for each curve.

    Where panels have the schemes as their titles, one for each condition.
    """
    from matplotlib.lines import Line2D

    def line(curve: Curve, text: str) -> Line2D:
        return Line2D([], [], color=curve.colour, marker=curve.marker, linestyle=curve.line, label=text)

    curves = drawing.curves
    conditions = {curve.condition: curve.line for curve in curves if curve.condition}
    schemes: dict[str, Curve] = {}
    for curve in curves:
        schemes.setdefault(curve.scheme, curve)
    if conditions and all(curve.label in curve.panel for curve in curves):
        shown = {curve.condition: curve for curve in curves}.values()
        return [line(curve, curve.condition) for curve in shown]
    if not conditions or len(schemes) == 1:
        apart = {(curve.scheme, curve.condition): curve for curve in curves}.values()
        return [line(curve, curve.condition or curve.label) for curve in apart]
    found = [Line2D([], [], color=c.colour, marker=c.marker, label=c.label) for c in schemes.values()]
    return found + [Line2D([], [], color="#555555", linestyle=style, label=one) for one, style in conditions.items()]


def _explanations(drawing: Drawing, intervals: str) -> list[Any]:
    """What hollow markers and intervals mean, where there are any."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    points = [point for curve in drawing.curves for point in curve.points]
    found: list[Any] = []
    if any(point.outage_rate for point in points):
        hollow: dict[str, Any] = {"markerfacecolor": "white", "markeredgecolor": "#555555"}
        found.append(Line2D([], [], marker="o", linestyle="none", label="some trips in outage", **hollow))
    if with_intervals(drawing, intervals) and any(point.images > 1 for point in points):
        text = f"{CONFIDENCE:.0%} interval over images"
        if with_bands(drawing.curves, intervals):
            found.append(Patch(color="#555555", alpha=0.2, linewidth=0, label=text))
        else:
            found.append(Line2D([], [], color="#999999", marker="|", markersize=9, linestyle="none", label=text))
    return found
