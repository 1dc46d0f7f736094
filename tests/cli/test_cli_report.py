"""`report` from the command line: one file, or one line."""

import json

import pytest

from simulator.__main__ import main


def test_report_writes_one_file(kept_results, tmp_path, capsys):
    out = tmp_path / "new" / "report.html"
    assert main(["report", str(kept_results), "--out", str(out), "--title", "Mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["bytes"] == out.stat().st_size
    assert "<title>Mine</title>" in out.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


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
