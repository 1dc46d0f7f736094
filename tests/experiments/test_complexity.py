"""Quality against multiply-accumulates: what a run writes, and where schemes with and without networks stand."""

import csv
from dataclasses import replace

import pytest

from simulator.analysis.statistics import summarise
from simulator.cost import Cost, Half
from simulator.experiments.complexity import figure_of_complexity
from simulator.experiments.read import read_experiment
from simulator.experiments.run import run_experiment
from tests.rows import row

pytestmark = pytest.mark.usefixtures("light_pdfs")

TEXT = """
title: Small
images: samples
crop: 32
snr: [10]
lpips: none
schemes: [{scheme: toy, label: Toy}]
figures: [complexity]
"""


@pytest.mark.usefixtures("toys")
def test_a_run_writes_costs_and_a_figure(tmp_path) -> None:
    (tmp_path / "small.yaml").write_text(TEXT)
    experiment = read_experiment(str(tmp_path / "small.yaml"))
    run_experiment(replace(experiment, grid=replace(experiment.grid, limit=1, workers=1)), tmp_path / "out")
    (line,) = csv.DictReader((tmp_path / "out" / "complexity.csv").read_text().splitlines())
    assert line["scheme"] == "toy"
    assert line["weights"] == "0"
    assert float(line["encoder_peak_mib"]) > 0
    drawn = [path.stem for path in (tmp_path / "out" / "figures").glob("*.png")]
    assert drawn == ["small-awgn-snr-10-db-cbr-1-16"]


@pytest.mark.usefixtures("toys")
def test_a_special_figure_that_fails_takes_no_other_with_it(tmp_path, monkeypatch) -> None:
    def broken(swept):
        raise RuntimeError("no peaks")

    notes: list[str] = []
    (tmp_path / "small.yaml").write_text(TEXT.replace("[complexity]", "[peaks, complexity]"))
    experiment = read_experiment(str(tmp_path / "small.yaml"))
    small = replace(experiment, grid=replace(experiment.grid, limit=1, workers=1))
    with monkeypatch.context() as patch:
        patch.setattr("simulator.experiments.run.draw_peaks", broken)
        run_experiment(small, tmp_path / "out", notify=notes.append)
    assert (tmp_path / "out" / "complexity.csv").exists()
    assert any("RuntimeError: no peaks" in note for note in notes)
    notes.clear()
    bounds = replace(small, grid=replace(small.grid, schemes=("toy-bound",)), labels={})
    run_experiment(bounds, tmp_path / "bounds", notify=notes.append)
    assert not any("could not be drawn" in note for note in notes)


def test_networks_stand_at_their_work_and_the_others_are_lines() -> None:
    points = summarise([row(scheme="net"), row(scheme="none")])
    half = Half(2000.0, 1.0, 0.1)
    costs = {"net": Cost("net", 5, half, half), "none": Cost("none", 0, Half(0, 1, 1), Half(0, 1, 1))}
    axes = figure_of_complexity(points, costs, {"net": "Net"}, "title").axes[0]
    (container,) = axes.containers
    assert container.lines[0].get_xdata()[0] == 4  # kMAC per pixel of both halves
    assert {"Net", "none (no network)"} == set(axes.get_legend_handles_labels()[1])
