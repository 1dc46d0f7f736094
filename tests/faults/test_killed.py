"""SIGKILL at moments that nobody chose: what was finished is there, whole, and the same command goes on."""

import hashlib
import random
import sqlite3
import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch

from simulator import sweep
from simulator.analysis.outputs import SUMMARY, SUMMARY_AND_FIGURES
from simulator.analysis.plots import draw
from simulator.images import download as download_module
from simulator.images.download import Archive, fetch
from simulator.models.training.checkpoint import load_checkpoint, save_checkpoint
from simulator.results.store import DATABASE, load_results
from tests.faults.conftest import Forked, quietly, without_times

run_sweep = partial(sweep.run_sweep, outputs=SUMMARY_AND_FIGURES)


def sound(folder):
    """What SQLite itself says of the database."""
    with closing(sqlite3.connect(f"file:{folder / DATABASE}?mode=ro", uri=True)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_sweep_killed_again_and_again(config, tmp_path):
    expected = run_sweep(config, tmp_path / "undisturbed", notify=quietly)
    folder, draw_moment = tmp_path / "killed", random.Random(3)
    counts = []
    for _ in range(8):
        sweeping = Forked(lambda tell: run_sweep(config, folder, notify=quietly, progress=lambda done, total: tell()))
        sweeping.wait_for(draw_moment.randint(1, 7))
        time.sleep(draw_moment.random() * 0.02)
        sweeping.kill()
        if (folder / DATABASE).exists():
            assert sound(folder)
            counts.append(len(load_results(folder).rows))
    assert counts == sorted(counts)
    assert counts[-1] > 0
    assert not (folder / SUMMARY).exists() or counts[-1] == len(expected.rows)
    resumed = run_sweep(config, folder, notify=quietly)
    assert without_times(resumed.rows) == without_times(expected.rows)
    assert (folder / SUMMARY).read_bytes() == (tmp_path / "undisturbed" / SUMMARY).read_bytes()


def test_figures_are_drawn_while_rows_come(config, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0.3")
    slow = replace(config, schemes=("toy-slow",), snrs_db=tuple(map(float, range(40))))
    sweeping = Forked(lambda tell: run_sweep(slow, tmp_path, notify=quietly, progress=lambda done, total: tell()))
    sweeping.wait_for(6)
    seen = []
    for _ in range(3):
        results = load_results(tmp_path)
        seen.append(len(results.rows))
        sweeping.wait_for(1)
    assert draw([results], tmp_path / "seen")
    assert seen == sorted(seen)
    assert 0 < seen[0] < results.planned
    sweeping.kill()
    assert sound(tmp_path)


def test_second_sweep_on_a_folder_is_refused(config, tmp_path):
    from simulator.errors import UserError

    slow = replace(config, schemes=("toy-slow",))
    sweeping = Forked(
        lambda tell: run_sweep(slow, tmp_path, notify=quietly, progress=lambda done, total: (tell(), time.sleep(60)))
    )
    sweeping.wait_for(1)
    with pytest.raises(UserError, match="in use by another sweep"):
        run_sweep(config, tmp_path, notify=quietly)
    sweeping.kill()  # the kernel takes the lock back
    assert len(run_sweep(config, tmp_path, notify=quietly).rows) == 48


def test_training_killed_while_it_saves(tmp_path):
    path = tmp_path / "checkpoint.safetensors"

    def train(tell):
        for step in range(1, 10_000):
            save_checkpoint(path, {"model.weight": torch.full((300, 300), float(step))}, {"step": step})
            tell()

    draw_moment, last = random.Random(5), 0
    for _ in range(8):
        training = Forked(train)
        training.wait_for(draw_moment.randint(1, 4))
        time.sleep(draw_moment.random() * 0.01)
        training.kill()
        checkpoint = load_checkpoint(path)
        last = checkpoint.record["step"]
        assert torch.equal(checkpoint.tensors["model.weight"], torch.full((300, 300), float(last)))
    assert last >= 1


def test_download_killed_and_resumed(tmp_path):
    content = random.Random(1).randbytes(600_000)
    asked = []

    class Slow(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            start = int(asked[-1].removeprefix("bytes=").rstrip("-")) if asked[-1] else 0
            self.send_response(206 if start else 200)
            self.end_headers()
            with suppress(OSError):
                for position in range(start, len(content), 50_000):
                    self.wfile.write(content[position : position + 50_000])
                    self.wfile.flush()
                    time.sleep(0.05 * (len(asked) == 1))

        def log_message(self, format, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/data.zip"
        archive = Archive(url, len(content), hashlib.md5(content).hexdigest())

        def download(tell):
            download_module.CHUNK = 10_000
            fetch(archive, tmp_path, lambda done, total: tell())

        downloading = Forked(download)
        downloading.wait_for(20)
        downloading.kill()
        assert not (tmp_path / "data.zip").exists()  # never half of it under its name
        there = (tmp_path / "data.zip.part").stat().st_size
        assert 0 < there < len(content)
        assert fetch(archive, tmp_path).read_bytes() == content
        server.shutdown()
    assert asked == [None, f"bytes={there}-"]
