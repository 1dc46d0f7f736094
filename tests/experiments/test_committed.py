"""The results that are committed are of the networks that ship."""

import json
from functools import cache
from pathlib import Path

import pytest

from simulator.link import load_scheme

RESULTS = Path(__file__).parents[2] / "results"
NETWORKS = ("lrisc", "deepjscc", "pdjscc")  # fingerprints of chains with BPG name the version of x265, too


@cache
def fingerprint(spec: str) -> str:
    return load_scheme(spec).fingerprint()


@pytest.mark.parametrize("provenance", sorted(RESULTS.glob("*/provenance.json")), ids=lambda path: path.parent.name)
def test_results_are_of_the_weights_that_ship(provenance: Path) -> None:
    measured = json.loads(provenance.read_text())["schemes"]
    for spec in (one for one in measured if one.split(":")[0] in NETWORKS and "weights=" not in one):
        assert measured[spec] == fingerprint(spec), (
            f"run `python -m simulator reproduce {provenance.parent.name}` again"
        )
