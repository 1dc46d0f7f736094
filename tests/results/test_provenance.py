"""Results can be published: they say how they were made, and not where."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from fractions import Fraction

import pytest

from simulator.report.page import write_report
from simulator.results.provenance import environment, without_place, without_places
from simulator.results.store import DATABASE, load_results
from simulator.sweep import run_sweep
from simulator.sweep.inputs import SweepConfig

CODEC = """
import torch
from simulator.codecs import SymbolCodec

class Codec(SymbolCodec):
    def __init__(self, limit="99"):
        self.limit = float(limit)
    def encode(self, images, snr_db):
        if snr_db > self.limit:
            raise RuntimeError(f"cannot use {__file__}")
        return torch.nn.functional.avg_pool2d(images, 4)
    def decode(self, symbols, snr_db, noise_variance, size):
        return torch.full((1, 3, *size), LEVEL)
"""


def test_commands_lose_the_place_of_files_and_nothing_else(monkeypatch, tmp_path):
    given = [str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out"), f"--images={tmp_path}/set", "results/x"]
    schemes = f"bpg-ldpc,torch:{tmp_path}/codec.py:Codec:{tmp_path}/net.pt,lrisc:weights=~/exported:gamma=0"
    given += ["--scheme", schemes]
    monkeypatch.setattr("sys.argv", ["/bin/simulator", "reproduce", *given, "--cbr", "1/16", "--snr=0:15"])
    record = environment()
    said = ["mine.yaml", "--out", "out", "--images=set", "results/x"]
    said += ["--scheme", "bpg-ldpc,torch:codec.py:Codec:net.pt,lrisc:weights=exported:gamma=0"]
    assert record["command"] == ["simulator", "reproduce", *said, "--cbr", "1/16", "--snr=0:15"]
    assert str(tmp_path) not in json.dumps(record)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("torch:lib/codec.py:Codec", "torch:lib/codec.py:Codec"),
        ("keras:/home/me/e.keras,/home/me/d.keras", "keras:e.keras,d.keras"),
        ("../me/photos", "photos"),
        ("torch:./../me/codec.py:Codec", "torch:codec.py:Codec"),
        ("--images=photos/*.png", "--images=photos/*.png"),
        ("1/16", "1/16"),
        ("awgn:assumed_db=-3", "awgn:assumed_db=-3"),
    ],
)
def test_specifications_keep_all_but_places(text, shown):
    assert without_place(text) == shown
    assert without_place("torch:/home/me/a/codec.py:Codec", 2) == "torch:a/codec.py:Codec"


def test_errors_keep_all_but_places():
    said = "FileNotFoundError: no '/home/me/my.pt' (/home/me/codec.py:12), 3 km/h, 1/16 and ~/x/y"
    assert without_places(said) == "FileNotFoundError: no 'my.pt' (codec.py:12), 3 km/h, 1/16 and y"


@pytest.fixture
def codecs(tmp_path):
    for folder, level in (("one", 0.25), ("other", 0.75)):
        (tmp_path / "me" / folder).mkdir(parents=True)
        (tmp_path / "me" / folder / "codec.py").write_text(CODEC.replace("LEVEL", str(level)))
    return tmp_path / "me"


def test_results_of_a_file_do_not_say_where_it_is(codecs, photographs, tmp_path):
    out, notes = tmp_path / "out", []
    spec = f"torch:{codecs}/one/codec.py:Codec:10"
    config = SweepConfig(snrs_db=(5.0, 20.0), cbrs=(Fraction(1, 16),), schemes=(spec,), images=str(photographs))
    config = replace(config, lpips="none")
    results = run_sweep(config, out, notify=notes.append)
    assert {row.scheme for row in results.rows} == {"torch:codec.py:Codec:10"}
    assert {row.fault for row in results.rows if row.fault} == {
        "torch:codec.py:Codec:10: encode failed: RuntimeError: cannot use codec.py (codec.py:10)"
    }
    write_report([results], out / "report.html", notify=notes.append)
    for path in out.iterdir():
        assert str(codecs).encode() not in path.read_bytes(), path.name
    with closing(sqlite3.connect(out / DATABASE)) as connection, connection:  # as earlier versions wrote it
        connection.execute("UPDATE rows SET scheme = ?", (spec,))
    again = run_sweep(replace(config, snrs_db=(5.0,)), out, notify=notes.append)
    assert notes[-1] == "4 of 4 rows are finished already"
    assert {row.scheme for row in again.rows} == {"torch:codec.py:Codec:10"}


def test_two_files_of_one_name_are_told_apart(codecs, photographs, tmp_path):
    specs = tuple(f"torch:{codecs}/{folder}/codec.py:Codec" for folder in ("one", "other"))
    config = SweepConfig(snrs_db=(5.0,), cbrs=(Fraction(1, 16),), schemes=specs, images=str(photographs), lpips="none")
    rows = run_sweep(config, tmp_path / "out", notify=lambda note: None).rows
    assert {row.scheme for row in rows} == {"torch:one/codec.py:Codec", "torch:other/codec.py:Codec"}
    assert load_results(tmp_path / "out").meta["bounds"] == []
