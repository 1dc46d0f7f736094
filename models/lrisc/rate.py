"""Equation (3): the share of the channel that each latent vector gets.

k_i = Q(-beta log2 p(z_i | y)), where Q is the nearest of 2^n levels V. Levels count real dimensions; two of them
make one complex channel use.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

BISECTIONS = 24

# (bits [B, h, w], V, mean real dimensions per vector [B / group], group) -> index into V, int64 [B, h, w]
RateRule = Callable[[Tensor, Tensor, Tensor, int], Tensor]


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


def levels_at(bits: Tensor, beta: Tensor, levels: Tensor) -> Tensor:
    """Eq. (3): bits [B, h, w], beta [B] -> index into V, int64 [B, h, w]. Carries no gradient."""
    return quantise(beta[:, None, None] * bits.detach(), levels)


def share_by_entropy(bits: Tensor, levels: Tensor, mean_dimensions: Tensor, group: int) -> Tensor:
    """Eq. (3) with the largest beta that meets the budget; one beta for each `group` of images."""
    together = bits.detach().float().reshape(len(bits) // group, -1, bits.shape[-1])
    return levels_at(bits, solve_beta(together, levels, mean_dimensions).repeat_interleave(group), levels)


def share_evenly(bits: Tensor, levels: Tensor, mean_dimensions: Tensor, group: int) -> Tensor:
    """An ablation of eq. (3): `fixed_levels`, independent of the bits."""
    total = (mean_dimensions * bits[0].numel()).long().repeat_interleave(group)
    return fixed_levels((bits.shape[1], bits.shape[2]), total, levels)


def fixed_levels(shape: tuple[int, int], dimensions: Tensor, levels: Tensor) -> Tensor:
    """Give every vector the same rate regardless of its entropy. Both ends can compute it without a map.

    One level for all would leave much of a budget unspent, so as many vectors as the budget allows get the next higher
    level, spread evenly over the grid by an additive recurrence (Roberts 2018).

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
