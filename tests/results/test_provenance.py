"""Provenance can be published: it says how results were made, and not where."""

import json

from simulator.results.provenance import environment


def test_commands_lose_the_place_of_files_and_nothing_else(monkeypatch, tmp_path):
    given = [str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "out"), f"--images={tmp_path}/set", "results/x"]
    monkeypatch.setattr("sys.argv", ["/bin/simulator", "reproduce", *given, "--cbr", "1/16", "--snr=0:15"])
    record = environment()
    said = ["mine.yaml", "--out", "out", "--images=set", "results/x", "--cbr", "1/16", "--snr=0:15"]
    assert record["command"] == ["simulator", "reproduce", *said]
    assert str(tmp_path) not in json.dumps(record)
