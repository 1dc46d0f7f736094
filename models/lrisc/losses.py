"""Equations (9)-(11): distortion, perception and rate."""

from collections.abc import Callable

import torch
from torch import Tensor

# Squared error on [-1, 1] is about 0.004 at 30 dB where LPIPS is about 0.1; this brings both to one size.
DISTORTION_SCALE = 25.0
SATURATION = 0.004  # squared error from which on it counts by its logarithm

PerceptualDistance = Callable[[Tensor, Tensor], Tensor]  # images in [-1, 1] [B, 3, H, W] twice -> [B]


def distortion(image: Tensor, estimate: Tensor) -> Tensor:
    """d(x, x') of each image, [B]: squared error that counts by its logarithm once it is large.

    One model serves 0 to 20 dB and a twelvefold range of bandwidth; with plain squared error the worst points, a
    hundred times larger, would dominate the shared weights.
    """
    error = (image.float() - estimate.float()).square().flatten(1).mean(dim=1)
    return SATURATION * torch.log1p(error / SATURATION)


def distortion_perception(
    image: Tensor, estimate: Tensor, weight: Tensor, perception: Tensor, perceptual: PerceptualDistance
) -> Tensor:
    """(1 - eta) w d(x, x') + eta d_p(x, x') per image: what eq. (11) says of one reconstruction.

    Args:
        image, estimate: [B, 3, H, W] in [-1, 1].
        weight: diffusion weight of each image (eq. 7), [B].
        perception: eta of each image, [B]; images with eta = 0 cost no perceptual evaluation.
        perceptual: LPIPS.
    """
    loss = (1 - perception) * DISTORTION_SCALE * weight * distortion(image, estimate)
    chosen = perception.nonzero()[:, 0]
    if len(chosen):
        distance = perceptual(image[chosen], estimate[chosen])
        loss = loss.index_add(0, chosen, perception[chosen] * distance.to(loss.dtype))
    return loss


def bits_per_pixel(latent_bits: Tensor, hyper_bits: Tensor, image: Tensor) -> Tensor:
    """(-log2 p(z|y) - log2 p(y)) / (H W), averaged over the batch: the rate of eq. (9)."""
    pixels = image.shape[-1] * image.shape[-2] * len(image)
    return (latent_bits.sum() + hyper_bits.sum()) / torch.tensor(float(pixels), device=image.device)
