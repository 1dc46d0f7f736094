"""SoftCast's idea for neighbouring blocks: latents cross the channel as a DCT over the block grid.

Neighbouring blocks resemble each other, so a latent's spectrum over the grid is steep, and power spread as
variance^-1/4 over *frequencies* loses less to noise than power spread over latents alone (Jakubczak and Katabi 2011).
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import nn

KNOTS = 12
GridTransform = Callable[[torch.Tensor], torch.Tensor]
LOWEST, HIGHEST = 1 / 128, 2**-0.5  # cycles per block; the corner of the grid's spectrum is at (1/2, 1/2)


class Spectrum(nn.Module):
    """Variance of each latent against grid frequency: measured, then fixed; log-linear between knots."""

    log_variance: torch.Tensor

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.register_buffer("log_variance", torch.full((latents, KNOTS), 0.5).log())

    def variance(self, size: tuple[int, int]) -> torch.Tensor:
        """Variance [C, h, w] of the DCT coefficients of an h x w grid."""
        return torch.exp(between_knots(self.log_variance, size))

    def gain(self, size: tuple[int, int]) -> torch.Tensor:
        """Amplitude gain [C, h, w], variance^-1/4 up to a factor per latent that keeps its power at this size."""
        variance = self.variance(size)
        power = variance.mean(dim=(1, 2), keepdim=True)
        return (power / variance.sqrt().mean(dim=(1, 2), keepdim=True)).sqrt() * variance.pow(-0.25)

    @torch.no_grad()
    def fit(self, grids: list[torch.Tensor]) -> None:
        """Measure the variances from latents [C, h, w] of many images, knot by knot.

        Args:
            grids: float32; sizes may differ.
        """
        energy = torch.zeros(self.log_variance.shape, dtype=torch.float64)
        weights = torch.zeros(KNOTS, dtype=torch.float64)
        for grid in grids:
            size = (grid.shape[1], grid.shape[2])
            coefficients = transform(grid).double().square().flatten(1)
            left, weight = (part.flatten() for part in _positions(size))
            for knot, share in ((left, 1 - weight.double()), (left + 1, weight.double())):
                energy.index_add_(1, knot, coefficients * share)
                weights.index_add_(0, knot, share)
        seen = weights > 1e-6
        measured = (energy[:, seen] / weights[seen]).clamp(min=1e-6).log().float()
        # Knots that no image reached (all were small) take the value of the lowest one that was.
        nearest = (torch.arange(KNOTS)[:, None] - torch.arange(KNOTS)[seen]).abs().argmin(1)
        self.log_variance.copy_(measured[:, nearest])


def between_knots(table: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Values [C, h, w] for the frequencies of an h x w grid, of a table [C, KNOTS]."""
    left, weight = (part.to(table.device) for part in _positions(size))
    return table[:, left].lerp(table[:, left + 1], weight)


def transform(grid: torch.Tensor) -> torch.Tensor:
    """Orthonormal DCT-II over the last two dimensions."""
    rows, columns = (_dct(n).to(grid.device) for n in grid.shape[-2:])
    with torch.autocast(grid.device.type, enabled=False):  # in bfloat16 a large mean would swamp the details
        return rows @ grid.float() @ columns.T


def inverse(coefficients: torch.Tensor) -> torch.Tensor:
    """Undo `transform`."""
    rows, columns = (_dct(n).to(coefficients.device) for n in coefficients.shape[-2:])
    with torch.autocast(coefficients.device.type, enabled=False):
        return rows.T @ coefficients.float() @ columns


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # the cached tensors must serve training too, even if inference asks first
def _dct(n: int) -> torch.Tensor:
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(torch.pi * k * (2 * i + 1) / (2 * n)) * (2 / n) ** 0.5
    matrix[0] /= 2**0.5
    return matrix.float()


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _positions(size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """Left knot (int64) and weight of the right one, [h, w] each; the mean counts as half the lowest frequency."""
    vertical, horizontal = (torch.arange(n) / (2 * n) for n in size)
    frequency = (vertical[:, None].square() + horizontal.square()).sqrt().clamp(min=1 / (4 * max(size)))
    scale = (frequency.clamp(LOWEST, HIGHEST) / LOWEST).log() / torch.tensor(HIGHEST / LOWEST).log()
    position = scale * (KNOTS - 1)
    left = position.floor().clamp(max=KNOTS - 2)
    return left.long(), position - left
