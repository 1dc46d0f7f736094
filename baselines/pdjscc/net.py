"""DeepJSCC's encoder, and a generator in place of its decoder: deeper, wider, and with noise to make texture from.

A decoder that only sees latents of a 16x16 block can answer a loss for textures with one pattern alone, locked to the
grid of blocks. Noise gives it grain that no grid shapes.
"""

import torch
from torch import nn

from simulator.baselines.deepjscc.net import Decoder, DeepJsccNet, NetConfig

GRAIN_CHANNELS = 16  # one value per pixel, at stride 4
GRAIN_SEED = 0x6A5C
GRAIN_REVISION = 1  # of the noise that a received picture is made with


class Generator(Decoder):
    """DeepJSCC's decoder with noise among its features at stride 4; both start such that the noise is not heard."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__(config)
        self.grain = nn.Conv2d(GRAIN_CHANNELS, config.detail_width, 3, padding=1, bias=False)
        nn.init.zeros_(self.grain.weight)

    def enrich(self, detail: torch.Tensor) -> torch.Tensor:
        """Add the noise: other noise for every batch of a training, and always the same for a picture's size else."""
        batch, _, height, width = detail.shape
        if self.training:
            noise = torch.randn(batch, GRAIN_CHANNELS, height, width, device=detail.device)
        else:
            fixed = torch.Generator().manual_seed(GRAIN_SEED)
            noise = torch.randn(1, GRAIN_CHANNELS, height, width, generator=fixed)
        return detail + self.grain(noise.to(detail))


class PdjsccNet(DeepJsccNet):
    """Encoder and generator for one bandwidth ratio, and, by sending fewer latents, for lower ones."""

    decoder_kind = Generator
