"""The verbs `sweep`, `show` and `plot`, driven as a person would."""

import csv
import io
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from simulator.__main__ import main
from simulator.analysis.statistics import SUMMARY_COLUMNS
from simulator.results.rows import PUBLIC_COLUMNS
from simulator.results.store import DATABASE, Store
from tests.faults.conftest import Forked

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def sweep(photographs, tmp_path):
    """Runs a small sweep with other arguments; returns its exit code."""

    def run(*arguments, out=tmp_path / "results", images=photographs):
        fixed = ["--images", str(images), "--lpips", "none", "--workers", "1", "--out", str(out)]
        try:
            return main(["sweep", "--snr", "0:4:2", "--scheme", "toy,toy-cliff", *fixed, *arguments])
        except SystemExit as refusal:
            return refusal.code

    return run


def test_sweep_leaves_numbers_figures_and_provenance(sweep, tmp_path, capsys):
    assert sweep("--channel", "awgn,rayleigh") == 0
    folder = tmp_path / "results"
    table = list(csv.DictReader((folder / "summary.csv").open()))
    assert tuple(table[0]) == SUMMARY_COLUMNS
    assert len(table) == 2 * 2 * 3
    assert len(list((folder / "figures").glob("psnr-vs-snr-*.png"))) == 2
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["schemes"] == {"toy": "1", "toy-cliff": "1"}
    assert provenance["packages"]["torch"]
    assert len(provenance["images"][0]["sha256"]) == 64
    assert provenance["config"]["cbrs"] == ["1/16"]
    printed = capsys.readouterr()
    assert "toy-cliff" in printed.out
    assert "summary.csv" in printed.out


@pytest.mark.usefixtures("without_figures")
def test_show_prints_what_the_summary_holds(sweep, tmp_path, capsys):
    sweep()
    folder = str(tmp_path / "results")
    capsys.readouterr()
    assert main(["show", folder, "--format", "csv"]) == 0
    assert capsys.readouterr().out == (tmp_path / "results" / "summary.csv").read_text()
    assert main(["show", folder, "--rows", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert tuple(rows[0]) == PUBLIC_COLUMNS
    assert len(rows) == 2 * 3 * 4
    assert main(["show", folder, "--rows", "--json"]) == 0
    records = json.loads(capsys.readouterr().out)
    assert tuple(records[0]) == PUBLIC_COLUMNS
    assert records[0]["ms_ssim"] is None
    assert main(["show", folder]) == 0
    assert "PSNR" in capsys.readouterr().out


def test_json_goes_to_stdout_alone(sweep, capsys):
    assert sweep("--json") == 0
    points = json.loads(capsys.readouterr().out)
    assert tuple(points[0]) == SUMMARY_COLUMNS


@pytest.mark.usefixtures("without_figures")
def test_plot_puts_several_results_into_one_figure(sweep, tmp_path, capsys):
    sweep(out=tmp_path / "one")
    sweep("--seed", "1", out=tmp_path / "two")
    capsys.readouterr()
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert main(["plot", *folders, "--out", str(tmp_path / "both"), "--json"]) == 0
    assert all(Path(path).stat().st_size for path in json.loads(capsys.readouterr().out))


@pytest.mark.usefixtures("without_figures")
def test_fresh_computes_again(sweep, tmp_path, monkeypatch):
    assert sweep() == 0
    calls = []
    monkeypatch.setattr("toy_schemes.Toy.fingerprint", lambda self: calls.append(1) or "1")
    monkeypatch.setattr("simulator.link.delivery.measure", lambda *_: pytest.fail("computed again"))
    assert sweep() == 0
    with pytest.raises(BaseException, match="computed again"):
        sweep("--fresh")


def write_corrupt_png(folder):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = folder / "corrupt.png"
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:-200])


BAD = {
    "unknown scheme": (["--scheme", "nonesuch"], "unknown scheme 'nonesuch'"),
    "unknown channel": (["--channel", "nonesuch"], "unknown channel 'nonesuch'"),
    "unknown image set": (["--images", "nonesuch"], "nonesuch"),
    "option of a scheme": (["--scheme", "toy:loud"], "takes no options"),
    "SNR backwards": (["--snr", "15:0"], "write the lower SNR first"),
    "CBR zero": (["--cbr", "0"], "(0, 1/2]"),
    "CBR negative": (["--cbr=-1/16"], "(0, 1/2]"),
    "CBR above 1/2": (["--cbr", "0.6"], "(0, 1/2]"),
    "ratio a scheme lacks": (["--scheme", "toy-picky", "--cbr", "1/8"], "cannot run at CBR 1/8"),
    "crop too large": (["--crop", "64"], "crop"),
    "no workers": (["--workers", "0"], "whole number of at least 1"),
    "device": (["--device", "cuda:99"], "does not exist"),
    "LPIPS network": (["--lpips", "resnet"], "alex"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_leaves_nothing(sweep, tmp_path, assert_one_line, arguments, message):
    before = sorted(tmp_path.rglob("*"))
    assert sweep(*arguments) == 2
    assert_one_line(message)
    assert sorted(tmp_path.rglob("*")) == before


def test_folder_without_images(sweep, tmp_path, assert_one_line):
    (tmp_path / "empty").mkdir()
    assert sweep(images=tmp_path / "empty") == 2
    assert_one_line("no images in")
    assert not (tmp_path / "results").exists()


def test_corrupt_picture_in_a_folder(sweep, photographs, tmp_path, assert_one_line):
    write_corrupt_png(photographs)
    assert sweep() == 2
    assert_one_line("corrupt.png")
    assert not (tmp_path / "results").exists()


def test_picture_of_8_by_8(sweep, photographs, tmp_path, assert_one_line):
    Image.new("RGB", (8, 8)).save(photographs / "tiny.png")
    assert sweep() == 2
    assert_one_line("tiny.png: 8x8 is too small")
    assert not (tmp_path / "results").exists()


def test_results_folder_that_is_a_file(sweep, tmp_path, assert_one_line):
    (tmp_path / "results").write_text("mine")
    assert sweep() == 2
    assert_one_line("is a file, not a folder")
    assert (tmp_path / "results").read_text() == "mine"


def test_results_folder_that_cannot_be_made(sweep, assert_one_line):
    assert sweep(out=Path("/proc/results")) == 2
    assert_one_line("/proc")


def test_foreign_database(sweep, tmp_path, assert_one_line):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / DATABASE).write_text("mine")
    assert sweep() == 2
    assert_one_line("not a results database")
    assert (tmp_path / "results" / DATABASE).read_text() == "mine"


@pytest.mark.usefixtures("without_figures")
def test_plot_draws_what_is_chosen(sweep, tmp_path, capfd, assert_one_line):
    assert sweep() == 0
    capfd.readouterr()
    folder = str(next(tmp_path.rglob("results.sqlite")).parent)
    where = ["--out", str(tmp_path / "chosen"), "--json"]
    assert main(["plot", folder, *where, "--y", "psnr,cbr", "--format", "svg", "--style", "ieee"]) == 0
    assert [Path(path).name.partition("-vs-")[0] for path in json.loads(capfd.readouterr().out)] == ["psnr", "cbr"]
    assert main(["plot", folder, *where, "--scheme", "nonesuch"]) == 2
    assert_one_line("nothing to draw at --scheme nonesuch; there are: ")
    assert main(["plot", folder, *where, "--label", "nonesuch=A"]) == 2
    assert_one_line("is not SPEC=TEXT with a scheme of the results")


@pytest.mark.parametrize("verb", ["show", "plot"])
def test_no_results_to_read(tmp_path, assert_one_line, verb):
    assert main([verb, str(tmp_path / "nonesuch")]) == 2
    assert_one_line("no results in")


def command(photographs, out, *arguments):
    fixed = ["--images", str(photographs), "--lpips", "none", "--out", str(out)]
    return [sys.executable, "-m", "simulator", "sweep", *fixed, *arguments]


def rows_in(folder):
    """How many rows are there; 0 while the database is being made."""
    try:
        import sqlite3

        with sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True) as connection:
            return connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    except sqlite3.Error:
        return 0


def wait_for_rows(process, folder, at_least, seconds=240):
    deadline = time.monotonic() + seconds
    while rows_in(folder) < at_least:
        assert process.poll() is None, "the sweep ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finish(photographs, out, *arguments):
    """Run a sweep to its end; in this process, which has imported all that it needs."""
    assert main(command(photographs, out, *arguments, "--workers", "1")[3:]) == 0
    return (out / "summary.csv").read_bytes()


def heed_ctrl_c():
    """In the child: a test run in the background has SIGINT ignored, and hands that down."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.usefixtures("without_figures")
def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(photographs, tmp_path):
    arguments = ("--snr", "0:9", "--scheme", "toy-slow")
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    apart = ("--workers", "1", "--timeout", "600")  # with a time limit even a single worker is a separate process
    sweeping = command(photographs, stopped, *arguments, *apart)
    options = {"stderr": subprocess.PIPE, "text": True, "start_new_session": True, "preexec_fn": heed_ctrl_c}
    with subprocess.Popen(sweeping, env=os.environ | {"TOY_SECONDS": "0.3"}, **options) as process:
        wait_for_rows(process, stopped, 3)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the group
        complaint = process.stderr.read()
    assert process.returncode == 130
    assert complaint.strip().splitlines()[-1].startswith("interrupted; finished work is kept")
    assert "Traceback" not in complaint
    kept = rows_in(stopped)
    assert 3 <= kept < 10 * 4
    assert not (stopped / "summary.csv").exists()
    assert finish(photographs, stopped, *arguments) == finish(photographs, whole, *arguments)


@pytest.mark.usefixtures("without_figures")
def test_second_sweep_into_the_same_folder_is_refused(sweep, tmp_path, assert_one_line):
    with Store(tmp_path / "results"):
        assert sweep() == 2
    assert_one_line("in use by another sweep")
    assert sweep() == 0


def test_killed_ten_times_with_its_processes_and_resumed_gives_the_same_bytes(photographs, tmp_path, monkeypatch):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = ["--snr", "0:15", "--scheme", "toy-slow,toy-cliff"]
    moment, ended, fork = random.Random(11), [], multiprocessing.get_context("fork")
    with monkeypatch.context() as patch:  # sweeps fork from this process, and their workers from them
        patch.setenv("TOY_SECONDS", "0.02")
        patch.setattr(multiprocessing, "get_context", lambda method: fork)
        for _ in range(10):
            sweeping = Forked(lambda tell: main(command(photographs, killed, *arguments, "--workers", "2")[3:]))
            time.sleep(moment.uniform(0.05, 0.6))
            ended.append(sweeping.kill())
    assert ended.count(-signal.SIGKILL) >= 5
    assert finish(photographs, killed, *arguments) == finish(photographs, whole, *arguments)
    for one in (whole / "figures").iterdir():
        assert (killed / "figures" / one.name).read_bytes() == one.read_bytes()
