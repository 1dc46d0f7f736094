"""From an experiment to its results folder: the sweep, then every table, comparison and figure that it requests."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from simulator.analysis.comparison import BD_RATE_COLUMNS, DIFFERENCE_COLUMNS, bd_rates, differences
from simulator.analysis.crossing import CROSSING_COLUMNS, crossings
from simulator.analysis.curves import COSTS, source_of
from simulator.analysis.drawings import Source
from simulator.analysis.outputs import DISTANCES, FIGURES, SUMMARY
from simulator.analysis.plots import Write, draw_panels, spared
from simulator.analysis.scales import MEASURED
from simulator.analysis.sources import load_source
from simulator.analysis.statistics import BILL_COLUMNS, METRICS, bills, summarise
from simulator.analysis.tables import quality_csv, quality_markdown, summary_csv, table_csv
from simulator.errors import UserError
from simulator.experiments.complexity import TABLE as COMPLEXITY_TABLE
from simulator.experiments.complexity import draw_complexity
from simulator.experiments.crops import draw_crops
from simulator.experiments.format import COMPLEXITY, CROPS, PEAKS, PICTURES
from simulator.experiments.peaks import TABLE as PEAKS_TABLE
from simulator.experiments.peaks import draw_peaks
from simulator.experiments.pictures import draw_pictures
from simulator.experiments.read import Experiment
from simulator.experiments.swept import Swept, names_of
from simulator.results.provenance import without_place
from simulator.results.store import Results
from simulator.results.trouble import check_folder, explained
from simulator.results.written import Written, written_in
from simulator.sweep import Outputs, run_sweep
from simulator.sweep.inputs import load_inputs

_COMPARED = ("differences.csv", "bd_rate.csv", "crossings.csv")
TABLES = (SUMMARY, "table.csv", "table.md", "bill.csv", *_COMPARED, PEAKS_TABLE, COMPLEXITY_TABLE)


def check_experiment(experiment: Experiment, folder: Path) -> None:
    """Look up everything that an experiment names, so that errors in a later one appear before an earlier one runs.

    Raises:
        UserError: what `run_experiment` would raise before its first row, or two schemes that are the same.
    """
    grid = experiment.grid
    try:
        check_folder(folder)
        inputs = load_inputs(replace(grid, lpips="none"), lambda note: None)
        if same := [spec for spec in grid.schemes if spec not in inputs.schemes]:
            raise UserError(f"scheme '{same[0]}' is another one of the list, spelt differently; name it once")
        known = {*METRICS, *COSTS, *MEASURED, *(metric.name for metric in inputs.metrics.values()), "snr", "snr_db"}
        for column in (one for choice in experiment.figures for one in (choice.x, *choice.y)):
            if column not in known:
                raise UserError(f"no column '{column}' for 'figures'; known: {', '.join(sorted(known))}")
    except UserError as error:
        raise UserError(f"experiment '{experiment.name}': {error}") from None


def run_experiment(
    experiment: Experiment,
    folder: Path,
    fresh: bool = False,
    notify: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Results:
    """Run what is missing of an experiment and write everything that it requests into `folder`.

    Args:
        experiment: what to run.
        folder, fresh, notify, progress: as `run_sweep` takes them.

    Raises:
        UserError: what `run_sweep` raises.
    """
    outputs = Outputs(partial(_remove_outdated, experiment.name), partial(_write, experiment))
    return run_sweep(experiment.grid, folder, fresh, notify, progress, outputs)


def _remove_outdated(name: str, written: Written) -> None:
    _remove(name, written)
    written.remove(*DISTANCES)


def _remove(name: str, written: Written) -> None:
    written.remove(*TABLES, f"{FIGURES}/{name}-*")


def _write(experiment: Experiment, results: Results, written: Written) -> None:
    rows, folder = results.rows, results.folder
    _remove(experiment.name, written)  # of an earlier version of the experiment, which may have had more figures
    points, directions = summarise(rows), results.meta.get("directions")
    experiment = experiment.naming(names_of(experiment.grid, results))
    tables = {SUMMARY: summary_csv(points), "table.csv": quality_csv(points)}
    tables |= {"table.md": quality_markdown(experiment.title, points, experiment.labels, directions)}
    tables |= {"bill.csv": table_csv(BILL_COLUMNS, bills(rows))}
    if references := experiment.references:
        compared = chain(*(differences(rows, one) for one in references))
        tables |= {"differences.csv": table_csv(DIFFERENCE_COLUMNS, compared)}
        if deltas := [delta for one in references for delta in bd_rates(rows, one, directions=directions)]:
            crossed = chain(*(crossings(rows, one, directions=directions) for one in references))
            tables |= {"bd_rate.csv": table_csv(BD_RATE_COLUMNS, deltas)}
            tables |= {"crossings.csv": table_csv(CROSSING_COLUMNS, crossed)}
    for name, text in tables.items():
        written.write(folder / name, text.encode())
    swept = Swept(experiment.grid, results, experiment.labels, experiment.name, written.write)
    special: dict[str, Callable[[], None]] = {
        CROPS: lambda: draw_crops(swept, experiment.corners),
        PEAKS: lambda: draw_peaks(swept),
        COMPLEXITY: lambda: draw_complexity(swept),
        PICTURES: lambda: draw_pictures(swept),
    }
    with spared(written.notify):
        _draw_curves(experiment, source_of(results), folder, written.write)
    for word in experiment.special:
        with spared(written.notify):
            special[word]()


def _draw_curves(experiment: Experiment, source: Source, folder: Path, write: Write) -> list[Path]:
    drawn = []
    for choice in experiment.figures:
        alike = {one.x for one in experiment.figures if one.y == choice.y}  # their files must not replace each other
        labelled = replace(choice, labels=experiment.labels)
        drawn += draw_panels(source, folder / FIGURES, experiment.name, labelled, write, say_axis=len(alike) > 1)
    return drawn


def redraw(experiment: Experiment, folder: Path, notify: Callable[[str], None] = print) -> list[Path]:
    """Redraw the curves of an experiment from the contents of its folder, without computing rows.

    Figures that the program wrote are replaced. Pictures are not redrawn, because they need the schemes.

    Args:
        experiment: which figures there are, and what they call the schemes.
        folder: its results; a `summary.csv` is enough.
        notify: receives a one-line note when a user's figure is renamed.

    Returns:
        The files written.

    Raises:
        UserError: the folder has no results.
    """
    with explained(folder):
        source = load_source(folder)
        names = {spec: str(source.names.get(without_place(spec), spec)) for spec in experiment.grid.schemes}
        with written_in(folder, notify) as written:
            return _draw_curves(experiment.naming(names), source, folder, written.write)
