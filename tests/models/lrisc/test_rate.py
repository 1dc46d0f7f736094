"""Equation (3): levels, beta, and the rate map on the air."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.models.lrisc.rate import fixed_levels, pool_tokens, quantise, solve_beta
from simulator.models.lrisc.ratemap import decode_map, encode_map

LEVELS = torch.tensor([2.0, 4, 8, 16, 32, 48, 64, 96])


@given(st.lists(st.floats(0, 500, width=32), min_size=1, max_size=20))
def test_quantiser_takes_the_nearest_level(dimensions):
    values = torch.tensor(dimensions)
    distance = (values[:, None] - LEVELS).abs()
    chosen = distance[torch.arange(len(values)), quantise(values, LEVELS)]
    assert torch.equal(chosen, distance.amin(dim=1))


def spent(bits: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    return LEVELS[quantise(beta[:, None, None] * bits, LEVELS)].flatten(1).mean(dim=1)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), mean=st.floats(2, 96), side=st.integers(1, 9))
def test_beta_never_exceeds_and_fills_the_budget(seed, mean, side):
    bits = torch.rand(3, side, side + 1, generator=torch.Generator().manual_seed(seed)) * 300 + 1
    target = torch.full((3,), mean)
    beta = solve_beta(bits, LEVELS, target)
    assert (spent(bits, beta) <= target).all()
    # A larger beta overruns, unless every vector already has the highest level.
    more = spent(bits, beta * 1.001 + 1e-4)
    assert ((more > target) | (more == LEVELS[-1])).all()


def test_beta_grows_with_the_budget():
    bits = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0)).expand(40, -1, -1) * 200
    beta = solve_beta(bits, LEVELS, torch.linspace(1, 100, 40))
    assert (beta.diff() >= 0).all()
    assert beta[0] == 0  # the lowest level costs more than one dimension: beta alone cannot meet it


def test_images_of_a_batch_do_not_meet():
    bits = torch.rand(2, 6, 6, generator=torch.Generator().manual_seed(0)) * 200
    means = torch.tensor([10.0, 40.0])
    together = solve_beta(bits, LEVELS, means)
    apart = torch.cat([solve_beta(bits[i : i + 1], LEVELS, means[i : i + 1]) for i in range(2)])
    assert torch.equal(together, apart)


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("shape", [(4, 8), (5, 7), (1, 1), (3, 1)])
def test_pooling_gives_each_cell_its_mean(grid, shape):
    bits = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    pooled = pool_tokens(bits, grid)
    assert pooled.shape == bits.shape
    for row in range(0, shape[0], grid):
        for column in range(0, shape[1], grid):
            cell = (slice(None), slice(row, row + grid), slice(column, column + grid))
            expected = bits[cell].mean(dim=(1, 2), keepdim=True).expand_as(bits[cell])
            torch.testing.assert_close(pooled[cell], expected)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), height=st.integers(1, 9), width=st.integers(1, 9), count=st.integers(2, 20))
def test_any_map_survives_the_coder(data, height, width, count):
    flat = data.draw(st.lists(st.integers(0, count - 1), min_size=height * width, max_size=height * width))
    levels = np.array(flat).reshape(height, width)
    decoded = decode_map(encode_map(levels, count), (height, width), count)
    assert np.array_equal(decoded, levels)


def test_smooth_maps_are_cheap():
    """A gently sloping map costs less than half of the 4 bits a level would, a flat one a third of a bit."""
    rows, columns = np.indices((32, 48))
    noise = np.random.default_rng(0).normal(0, 0.5, (32, 48))
    smooth = np.clip(np.round(8 + 4 * np.sin(rows / 9) + 3 * np.cos(columns / 11) + noise), 0, 15).astype(int)
    assert 8 * len(encode_map(smooth, 16)) < 2.0 * smooth.size
    assert 8 * len(encode_map(np.full((32, 48), 7), 16)) < 0.4 * smooth.size
    noisy = np.random.default_rng(0).integers(0, 16, (32, 48))
    assert 8 * len(encode_map(noisy, 16)) < 4.5 * noisy.size


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=40))
@example(b"~\xdd\x8f\xf7")
def test_damaged_maps_give_levels_or_say_so(data):
    try:
        levels = decode_map(data, (6, 5), 16)
    except ValueError:
        return
    assert levels.shape == (6, 5)
    assert levels.min() >= 0
    assert levels.max() < 16


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1200))
def test_fixed_levels_fill_the_budget_with_two_neighbouring_levels(rows, columns, dimensions):
    values = torch.tensor([2.0, 4, 6, 12])
    levels = fixed_levels((rows, columns), torch.tensor([dimensions]), values)[0]
    count, spent = rows * columns, int(values[levels].sum())
    assert levels.shape == (rows, columns)
    assert levels.max() - levels.min() <= 1
    if dimensions < 2 * count:
        assert (levels == 0).all()
    elif dimensions >= 12 * count:
        assert (levels == 3).all()
    else:
        step = values[min(3, int(levels.min()) + 1)] - values[levels.min()]
        assert dimensions - step < spent <= dimensions


def test_fixed_levels_are_spread_evenly_and_know_no_image():
    values, shape = torch.tensor([8.0, 12, 16]), (32, 48)
    total = torch.tensor([10 * 32 * 48, 13 * 32 * 48])
    half, quarter = fixed_levels(shape, total, values)
    for levels, share in ((half == 1, 0.5), (quarter == 2, 0.25)):
        blocks = torch.nn.functional.avg_pool2d(levels.float()[None], 8)
        torch.testing.assert_close(blocks, torch.full_like(blocks, share), atol=0.05, rtol=0)
    assert torch.equal(half, fixed_levels(shape, total[:1], values)[0])
