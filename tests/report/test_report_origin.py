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
    for content in (None, "[1]", "{"):
        if content is not None:
            (tmp_path / PROVENANCE).write_text(content)
        (one,) = origins([Results(tmp_path, {}, [], 9)])
        assert one["command"] is None
        assert dict(one["facts"]) == {"Images": ", 0 pictures", "Rows": "0 of 9", "LPIPS": "none"}
