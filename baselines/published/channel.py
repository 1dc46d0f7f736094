"""What the papers do between feature and air: power, pairing into complex symbols, and the channel itself.

Training sends features through `cross` image by image. The authors normalise power over a whole batch; only the golden
values, which were made that way, ask for it (`per_image=False`).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Pairing = Literal["halves", "neighbours"]


@dataclass(frozen=True)
class Crossing:
    """One trip of features over the papers' channel.

    Attributes:
        scale: sqrt(2P), by which reals are divided before they are sent: [B], or [1] for a whole batch.
        sent, received: complex symbols of energy 1 where all of them are active, [symbols], batch included.
        restored: what the receiver has, not yet multiplied back; of the feature's shape.
    """

    scale: Tensor
    sent: Tensor
    received: Tensor
    restored: Tensor


def power_scale(feature: Tensor, active: Tensor, per_image: bool = True) -> Tensor:
    """sqrt(2P), P being the mean square of the active entries of each image [B], or of the whole batch [1]."""
    dims = tuple(range(1, feature.dim())) if per_image else tuple(range(feature.dim()))
    mean = (feature.square() * active).sum(dims) / active.expand_as(feature).sum(dims).clamp_min(1)
    return (2 * mean).sqrt().reshape(-1)


def pair(values: Tensor, how: Pairing) -> Tensor:
    """Reals [..., 2K] -> complex [..., K]: the first half real and the second imaginary, or two neighbours each."""
    if how == "halves":
        return torch.complex(*values.tensor_split(2, -1))
    return torch.view_as_complex(values.reshape(*values.shape[:-1], -1, 2).contiguous())


def unpair(symbols: Tensor, how: Pairing) -> Tensor:
    """Undo `pair`."""
    if how == "halves":
        return torch.cat([symbols.real, symbols.imag], -1)
    return torch.view_as_real(symbols).flatten(-2)
