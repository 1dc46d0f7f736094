"""What a base lacks: the information that guides the rates of LRISC's latents beside it."""

import torch
from torch import Tensor

from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.entropy import gaussian_bits
from simulator.models.lrisc.signals import Aim


@torch.no_grad()
def missing_bits(model: Lrisc, z: Tensor, base: Tensor, aim: Aim) -> Tensor:
    """Eq. (2) for one who knows the base: -log2 p(z_i | g_e(base)) of every latent vector.

    The density is a Gaussian around the latent of the base. Its deviation is that of the whole picture, per channel:
    the rates are transmitted, so the receiver need not know it.

    Args:
        model: with g_e.
        z: latents of the pictures, [B, C, h, w].
        base: what the base shows, [B, 3, 16 h, 16 w] in [-1, 1].
        aim: of the pictures.

    Returns:
        float32 [B, h, w].
    """
    known = model.transform(base, aim)
    deviation = (z - known).square().mean(dim=(2, 3), keepdim=True).sqrt()
    return gaussian_bits(z, known, deviation).sum(dim=1)
