"""What `python -m simulator` says when a verb cannot do its work."""

import argparse

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
