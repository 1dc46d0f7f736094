"""The denoisers of the learned receiver: LRISC's U-Net, conditioned on a decoded picture and its QP.

x_0 is predicted as the decoded picture plus what the network and a linear filter add. Their last layers start at zero,
so that an untrained receiver returns the decoded picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.errors import UserError
from simulator.images.pixels import pad_to_multiple
from simulator.models.lrisc.diffusion import sample
from simulator.models.lrisc.layers import zeroed
from simulator.models.lrisc.unet import DenoisingUNet, UNetShape, time_features
from simulator.spec.configuration import check_sizes

PERCEPTION_GAMMA = 0.8  # from here on the adapters of the PSNR end are off
BLUR = 8  # pixels, side of the squares whose means are taken off the decoded picture: what is left is detail
REFERENCE_QP, REFERENCE_ERROR = 37, 0.045  # a photograph coded at this QP has this rms error, pixels in [-1, 1] ...
QPS_PER_OCTAVE = 12  # ... which doubles with so many QPs


@dataclass(frozen=True)
class ReceiverConfig:
    """Sizes of the denoiser.

    Attributes:
        patch: side of the pixel blocks folded into channels before the U-Net.
        channels: of every U-Net level.
        blocks: ResNet blocks of every level and direction.
    """

    patch: int = 2
    channels: tuple[int, ...] = (32, 64, 128)
    blocks: tuple[int, ...] = (1, 1, 2)

    def __post_init__(self) -> None:
        check_sizes(self, "'model'")
        if len(self.blocks) != len(self.channels):
            raise UserError("'blocks' of 'model' needs one entry per entry of 'channels'")
        if self.patch not in (1, 2, 4, 8):
            raise UserError(f"'patch' of 'model' must be 1, 2, 4 or 8, not {self.patch}")


class ReceiverNet(DenoisingUNet):
    """X_theta(x_n, decoded picture, QP, gamma, n/N)."""

    def __init__(self, config: ReceiverConfig) -> None:
        shape = UNetShape(config.patch, config.channels, config.blocks, (False,) * len(config.channels))
        super().__init__(shape, inputs=9, scalars=3, adapters=True)
        folded = 3 * config.patch**2
        self.linear = zeroed(nn.Conv2d(folded, folded, 3, padding=1))
        self.beside = zeroed(nn.Conv2d(folded, config.channels[0] + folded, 3, padding=1, bias=False))

    def forward(
        self, x: Tensor, decoded: Tensor, qp: Tensor, gamma: Tensor, time: Tensor, beside: Tensor | None = None
    ) -> Tensor:
        """Predict x_0.

        Args:
            x: x_n [B, 3, H, W]; sides are multiples of `patch`.
            decoded: the picture of the codec, [B, 3, H, W] in [-1, 1].
            qp: of each picture's file, [B].
            gamma: size of the noise that x_N is, [B]; 0 asks for the least squared error.
            time: n / N in (0, 1], [B].
            beside: another estimate of the picture, [B, 3, H, W], as in `lrisc-hybrid`; None is the same as `decoded`.

        Returns:
            Estimate of the picture, [B, 3, H, W].
        """
        spread = expected_error(qp)[:, None, None, None]
        detail = F.pixel_unshuffle((decoded - _blurred(decoded)) / (4 * spread), self.patch)
        scalars = torch.cat([time_features(time), time_features(qp / 256), time_features(gamma / 8)], dim=1)
        h = self.enter(torch.cat([F.pixel_unshuffle(torch.cat([x, decoded], dim=1), self.patch), detail], dim=1))
        straight = self.linear(detail)
        if beside is not None:
            differs = self.beside(F.pixel_unshuffle((beside - decoded) / (4 * spread), self.patch))
            h, straight = h + differs[:, : h.shape[1]], straight + differs[:, h.shape[1] :]
        fidelity = 1 - gamma / PERCEPTION_GAMMA
        added = self.residual(h, self.time(scalars), fidelity) + F.pixel_shuffle(straight, self.patch)
        return decoded + spread * added


class Receiver(nn.Module):
    """A denoiser for each end: one for the least squared error, one for all gammas above 0."""

    def __init__(self, config: ReceiverConfig) -> None:
        super().__init__()
        self.faithful, self.lively = ReceiverNet(config), ReceiverNet(config)

    def end(self, gamma: float) -> ReceiverNet:
        """The denoiser that serves a gamma."""
        return self.lively if gamma else self.faithful


@torch.no_grad()
def restore(
    receiver: Receiver,
    decoded: Tensor,
    qp: Tensor,
    gamma: float,
    steps: int,
    generator: torch.Generator,
    beside: Tensor | None = None,
) -> Tensor:
    """Sample pictures by DDIM; arguments and result as for `ReceiverNet`, of any size, not clipped.

    Args:
        receiver: the denoisers.
        decoded, qp: as they take them.
        gamma: 0 for the least squared error, up to `PERCEPTION_GAMMA`.
        steps: of the sampler.
        generator: draws x_N, on the CPU.
        beside: as the denoisers take it.
    """
    net, (height, width) = receiver.end(gamma), decoded.shape[2:]
    padded = pad_to_multiple(decoded, net.patch)
    other = None if beside is None else pad_to_multiple(beside, net.patch)
    noise = torch.randn(padded.shape, generator=generator).to(decoded) if gamma else torch.zeros_like(padded)
    size = torch.full_like(qp, gamma)
    shown = sample(lambda x, time: net(x, padded, qp, size, time, other), gamma * noise, steps)
    return shown[..., :height, :width]


def expected_error(qp: Tensor) -> Tensor:
    """The rms error, pixels in [-1, 1], that a QP usually means: a scale for what the network reads and adds."""
    return REFERENCE_ERROR * 2 ** ((qp - REFERENCE_QP) / QPS_PER_OCTAVE)


def _blurred(image: Tensor) -> Tensor:
    """Means over squares of `BLUR` pixels, interpolated."""
    means = F.avg_pool2d(image, BLUR, ceil_mode=True, count_include_pad=False)
    return F.interpolate(means, scale_factor=BLUR, mode="bilinear")[..., : image.shape[2], : image.shape[3]]
