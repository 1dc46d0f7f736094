"""SwinJSCC's channel mask on the air: which `rate` of N channels, as the number of that choice."""

from math import comb

import numpy as np


def mask_bytes(channels: int, rate: int) -> int:
    """Bytes that tell one choice of `rate` of `channels` from all others."""
    return -(-(comb(channels, rate) - 1).bit_length() // 8)


def encode_mask(kept: np.ndarray) -> bytes:
    """bool [N] -> the rank of the choice among all of as many (combinatorial number system), big-endian."""
    chosen = np.flatnonzero(kept).tolist()
    rank = sum(comb(channel, place) for place, channel in enumerate(chosen, 1))
    return rank.to_bytes(mask_bytes(len(kept), len(chosen)), "big")


def decode_mask(data: bytes, channels: int, rate: int) -> np.ndarray | None:
    """The inverse of `encode_mask`; None when no choice has this rank."""
    rank = int.from_bytes(data, "big")
    if rank >= comb(channels, rate):
        return None
    kept = np.zeros(channels, dtype=bool)
    channel = channels
    for place in range(rate, 0, -1):
        channel -= 1
        while comb(channel, place) > rank:
            channel -= 1
        kept[channel] = True
        rank -= comb(channel, place)
    return kept
