"""The outputs of a sweep for people: a summary and figures."""

from simulator.analysis.plots import draw, spared
from simulator.analysis.statistics import summarise
from simulator.analysis.tables import summary_csv
from simulator.results.outputs import Outputs
from simulator.results.store import Results
from simulator.results.written import Written

SUMMARY = "summary.csv"
FIGURES = "figures"
DISTANCES = ("kid.csv", "kernel-distance-*.csv")  # of the verb `kid`, which a change of the rows outdates


def _remove_summary_and_figures(written: Written) -> None:
    written.remove(SUMMARY, *DISTANCES, f"{FIGURES}/*-vs-snr-*", f"{FIGURES}/*-vs-cbr-*")


def _write_summary_and_figures(results: Results, written: Written) -> None:
    written.write(results.folder / SUMMARY, summary_csv(summarise(results.rows)).encode())
    with spared(written.notify):
        draw([results], results.folder / FIGURES, write=written.write)


SUMMARY_AND_FIGURES = Outputs(_remove_summary_and_figures, _write_summary_and_figures)
