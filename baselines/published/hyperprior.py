"""NTSCC's entropy model: what each latent costs under a Gaussian whose scale and mean come from a hyperprior.

Everything here decides rates or is reported; nothing of it reaches the picture but through the rates, unless a network
was trained with side information.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FILTERS = (1, 3, 3, 3, 3, 1)  # of the factorised model (Balle et al. 2018)
LEAST_PROBABILITY, LEAST_SCALE = 1e-10, 1e-10
# compressai keeps the first in float32.
LEAST_LIKELIHOOD, REPORTED_SCALE = float(torch.tensor(1e-9, dtype=torch.float32)), 0.11


class EntropyBottleneck(nn.Module):
    """The factorised model of z, one distribution per channel; parameter names are compressai 1.2's."""

    quantiles: nn.Parameter

    def __init__(self, channels: int) -> None:
        super().__init__()
        scale = 10 ** (1 / (len(FILTERS) - 1))
        for i, (inside, out) in enumerate(pairwise(FILTERS)):
            start = math.log(math.expm1(1 / scale / out))
            self.register_parameter(f"_matrix{i}", nn.Parameter(torch.full((channels, out, inside), start)))
            self.register_parameter(f"_bias{i}", nn.Parameter(torch.rand(channels, out, 1) - 0.5))
            if i < len(FILTERS) - 2:
                self.register_parameter(f"_factor{i}", nn.Parameter(torch.zeros(channels, out, 1)))
        self.quantiles = nn.Parameter(torch.tensor([-10.0, 0.0, 10.0]).repeat(channels, 1, 1))

    def medians(self) -> Tensor:
        """[1, channels, 1, 1]."""
        return self.quantiles[:, 0, 1][None, :, None, None]

    def quantise(self, z: Tensor) -> Tensor:
        """Nearest values of the grid of spacing one around the medians; ties go to even multiples."""
        return torch.round(z - self.medians()) + self.medians()

    def likelihood(self, z: Tensor) -> Tensor:
        """Probability of the cells of width one around z [B, channels, h, w]."""
        values = z.transpose(0, 1).flatten(1)[:, None]  # [channels, 1, B h w]
        lower, upper = self._logits(values - 0.5), self._logits(values + 0.5)
        sign = -torch.sign(lower + upper).detach()
        chance = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs().clamp_min(LEAST_LIKELIHOOD)
        return chance.view(z.shape[1], z.shape[0], *z.shape[2:]).transpose(0, 1)

    def _logits(self, values: Tensor) -> Tensor:
        """Logits of the cumulative distribution at values [channels, 1, n]."""
        for i in range(len(FILTERS) - 1):
            values = F.softplus(getattr(self, f"_matrix{i}")) @ values + getattr(self, f"_bias{i}")
            if i < len(FILTERS) - 2:
                values = values + torch.tanh(getattr(self, f"_factor{i}")) * torch.tanh(values)
        return values


def hyper_analysis(width: int, hidden: int) -> nn.Sequential:
    """y [B, width, h, w] -> z [B, hidden, h/4, w/4]."""
    return nn.Sequential(
        nn.Conv2d(width, hidden, 3, padding=1),
        nn.LeakyReLU(),
        nn.Conv2d(hidden, hidden, 5, stride=2, padding=2),
        nn.LeakyReLU(),
        nn.Conv2d(hidden, hidden, 5, stride=2, padding=2),
    )


def hyper_synthesis(width: int, hidden: int) -> nn.Sequential:
    """z_hat [B, hidden, h/4, w/4] -> scales and means [B, 2 width, h, w]."""
    return nn.Sequential(
        nn.ConvTranspose2d(hidden, width, 5, stride=2, padding=2, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(width, 3 * width // 2, 5, stride=2, padding=2, output_padding=1),
        nn.ReLU(),
        nn.ConvTranspose2d(3 * width // 2, 2 * width, 3, padding=1),
    )


def rate_probability(y: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
    """Probability of the cell of width one around the unquantised y: what rates are allotted by.

    In float32 both tails have a resolution of 6e-8 in this form, with 1 + erf, and networks were trained with it.
    """
    sigma = scale.clamp(LEAST_SCALE, 1 / LEAST_SCALE)
    chance = _phi((y + 0.5 - mean) / sigma) - _phi((y - 0.5 - mean) / sigma)
    return chance.clamp(LEAST_PROBABILITY, 1 / LEAST_PROBABILITY)


def _phi(t: Tensor) -> Tensor:
    return 0.5 * (1 + torch.erf(t / math.sqrt(2)))


def bits(probability: Tensor) -> Tensor:
    """-log2, and never below zero."""
    return (-torch.log2(probability)).clamp_min(0)
