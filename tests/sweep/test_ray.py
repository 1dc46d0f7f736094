"""A sweep on a real Ray cluster of this machine: the same rows as in this process, whoever is killed meanwhile."""

import json
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

import pytest

from simulator import sweep
from simulator.analysis.outputs import SUMMARY, SUMMARY_AND_FIGURES
from simulator.errors import UserError
from simulator.results.rows import COLUMNS
from simulator.results.store import load_results
from simulator.sweep import PROVENANCE, choose_executor
from simulator.sweep.executors import RayCluster
from simulator.sweep.inputs import SweepConfig

run_sweep = partial(sweep.run_sweep, outputs=SUMMARY_AND_FIGURES)

pytestmark = pytest.mark.usefixtures("toys")
TIMINGS = {"encode_s", "decode_s"}


@pytest.fixture
def config(photographs):
    schemes = ("toy", "toy-slow", "toy-cliff", "toy-bound")
    return SweepConfig(snrs_db=(0.0, 5.0), schemes=schemes, images=str(photographs), realisations=2, lpips="none")


def rows_of(folder):
    """Everything in the rows that is no time, in the order of the plan."""
    return [[getattr(row, name) for name in COLUMNS if name not in TIMINGS] for row in load_results(folder).rows]


class Assassin:
    """Watches a sweep's progress and kills one of the actors once some rows are there."""

    def __init__(self):
        self.notes, self.killed = [], None

    def progress(self, done, total):
        if done > total // 4 and self.killed is None:
            self.killed = min(_actors())
            os.kill(self.killed, signal.SIGKILL)


def _actors():
    """Processes of this machine that are our actors; Ray writes what they are into their command lines."""
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/cmdline") as file:
                    command = file.read()
            except OSError:  # it ended meanwhile
                continue
            if command.startswith("ray::_Actor"):
                found.add(int(entry))
    return found


@pytest.fixture
def foreign_folder(tmp_path, monkeypatch):
    """The current folder is somebody's project; packages have the names of ours, of libraries, and of Python's own."""
    for name in ("models", "baselines", "experiments", "numpy", "torch", "ray", "random", "argparse", "sionna"):
        package = tmp_path / "project" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('a foreign package was imported')\n")
    monkeypatch.chdir(tmp_path / "project")


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.usefixtures("foreign_folder")
def test_a_cluster_gives_the_same_rows_although_an_actor_is_killed(config, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("TOY_SECONDS", "0.2")
    run_sweep(config, tmp_path / "here", notify=lambda note: None)
    capfd.readouterr()
    watch, there = Assassin(), tmp_path / "there"
    elsewhere = replace(config, executor="ray", workers=1)
    run_sweep(elsewhere, there, notify=watch.notes.append, progress=watch.progress)
    assert capfd.readouterr() == ("", "")  # Ray says nothing
    assert watch.killed is not None
    assert rows_of(there) == rows_of(tmp_path / "here")
    assert (there / SUMMARY).read_bytes() == (tmp_path / "here" / SUMMARY).read_bytes()
    assert json.loads((there / PROVENANCE).read_text())["retried_tasks"] == 1
    assert any("a worker process died (SYSTEM_ERROR on " in note for note in watch.notes)
    assert watch.notes[-1] == "1 units of work were retried because their workers died or hung"
    assert not _actors()


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
def test_a_cluster_that_does_not_answer_is_said_at_once():
    with pytest.raises(
        UserError, match=r"no Ray cluster at '127.0.0.1:1' \(Connection refused\); start one with 'ray start"
    ):
        list(RayCluster(1, "127.0.0.1:1").run(print, []))


def test_ray_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"Ray is not installed; run: pip install -e '\.\[ray\]'"):
        RayCluster(2)


def test_a_share_of_a_gpu_needs_ray(config):
    with pytest.raises(UserError, match="--gpus-per-task applies to the GPUs of a Ray cluster"):
        choose_executor(replace(config, gpus_per_task=0.25), 8, print)


def test_where_a_cluster_stands_is_not_recorded(config):
    assert replace(config, executor="ray:10.0.0.1:6379").record()["executor"] == "ray"
