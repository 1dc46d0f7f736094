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


def test_all_results_are_of_one_version_of_a_scheme() -> None:
    """Chains with BPG, too: their fingerprints name x265, so that this machine's may be another."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(RESULTS.glob("*/provenance.json")):
        for spec, measured in json.loads(path.read_text())["schemes"].items():
            found.setdefault(spec, {})[path.parent.name] = measured
    differing = {spec: folders for spec, folders in found.items() if len(set(folders.values())) > 1}
    assert not differing, "run `python -m simulator reproduce` for the older of these again"
