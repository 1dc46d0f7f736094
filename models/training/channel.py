"""The differentiable link of LRISC's training: normalisation, fading and noise between f_e and f_d."""

import torch
from torch import Tensor

from simulator.models.lrisc.jscc import WEAKEST, effective_snr_db
from simulator.models.lrisc.signals import Equalised, Sent


def cross(sent: Sent, snr_db: Tensor, generator: torch.Generator, strength: Tensor | None = None) -> Equalised:
    """Normalise each image to unit power, and add fading and noise.

    Args:
        sent: what f_e puts on the air.
        snr_db: average Es/N0 of each image, [B].
        generator: draws the noise.
        strength: |h|^2 of the symbol that carries each component, [B, h * w, V_max]; None is AWGN.
    """
    components, mask = sent.components, sent.mask
    # Unit power per complex symbol puts 1/2 on each component; here the noise is scaled instead of the signal.
    relative = (10 ** (-snr_db / 10))[:, None, None].expand(mask.shape)  # variance per symbol of unit power
    if strength is not None:
        relative = relative / strength.clamp_min(WEAKEST)
    variance = sent.mean_power[:, None, None] * relative
    noise = torch.randn(components.shape, generator=generator, device=generator.device).to(components.device)
    received = components + mask * noise * variance.sqrt()
    return Equalised(received, variance, effective_snr_db(relative, mask), sent.levels)
