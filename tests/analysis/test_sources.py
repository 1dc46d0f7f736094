"""Figures of a folder that kept its tables alone are those of its database."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from simulator.analysis.curves import source_of
from simulator.analysis.sources import load_source, load_sources
from simulator.analysis.statistics import summarise
from simulator.analysis.tables import summary_csv
from simulator.errors import UserError
from tests.analysis.test_plots import META, results


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "summary.csv").write_text(summary_csv(summarise(results(outage_below=3).rows)))
    (folder / "provenance.json").write_text(json.dumps(META))
    return folder


def test_a_summary_gives_the_same_points(folder):
    read, made = load_source(folder), source_of(results(outage_below=3))
    assert (read.name, read.bounds, read.backbones) == (made.name, made.bounds, made.backbones)
    for one, other in zip(read.points, made.points, strict=True):
        assert one.record() == pytest.approx(other.record(), abs=1e-4)


def test_folders_of_one_name_are_numbered(folder):
    assert [one.name for one in load_sources([folder, folder])] == ["run", "run (2)"]


def test_no_two_folders_share_a_name(folder, tmp_path):
    others = [tmp_path / "other" / "run (1)", tmp_path / "run (1)", tmp_path / "run (2)"]
    for one in others:
        shutil.copytree(folder, one)
    names = ["run", "run (2)", "run (1)", "run (1) (2)", "run (2) (2)"]
    assert [one.name for one in load_sources([folder, folder, *others])] == names


def test_the_current_folder_has_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert source_of(replace(results(), folder=Path("."))).name == tmp_path.name


def test_names_of_a_summary_may_hold_what_ends_a_line_elsewhere(folder):
    path = folder / "summary.csv"
    path.write_text(path.read_text().replace("s,awgn", '"torch:a\x85b,\u2028c:D",awgn'))
    assert load_source(folder).points[0].scheme == "torch:a\x85b,\u2028c:D"


@pytest.mark.parametrize("odd", [{"lpips": 3}, {"bounds": 3}, {"directions": []}, {"config": 3}])
def test_a_description_of_another_kind_is_refused(folder, odd):
    (folder / "provenance.json").write_text(json.dumps(META | odd))
    with pytest.raises(UserError, match="not a record of a sweep"):
        load_source(folder)
    (folder / "provenance.json").write_text(json.dumps(META | {"lpips": {"net": 3}}))
    assert load_source(folder).backbones == {"3"}


def test_what_cannot_be_read_is_refused_in_one_line(folder, tmp_path):
    with pytest.raises(UserError, match="no results in"):
        load_source(tmp_path)
    text = (folder / "summary.csv").read_text()
    (folder / "summary.csv").write_text(text.replace("s,awgn,5,", "s,awgn,five,"))
    with pytest.raises(UserError, match="line 3: could not convert string to float: 'five'"):
        load_source(folder)
    (folder / "summary.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="it has no column 'scheme'"):
        load_source(folder)
    (folder / "summary.csv").write_text(text.replace("s,awgn", f'"{"s" * 200_000}",awgn'))
    with pytest.raises(UserError, match="field larger than field limit"):
        load_source(folder)
    (folder / "summary.csv").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"summary.csv' cannot be read \('utf-8' codec"):
        load_source(folder)


@pytest.mark.parametrize("text", ["{", "[" * 100_000])
def test_a_damaged_description_is_refused_in_one_line(folder, text):
    (folder / "provenance.json").write_text(text)
    with pytest.raises(UserError, match=r"provenance.json' cannot be read"):
        load_source(folder)
