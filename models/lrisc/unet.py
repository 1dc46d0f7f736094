"""The denoiser X_theta: a U-Net that predicts the image from its noisy version, guided by the received latent."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.config import STRIDE, LriscConfig
from simulator.models.lrisc.layers import ChannelNorm, LinearAttention, ResBlock, SpatialAttention, zeroed
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.lrisc.transform import LinearSynthesis

FULL_ATTENTION_STRIDE = 16  # finer levels use attention whose cost is linear in the pixels


@dataclass(frozen=True)
class Condition:
    """The U-Net's inputs from the received latent; computed once per image, used at every step.

    Attributes:
        linear: linear reconstruction, [B, 3, H, W].
        maps: conditional maps of the first U-Net levels, finest first.
        doubt: what the mean error of the latent adds to the time embedding, [B, E].
        aim: of the images.
    """

    linear: Tensor
    maps: list[Tensor]
    doubt: Tensor
    aim: Aim

    def __getitem__(self, images: Tensor) -> "Condition":
        maps = [level[images] for level in self.maps]
        return Condition(self.linear[images], maps, self.doubt[images], self.aim[images])


@dataclass(frozen=True)
class Guide:
    """What a condition adds inside the U-Net, the same at every step.

    Attributes:
        linear: linear reconstruction, [B, 3, H, W].
        entered: its share of the first convolution, [B, C_0, H/p, W/p].
        injected: the projected conditional maps of the first levels, finest first.
        doubt: that of the condition.
        fidelity: as adapters take it (`Aim.faithful`).
    """

    linear: Tensor
    entered: Tensor
    injected: list[Tensor]
    doubt: Tensor
    fidelity: Tensor | None


class Conditioner(nn.Module):
    """ResNet blocks and transposed convolutions that bring z to the resolution of the first U-Net levels.

    The expected error of z enters too: per vector here, and as its mean over the picture in the time embedding.
    """

    def __init__(self, config: LriscConfig, embedding: int, adapters: bool) -> None:
        super().__init__()
        width = config.condition_channels
        self.doubt = zeroed(nn.Conv2d(config.latent_channels, width, 1))
        self.mean_doubt = zeroed(nn.Linear(config.latent_channels, embedding))
        self.linear = LinearSynthesis(config)
        strides = [config.unet_patch * 2**level for level in range(config.conditioned_levels)]
        first = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.enter = nn.Sequential(first, ResBlock(width, adapters=adapters))
        # Finest last: each step doubles the resolution until the first level's stride is reached.
        num_up = round(math.log2(STRIDE / strides[0]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1), ResBlock(width, adapters=adapters))
            for _ in range(num_up)
        )
        self.strides = strides

    def forward(self, estimate: LatentEstimate, normalised: Tensor) -> Condition:
        """A received latent, and its z over channel deviations -> maps with stride unet_patch, 2 unet_patch, ..."""
        own, error = estimate.aim.faithful, estimate.error
        project, refine = self.enter
        maps = {STRIDE: refine(project(normalised) + self.doubt(error), fidelity=own)}
        for index, step in enumerate(self.up):
            grow, refine = step.children()
            maps[STRIDE >> (index + 1)] = refine(grow(maps[STRIDE >> index]), fidelity=own)
        for stride in self.strides:
            if stride > STRIDE:
                maps[stride] = F.avg_pool2d(maps[stride // 2], 2, ceil_mode=True, count_include_pad=False)
        doubt = self.mean_doubt(error.mean(dim=(2, 3)))
        return Condition(self.linear(estimate.z), [maps[stride] for stride in self.strides], doubt, estimate.aim)


class UNetLevel(nn.Module):
    """ResNet blocks, then attention, at one resolution."""

    def __init__(
        self, channels: int, blocks: int, attention: bool, stride: int, embedding: int, adapters: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResBlock(channels, embedding, adapters) for _ in range(blocks))
        kind = SpatialAttention if stride >= FULL_ATTENTION_STRIDE else LinearAttention
        self.attention = kind(channels) if attention else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor, fidelity: Tensor | None) -> Tensor:
        for block in self.blocks:
            x = block(x, embedding, fidelity)
        return self.attention(x)


class UNet(nn.Module):
    """X_theta(x_n, z, n/N): x-prediction, on top of the linear reconstruction of z."""

    def __init__(self, config: LriscConfig, adapters: bool = True) -> None:
        """adapters: whether it has those of the PSNR end; without them it serves the perception end alone."""
        super().__init__()
        widths, self.patch = config.unet_channels, config.unet_patch
        embedding = 2 * widths[0]
        self.condition = Conditioner(config, embedding, adapters)
        self.time = nn.Sequential(nn.Linear(64, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU())
        self.enter = nn.Conv2d(6 * self.patch**2, widths[0], 3, padding=1)
        self.inject = nn.ModuleList(
            nn.Conv2d(config.condition_channels, width, 1) for width in widths[: config.conditioned_levels]
        )

        def make(level: int) -> UNetLevel:
            stride = self.patch * 2**level
            attention = config.unet_attention[level]
            return UNetLevel(widths[level], config.unet_blocks, attention, stride, embedding, adapters)

        levels = range(len(widths))
        self.down = nn.ModuleList(make(level) for level in levels)
        self.up = nn.ModuleList(make(level) for level in levels[:-1])
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1) for fine, coarse in pairs)
        self.norm = ChannelNorm(widths[0])
        self.leave = zeroed(nn.Conv2d(widths[0], 3 * self.patch**2, 3, padding=1))

    def forward(self, x: Tensor, condition: Condition, time: Tensor) -> Tensor:
        """Predict x_0: `predict` with the guide of `condition`."""
        return self.predict(x, self.guide(condition), time)

    def guide(self, condition: Condition) -> Guide:
        """Project a condition once for all steps. The first convolution is linear: each input has its own share."""
        _, of_linear = self.enter.weight.chunk(2, dim=1)
        entered = F.conv2d(F.pixel_unshuffle(condition.linear, self.patch), of_linear, self.enter.bias, padding=1)
        maps = condition.maps[: len(self.inject)]
        injected = [layer(one) for layer, one in zip(self.inject, maps, strict=True)]
        return Guide(condition.linear, entered, injected, condition.doubt, condition.aim.faithful)

    def predict(self, x: Tensor, guide: Guide, time: Tensor) -> Tensor:
        """Predict x_0.

        Args:
            x: noisy image x_n [B, 3, H, W], pixels in [-1, 1]; H and W are multiples of 16.
            guide: of the received latent.
            time: n / N in (0, 1], float [B].

        Returns:
            Estimate of the image, [B, 3, H, W].
        """
        embedding = self.time(time_features(time).to(x.dtype)) + guide.doubt
        of_noisy, _ = self.enter.weight.chunk(2, dim=1)
        h = guide.entered + F.conv2d(F.pixel_unshuffle(x, self.patch), of_noisy, padding=1)
        skips = []
        for level, stage in enumerate(self.down):
            if level < len(guide.injected):
                h = h + guide.injected[level]
            h = stage(h, embedding, guide.fidelity)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](_even(h))
        for level in reversed(range(len(self.up))):
            skip = skips[level]
            h = skip + self.grow[level](h)[:, :, : skip.shape[2], : skip.shape[3]]
            h = self.up[level](h, embedding, guide.fidelity)
        return guide.linear + F.pixel_shuffle(self.leave(F.silu(self.norm(h))), self.patch)


def _even(x: Tensor) -> Tensor:
    """Repeat the last row or column of a map with odd sides, so that halving and doubling agree."""
    below, right = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def time_features(time: Tensor) -> Tensor:
    """Sines and cosines of n/N at 32 frequencies, log-spaced over eight octaves from 1/4 cycle: [B] -> [B, 64]."""
    angles = time.float()[:, None] * torch.pi / 2 * 2 ** torch.linspace(0, 8, 32, device=time.device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
