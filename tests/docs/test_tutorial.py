"""The tutorial notebook runs from top to bottom, and is committed without outputs."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT

NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"


def _cells(kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == kind]


def test_no_output_is_committed() -> None:
    notebook = json.loads(NOTEBOOK.read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert [(cell["outputs"], cell["execution_count"]) for cell in _cells("code")] == [([], None)] * len(_cells("code"))


@pytest.mark.slow
def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a notebook does: one namespace, and the last expression of a cell is shown."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    names: dict[str, Any] = {"__name__": "__main__"}
    shown = [_run("".join(cell["source"]), names) for cell in _cells("code")]
    pages = [one._repr_html_() for one in shown if hasattr(one, "_repr_html_")]
    assert len(pages) == 3  # two pictures, and the results of the grid
    assert all("<table" in page for page in pages)
    assert shown[-1].size[0] > 300  # the figure


def test_the_tutorial_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """16-QAM with rate 1/2 decodes at 10 dB and fails at 5 dB."""
    names: dict[str, Any] = {}
    for cell in _cells("code"):
        source = "".join(cell["source"])
        if "load_image(" in source or "deepjscc = " in source or "16qam-1/2" in source:
            _run(source, names)
    lines = [line for line in capsys.readouterr().out.splitlines() if "16qam-1/2" in line]
    assert ["outage" in line for line in lines] == [False, True, True]


def _run(source: str, names: dict[str, Any]) -> Any:
    *body, last = ast.parse(source).body
    if not isinstance(last, ast.Expr):
        body, last = [*body, last], None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return None if last is None else eval(compile(ast.Expression(last.value), "cell", "eval"), names)
