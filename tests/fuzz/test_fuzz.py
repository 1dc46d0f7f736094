"""Damaged inputs, few of each kind; `python -m tests.fuzz --inputs 100000` tries many."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.errors import MAX_CHARACTERS, UserError, in_one_line
from simulator.spec.grids import MAX_GRID_POINTS, parse_cbrs, parse_snrs
from tests.fuzz.targets import TARGETS

CHECKOUT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"


def test_damaged_inputs_are_refused_in_one_line_or_read():
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "1000", "--seconds", "10", "--json"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    for report in reports:
        kept = len(list((CORPUS / report["target"]).glob("*")))
        assert report["inputs"] > kept, report  # what once was a finding is tried again first
        assert report["peak_mb"] < 1024
    assert len(reports) == 17


def test_some_inputs_pass_the_header_of_an_airframe(tmp_path):
    target = TARGETS["airframe"]
    assert sum(target.run(seed, tmp_path)[4] is not None for seed in target.seeds()) == 2


def test_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000


number = st.one_of(st.integers(-200, 200).map(str), st.floats().map(str), st.text("0123456789.e-+_/", max_size=8))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(number, min_size=1, max_size=4).map(":".join), min_size=1, max_size=4).map(",".join))
def test_ranges_are_grids_or_refused(text):
    try:
        values = parse_snrs(text)
    except UserError:
        return
    assert 0 < len(values) <= MAX_GRID_POINTS
    assert list(values) == sorted(set(values))
    assert all(-100 <= value <= 100 for value in values)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(number, min_size=1, max_size=3).map("/".join), min_size=1, max_size=3).map(",".join))
def test_ratios_are_ratios_or_refused(text):
    try:
        values = parse_cbrs(text)
    except UserError:
        return
    assert all(0 < value <= 1 / 2 for value in values)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=3 * MAX_CHARACTERS))
def test_errors_are_one_printable_line(text):
    line = in_one_line(text)
    assert line.isprintable()
    assert len(line) <= MAX_CHARACTERS + 5
    assert in_one_line(line) == line


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "x" * 5000, "\u202ebackwards", "a\tb"])
def test_what_a_file_says_cannot_steer_the_terminal(text):
    assert in_one_line(text).isprintable()
