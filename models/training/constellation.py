"""QAM grids for the training of learned schemes: symbols spread, the nearest point sent, the posterior received."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.errors import UserError
from simulator.phy.constellation import POINTS, gaussian_quantiser
from simulator.phy.spreading import signs

GRADIENTS = ("straight", "soft")
_LARGEST_ERROR = 0.999  # of a unit-power symbol: one of which nothing is known


@dataclass(frozen=True)
class Grids:
    """How often symbols are restricted to a QAM grid, and what trains through it.

    Attributes:
        share: of the images that are sent over a grid; the others send any complex number.
        points: of the grids, one of which is drawn for every batch.
        gradient: of the nearest point: "straight" takes that of the identity (straight-through), "soft" that of the
            mean over all levels, weighted by exp(-distance^2 / (step / 2)^2). What is sent is the nearest point.
    """

    share: float = 0.0
    points: tuple[int, ...] = (16, 64, 256)
    gradient: str = "straight"

    def check(self, where: str) -> None:
        """Raises UserError for an invalid share, grid or gradient; `where` names their section."""
        if not isinstance(self.share, int | float) or not 0 <= self.share <= 1:
            raise UserError(f"'qam' of {where} is {self.share}; it must be a share of images from 0 to 1")
        if not self.points or any(one not in POINTS for one in self.points):
            known = ", ".join(map(str, POINTS))
            raise UserError(f"'qam_points' of {where} is {list(self.points)}; it must be a list of some of {known}")
        if self.gradient not in GRADIENTS:
            raise UserError(f"'qam_gradient' of {where} is '{self.gradient}'; it must be {' or '.join(GRADIENTS)}")

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, int]:
        """Which images are sent over a grid, bool [batch], and the points of that grid."""
        pick = torch.randint(len(self.points), (), generator=generator, device=generator.device)
        some = torch.rand(batch, generator=generator, device=generator.device) < self.share
        return some, self.points[int(pick)]


NO_GRIDS = Grids()


def nearest_levels(quadratures: Tensor, points: int, gradient: str) -> Tensor:
    """Nearest levels of the grid, of any shape; differentiable as `Grids.gradient` says."""
    quantiser = gaussian_quantiser(math.isqrt(points))
    top = (quantiser.levels - 1) / 2
    nearest = ((quadratures / quantiser.step).floor() + 0.5).clamp(-top, top) * quantiser.step
    slope = quadratures
    if gradient == "soft":
        levels = torch.as_tensor(quantiser.amplitudes).to(quadratures)
        distance = (quadratures[..., None] - levels) / (quantiser.step / 2)
        slope = (torch.softmax(-distance.square(), -1) * levels).sum(-1)
    return slope + (nearest - slope).detach()


def over_grid(
    quadratures: Tensor, noise_variance: Tensor, points: int, gradient: str, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """Send transmissions over a grid and noise, and give what a channel's receiver makes of analog symbols.

    Args:
        quadratures: of K symbols of unit mean power each, float [..., K, 2].
        noise_variance: of each complex symbol after equalisation, float [..., K].
        points, gradient: of the grid, as in `Grids`.
        noise: standard normal, float [..., K, 2].

    Returns:
        Quadratures [..., K, 2] as if received at gain 1, and the noise variance that goes with them, [..., K].
    """
    quantiser = gaussian_quantiser(math.isqrt(points))
    levels, log_prior = (torch.as_tensor(one).to(quadratures) for one in (quantiser.amplitudes, quantiser.log_prior))
    fixed = torch.from_numpy(signs(quadratures.shape[-2])).to(quadratures)
    sums = torch.fft.fft(torch.view_as_complex(quadratures.contiguous()) * fixed, norm="ortho")
    sent = nearest_levels(torch.view_as_real(sums), points, gradient)
    variance = noise_variance / quantiser.amplification**2
    arrived = sent + noise * (variance[..., None] / 2).sqrt()
    metric = log_prior - (arrived[..., None] - levels).square() / variance[..., None, None]
    weight = torch.softmax(metric, -1)
    mean = (weight * levels).sum(-1)
    spread = ((weight * levels.square()).sum(-1) - mean.square()).clamp(min=0).sum(-1)
    error = (spread.mean(-1, keepdim=True) + quantiser.distortion).clamp(max=_LARGEST_ERROR)
    seen = torch.view_as_real(torch.fft.ifft(torch.view_as_complex(mean), norm="ortho") * fixed)
    return seen / (1 - error[..., None]), (error / (1 - error)).expand(noise_variance.shape)
