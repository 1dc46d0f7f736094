"""The CBR of equal quality: where curves cross, and what is said where they do not."""

import math
import operator

import pytest

from simulator.analysis.crossing import crossing


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
