"""The order in which torch 1.9 to 1.12 sorted equal numbers on a GPU.

`torch.sort(..., descending=True)` of at most 2048 keys was a bitonic network there, which leaves equal keys in its own
order; from torch 1.13 on the lowest index comes first. SwinJSCC's released networks saturate many of the scores
that its mask sorts, so that their choice of channels depends on this order (up to 8 dB on other versions).
"""

import numpy as np

_WIDTHS = (32, 128, 1024, 2048)


def legacy_order(keys: np.ndarray) -> np.ndarray:
    """Indices that sort `keys` [n] in descending order as the old kernel did, n <= 2048: int64 [n].

    Raises:
        ValueError: there are more keys than the kernel sorted.
    """
    count = len(keys)
    width = next((one for one in _WIDTHS if count <= one), None)
    if width is None:
        raise ValueError(f"the legacy sort takes at most {_WIDTHS[-1]} keys, not {count}")
    slot = np.arange(width)  # which key each place of the network holds; from `count` on: none
    values = np.concatenate([np.asarray(keys), np.zeros(width - count, np.asarray(keys).dtype)])
    lanes = np.arange(width // 2)
    half = 2
    while half < width:
        ascending = (lanes & (half // 2)) != 0
        stride = half // 2
        while stride:
            _compare(slot, values, count, lanes, stride, ascending)
            stride //= 2
        half *= 2
    stride = width // 2
    while stride:
        _compare(slot, values, count, lanes, stride, np.zeros_like(lanes, dtype=bool))
        stride //= 2
    return slot[:count].copy()


def index_order(keys: np.ndarray) -> np.ndarray:
    """Indices that sort `keys` [n] in descending order, the lowest index first among equals."""
    return np.argsort(-np.asarray(keys), kind="stable")


def _compare(
    slot: np.ndarray, values: np.ndarray, count: int, lanes: np.ndarray, stride: int, direction: np.ndarray
) -> None:
    """One pass of the network; a key that is not ahead of its partner changes places with it, equal ones too."""
    first = 2 * lanes - (lanes % stride)
    second = first + stride
    a, b = slot[first], slot[second]
    ahead = ((values[a] > values[b]) & (a < count)) | (b >= count)
    swap = ahead == direction
    slot[first], slot[second] = np.where(swap, b, a), np.where(swap, a, b)
