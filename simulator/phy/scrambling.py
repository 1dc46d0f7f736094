"""The pseudo-random sequence that whitens coded bits (TS 38.211, clauses 5.2.1 and 7.3.1.1).

Without it a run of zeros in the payload would be a run of equal symbols, whose power is not that of the constellation.
"""

from functools import lru_cache

import numpy as np

# One link, one cell: both ends know these.
RNTI = 1
CELL_ID = 1
_SKIPPED, _ORDER = 1600, 31  # bits of both sequences that are left out; order of their polynomials


@lru_cache(maxsize=32)
def scrambling_bits(length: int) -> np.ndarray:
    """The first ``length`` bits of the Gold sequence for c_init = RNTI 2^15 + CELL_ID: uint8 0/1 ``[length]``."""
    bits = _gold(RNTI * 2**15 + CELL_ID, length)
    bits.setflags(write=False)
    return bits


def _gold(initial: int, length: int) -> np.ndarray:
    """The Gold sequence for c_init = ``initial``: uint8 0/1 ``[length]``."""
    first = _m_sequence(1, (0, 3), _SKIPPED + length)
    second = _m_sequence(initial, (0, 1, 2, 3), _SKIPPED + length)
    return first[_SKIPPED:] ^ second[_SKIPPED:]


def _m_sequence(start: int, taps: tuple[int, ...], length: int) -> np.ndarray:
    """x(n + 31) = sum of x(n + tap) modulo 2 from the 31 bits of ``start``, the lowest first: uint8 ``[length]``.

    Squared modulo 2, the rule holds at twice the distances too, so that ever longer pieces follow at once.
    """
    bits = np.zeros(max(length, _ORDER), dtype=np.uint8)
    bits[:_ORDER] = start >> np.arange(_ORDER) & 1
    known = _ORDER
    while known < length:
        scale = 2 ** ((known // _ORDER).bit_length() - 1)
        stop = min(length, known + (_ORDER - max(taps)) * scale)
        for back in ((_ORDER - tap) * scale for tap in taps):
            bits[known:stop] ^= bits[known - back : stop - back]
        known = stop
    return bits[:length]
