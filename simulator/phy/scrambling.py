"""The pseudo-random sequence that whitens coded bits (TS 38.211, clauses 5.2.1 and 7.3.1.1).

Without it a run of zeros in the payload would be a run of equal symbols, whose power is not that of the constellation.
"""

from functools import lru_cache

import numpy as np

from simulator.phy.kernels import kernel

# One link, one cell: both ends know these.
RNTI = 1
CELL_ID = 1


@lru_cache(maxsize=32)
def scrambling_bits(length: int) -> np.ndarray:
    """The first ``length`` bits of the Gold sequence for c_init = RNTI 2^15 + CELL_ID: uint8 0/1 ``[length]``."""
    bits = _gold(RNTI * 2**15 + CELL_ID, length)
    bits.setflags(write=False)
    return bits


@kernel
def _gold(initial, length):
    skipped = 1600
    first = np.zeros(length + skipped + 31, dtype=np.uint8)
    second = np.zeros(length + skipped + 31, dtype=np.uint8)
    first[0] = 1
    for n in range(31):
        second[n] = (initial >> n) & 1
    for n in range(length + skipped):
        first[n + 31] = first[n + 3] ^ first[n]
        second[n + 31] = second[n + 3] ^ second[n + 2] ^ second[n + 1] ^ second[n]
    return first[skipped : skipped + length] ^ second[skipped : skipped + length]
