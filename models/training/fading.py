"""Fading for the training of learned schemes: what remains of it after equalisation."""

import torch
from torch import Tensor


def fading_strength(shape: tuple[int, ...], share: float, generator: torch.Generator) -> Tensor:
    """|h|^2 of every symbol, `shape` = [B, ...], of mean one: 1 for most images, faded for a `share` of them.

    Half of the faded images see Rayleigh fading, half Rician fading with K of 0 to 10 dB; for half of each, one h holds
    for the whole image, for the other half every symbol has its own (as multipath looks after an interleaver).
    """
    batch, ones = shape[0], (1,) * (len(shape) - 1)

    def chance() -> Tensor:
        return torch.rand(batch, *ones, generator=generator, device=generator.device)

    def scattered(size: tuple[int, ...]) -> Tensor:
        return torch.randn((*size, 2), generator=generator, device=generator.device) * 0.5**0.5

    faded, per_symbol, rician = chance() < share, chance() < 0.5, chance() < 0.5
    k = torch.where(rician, 10 ** chance(), 0.0)
    scatter = torch.where(per_symbol[..., None], scattered(shape), scattered((batch, *ones)))
    line_of_sight = torch.stack([(k / (k + 1)).sqrt(), torch.zeros_like(k)], dim=-1)
    strength = (line_of_sight + scatter / (k + 1).sqrt()[..., None]).square().sum(dim=-1)
    return torch.where(faded, strength, 1.0)
