"""A discriminator trained together with a codec, and the losses of both.

It tells true pictures from decoded ones patch by patch, and sees what the decoder saw: a picture that is sharp but not
the one that was sent does not pass. Source: Mentzer et al., "High-fidelity generative image compression", NeurIPS 2020
(conditional, spectrally normalised but for the last layer, non-saturating loss), with narrower layers. Only training
needs it: checkpoints keep it, released weights do not have it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

CONDITION_CHANNELS = 12
WIDTHS = (64, 80, 96)  # of the layers of stride 2; the last is followed by one of stride 1
CONTRAST = (
    8.0  # of the details, an extra input: true and decoded details differ by a few grey levels, the rest hardly at all
)
SHIFTS = 8  # pixel phases: a patch grid at a fixed place would favour patterns that are aligned with it
LR_SCALE = 3.0  # of the codec's learning rate: it starts from nothing, the codec from trained weights


class Discriminator(nn.Module):
    """Pictures [B, 3, H, W] in [-1, 1] and features of the decoder [B, C, h, w] -> logits [B, 1, H/8, W/8]."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.condition = spectral_norm(nn.Conv2d(feature_channels, CONDITION_CHANNELS, 3, padding=1))
        layers: list[nn.Module] = []
        before = 2 * 3 + CONDITION_CHANNELS
        for width in WIDTHS:
            layers += [spectral_norm(nn.Conv2d(before, width, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            before = width
        layers += [spectral_norm(nn.Conv2d(before, 2 * before, 3, padding=1)), nn.LeakyReLU(0.2)]
        # Normalised, the last layer would keep logits of pictures that differ by a few grey levels close to zero.
        self.layers = nn.Sequential(*layers, nn.Conv2d(2 * before, 1, 1))

    def forward(self, pictures: Tensor, features: Tensor, top: int = 0, left: int = 0) -> Tensor:
        """Judge pictures from row `top` and column `left` on."""
        hint = functional.interpolate(
            functional.leaky_relu(self.condition(features), 0.2), pictures.shape[2:], mode="nearest"
        )
        around = functional.avg_pool2d(pictures, 5, stride=1, padding=2, count_include_pad=False)
        inputs = [pictures, CONTRAST * (pictures - around), hint]
        return self.layers(torch.cat([one.to(hint.dtype) for one in inputs], dim=1)[..., top:, left:])


def adversarial_losses(
    judge: Discriminator, image: Tensor, estimate: Tensor, features: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Non-saturating losses of the codec and of the discriminator, both for one backward pass.

    The codec's loss has no gradient with respect to the discriminator's weights, and the other way round.

    Args:
        judge: the discriminator.
        image, estimate: the true pictures and the decoded ones, [B, 3, H, W] in [-1, 1].
        features: what the decoder saw of each, [B, C, h, w].
        generator: draws the pixel phase.

    Returns:
        (codec's, discriminator's), float32 [B] each.
    """
    features = features.detach()
    top, left = (int(SHIFTS * one) for one in torch.rand(2, generator=generator, device=generator.device))
    judge.requires_grad_(False)
    fooled = judge(estimate, features, top, left)
    judge.requires_grad_(True)
    told = judge(torch.cat([image, estimate.detach()]), torch.cat([features, features]), top, left)
    true, made = told.float().chunk(2)
    codec = functional.softplus(-fooled.float()).flatten(1).mean(dim=1)
    return codec, (functional.softplus(-true) + functional.softplus(made)).flatten(1).mean(dim=1)


def adversary_group(judge: Discriminator | None) -> list[dict[str, Any]]:
    """The discriminator's parameter group as a list, empty without a discriminator."""
    return [] if judge is None else [{"params": list(judge.parameters()), "lr_scale": LR_SCALE}]
