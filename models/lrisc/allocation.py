"""The linear codec around which f_e and f_d learn: where the transmit power goes, and the MMSE receiver for it.

Power follows SoftCast (Jakubczak and Katabi 2011) with a water level: a component of deviation s gets power
max(0, mu s - no), so that at low SNR the small ones are dropped for the sake of the large. The deviation is what both
ends know: it depends on the vector's rate, since a vector worth many bits varies more. The first columns, which every
vector sends, cross as a DCT over the grid of vectors: neighbours resemble each other, and their spectrum is steep.

All tables are measured at the start of stage 2 and then fixed; what is learnt is on top.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simulator.models import spectrum
from simulator.models.lrisc.config import LriscConfig
from simulator.models.spectrum import Spectrum

NEWTON_STEPS = 8  # at most five were needed in tests


@dataclass(frozen=True)
class Power:
    """What both ends know of the components of some images before anything is sent.

    Attributes:
        variance: expected variance before power, float32 [B, L, V].
        gain: amplitude that each is sent with, float32 [B, L, V]; 0 where nothing is.
    """

    variance: Tensor
    gain: Tensor


class PowerAllocation(nn.Module):
    """Variances of f_e's components and what follows from them. Shared by both ends; holds no parameters."""

    log_variance: Tensor

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        self.common = config.rate_levels[0]  # columns that every vector sends
        self.register_buffer("log_variance", torch.zeros(len(config.rate_levels), config.rate_levels[-1]))
        self.spectrum = Spectrum(self.common)

    @torch.no_grad()
    def fit(self, components: list[Tensor], levels: list[Tensor]) -> None:
        """Measure variances from components [h, w, V] of many images and their levels int64 [h, w]."""
        rows, which = torch.cat([c.flatten(0, 1) for c in components]), torch.cat([one.flatten() for one in levels])
        overall = rows.square().mean(dim=0)
        for level, table in enumerate(self.log_variance):
            chosen = rows[which == level].square()
            # A rare level leans on the average over all of them.
            table.copy_(((chosen.sum(dim=0) + 10 * overall) / (len(chosen) + 10)).clamp_min(1e-9).log())
        self.spectrum.fit([c[..., : self.common].permute(2, 0, 1) for c in components])

    def variance(self, levels: Tensor) -> Tensor:
        """Expected variance of every component, [B, L, V], for levels int64 [B, h, w]."""
        variance = self.log_variance.exp()[levels.flatten(1)]
        common = self.spectrum.variance((levels.shape[1], levels.shape[2])).flatten(1).T
        return torch.cat([common.expand(len(levels), -1, -1), variance[..., self.common :]], dim=2)

    def power(self, levels: Tensor, mask: Tensor, snr_db: Tensor) -> Power:
        """Allocate the power of images with levels int64 [B, h, w] at snr_db [B]; mask [B, L, V] is what is sent."""
        variance = self.variance(levels)
        return Power(variance, self.gain(variance, mask, snr_db))

    def gain(self, variance: Tensor, mask: Tensor, snr_db: Tensor) -> Tensor:
        """Amplitude gains [B, L, V] whose expected mean power over `mask` is one; snr_db is [B]."""
        deviation, noise = variance.sqrt(), (10 ** (-snr_db.float() / 10))[:, None, None]
        sent = deviation * mask
        budget = mask.sum(dim=(1, 2), keepdim=True).float()
        # What a level spends is convex and piecewise linear in it: Newton's steps come down to the root and stop there.
        level = (1 + noise) * budget / sent.sum(dim=(1, 2), keepdim=True)
        for _ in range(NEWTON_STEPS):
            wet = sent * level > noise
            spent = noise * wet.sum(dim=(1, 2), keepdim=True)
            level = (budget + spent) / (sent * wet).sum(dim=(1, 2), keepdim=True)
        return (level * sent - noise).clamp_min(0).sqrt() / deviation

    def spread(self, components: Tensor, grid: tuple[int, int]) -> Tensor:
        """Put the common columns of [B, h * w, V] into the frequencies of the grid."""
        return self._over_grid(components, grid, spectrum.transform)

    def gather(self, components: Tensor, grid: tuple[int, int]) -> Tensor:
        """The inverse of `spread`."""
        return self._over_grid(components, grid, spectrum.inverse)

    def _over_grid(self, components: Tensor, grid: tuple[int, int], move: spectrum.GridTransform) -> Tensor:
        common = components[..., : self.common].transpose(1, 2).unflatten(2, grid)  # [B, common, h, w]
        return torch.cat([move(common).flatten(2).transpose(1, 2), components[..., self.common :].float()], dim=2)
