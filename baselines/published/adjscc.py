"""ADJSCC (Xu et al., TCSVT 2022) as released with DiffCom, and PDJSCC's generator (Wang et al., GLOBECOM 2022).

Five convolutions on each side, every one followed by GDN, PReLU and an attention feature (AF) module that receives
the SNR. The decoder gets the channel's output at unit power, not scaled back. Names are the checkpoints'.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, STRIDE = 256, 4
_PEDESTAL = 2.0**-36
_LEAST_BETA, _LEAST_GAMMA = (1e-6 + _PEDESTAL) ** 0.5, 2.0**-18


@dataclass(frozen=True)
class AdjsccConfig:
    """Sizes of a network: `channels` real values per 4x4 pixels (CBR = channels / 96), and the width of its maps."""

    channels: int
    width: int = WIDTH


class Gdn(nn.Module):
    """Generalised divisive normalisation (Balle et al. 2016), or its inverse, over the channels of [B, C, H, W]."""

    def __init__(self, channels: int, inverse: bool) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta = nn.Parameter((torch.ones(channels) + _PEDESTAL).sqrt())
        self.gamma = nn.Parameter((0.1 * torch.eye(channels) + _PEDESTAL).sqrt())

    def forward(self, x: Tensor) -> Tensor:
        beta = self.beta.clamp_min(_LEAST_BETA).square() - _PEDESTAL
        gamma = self.gamma.clamp_min(_LEAST_GAMMA).square() - _PEDESTAL
        norm = F.conv2d(x.square(), gamma[:, :, None, None], beta)
        return x * (norm.sqrt() if self.inverse else norm.rsqrt())


class AttentionFeature(nn.Module):
    """AF module: the SNR and the mean of every map -> a factor in (0, 1) for every map."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width + 1, width // 16), nn.Linear(width // 16, width)

    def forward(self, x: Tensor, snr_db: Tensor) -> Tensor:
        """x [B, C, H, W] and snr_db [B], raw."""
        context = torch.cat([snr_db[:, None].to(x.dtype), x.mean((2, 3))], 1)
        return x * self.factors(context)[:, :, None, None]

    def factors(self, context: Tensor) -> Tensor:
        """[B, 1 + C] -> [B, C]."""
        return torch.sigmoid(self.fc2(F.relu(self.fc1(context))))


def _block(convolution: nn.Module, channels: int, inverse: bool, activated: bool = True) -> nn.Sequential:
    return nn.Sequential(convolution, Gdn(channels, inverse), *([nn.PReLU()] if activated else []))


class Encoder(nn.Module):
    """Images [B, 3, H, W] in [0, 1], sides multiples of 4 -> features [B, channels, H/4, W/4], of any power."""

    def __init__(self, config: AdjsccConfig) -> None:
        super().__init__()
        width = config.width
        self.conv_block1 = _block(nn.Conv2d(3, width, 9, 2, 4), width, inverse=False)
        self.conv_block2 = _block(nn.Conv2d(width, width, 5, 2, 2), width, inverse=False)
        self.conv_block3 = _block(nn.Conv2d(width, width, 5, 1, 2), width, inverse=False)
        self.conv_block4 = _block(nn.Conv2d(width, width, 5, 1, 2), width, inverse=False)
        last = nn.Conv2d(width, config.channels, 5, 1, 2)
        self.conv_block5 = _block(last, config.channels, inverse=False, activated=False)
        for number in range(1, 5):
            self.add_module(f"attention{number}", AttentionFeature(width))

    def forward(self, images: Tensor, snr_db: Tensor) -> Tensor:
        x = images
        for number in range(1, 5):
            x = self.get_submodule(f"attention{number}")(self.get_submodule(f"conv_block{number}")(x), snr_db)
        return self.conv_block5(x)


class Decoder(nn.Module):
    """Features of unit complex power as received [B, channels, h, w] -> images [B, 3, 4h, 4w] in (0, 1)."""

    def __init__(self, config: AdjsccConfig) -> None:
        super().__init__()
        width = config.width
        self.upconv_block1 = _block(nn.ConvTranspose2d(config.channels, width, 5, 1, 2), width, inverse=True)
        self.upconv_block2 = _block(nn.ConvTranspose2d(width, width, 5, 1, 2), width, inverse=True)
        self.upconv_block3 = _block(nn.ConvTranspose2d(width, width, 5, 1, 2), width, inverse=True)
        self.upconv_block4 = _block(nn.ConvTranspose2d(width, width, 5, 2, 2, 1), width, inverse=True)
        self.upconv_block5 = _block(nn.ConvTranspose2d(width, width, 9, 2, 4, 1), width, inverse=True)
        self.conv_block_out = nn.Sequential(nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Sigmoid())
        for number in range(1, 6):
            self.add_module(f"attention{number}", AttentionFeature(width))

    def forward(self, feature: Tensor, snr_db: Tensor) -> Tensor:
        x = feature
        for number in range(1, 6):
            x = self.get_submodule(f"attention{number}")(self.get_submodule(f"upconv_block{number}")(x), snr_db)
        return self.conv_block_out(x)


class Adjscc(nn.Module):
    """Encoder and decoder; the capitals are the checkpoints'."""

    def __init__(self, config: AdjsccConfig) -> None:
        super().__init__()
        self.config = config
        self.Encoder, self.Decoder = Encoder(config), Decoder(config)
