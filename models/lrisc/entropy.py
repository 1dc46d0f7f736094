"""h_e, h_d and the entropy model of equation (2): how many bits each latent vector is worth."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.config import LriscConfig

LIKELIHOOD_FLOOR = 1e-9
SCALE_FLOOR = 0.11  # below it a Gaussian of unit bins has no gradient (Balle et al. 2018)


class HyperEncoder(nn.Module):
    """h_e: z -> hyper-latent y, fully convolutional with ReLU, stride 4."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        width, hyper = config.latent_channels, config.hyper_channels
        self.net = nn.Sequential(
            nn.Conv2d(width, 2 * hyper, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(2 * hyper, 2 * hyper, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(2 * hyper, hyper, 5, stride=2, padding=2),
        )

    def forward(self, normalised: Tensor) -> Tensor:
        """z over its channel deviations [B, C, h, w] -> y [B, C_y, ceil(h/4), ceil(w/4)]."""
        return self.net(normalised)


class HyperDecoder(nn.Module):
    """h_d: y -> (mu, sigma) of every element of z, fully convolutional with ReLU."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        width, hyper = config.latent_channels, config.hyper_channels
        leave = nn.Conv2d(2 * hyper, 2 * width, 3, padding=1)
        with torch.no_grad():  # start at the marginal: mu = 0, sigma = the channel's deviation
            leave.weight.mul_(0.1)
        nn.init.zeros_(leave.get_parameter("bias"))
        self.net = nn.Sequential(
            nn.ConvTranspose2d(hyper, 2 * hyper, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * hyper, 2 * hyper, 4, stride=2, padding=1),
            nn.ReLU(),
            leave,
        )

    def forward(self, y: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """y -> mean and log-deviation [B, C, h, w], both relative to the channel deviations."""
        mean, log_scale = self.net(y)[:, :, : size[0], : size[1]].chunk(2, dim=1)
        return mean, log_scale


class FactorisedPrior(nn.Module):
    """p(y): a learnt univariate density per channel (Balle et al. 2018, appendix 6.1)."""

    def __init__(self, channels: int, widths: tuple[int, ...] = (3, 3, 3), spread: float = 10.0) -> None:
        super().__init__()
        sizes = (1, *widths, 1)
        growth = spread ** (1 / (len(sizes) - 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            start = math.log(math.expm1(1 / growth / after))
            self.matrices.append(nn.Parameter(torch.full((channels, after, before), start)))
            self.biases.append(nn.Parameter(torch.rand(channels, after, 1) - 0.5))
        for width in widths:
            self.factors.append(nn.Parameter(torch.zeros(channels, width, 1)))

    def _logits(self, values: Tensor) -> Tensor:  # [C, 1, n] -> logits of the cumulative [C, 1, n]
        for index, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
            values = F.softplus(matrix) @ values + bias
            if index < len(self.factors):
                values = values + torch.tanh(self.factors[index]) * torch.tanh(values)
        return values

    def bits(self, y: Tensor) -> Tensor:
        """-log2 p(y) of each element, same shape as y [B, C_y, h, w]: the mass of a unit bin around it."""
        flat = y.float().transpose(0, 1).reshape(y.shape[1], 1, -1)
        lower, upper = self._logits(flat - 0.5), self._logits(flat + 0.5)
        sign = -(lower + upper).sign().detach()  # subtract in the tail where the sigmoid keeps its digits
        mass = (torch.sigmoid(sign * upper) - torch.sigmoid(sign * lower)).abs()
        bits = -mass.clamp_min(LIKELIHOOD_FLOOR).log2()
        return bits.reshape(y.shape[1], y.shape[0], *y.shape[2:]).transpose(0, 1)


def gaussian_bits(z: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """-log2 of equation (2): N(mu, sigma) convolved with U(-1/2, 1/2), at z. Shapes broadcast, float32."""
    distance = (z - mean).float().abs()
    scale = scale.float().clamp_min(SCALE_FLOOR)
    # erfc keeps its digits in the tail, where 1 + erf has none left in float32.
    upper = torch.erfc((distance - 0.5) / scale / math.sqrt(2)) / 2
    lower = torch.erfc((distance + 0.5) / scale / math.sqrt(2)) / 2
    return -(upper - lower).clamp_min(LIKELIHOOD_FLOOR).log2()


class EntropyModel(nn.Module):
    """h_e, h_d and both densities. `channel_scale` holds the deviations of z's channels, so nets see unit scale."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        self.encoder = HyperEncoder(config)
        self.decoder = HyperDecoder(config)
        self.prior = FactorisedPrior(config.hyper_channels)
        self.log_channel_scale = nn.Parameter(torch.zeros(config.latent_channels))

    @property
    def channel_scale(self) -> Tensor:
        """Deviation of each latent channel, [C, 1, 1]."""
        return self.log_channel_scale.exp()[:, None, None]

    def forward(self, z: Tensor, noisy: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Bits that z and y cost.

        Args:
            z: latent [B, C, h, w] as g_e made it.
            noisy: the same plus U(-1/2, 1/2), or rounded: what the density is evaluated at.
            generator: draws the uniform noise on y; None rounds y instead (inference).

        Returns:
            -log2 p(z|y) of each element [B, C, h, w], and -log2 p(y) [B, C_y, ., .].
        """
        y = self.encoder(z / self.channel_scale)
        y_noisy = y.round() if generator is None else add_uniform(y, generator)
        mean, log_scale = self.decoder(y_noisy, (z.shape[-2], z.shape[-1]))
        scale = self.channel_scale * log_scale.clamp(-6, 4).exp()
        return gaussian_bits(noisy, mean * self.channel_scale, scale), self.prior.bits(y_noisy)


def add_uniform(values: Tensor, generator: torch.Generator) -> Tensor:
    """values + U(-1/2, 1/2), the differentiable stand-in for rounding."""
    noise = torch.rand(values.shape, generator=generator, device=generator.device) - 0.5
    return values + noise.to(values.device, values.dtype)
