"""A report tells where its rows come from, all of them."""

import json

from simulator.report.origin import origins
from simulator.results.provenance import PROVENANCE, environment
from simulator.results.store import Results


def test_rows_from_elsewhere_are_told_with_what_is_different_there(tmp_path):
    now = environment()
    commit = {"id": "abc", "dirty": True}
    then = now | {"commit": commit, "packages": now["packages"] | {"torch": "1.0"}, "date": "2020-02-02", "rows": 3}
    unknown = dict.fromkeys(now) | {"rows": 2}
    (tmp_path / PROVENANCE).write_text(json.dumps(now | {"earlier": [unknown, then]}))
    (one,) = origins([Results(tmp_path, {}, [], 9)])
    assert [text for name, text in one["facts"] if name == "Rows from elsewhere"] == [
        "2: an unknown program",
        f"3: simulator {now['program']}, commit abc, with local changes, torch 1.0, 2020-02-02",
    ]
    assert dict(one["facts"])["Date"] == now["date"]


def test_without_provenance_there_is_none(tmp_path):
    odd = {"machine": 3, "commit": "abc", "packages": [], "earlier": [3], "date": 4, "program": 1, "python": {}}
    for content in (None, "[1]", "{", json.dumps(odd | {"command": "sweep"}), json.dumps({"earlier": 3})):
        if content is not None:
            (tmp_path / PROVENANCE).write_text(content)
        (one,) = origins([Results(tmp_path, {}, [], 9)])
        assert one["command"] is None
        assert dict(one["facts"]) == {"Images": ", 0 pictures", "Rows": "0 of 9", "LPIPS": "none"}


def test_entries_of_an_odd_kind_are_told_as_they_are(tmp_path):
    odd = {"commit": {"id": 3}, "machine": {"processor": 4}, "packages": {"torch": 5}, "earlier": [{"machine": {}}]}
    (tmp_path / PROVENANCE).write_text(json.dumps(odd))
    (one,) = origins([Results(tmp_path, {"lpips": {"fingerprint": 6}}, [], 9)])
    facts = dict(one["facts"])
    assert (facts["Commit"], facts["Machine"], facts["LPIPS"]) == ("3", "4", "None, weights 6")
    assert facts["Rows from elsewhere"] == "None: an unknown program"
