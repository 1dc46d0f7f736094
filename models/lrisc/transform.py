"""g_e: the non-linear analysis transform, image -> latent feature z, total stride 16."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.config import STRIDE, LriscConfig
from simulator.models.lrisc.layers import FidelityAdapter, ResBlock, zeroed
from simulator.models.lrisc.signals import Aim


def principal_axes(blocks: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The Karhunen-Loeve transform of colour blocks, the linear codec that training starts from.

    Args:
        blocks: float [n, 768], folded 16 x 16 x 3 blocks of photographs in [-1, 1].
        count: how many axes to keep.

    Returns:
        Orthonormal axes [count, 768], the blocks' standard deviation along them [count] (descending), mean [768].
    """
    mean = blocks.double().mean(dim=0)
    centred = blocks.double() - mean
    variance, axes = torch.linalg.eigh(centred.T @ centred / len(blocks))
    order = variance.argsort(descending=True)[:count]
    return axes[:, order].T.float(), variance[order].clamp_min(1e-9).sqrt().float(), mean.float()


def fold_blocks(x: Tensor) -> Tensor:
    """Images [B, 3, H, W] -> their 16 x 16 blocks as rows [n, 768]."""
    return F.pixel_unshuffle(x, STRIDE).permute(0, 2, 3, 1).reshape(-1, 3 * STRIDE**2)


class LinearAnalysis(nn.Module):
    """Projection of every 16 x 16 block onto C axes. Orthonormal at random until `start` is called."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        self.scale = config.latent_scale
        axes = torch.linalg.qr(torch.randn(3 * STRIDE**2, config.latent_channels))[0].T
        self.weight = nn.Parameter(axes * self.scale)
        self.mean = nn.Parameter(torch.zeros(3 * STRIDE**2))

    @torch.no_grad()
    def start(self, axes: Tensor, mean: Tensor) -> None:
        """Take over axes [C, 768] and mean [768]."""
        self.weight.copy_(axes * self.scale)
        self.mean.copy_(mean)

    def forward(self, x: Tensor) -> Tensor:
        """[B, 3, H, W] -> [B, C, H/16, W/16]."""
        folded = F.pixel_unshuffle(x, STRIDE) - self.mean[:, None, None]
        return F.conv2d(folded, self.weight[:, :, None, None])


class LinearSynthesis(nn.Module):
    """The transpose of `LinearAnalysis`: a transposed convolution without overlap."""

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        self.scale = config.latent_scale
        self.weight = nn.Parameter(torch.randn(3 * STRIDE**2, config.latent_channels) * 0.02)
        self.mean = nn.Parameter(torch.zeros(3 * STRIDE**2))

    @torch.no_grad()
    def start(self, axes: Tensor, mean: Tensor) -> None:
        """Take over axes [C, 768] and mean [768]."""
        self.weight.copy_(axes.T / self.scale)
        self.mean.copy_(mean)

    def forward(self, z: Tensor) -> Tensor:
        """[B, C, H/16, W/16] -> [B, 3, H, W]."""
        device = "cpu" if z.is_meta else z.device.type
        with torch.autocast(
            device, enabled=False
        ):  # carries most of the picture, whose shades would show steps in bfloat16
            return F.pixel_shuffle(F.conv2d(z.float(), self.weight[:, :, None, None], self.mean), STRIDE)


class AnalysisTransform(nn.Module):
    """g_e: z = K x + conv(x), the linear transform plus a convolutional branch that starts at zero.

    It knows the end that each image is decoded for: LPIPS and squared error make other details worth sending.
    """

    def __init__(self, config: LriscConfig) -> None:
        super().__init__()
        widths = config.transform_channels
        self.patch = config.transform_patch
        self.linear = LinearAnalysis(config)
        layers: list[nn.Module] = [
            nn.Conv2d(3 * self.patch**2, widths[0], 3, padding=1),
            ResBlock(widths[0]),
        ]
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), ResBlock(after)]
        channels = config.latent_channels
        self.branch = nn.Sequential(*layers, zeroed(nn.Conv2d(widths[-1], channels, 3, padding=1)))
        self.faithful = FidelityAdapter(nn.Conv2d(channels, channels, 1, bias=False))

    def forward(self, x: Tensor, aim: Aim) -> Tensor:
        """Analyse images x [B, 3, H, W] in [-1, 1], H and W multiples of 16; returns z, [B, C, H/16, W/16]."""
        own = aim.faithful
        h = F.pixel_unshuffle(x, self.patch)
        for layer in self.branch:
            h = layer(h, fidelity=own) if isinstance(layer, ResBlock) else layer(h)
        return self.faithful(self.linear(x) + h, own)
