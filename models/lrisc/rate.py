"""Equation (3): the share of the channel that each latent vector gets.

k_i = Q(-beta log2 p(z_i | y)), where Q is the nearest of 2^n levels V. Levels count real dimensions; two of them
make one complex channel use.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

BISECTIONS = 24


def quantise(dimensions: Tensor, levels: Tensor) -> Tensor:
    """Q: index of the level of V nearest to each number of real dimensions. Any shape -> int64, same shape."""
    boundaries = (levels[1:] + levels[:-1]) / 2
    return torch.bucketize(dimensions.contiguous(), boundaries.to(dimensions.dtype))


def pool_tokens(bits: Tensor, grid: int) -> Tensor:
    """Share one rate among grid x grid neighbours: [B, h, w] -> the mean over each cell, [B, h, w] again."""
    if grid == 1:
        return bits
    height, width = bits.shape[-2:]
    pooled = F.avg_pool2d(bits[:, None], grid, ceil_mode=True, count_include_pad=False)
    return pooled.repeat_interleave(grid, -2).repeat_interleave(grid, -1)[:, 0, :height, :width]


def solve_beta(bits: Tensor, levels: Tensor, mean_dimensions: Tensor) -> Tensor:
    """The largest beta of each image whose levels stay within a mean number of real dimensions per vector.

    Args:
        bits: -log2 p(z_i | y), float [B, h, w].
        levels: V, float [2^n].
        mean_dimensions: float [B].

    Returns:
        beta, float [B]: dimensions per bit.
    """
    low = torch.zeros_like(mean_dimensions)
    high = levels[-1] / bits.flatten(1).amin(dim=1).clamp_min(1e-3)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        spent = levels[quantise(middle[:, None, None] * bits, levels)].flatten(1).mean(dim=1)
        fits = spent <= mean_dimensions
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low


def fixed_levels(shape: tuple[int, int], dimensions: Tensor, levels: Tensor) -> Tensor:
    """The opposite of eq. (3): every vector gets the same, whatever it is worth. Both ends know it without a map.

    One level for all would leave much of a budget unspent. So the level next above goes to as many vectors as the
    budget has room for, spread evenly over the grid by an additive recurrence (Roberts 2018).

    Args:
        shape: vectors of an image, (h, w).
        dimensions: real dimensions that all vectors of an image may take together, int64 [B].
        levels: V, float [2^n].

    Returns:
        Index into V, int64 [B, h, w]; all 0 where even the lowest level takes too much.
    """
    values, count = levels.long(), shape[0] * shape[1]
    lower = (torch.bucketize(dimensions // count, values, right=True) - 1).clamp_min(0)
    upper = (lower + 1).clamp_max(len(values) - 1)
    step = (values[upper] - values[lower]).clamp_min(1)
    raised = ((dimensions - values[lower] * count) // step).clamp(0, count)
    rows, columns = torch.arange(shape[0]).double()[:, None], torch.arange(shape[1]).double()
    place = (rows * 0.7548776662466927 + columns * 0.5698402909980532) % 1
    order = place.flatten().argsort(stable=True).argsort().reshape(shape).to(levels.device)
    return torch.where(order < raised[:, None, None], upper[:, None, None], lower[:, None, None])
