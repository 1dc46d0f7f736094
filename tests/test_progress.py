"""The time that is left of a sweep, for short and long rows on one and several workers."""

import io

import pytest
from rich.console import Console

from simulator.progress import Pace, duration, rows_bar


def run(seconds_per_row: float, workers: int, start_s: float, until: float, total: int = 100) -> tuple[Pace, float]:
    """The pace after `until` of the time, and the true seconds that are left then."""
    now = 0.0
    pace = Pace(lambda: now)
    pace.update(0, total)
    arrivals = sorted(
        start_s + seconds_per_row * (1 + index // workers) + 0.1 * (index % workers) for index in range(total)
    )
    end = until * arrivals[-1]
    for done, arrival in enumerate((one for one in arrivals if one <= end), 1):
        now = arrival
        pace.update(done, total)
    now = end
    return pace, arrivals[-1] - end


@pytest.mark.parametrize(("seconds", "workers"), [(30, 1), (30, 2), (30, 8), (0.2, 1), (2, 2)])
@pytest.mark.parametrize("until", [0.6, 0.75, 0.9])
def test_the_time_left_is_right_within_a_fifth(seconds: float, workers: int, until: float) -> None:
    pace, left = run(seconds, workers, start_s=6.0, until=until)
    assert pace.seconds_left == pytest.approx(left, rel=0.2, abs=seconds)


def test_it_counts_down_between_rows_and_is_unknown_while_all_time_may_be_imports() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace.update(5, 10)  # five rows of an earlier run
    assert pace.seconds_left is None
    now = 30.0
    pace.update(6, 10)
    assert pace.seconds_left is None
    now = 60.0
    pace.update(7, 10)
    assert pace.seconds_left == pytest.approx(3 * 30)
    now = 75.0
    assert pace.seconds_left == pytest.approx(3 * 30 - 15)


def test_durations_are_said_in_few_words() -> None:
    assert [duration(one) for one in (40, 170, 7500)] == ["40 s", "3 min", "2 h 05 min"]


def test_a_bar_says_what_it_counts() -> None:
    pace, _ = run(0.2, 1, start_s=1.0, until=0.5)
    for what, said in ((("row",), "rows/s"), (("picture",), "pictures/s")):
        console = Console(record=True, force_terminal=True, width=80, file=io.StringIO())
        with rows_bar(console, pace, *what):
            pass
        assert said in console.export_text()
