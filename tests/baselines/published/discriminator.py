"""PDJSCC's patch discriminator (Wang et al., GLOBECOM 2022): is an image real, given the feature that was sent?"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import spectral_norm

_SLOPE, _CONTEXT = 0.2, 12


class Discriminator(nn.Module):
    """Image and feature to one logit per patch; all convolutions but the last are spectrally normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.latent = nn.Conv2d(channels, _CONTEXT, 3, padding=1)
        self.d_conv_head = spectral_norm(nn.Conv2d(3 + _CONTEXT, 64, 4, 2, 1))
        self.d_conv_0 = spectral_norm(nn.Conv2d(64, 128, 4, 2, 1))
        self.d_conv_1 = spectral_norm(nn.Conv2d(128, 256, 4, 2, 1))
        self.d_conv_a = spectral_norm(nn.Conv2d(256, 512, 4, 1, 1))
        self.d_conv_b = nn.Conv2d(512, 1, 4, 1, 1)

    def forward(self, images: Tensor, feature: Tensor) -> Tensor:
        """Logits [patches, 1] in the order B, h, w, of images [B, 3, H, W] and features [B, C, H/4, W/4].

        The feature is the encoder's, before its power is normalised.
        """
        context = F.interpolate(F.leaky_relu(self.latent(feature), _SLOPE), scale_factor=4, mode="nearest")
        x = torch.cat([images, context], 1)
        for convolution in (self.d_conv_head, self.d_conv_0, self.d_conv_1, self.d_conv_a):
            x = F.leaky_relu(convolution(x), _SLOPE)
        return self.d_conv_b(x).permute(0, 2, 3, 1).reshape(-1, 1)


def as_published(discriminator: Discriminator, real: Tensor, made: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
    """Logits of real and generated images as the released discriminators were trained.

    Images are stacked [real, made] but every feature is repeated in place, so that of more than one image the contexts
    belong to other images.
    """
    contexts = feature.repeat_interleave(2, dim=0)
    return discriminator(torch.cat([real, made]), contexts).chunk(2)
