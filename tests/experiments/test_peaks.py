"""The CCDF of the PAPR: Gaussian samples against theory, and what a run writes."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from simulator.experiments.peaks import GRID, gaussian_ccdf, measure_peaks
from simulator.experiments.read import read_experiment
from simulator.experiments.run import run_experiment

pytestmark = pytest.mark.usefixtures("light_pdfs")


def _symbols(kind: str, slots: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    count = slots * GRID.data_per_slot
    if kind == "gaussian":
        return torch.randn(count, dtype=torch.complex64, generator=generator)
    return torch.view_as_complex(torch.randint(0, 2, (count, 2), generator=generator) * 2.0 - 1)


@pytest.mark.parametrize("kind", ["qpsk", "gaussian"])
def test_peaks_of_many_subcarriers_are_those_of_gaussian_samples(kind: str) -> None:
    found = measure_peaks(kind, 10.0, 1 / 16, [_symbols(kind, 24)])
    assert len(found.papr_db) == 24 * 14
    for ratio_db in (8.0, 9.0):
        expected = float(gaussian_ccdf(np.array(ratio_db)))
        assert (found.papr_db > ratio_db).mean() == pytest.approx(expected, abs=0.1)
    assert found.kurtosis == pytest.approx(1 if kind == "qpsk" else 2, abs=0.05)
    assert (found.peak_db < 1e-3) == (kind == "qpsk")


@pytest.mark.usefixtures("toys")
def test_a_run_writes_peaks_and_quality_against_the_amplifiers_power(tmp_path) -> None:
    text = """
title: Small
images: samples
crop: 32
channels: ["awgn:waveform=ofdm:pa=rapp:backoff_db=8", "awgn:waveform=ofdm:pa=rapp:backoff_db=2"]
snr: [10]
lpips: none
schemes: [{scheme: toy, label: Toy}]
figures: [{x: amplifier_db, y: [psnr_db], along: backoff_db}, peaks]
"""
    (tmp_path / "small.yaml").write_text(text)
    experiment = read_experiment(str(tmp_path / "small.yaml"))
    run_experiment(replace(experiment, grid=replace(experiment.grid, limit=1, workers=1)), tmp_path / "out")
    (line,) = csv.DictReader((tmp_path / "out" / "peaks.csv").read_text().splitlines())
    assert line["scheme"] == "toy"
    assert line["ofdm_symbols"] == "14"
    assert 6 < float(line["mean_papr_db"]) < 12
    drawn = {path.stem for path in (tmp_path / "out" / "figures").glob("*.png")}
    assert drawn == {"small-psnr-vs-amplifier-along-backoff_db", "small-ccdf-snr-10-db-cbr-1-16"}
