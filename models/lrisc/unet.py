"""The denoiser X_theta: a U-Net that predicts the image from its noisy version, guided by the received latent."""

import math
from collections.abc import Sequence
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


@dataclass(frozen=True)
class UNetShape:
    """Sizes of a U-Net.

    Attributes:
        patch: side of the pixel blocks that are folded into channels (1 = full resolution).
        channels: of every level.
        blocks: ResNet blocks of every level and direction.
        attention: which levels have an attention block.
    """

    patch: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    attention: tuple[bool, ...]


class DenoisingUNet(nn.Module):
    """What denoisers share: folded images in, residual images out, guided by an embedding of a few scalars."""

    def __init__(self, shape: UNetShape, inputs: int, scalars: int, adapters: bool) -> None:
        """Build a network whose output is zero at first.

        Args:
            shape: its sizes.
            inputs: channels of the images that enter.
            scalars: numbers such as n/N that guide it.
            adapters: whether it has those of the PSNR end.
        """
        super().__init__()
        widths, self.patch = shape.channels, shape.patch
        self.embedding = 2 * widths[0]
        self.time = nn.Sequential(
            nn.Linear(64 * scalars, self.embedding), nn.SiLU(), nn.Linear(self.embedding, self.embedding), nn.SiLU()
        )
        self.enter = nn.Conv2d(inputs * self.patch**2, widths[0], 3, padding=1)

        def make(level: int) -> UNetLevel:
            stride = self.patch * 2**level
            attention, blocks = shape.attention[level], shape.blocks[level]
            return UNetLevel(widths[level], blocks, attention, stride, self.embedding, adapters)

        levels = range(len(widths))
        self.down = nn.ModuleList(make(level) for level in levels)
        self.up = nn.ModuleList(make(level) for level in levels[:-1])
        pairs = list(pairwise(widths))
        self.shrink = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 4, stride=2, padding=1) for fine, coarse in pairs)
        self.norm = ChannelNorm(widths[0])
        self.leave = zeroed(nn.Conv2d(widths[0], 3 * self.patch**2, 3, padding=1))

    def residual(
        self, h: Tensor, embedding: Tensor, fidelity: Tensor | None, injected: Sequence[Tensor] = ()
    ) -> Tensor:
        """Run all levels.

        Args:
            h: the folded images after `enter`, [B, C_0, H/p, W/p].
            embedding: of the scalars, [B, E].
            fidelity: as adapters take it.
            injected: maps that are added to the first levels, finest first.

        Returns:
            [B, 3, H, W].
        """
        skips = []
        for level, stage in enumerate(self.down):
            if level < len(injected):
                h = h + injected[level]
            h = stage(h, embedding, fidelity)
            if level < len(self.shrink):
                skips.append(h)
                h = self.shrink[level](_even(h))
        for level in reversed(range(len(self.up))):
            skip = skips[level]
            h = skip + self.grow[level](h)[:, :, : skip.shape[2], : skip.shape[3]]
            h = self.up[level](h, embedding, fidelity)
        return F.pixel_shuffle(self.leave(F.silu(self.norm(h))), self.patch)


class UNet(DenoisingUNet):
    """X_theta(x_n, z, n/N): x-prediction, on top of the linear reconstruction of z."""

    def __init__(self, config: LriscConfig, adapters: bool = True) -> None:
        """adapters: whether it has those of the PSNR end; without them it serves the perception end alone."""
        widths, levels = config.unet_channels, len(config.unet_channels)
        shape = UNetShape(config.unet_patch, widths, (config.unet_blocks,) * levels, config.unet_attention)
        super().__init__(shape, inputs=6, scalars=1, adapters=adapters)
        self.condition = Conditioner(config, self.embedding, adapters)
        self.inject = nn.ModuleList(
            nn.Conv2d(config.condition_channels, width, 1) for width in widths[: config.conditioned_levels]
        )

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
        return guide.linear + self.residual(h, embedding, guide.fidelity, guide.injected)


def _even(x: Tensor) -> Tensor:
    """Repeat the last row or column of a map with odd sides, so that halving and doubling agree."""
    below, right = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, (0, right, 0, below), mode="replicate") if below or right else x


def time_features(time: Tensor) -> Tensor:
    """Sines and cosines of n/N at 32 frequencies, log-spaced over eight octaves from 1/4 cycle: [B] -> [B, 64]."""
    angles = time.float()[:, None] * torch.pi / 2 * 2 ** torch.linspace(0, 8, 32, device=time.device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
