"""Equations (5)-(8): the forward noising process and the deterministic DDIM sampler, x-prediction.

Time runs in n/N from 1 (noise alone) to 0 (the image). alpha(t) is the paper's alpha_n, the product of (1 - beta_i).
"""

from collections.abc import Callable

import torch
from torch import Tensor

SNR_CLIP = 5.0  # the unclipped weight of eq. (7) puts most of the loss on a hundredth of the steps

Denoiser = Callable[[Tensor, Tensor], Tensor]  # (x_n [B, 3, H, W], n/N [B]) -> x_0


def alpha(time: Tensor) -> Tensor:
    """alpha_n at n/N in [0, 1] under the cosine schedule: 1 at 0, about 4e-33 at 1.

    Not exactly 0, so that eq. (8) needs no special case where noise alone is left. Any shape -> same shape and dtype.
    """
    return torch.cos(time.double() * torch.pi / 2).square().to(time.dtype)


def add_noise(image: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """x_n = sqrt(alpha_n) x_0 + sqrt(1 - alpha_n) eps, the closed form of eq. (5). time: [B]."""
    level = alpha(time)[:, None, None, None]
    return level.sqrt() * image + (1 - level).sqrt() * noise


def loss_weight(time: Tensor) -> Tensor:
    """The weight alpha_n / (1 - alpha_n) of eq. (7), clipped at 5. time: [B] in (0, 1]."""
    level = alpha(time)
    return (level / (1 - level).clamp_min(1e-6)).clamp_max(SNR_CLIP)


def sample(denoise: Denoiser, start: Tensor, steps: int) -> Tensor:
    """DDIM, eq. (8), from x_N = `start` in equal steps of n/N down to x_0.

    Args:
        denoise: X_theta with its condition bound.
        start: gamma times unit Gaussian noise [B, 3, H, W]; gamma = 0 gives the best PSNR.
        steps: N >= 1.

    Returns:
        x_0 [B, 3, H, W], not clipped.
    """
    x = start
    for n in range(steps, 1, -1):
        now = torch.full((len(x),), n / steps, device=x.device)
        image = denoise(x, now)
        level, following = alpha(now[0]), alpha(now[0] * (n - 1) / n)
        noise = (x - level.sqrt() * image) / (1 - level).sqrt()  # epsilon_theta implied by the x-prediction
        x = following.sqrt() * image + (1 - following).sqrt() * noise
    return denoise(x, torch.full((len(x),), 1 / steps, device=x.device))  # alpha_0 is 1: nothing is left of the noise
