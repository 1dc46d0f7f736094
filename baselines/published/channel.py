"""Between features and symbols, as in the papers: power, and pairing into complex symbols.

The authors normalise power over a whole batch; only the golden values do so here (`per_image=False`).
"""

from typing import Literal

import torch
from torch import Tensor

Pairing = Literal["halves", "neighbours"]


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
