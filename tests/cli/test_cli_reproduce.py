"""The verbs `reproduce`, `compare` and `show --bill`, driven as a person would."""

import csv
import io
import json
import signal
import time

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from simulator.__main__ import main
from simulator.analysis.comparison import DIFFERENCE_COLUMNS
from simulator.analysis.statistics import BILL_COLUMNS
from simulator.results.store import load_results
from tests.faults.conftest import Forked

pytestmark = pytest.mark.usefixtures("toys", "light_pdfs")

TOY = {
    "title": "Toys against SNR",
    "schemes": [{"scheme": "toy", "label": "A toy"}, {"scheme": "toy-cliff", "snr": "2:4"}, "toy-bound"],
    "snr": [0, 2, 4],
    "lpips": "none",
    "figures": [["psnr_db", "ms_ssim"], "pictures"],
    "reference": "toy",
}


@pytest.fixture
def reproduce(photographs, tmp_path):
    """Runs an experiment on small pictures; returns its exit code."""

    def run(*arguments, **changes):
        path = tmp_path / "toys.yaml"
        path.write_text(yaml.safe_dump(TOY | {"images": str(photographs)} | changes))
        try:
            return main(["reproduce", str(path), *arguments, "--workers", "1", "--out", str(tmp_path / "out")])
        except SystemExit as refusal:
            return refusal.code

    return run


def test_two_figures_that_differ_by_their_axis_are_two_files(reproduce, tmp_path):
    figures = [{"y": ["psnr_db"], "cbr": ["1/16"]}, {"x": "cbr", "y": ["psnr_db"], "snr": [2]}, ["ms_ssim", "psnr_db"]]
    assert reproduce("--limit", "1", figures=figures, cbr=["1/16", "1/8"], snr=[2, 4]) == 0
    drawn = {path.stem for path in (tmp_path / "out" / "toys" / "figures").iterdir()}
    assert drawn >= {"toys-psnr-vs-snr", "toys-psnr-vs-cbr"}
    assert not any("vs" in one for one in drawn - {"toys-psnr-vs-snr", "toys-psnr-vs-cbr"})


def test_an_experiment_leaves_all_that_it_promises(reproduce, tmp_path, capsys):
    assert reproduce("--limit", "1") == 0
    folder = tmp_path / "out" / "toys"
    written = {path.name for path in folder.iterdir() if not path.name.startswith((".", "results.sqlite"))}
    tables = {"summary.csv", "table.csv", "table.md", "bill.csv", "differences.csv"}
    assert written == tables | {"provenance.json", "figures"}
    figures = {path.name for path in (folder / "figures").iterdir()}
    assert {"toys-psnr.png", "toys-psnr.pdf", "toys-p0-toy.png", "toys-p0-toy-cliff.pdf"} <= figures
    points = list(csv.DictReader((folder / "table.csv").open()))
    assert [float(one["snr_db"]) for one in points if one["scheme"] == "toy-cliff"] == [2.0, 3.0, 4.0]
    assert "| A toy | awgn | 0 | 1/16 |" in (folder / "table.md").read_text()
    compared = list(csv.DictReader((folder / "differences.csv").open()))
    assert tuple(compared[0]) == DIFFERENCE_COLUMNS
    assert [one["snr_db"] for one in compared if one["scheme"] == "toy-cliff"] == ["2", "4", ""]
    assert "Toys against SNR" in capsys.readouterr().err


def test_an_experiment_run_again_computes_nothing_and_gives_the_same_bytes(reproduce, tmp_path, capsys, monkeypatch):
    def outputs():
        return {p.name: p.read_bytes() for p in (tmp_path / "out").rglob("*.*") if "sqlite" not in p.name}

    assert reproduce("--limit", "1", figures=[["psnr_db"]]) == 0
    first = outputs()
    monkeypatch.setattr("simulator.link.delivery.measure", lambda *_: pytest.fail("computed again"))
    assert reproduce("--limit", "1", figures=[["psnr_db"]]) == 0
    assert outputs() == first
    assert "9 of 9 rows are finished already" in capsys.readouterr().err


def test_figures_are_drawn_anew_from_the_summary_alone(reproduce, tmp_path, capsys):
    assert reproduce("--limit", "1", figures=[["psnr_db"]]) == 0
    folder = tmp_path / "out" / "toys"
    drawn = {path.name: path.read_bytes() for path in (folder / "figures").iterdir()}
    for path in [*folder.glob("results.sqlite*"), *(folder / "figures").iterdir()]:
        path.unlink()
    assert reproduce("--figures", figures=[["psnr_db"]]) == 0
    assert {path.name for path in (folder / "figures").iterdir()} == set(drawn)
    first, second = (
        np.asarray(Image.open(one).convert("L"), dtype=float)
        for one in (io.BytesIO(drawn["toys-psnr.png"]), folder / "figures" / "toys-psnr.png")
    )
    assert abs(first - second).mean() < 1  # a summary has four digits


def test_figures_are_drawn_anew_of_schemes_that_are_spelt_in_another_way(reproduce, tmp_path):
    spelt = "bpg-capacity:chroma=444"  # whose name in results is bpg-capacity
    changes = {
        "schemes": ["toy", {"scheme": spelt, "label": "Mine"}],
        "figures": [{"y": ["psnr_db"], "schemes": [spelt]}],
    }
    assert reproduce("--limit", "1", reference=spelt, **changes) == 0
    (drawn,) = (tmp_path / "out" / "toys" / "figures").glob("*.png")
    before = drawn.read_bytes()
    drawn.unlink()
    assert reproduce("--figures", reference=spelt, **changes) == 0
    assert drawn.read_bytes() == before


def test_old_figures_go_with_the_experiment(reproduce, tmp_path):
    assert reproduce("--limit", "1", figures=[["psnr_db"], ["psnr_db", "psnr_db"]]) == 0
    mine = tmp_path / "out" / "toys" / "figures" / "mine.png"
    mine.write_text("x")
    before = sorted(tmp_path.rglob("*.*"))
    assert reproduce("--limit", "1", schemes=["nonesuch"], reference=None) == 2
    assert sorted(tmp_path.rglob("*.*")) == before
    assert reproduce("--limit", "1", figures=[["psnr_db"]], reference=None) == 0
    assert {path.name for path in mine.parent.iterdir()} == {"toys-psnr.png", "toys-psnr.pdf", "mine.png"}
    assert not (tmp_path / "out" / "toys" / "differences.csv").exists()


def test_pictures_show_what_a_scheme_shows_of_itself(reproduce, tmp_path, monkeypatch):
    def inspect(self, image, reception):
        calls.append(reception.state.snr_db)
        return {"inside": torch.rand(3, 4, 6)}

    calls = []
    assert reproduce("--limit", "1", schemes=["toy"], reference=None) == 0
    plain = Image.open(tmp_path / "out" / "toys" / "figures" / "toys-p0.png").size
    monkeypatch.setattr("toy_schemes.Toy.inspect", inspect, raising=False)
    assert reproduce("--limit", "1", schemes=["toy"], reference=None) == 0
    with_inside = Image.open(tmp_path / "out" / "toys" / "figures" / "toys-p0.png").size
    assert calls == [0.0, 2.0, 4.0]
    assert with_inside[0] == plain[0]
    assert with_inside[1] < plain[1]  # three columns in the width of two


def test_json_goes_to_stdout_alone(reproduce, capsys):
    assert reproduce("--limit", "1", "--json", figures=[]) == 0
    assert len(json.loads(capsys.readouterr().out)["toys"]) == 9


def test_bad_input_is_one_line_and_leaves_nothing(reproduce, tmp_path, assert_one_line):
    assert reproduce(speling=1) == 2
    assert_one_line("unknown key 'speling'")
    assert reproduce(only=["p9"]) == 2
    assert_one_line("experiment 'toys': ")
    assert reproduce(schemes=["bpg-capacity", "bpg-capacity:chroma=444"], reference="bpg-capacity:chroma=444") == 2
    assert_one_line("spelt differently")
    assert main(["reproduce", "figure9"]) == 2
    assert_one_line("no experiment 'figure9'")
    assert main(["reproduce", "figure4", "--limit", "1"]) == 2
    assert_one_line("--out DIR")
    assert not (tmp_path / "out").exists()


def test_an_error_in_a_later_experiment_comes_before_the_first_starts(reproduce, tmp_path, assert_one_line):
    later = tmp_path / "later.yaml"
    later.write_text(yaml.safe_dump({"title": "T", "schemes": ["toy"], "snr": [0], "images": str(tmp_path / "none")}))
    assert reproduce(str(later)) == 2
    assert_one_line("experiment 'later': no image set")
    assert not (tmp_path / "out").exists()


def test_compare_and_bill(reproduce, tmp_path, assert_one_line, capfd):
    folder = str(tmp_path / "out" / "toys")
    assert reproduce(figures=[], cbr=["1/16", "1/8"]) == 0
    capfd.readouterr()
    assert main(["compare", folder, "--reference", "toy", "--metric", "psnr_db", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert tuple(found["differences"][0]) == DIFFERENCE_COLUMNS
    assert {one["metric"] for one in found["differences"]} == {"psnr_db"}
    assert len(found["bd_rate"]) > 0
    assert main(["compare", folder, "--reference", "toy"]) == 0
    assert "mean" in capfd.readouterr().out
    assert main(["show", folder, "--bill", "--format", "csv"]) == 0
    assert capfd.readouterr().out == (tmp_path / "out" / "toys" / "bill.csv").read_text()
    assert main(["show", folder, "--bill", "--json"]) == 0
    assert tuple(json.loads(capfd.readouterr().out)[0]) == BILL_COLUMNS
    assert main(["show", folder, "--bill"]) == 0
    assert "side information" in capfd.readouterr().out
    assert main(["compare", folder, "--reference", "lrisc"]) == 2
    assert_one_line("no rows of 'lrisc' to compare with; the results have: toy, toy-cliff, toy-bound")
    assert main(["compare", str(tmp_path), "--reference", "toy"]) == 2
    assert_one_line("no results in")


def test_killed_and_resumed_gives_the_same_bytes(reproduce, tmp_path, monkeypatch):
    changes = {"schemes": ["toy-slow", "toy"], "snr": "0:9", "figures": []}
    with monkeypatch.context() as patch:
        patch.setenv("TOY_SECONDS", "0.3")
        running = Forked(lambda tell: reproduce(**changes))
    deadline = time.monotonic() + 240
    while count(tmp_path / "out" / "toys") < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert running.kill() == -signal.SIGKILL
    assert 3 <= count(tmp_path / "out" / "toys") < 80
    assert not (tmp_path / "out" / "toys" / "summary.csv").exists()
    assert reproduce(**changes) == 0
    resumed = (tmp_path / "out" / "toys" / "summary.csv").read_bytes()
    assert reproduce("--fresh", **changes) == 0
    assert (tmp_path / "out" / "toys" / "summary.csv").read_bytes() == resumed


def count(folder):
    """Rows in a results folder; 0 while there is none."""
    try:
        return len(load_results(folder).rows)
    except Exception:
        return 0
