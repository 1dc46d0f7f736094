"""Mutual information of Gray QAM, which measures a code block's channel when every symbol has another SNR.

The MIESM link abstraction: a code block is decoded as over AWGN of the SNR at which its bits would carry the same mean
mutual information (Wan, Tsai and Almgren, "A fading-insensitive performance metric for a unified link quality model",
WCNC 2006). Information is counted as the bits lost of the full m bits of a symbol.
"""

from functools import cache

import numpy as np

from simulator.phy.kernels import kernel
from simulator.phy.qam import BITS_PER_SYMBOL, pam_levels

_LOWEST_DB = -24.0
_COARSE_DB = np.arange(_LOWEST_DB, 42.5, 0.5)
_STEPS_PER_DB = 32.0
_NODES = 48


def lost_bits(snr_db: float, bits_per_symbol: int) -> float:
    """Bits that a symbol of m = ``bits_per_symbol`` independent Gray-labelled bits loses at Es/N0 ``snr_db``: 0..m."""
    return float(np.exp(np.interp(snr_db, _COARSE_DB, np.log(_lost_on_grid(bits_per_symbol)))))


def effective_snr_db(lost: np.ndarray, bits_per_symbol: int) -> np.ndarray:
    """Es/N0 in dB, -24 to 42, at which a symbol over AWGN loses ``lost`` bits: the inverse of `lost_bits`."""
    # Near saturation information itself loses all digits, but its logarithm does not.
    rising = -np.log(_lost_on_grid(bits_per_symbol))
    return np.interp(-np.log(np.maximum(lost, 1e-300)), rising, _COARSE_DB)


def mean_lost_bits(snr: np.ndarray, stretch: int) -> np.ndarray:
    """Mean bits that symbols lose in every stretch of ``stretch`` symbols.

    ``snr``: Es/N0 of each symbol as a ratio >= 0, float64 ``[K]``, K a multiple of ``stretch``. Returns float32
    ``[4, K / stretch]``, one row for each of `BITS_PER_SYMBOL`.
    """
    lost = np.zeros((len(BITS_PER_SYMBOL), len(snr) // stretch), dtype=np.float32)
    _accumulate(snr, stretch, _tables(), lost)
    return lost


@kernel
def _accumulate(snr, stretch, tables, lost):
    last = tables.shape[1] - 1
    for part in range(lost.shape[1]):
        for n in range(part * stretch, (part + 1) * stretch):
            position = (10.0 * np.log10(max(snr[n], 1e-9)) - _LOWEST_DB) * _STEPS_PER_DB + 0.5
            index = int(min(max(position, 0.0), float(last)))
            for row in range(lost.shape[0]):
                lost[row, part] += tables[row, index]
        for row in range(lost.shape[0]):
            lost[row, part] /= stretch


@cache
def _tables() -> np.ndarray:
    """Lost bits in steps of 1 / `_STEPS_PER_DB`, float32 [4, steps], from the grid's first SNR to its last."""
    fine_db = np.arange(_COARSE_DB[0], _COARSE_DB[-1], 1 / _STEPS_PER_DB)
    rows = [np.exp(np.interp(fine_db, _COARSE_DB, np.log(_lost_on_grid(bits)))) for bits in BITS_PER_SYMBOL]
    return np.array(rows, dtype=np.float32)


@cache
def _lost_on_grid(bits_per_symbol: int) -> np.ndarray:
    """Lost bits per symbol on `_COARSE_DB`, falling."""
    return np.array([2 * _lost_in_quadrature(10 ** (-snr_db / 10), bits_per_symbol // 2) for snr_db in _COARSE_DB])


def _lost_in_quadrature(noise_variance: float, bits: int) -> float:
    """Sum over the bits of one quadrature of H(bit | received), by Gauss-Hermite quadrature over the noise."""
    levels = pam_levels(bits)
    nodes, weights = np.polynomial.hermite.hermgauss(_NODES)
    received = levels[:, None] + np.sqrt(noise_variance) * nodes  # [level, node]; the variance is no / 2
    metric = -((received[..., None] - levels) ** 2) / noise_variance  # [level, node, candidate]
    metric -= metric.max(axis=2, keepdims=True)
    likelihood = np.exp(metric)
    total = likelihood.sum(axis=2)
    labels = np.arange(len(levels))
    lost = 0.0
    for bit in range(bits):
        same = (labels[:, None] >> bit & 1) == (labels >> bit & 1)  # [level, candidate]
        right = (likelihood * same[:, None, :]).sum(axis=2)
        lost += float((np.log2(total / right) @ weights).mean() / np.sqrt(np.pi))
    return max(lost, 1e-300)
