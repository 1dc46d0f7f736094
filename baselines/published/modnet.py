"""ModNet: the channel-wise gate by which SwinJSCC and WITT adapt to an SNR or a rate."""

from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn

STEPS = 7


class Gate(nn.Module):
    """One condition per image, [B, 1] -> factors in (0, 1), [B, hidden]."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        layers = (nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, hidden))
        self.fc = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, condition: Tensor) -> Tensor:
        return self.fc(condition)


def gates(hidden: int) -> nn.ModuleList:
    """The seven gates (`bm_list` of the checkpoints)."""
    return nn.ModuleList(Gate(hidden) for _ in range(STEPS))


def mixers(width: int, hidden: int) -> nn.ModuleList:
    """The eight linear maps around them (`sm_list` of the checkpoints)."""
    sizes = [width, *[hidden] * STEPS, width]
    return nn.ModuleList(nn.Linear(inside, out) for inside, out in pairwise(sizes))


def modulation(x: Tensor, condition: Tensor, sm_list: Iterable[nn.Module], bm_list: Iterable[nn.Module]) -> Tensor:
    """Factors m in (0, 1) for every token and channel.

    Args:
        x: tokens [B, ..., C].
        condition: one raw number per image, [B]: the SNR in dB, or the rate in channels.
        sm_list, bm_list: eight linear maps and the seven gates between them.

    Returns:
        m, of the shape of x; the caller multiplies x by it.
    """
    *inner, last = sm_list
    shape = (len(x), *[1] * (x.dim() - 2), -1)
    t = x
    for linear, gate in zip(inner, bm_list, strict=True):
        t = linear(t) * gate(condition.to(x.dtype)[:, None]).view(shape)
    return torch.sigmoid(last(t))
