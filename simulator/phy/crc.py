"""Cyclic redundancy checks of TS 38.212, clause 5.1, on byte-aligned blocks."""

from functools import cache

import numpy as np

from simulator.phy.kernels import kernel

_POLYNOMIALS = {
    "24A": (24, 0x864CFB),
    "24B": (24, 0x800063),
    "16": (16, 0x1021),
}


def append_crc(blocks: np.ndarray, kind: str) -> np.ndarray:
    """Append the CRC to each block: uint8 bytes ``[B, n]`` to ``[B, n + crc bytes]``; kind "24A", "24B" or "16"."""
    length, _ = _POLYNOMIALS[kind]
    remainder = crc(blocks, kind)
    shifts = np.arange(length - 8, -8, -8, dtype=np.uint32)
    tail = (remainder[:, None] >> shifts).astype(np.uint8)
    return np.concatenate([blocks, tail], axis=1)


def check_crc(blocks: np.ndarray, kind: str) -> np.ndarray:
    """Whether the CRC at the end of each block of bytes ``[B, n]`` is right: bool ``[B]``."""
    return crc(blocks, kind) == 0


def crc(blocks: np.ndarray, kind: str) -> np.ndarray:
    """CRC remainder of each row of bytes ``[B, n]``, zero initial state, most significant bit first: uint32 ``[B]``."""
    length, polynomial = _POLYNOMIALS[kind]
    # Read-only arrays are a type of their own to Numba, which would compile the kernel twice.
    return _remainders(np.require(blocks, requirements=["C", "W"]), _table(length, polynomial), length)


@cache
def _table(length: int, polynomial: int) -> np.ndarray:
    top, mask = 1 << (length - 1), (1 << length) - 1
    table = np.zeros(256, dtype=np.uint32)
    for byte in range(256):
        state = byte << (length - 8)
        for _ in range(8):
            state = ((state << 1) ^ polynomial if state & top else state << 1) & mask
        table[byte] = state
    return table


@kernel
def _remainders(blocks, table, length):
    states = np.zeros(blocks.shape[0], dtype=np.uint32)
    mask = np.uint32((1 << length) - 1)
    for row in range(blocks.shape[0]):
        state = np.uint32(0)
        for byte in blocks[row]:
            index = (state >> np.uint32(length - 8)) ^ np.uint32(byte)
            state = ((state << np.uint32(8)) & mask) ^ table[index]
        states[row] = state
    return states
