"""What a sweep leaves for people beside its rows: a summary and figures."""

from pathlib import Path

from simulator.analysis.plots import draw, remove_figures
from simulator.analysis.statistics import summarise
from simulator.analysis.tables import summary_csv
from simulator.disk import write_text
from simulator.results.outputs import Outputs
from simulator.results.store import Results

SUMMARY = "summary.csv"


FIGURES = "figures"


def _remove_summary_and_figures(folder: Path) -> None:
    (folder / SUMMARY).unlink(missing_ok=True)
    remove_figures(folder / FIGURES)


def _write_summary_and_figures(results: Results) -> None:
    write_text(results.folder / SUMMARY, summary_csv(summarise(results.rows)))
    draw([results], results.folder / FIGURES)


SUMMARY_AND_FIGURES = Outputs(_remove_summary_and_figures, _write_summary_and_figures)
