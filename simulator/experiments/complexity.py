"""Quality against multiply-accumulates per pixel: what each scheme's quality costs in computation."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.analysis.looks import Look, looks_of
from simulator.analysis.plots import save
from simulator.analysis.statistics import Point, summarise
from simulator.analysis.styles import STYLES
from simulator.analysis.tables import records_csv
from simulator.analysis.words import column_words, file_words, scheme_words, value_words
from simulator.cost import Cost, measure_cost
from simulator.experiments.swept import Swept
from simulator.link import Bound

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TABLE = "complexity.csv"
_COLUMNS = ("psnr_db", "lpips")


def draw_complexity(swept: Swept) -> None:
    """Measure what every scheme costs, write `TABLE`, and draw one figure per channel, SNR and CBR."""
    on_cpu = replace(swept, config=replace(swept.config, device="cpu", precision="fp32"))
    sending = {name: scheme for name, scheme in on_cpu.schemes.items() if not isinstance(scheme, Bound)}
    costs = {name: replace(measure_cost(scheme), scheme=name) for name, scheme in sending.items()}
    if not costs:
        return
    records = [one.record() for one in costs.values()]
    swept.write(swept.results.folder / TABLE, records_csv(list(records[0]), records).encode())
    groups: dict[tuple[str, float, float], list[Point]] = {}
    for point in summarise(swept.results.rows):
        if point.scheme in costs:
            groups.setdefault((point.channel, point.snr_db, point.cbr_target), []).append(point)
    for (channel, snr_db, cbr), shown in groups.items():
        said = (value_words("channel", channel), value_words("snr", snr_db), value_words("cbr", cbr))
        title = ", ".join((*said, f"{shown[0].images} image{'s' * (shown[0].images > 1)}"))
        figure = figure_of_complexity(shown, costs, swept.labels, title)
        save(figure, swept.figures, file_words(swept.name, *said), write=swept.write)


def figure_of_complexity(
    points: Sequence[Point], costs: Mapping[str, Cost], labels: Mapping[str, str], title: str
) -> "Figure":
    """PSNR and LPIPS side by side, a marker per scheme; a scheme without networks is a line across."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    looks, style = looks_of((point.scheme, False) for point in points), STYLES["paper"]
    columns = [column for column in _COLUMNS if any(point.metrics.get(column) for point in points)]
    with style.active():
        figure = Figure(figsize=(style.width * len(columns), style.height * 1.2), layout="constrained")
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
