"""Gray-mapped square QAM (TS 38.211, clause 5.1): mapping, exact soft demapping, theoretical error rate."""

from functools import cache
from math import erfc, sqrt

import numpy as np

from simulator.phy.kernels import for_chunks, kernel

BITS_PER_SYMBOL = (2, 4, 6, 8)


@cache
def pam_levels(bits: int) -> np.ndarray:
    """Amplitudes of one quadrature of unit-energy QAM by bit label, first bit on top: float64 ``[2**bits]``."""
    if 2 * bits not in BITS_PER_SYMBOL:
        raise ValueError(f"{2 * bits} bits per symbol: expected one of {BITS_PER_SYMBOL}")

    def amplitude(label: list[int]) -> int:
        sign = 1 - 2 * label[0]
        return sign * (2 ** (len(label) - 1) - amplitude(label[1:])) if len(label) > 1 else sign

    labels = [[(index >> (bits - 1 - bit)) & 1 for bit in range(bits)] for index in range(2**bits)]
    levels = np.array([amplitude(label) for label in labels], dtype=np.float64)
    levels /= sqrt(2 * np.mean(levels**2))
    levels.setflags(write=False)
    return levels


def map_bits(bits: np.ndarray, bits_per_symbol: int) -> np.ndarray:
    """Map bits to symbols of unit mean energy (TS 38.211, 5.1.3 to 5.1.6).

    ``bits``: uint8 0/1 ``[..., n]``, n a multiple of ``bits_per_symbol`` (2, 4, 6 or 8); even positions of a
    symbol's label choose I, odd ones Q. Returns complex64 ``[..., n / bits_per_symbol]``.
    """
    half = bits_per_symbol // 2
    levels = pam_levels(half).astype(np.float32)
    if bits.shape[-1] % bits_per_symbol:
        raise ValueError(f"{bits.shape[-1]} bits do not fill symbols of {bits_per_symbol} bits")
    labels = bits.reshape(*bits.shape[:-1], -1, half, 2)
    index = np.zeros((*labels.shape[:-2], 2), dtype=np.uint8)
    for bit in range(half):
        index = (index << 1) | labels[..., bit, :]
    return levels[index].view(np.complex64)[..., 0]


def demap(
    received: np.ndarray,
    noise_variance: float | np.ndarray,
    bits_per_symbol: int,
    gain: np.ndarray | None = None,
) -> np.ndarray:
    """Exact log-MAP demapping for equiprobable bits, I and Q apart (Gray square QAM is separable).

    ``received``: complex64 ``[..., n]``, y = h x + w. ``noise_variance``: total complex variance of w, > 0, and
    ``gain``: h, complex, or None for 1; both broadcast to ``received``. A symbol with h = 0 yields LLRs of 0.
    Returns float32 LLRs ``[..., n * bits_per_symbol]`` in the bit order of `map_bits`, in Sionna's sign convention:
    LLR = log p(b = 1) - log p(b = 0), positive for a 1. Raises ``ValueError`` for a variance that is not > 0.
    """
    shape = received.shape
    symbols = np.array(received, dtype=np.complex64).ravel()
    variance = np.array(np.broadcast_to(noise_variance, shape), dtype=np.float64).ravel()
    channel = np.array(np.broadcast_to(1 if gain is None else gain, shape), dtype=np.complex64).ravel()
    if not np.all(variance > 0):
        raise ValueError("the noise variance must be positive")
    levels = pam_levels(bits_per_symbol // 2)
    llrs = np.empty((symbols.size, bits_per_symbol), dtype=np.float32)

    def demap_chunk(start: int, stop: int) -> None:
        part = slice(start, stop)
        _demap(symbols[part], channel[part], variance[part], levels, llrs[part])

    for_chunks(demap_chunk, symbols.size, 8192)
    return llrs.reshape(*shape[:-1], shape[-1] * bits_per_symbol)


@kernel
def _demap(symbols, channel, variance, levels, llrs):
    count = levels.size
    half = llrs.shape[1] // 2
    metric = np.empty(count)
    weight = np.empty(count)
    for n in range(symbols.size):
        gain = np.complex128(channel[n])
        amplitude = abs(gain)
        rotated = symbols[n] * np.conj(gain) / amplitude if amplitude > 0 else 0j
        for quadrature in range(2):
            coordinate = rotated.imag if quadrature else rotated.real
            best = -np.inf
            for i in range(count):
                distance = coordinate - amplitude * levels[i]
                metric[i] = -distance * distance / variance[n]
                best = max(best, metric[i])
            for i in range(count):
                weight[i] = np.exp(metric[i] - best)
            for bit in range(half):
                mask = 1 << (half - 1 - bit)
                one = zero = 0.0
                for i in range(count):
                    if i & mask:
                        one += weight[i]
                    else:
                        zero += weight[i]
                if min(one, zero) > 1e-290:
                    llr = np.log(one) - np.log(zero)
                else:
                    llr = _log_sum(metric, mask, mask) - _log_sum(metric, mask, mask ^ mask)
                llrs[n, 2 * bit + quadrature] = llr


@kernel
def _log_sum(metric, mask, wanted):
    """log of the sum of exp(metric) over the labels whose bit is ``wanted`` (``mask`` or 0), safe from underflow."""
    best = -np.inf
    for i in range(metric.size):
        if i & mask == wanted:
            best = max(best, metric[i])
    total = 0.0
    for i in range(metric.size):
        if i & mask == wanted:
            total += np.exp(metric[i] - best)
    return best + np.log(total)


def uncoded_bit_error_rate(snr_db: float, bits_per_symbol: int) -> float:
    """Bit error rate of hard-decided Gray square QAM over AWGN; ``snr_db`` is Es/N0.

    Exact (Cho and Yoon, "On the general BER expression of one- and two-dimensional amplitude modulations",
    IEEE Trans. Commun. 50(7), 2002, eq. 14 and 16).
    """
    side = 2 ** (bits_per_symbol // 2)
    scale = sqrt(3 * 10 ** (snr_db / 10) / (2 * (side**2 - 1)))
    total = 0.0
    for bit in range(1, bits_per_symbol // 2 + 1):
        step = 2 ** (bit - 1)
        for i in range(side - side // 2**bit):
            sign = -1 if (i * step // side) % 2 else 1
            total += sign * (step - (2 * i * step + side) // (2 * side)) * erfc((2 * i + 1) * scale)
    return total / side / (bits_per_symbol // 2)
