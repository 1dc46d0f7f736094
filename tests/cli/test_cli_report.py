"""`report` from the command line: one file, or one line."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.results.store import DATABASE


def test_report_writes_one_file(kept_results, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    assert main(["report", str(kept_results), "--out", str(out), "--title", "Mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == out.stat().st_size
    assert "<title>Mine</title>" in out.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_a_report_does_not_say_where_folders_lie(kept_results, tmp_path, monkeypatch):
    """Notes name the folders, such as one with a missing row."""
    for name in ("first", "second"):
        shutil.copytree(kept_results, folder := tmp_path / "private place" / name)
        with closing(sqlite3.connect(folder / DATABASE)) as connection, connection:
            connection.execute("DELETE FROM rows WHERE key = (SELECT key FROM rows LIMIT 1)")
    monkeypatch.chdir(tmp_path / "private place" / "second")
    assert main(["report", str(tmp_path / "private place" / "first"), ".", "--out", "report.html"]) == 0
    page = Path("report.html").read_text()
    assert "'first' is unfinished" in page
    assert "'second' is unfinished" in page
    assert "bpg-ldpc, second" in page
    assert "private place" not in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "no results in"),
        (["RESULTS", "--out", "."], "is a folder"),
        (["RESULTS", "--out", "/proc/none/report.html"], "cannot write"),
        (["RESULTS", "--max-mb", "1"], "--max-mb"),
    ],
)
def test_bad_input_is_one_line(arguments, message, kept_results, tmp_path, monkeypatch, assert_one_line):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *(str(kept_results) if one == "RESULTS" else one for one in arguments)]) == 2
    assert_one_line(message)


@pytest.mark.parametrize("size", ["0", "-1", "big", "nan"])
def test_a_size_that_is_none_is_refused(size, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "somewhere", "--max-mb", size])
    assert ended.value.code == 2
    assert "is not a size" in capsys.readouterr().err
