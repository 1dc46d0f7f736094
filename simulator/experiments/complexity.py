"""Quality against multiply-accumulates per pixel: what each scheme's quality costs in computation."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.analysis.looks import Look, looks_of
from simulator.analysis.plots import Write, save
from simulator.analysis.statistics import Point, summarise
from simulator.analysis.styles import STYLES
from simulator.analysis.words import column_words, file_words, scheme_words, value_words
from simulator.cost import Cost, measure_cost
from simulator.disk import write_atomically
from simulator.experiments.schemes import scheme_loader
from simulator.link import Bound
from simulator.results.store import Results
from simulator.sweep.inputs import SweepConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = "complexity.csv"
_COLUMNS = ("psnr_db", "lpips")


def draw_complexity(
    config: SweepConfig,
    results: Results,
    labels: Mapping[str, str],
    folder: Path,
    name: str,
    write: Write = write_atomically,
) -> list[Path]:
    """Measure what every scheme costs, write `TABLE`, and draw one figure per channel, SNR and CBR.

    Args:
        config: what was swept.
        results: its rows.
        labels: what to call a scheme, by name.
        folder: of the results.
        name: what the figures' names begin with.
        write: writes a file.

    Returns:
        The files written.
    """
    points, load = summarise(results.rows), scheme_loader(replace(config, device="cpu", precision="fp32"), results)
    schemes = {name: load(name) for name in dict.fromkeys(point.scheme for point in points)}
    sending = {name: scheme for name, scheme in schemes.items() if not isinstance(scheme, Bound)}
    costs = {name: replace(measure_cost(scheme), scheme=name) for name, scheme in sending.items()}
    table = io.StringIO()
    lines = csv.DictWriter(table, list(next(iter(costs.values())).record()), lineterminator="\n")
    lines.writeheader()
    lines.writerows(one.record() for one in costs.values())
    write(folder / TABLE, table.getvalue().encode())
    written, groups = [folder / TABLE], dict[tuple[str, float, float], list[Point]]()
    for point in points:
        if point.scheme in costs:
            groups.setdefault((point.channel, point.snr_db, point.cbr_target), []).append(point)
    for (channel, snr_db, cbr), shown in groups.items():
        said = (value_words("channel", channel), value_words("snr", snr_db), value_words("cbr", cbr))
        title = ", ".join((*said, f"{shown[0].images} image{'s' * (shown[0].images > 1)}"))
        figure = figure_of_complexity(shown, costs, labels, title)
        written += save(figure, folder / "figures", file_words(name, *said), write=write)
    return written


def figure_of_complexity(
    points: Sequence[Point], costs: Mapping[str, Cost], labels: Mapping[str, str], title: str
) -> "Figure":
    """PSNR and LPIPS side by side, a marker per scheme; a scheme without networks is a line across."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    looks, style = looks_of((point.scheme, False) for point in points), STYLES["paper"]
    columns = [column for column in _COLUMNS if any(point.metrics.get(column) for point in points)]
    with style.active():
        figure = Figure(figsize=(style.width * len(columns), style.height * 1.2), layout="constrained")
        FigureCanvasAgg(figure)
        for place, column in enumerate(columns, 1):
            axes = figure.add_subplot(1, len(columns), place)
            for point in points:
                _draw(axes, point, column, costs[point.scheme], looks[point.scheme], labels)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set_xlabel("Encoder and decoder (kMAC per pixel)")
            axes.set_ylabel(column_words(column))
        handles, names = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, names, title=title, loc="outside upper center", ncols=3)
    return figure


def _draw(axes: "Axes", point: Point, column: str, cost: Cost, look: Look, labels: Mapping[str, str]) -> None:
    found, label = point.metrics.get(column), labels.get(point.scheme) or scheme_words(point.scheme)
    if found is None:
        return
    if not cost.macs_per_pixel:
        axes.axhline(found.mean, color=look.colour, linestyle="--", label=f"{label} (no network)")
        return
    bars = None if found.low is None or found.high is None else [[found.mean - found.low], [found.high - found.mean]]
    where = cost.macs_per_pixel / 1e3
    axes.errorbar(where, found.mean, bars, color=look.colour, marker=look.marker, linestyle="none", label=label)
