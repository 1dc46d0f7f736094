"""The differentiable link of LRISC's training: normalisation, QAM grids, fading and noise between f_e and f_d."""

import torch
from torch import Tensor

from simulator.models.lrisc.jscc import WEAKEST, effective_snr_db
from simulator.models.lrisc.signals import Equalised, Sent
from simulator.models.training.constellation import NO_GRIDS, Grids, over_grid


def cross(
    sent: Sent,
    snr_db: Tensor,
    generator: torch.Generator,
    strength: Tensor | None = None,
    grids: Grids = NO_GRIDS,
) -> Equalised:
    """Normalise each image to unit power, restrict some to a grid, and add fading and noise.

    Args:
        sent: what f_e puts on the air.
        snr_db: average Es/N0 of each image, [B].
        generator: draws the noise.
        strength: |h|^2 of the symbol that carries each component, [B, h * w, V_max]; None is AWGN.
        grids: of QAM that symbols are restricted to, and how often.
    """
    components, mask = sent.components, sent.mask
    # Unit power per complex symbol puts 1/2 on each component; here the noise is scaled instead of the signal.
    relative = (10 ** (-snr_db / 10))[:, None, None].expand(mask.shape)  # variance per symbol of unit power
    if strength is not None:
        relative = relative / strength.clamp_min(WEAKEST)
    variance = sent.mean_power[:, None, None] * relative
    noise = torch.randn(components.shape, generator=generator, device=generator.device).to(components.device)
    received = components + mask * noise * variance.sqrt()
    if grids.share:
        some, points = grids.draw(len(components), generator)
        each, seen = relative.clone(), received.clone()
        for index in some.nonzero().flatten().tolist():
            there = mask[index]
            amplitude = (2 * sent.mean_power[index]).sqrt()  # of symbols of two components each
            pairs, drawn = (one[index, there].reshape(-1, 2) for one in (components, noise))
            around = relative[index, there][::2]
            arrived, spread = over_grid(pairs / amplitude, around, points, grids.gradient, drawn)
            seen[index, there] = arrived.flatten() * amplitude
            each[index, there] = spread.repeat_interleave(2)
        received, relative = seen, each
        variance = sent.mean_power[:, None, None] * relative
    return Equalised(received, variance, effective_snr_db(relative, mask), sent.levels)
