"""What `python -m simulator` says when a verb cannot do its work."""

import argparse
import runpy
import sys
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.cli import check


def test_only_a_library_that_is_not_installed_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = "torch"

    def run(args: argparse.Namespace) -> int:
        raise ModuleNotFoundError(f"No module named '{missing}'", name=missing)

    monkeypatch.setattr(check, "run", run)
    assert main(["check"]) == 2
    assert capsys.readouterr().err == (
        "error: No module named 'torch'; install what the program needs: pip install -e .\n"
    )
    missing = "simulator.lost"  # a mistake of ours, whose traceback is wanted
    with pytest.raises(ModuleNotFoundError):
        main(["check"])


def test_workers_import_the_program_by_the_path_that_it_was_started_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """They inherit `sys.path`; by another spelling its modules would count as files that a user's codec reads."""
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    monkeypatch.setattr(sys, "argv", ["simulator", "--version"])
    monkeypatch.delitem(sys.modules, "simulator.__main__")  # or runpy warns
    with pytest.raises(SystemExit):
        runpy.run_module("simulator", run_name="__main__")
    assert sys.path[-1] == str(Path(__file__).parents[2])
    assert "" not in sys.path
