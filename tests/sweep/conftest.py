"""What tests of sweeps share."""

import multiprocessing

import pytest

from simulator.sweep.executors import local


@pytest.fixture
def quick_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers fork from a process that has imported the program: for tests of what comes after their start."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["simulator.sweep.executors"])
    monkeypatch.setattr(local.multiprocessing, "get_context", lambda method: server)
