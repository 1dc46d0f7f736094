"""What is printed for a bibliography is what the documentation and CITATION.cff say."""

from pathlib import Path

import yaml

from simulator import __version__
from simulator.__main__ import main
from simulator.citation import PAPER, PROGRAM

ROOT = Path(__file__).parents[2]


def test_both_entries_are_printed_and_are_those_of_the_documentation(capsys):
    assert main(["citation"]) == 0
    printed = capsys.readouterr().out
    for entry in (PAPER, PROGRAM):
        assert entry in printed
        assert entry in (ROOT / "docs" / "cite.md").read_text()


def test_citation_file_names_a_group_and_the_paper():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["authors"] == [{"name": "The simulator's maintainers"}]
    assert citation["version"] == __version__
    assert (
        citation["references"][0]["title"].split() == PAPER.partition("title         = {")[2].partition("}")[0].split()
    )
    assert "references" in citation["message"]
