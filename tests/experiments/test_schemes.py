"""Figures that need the schemes once more find a codec in a file, which results call by a name without its folder."""

import csv
from dataclasses import replace

import pytest

from simulator.experiments.read import read_experiment
from simulator.experiments.run import run_experiment

CODEC = """
import torch
from simulator.codecs import SymbolCodec

class Codec(SymbolCodec):
    def encode(self, images, snr_db):
        return torch.nn.functional.avg_pool2d(images, 4)
    def decode(self, symbols, snr_db, noise_variance, size):
        return torch.full((1, 3, *size), 0.5)
"""


@pytest.mark.parametrize(("figure", "table"), [("peaks", "peaks.csv"), ("complexity", "complexity.csv")])
def test_a_codec_in_another_folder_is_found_again(tmp_path, monkeypatch, figure, table) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "codec.py").write_text(CODEC)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(
        f"title: Small\nimages: samples\ncrop: 32\nsnr: [10]\nlpips: none\nfigures: [{figure}]\n"
        f'schemes: ["torch:{tmp_path}/mine/codec.py:Codec"]\n'
    )
    experiment = read_experiment("small.yaml")
    notes: list[str] = []
    grid = replace(experiment.grid, limit=1, workers=1)
    run_experiment(replace(experiment, grid=grid), tmp_path / "out", notify=notes.append)
    (line,) = csv.DictReader((tmp_path / "out" / table).read_text().splitlines())
    assert line["scheme"] == "torch:codec.py:Codec"
    assert not [note for note in notes if "figures" in note and "fail" in note]
