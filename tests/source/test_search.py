"""The search for the finest level that fits, on sizes that are known in advance."""

import math

import pytest

from simulator.errors import UserError
from simulator.source import DoesNotFit, Ladder, finest_that_fits

LADDER = Ladder(coarsest=2, finest=90, typical=40, log2_bytes_per_level=0.1)


def sizes(level: int) -> int:
    """Bytes of a file, close to exponential in the level."""
    return math.ceil(300 * 2 ** (0.07 * level + 0.3 * math.sin(level / 9)))


@pytest.mark.parametrize("budget", [sizes(2), sizes(2) + 1, 900, 4000, sizes(50) - 1, sizes(50), sizes(90), 10**9])
def test_the_finest_level_that_fits_is_found_in_few_encodes(budget: int) -> None:
    asked: list[int] = []

    def encode(level: int) -> bytes:
        asked.append(level)
        return bytes(sizes(level))

    found = finest_that_fits(encode, budget, 10_000, LADDER)
    assert len(found.data) == sizes(found.level) <= budget
    assert found.level == 90 or sizes(found.level + 1) > budget
    assert len(asked) == len(set(asked)) <= 9
    assert all(2 <= level <= 90 for level in asked)


@pytest.mark.parametrize("budget", [sizes(2) - 1, 1, 0, -3])
def test_a_budget_below_the_coarsest_file_is_refused(budget: int) -> None:
    with pytest.raises(DoesNotFit, match=f"the coarsest file needs {sizes(2)} bytes") as refusal:
        finest_that_fits(lambda level: bytes(sizes(level)), budget, 10_000, LADDER)
    assert isinstance(refusal.value, UserError)
