"""Disks that are full or read-only, and clocks that go back."""

import resource
import signal
import time
from contextlib import redirect_stderr
from dataclasses import replace

import pytest

from simulator.__main__ import main
from simulator.disk import write_atomically
from simulator.errors import UserError
from simulator.models.training.checkpoint import load_checkpoint, save_checkpoint
from simulator.results.store import DATABASE, load_results
from simulator.sweep import run_sweep
from tests.faults.conftest import Forked, quietly, remount, without_times


def test_disk_full(config, tmp_path, small_disk):
    disk = small_disk("128k")
    many = replace(config, schemes=("toy",), snrs_db=(0.0,), realisations=15)
    expected = run_sweep(many, tmp_path, notify=quietly)
    with pytest.raises(UserError, match=r"disk full .* finished rows are kept"):
        run_sweep(many, disk / "results", notify=quietly)
    assert 0 < len(load_results(disk / "results").rows) < len(expected.rows)
    remount(disk, "size=2m")
    assert without_times(run_sweep(many, disk / "results", notify=quietly).rows) == without_times(expected.rows)


def test_file_that_may_not_grow(config, tmp_path):
    many = replace(config, schemes=("toy",), snrs_db=(0.0,), realisations=15)
    expected = run_sweep(many, tmp_path / "expected", notify=quietly)
    folder, messages = tmp_path / "results", tmp_path / "messages"
    fixed = ["--images", many.images, "--lpips", "none", "--workers", "1", "--realisations", "15"]

    def limited(tell):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
        with messages.open("w") as file, redirect_stderr(file):
            if main(["sweep", "--snr", "0", "--scheme", "toy", *fixed, "--out", str(folder)]) == 2:
                tell()

    child = Forked(limited)
    assert child.wait_for(1) == 1
    assert child.join() == 0
    last = messages.read_text().splitlines()[-1]
    assert last.startswith("error: disk full while writing to")
    assert "Traceback" not in messages.read_text()
    kept = len(load_results(folder).rows)
    assert 0 < kept < len(expected.rows)
    assert without_times(run_sweep(many, folder, notify=quietly).rows) == without_times(expected.rows)


def test_checkpoint_and_picture_on_a_full_disk(small_disk):
    import torch

    disk = small_disk("64k")
    path = disk / "checkpoint.safetensors"
    save_checkpoint(path, {"model.weight": torch.ones(10)}, {"step": 1})
    with pytest.raises(UserError, match="cannot write"):
        save_checkpoint(path, {"model.weight": torch.ones(100_000)}, {"step": 2})
    assert load_checkpoint(path).record == {"step": 1}
    with pytest.raises(OSError, match="No space left"):
        write_atomically(disk / "picture.png", bytes(100_000))
    assert [one.name for one in disk.iterdir()] == [path.name]  # nothing half-written is left


def test_read_only_disk(config, small_disk):
    disk = small_disk("2m")
    rows = run_sweep(config, disk / "results", notify=quietly).rows
    remount(disk, "ro")
    assert load_results(disk / "results").rows == rows
    for folder in (disk / "results", disk / "new"):
        with pytest.raises(UserError, match="cannot write"):
            run_sweep(config, folder, notify=quietly)
    assert [one.name for one in disk.iterdir()] == ["results"]
    remount(disk, "rw")


def test_clock_that_goes_back(config, tmp_path, monkeypatch):
    expected = run_sweep(config, tmp_path / "expected", notify=quietly)
    hours = iter(range(10**6))
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 3600 * next(hours))
    monkeypatch.setattr(time, "time_ns", lambda: 10**18 - 10**12 * next(hours))
    half = replace(config, snrs_db=(0.0, 2.0))
    run_sweep(half, tmp_path / "results", notify=quietly)
    results = run_sweep(config, tmp_path / "results", notify=quietly)
    assert without_times(results.rows) == without_times(expected.rows)
    assert all(row.encode_s is None or row.encode_s >= 0 for row in results.rows)
    assert (tmp_path / "results" / DATABASE).exists()
