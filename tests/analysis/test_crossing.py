"""The CBR of equal quality: where curves cross, and what is said where they do not."""

import math
import operator
from dataclasses import replace

import pytest

from simulator.analysis.comparison import bd_rates
from simulator.analysis.crossing import crossing, crossings
from tests.analysis.test_comparison import sent


def better(difference: float) -> bool:
    return difference > 0


CURVE = [(1 / 48, 26.0), (1 / 24, 28.0), (1 / 12, 31.0)]


@pytest.mark.parametrize(
    ("quality", "relation", "cbr"),
    [
        (28.0, "=", 1 / 24),
        (29.5, "=", math.sqrt(1 / 24 / 12)),  # half way in decibels is the geometric mean of the CBRs
        (26.0, "=", 1 / 48),
        (25.0, "<", 1 / 48),
        (31.5, ">", 1 / 12),
    ],
)
def test_between_the_points_quality_is_linear_in_log_cbr(quality, relation, cbr):
    assert crossing(CURVE, quality, better) == (relation, pytest.approx(cbr))
    falling = [(rate, -value) for rate, value in CURVE]  # as LPIPS does
    assert crossing(falling, -quality, lambda difference: operator.lt(difference, 0)) == (relation, pytest.approx(cbr))


def test_a_curve_that_turns_counts_where_it_first_arrives():
    assert crossing([(0.1, 1.0), (0.2, 3.0), (0.4, 2.0)], 2.0, better) == ("=", pytest.approx(math.sqrt(0.1 * 0.2)))


@pytest.mark.parametrize("silent", ["new", "old"])
def test_points_that_sent_nothing_are_on_no_curve(silent):
    cbrs = (1 / 24, 1 / 16, 1 / 12)
    rows = [one for at, cbr in enumerate(cbrs) for scheme in ("new", "old") for one in sent(scheme, 5.0, at, cbr=cbr)]
    rows = [replace(one, cbr=0.0) if one.scheme == silent and one.cbr == 1 / 24 else one for one in rows]
    assert {one.reference_cbr for one in crossings(rows, "old", ("psnr_db",))} >= {1 / 16, 1 / 12}
    assert [one.reason for one in bd_rates(rows, "old", ("psnr_db",))] == [""]
    rows = [replace(one, cbr=0.0) if one.scheme == silent else one for one in rows]
    assert crossings(rows, "old", ("psnr_db",)) == []
