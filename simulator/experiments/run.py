"""From an experiment to its results folder: the sweep, then every table, comparison and figure that it asks for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from simulator.analysis.comparison import bd_rates, differences
from simulator.analysis.outputs import FIGURES, SUMMARY
from simulator.analysis.plots import draw_panels
from simulator.analysis.statistics import bills, summarise
from simulator.analysis.tables import (
    bd_rates_csv,
    bills_csv,
    differences_csv,
    quality_csv,
    quality_markdown,
    summary_csv,
)
from simulator.errors import UserError
from simulator.experiments.pictures import draw_pictures
from simulator.experiments.read import Experiment
from simulator.results.store import Results, check_folder
from simulator.results.written import Written
from simulator.sweep import Outputs, run_sweep
from simulator.sweep.inputs import load_inputs

TABLES = (SUMMARY, "table.csv", "table.md", "bill.csv", "differences.csv", "bd_rate.csv")


def check_experiment(experiment: Experiment, folder: Path) -> None:
    """Look up everything that an experiment names, so that no error in a later one waits until an earlier is done.

    Raises:
        UserError: what `run_experiment` would raise before its first row, or two schemes that are the same.
    """
    grid = experiment.grid
    try:
        check_folder(folder)
        inputs = load_inputs(replace(grid, lpips="none"), lambda note: None)
        if same := [spec for spec in grid.schemes if spec not in inputs.schemes]:
            raise UserError(f"scheme '{same[0]}' is another one of the list, spelt differently; name it once")
    except UserError as error:
        raise UserError(f"experiment '{experiment.name}': {error}") from None


def run_experiment(
    experiment: Experiment,
    folder: Path,
    fresh: bool = False,
    notify: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Results:
    """Run what is missing of an experiment and write everything that it asks for into `folder`.

    Args:
        experiment: what to run.
        folder, fresh, notify, progress: as `run_sweep` takes them.

    Raises:
        UserError: what `run_sweep` raises.
    """
    outputs = Outputs(partial(_remove, experiment.name), partial(_write, experiment))
    return run_sweep(experiment.grid, folder, fresh, notify, progress, outputs)


def _remove(name: str, written: Written) -> None:
    written.remove(*TABLES, f"{FIGURES}/{name}-*")


def _write(experiment: Experiment, results: Results, written: Written) -> None:
    rows, folder = results.rows, results.folder
    _remove(experiment.name, written)  # of an earlier version of the experiment, which may have asked for more
    points = summarise(rows)
    labels = {results.meta["names"].get(spec): label for spec, label in experiment.labels.items()}
    tables = {SUMMARY: summary_csv(points), "table.csv": quality_csv(points)}
    tables |= {"table.md": quality_markdown(experiment.title, points, labels), "bill.csv": bills_csv(bills(rows))}
    if experiment.reference:
        reference = results.meta["names"][experiment.reference]
        tables |= {"differences.csv": differences_csv(differences(rows, reference))}
        if deltas := bd_rates(rows, reference):
            tables |= {"bd_rate.csv": bd_rates_csv(deltas)}
    for name, text in tables.items():
        written.write(folder / name, text.encode())
    figures = folder / FIGURES
    for metrics in experiment.figures:
        draw_panels(results, figures, experiment.name, metrics, experiment.x, labels, written.write)
    if experiment.pictures:
        draw_pictures(experiment.grid, results, figures, experiment.name, written.write)
