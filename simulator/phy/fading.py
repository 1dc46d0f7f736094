"""What flat Rayleigh fading costs a coded link that knows the average SNR alone.

- Fast fading: a code block meets all gains, so what counts is the mean mutual information of its bits (the MIESM link
  abstraction; Wan, Tsai and Almgren, "A fading-insensitive performance metric for a unified link quality model",
  WCNC 2006).
- Block fading: an image meets one gain, so a margin decides how often it is too small.
"""

from functools import cache
from math import log, log10
from typing import Literal

import numpy as np

from simulator.phy.qam import pam_levels

# The operating point of LTE and NR links. Fewer outages would cost more quality in all other images than they save.
OUTAGE_TARGET = 0.1
BLOCK_FADING_MARGIN_DB = -10 * log10(-log(1 - OUTAGE_TARGET))  # P(|h|^2 < x) = 1 - exp(-x)
# A code block's mean information varies with its gains. Measured with this margin over thresholds for BLER 1e-3:
# no error in 2048 blocks of 4096 bits (256-QAM), 2 in 4096 of 256 bits (4-QAM and 16-QAM).
FAST_FADING_MARGIN_DB = 0.3
_GRID_DB = np.arange(-30.0, 55.0, 0.25)
_NODES = 48


Fading = Literal["none", "block", "fast"]


def faded_snr_db(awgn_snr_db: float, bits_per_symbol: int, fading: Fading) -> float:
    """Mean Es/N0 in dB at which a link that needs ``awgn_snr_db`` over AWGN works over flat Rayleigh fading.

    ``fading``: "none"; "block", one gain for all symbols of a transport block; "fast", one for each of them.
    """
    if fading == "none":
        return awgn_snr_db
    if fading == "block":
        return awgn_snr_db + BLOCK_FADING_MARGIN_DB
    return fast_fading_snr_db(awgn_snr_db, bits_per_symbol) + FAST_FADING_MARGIN_DB


def fast_fading_snr_db(awgn_snr_db: float, bits_per_symbol: int) -> float:
    """Mean Es/N0 in dB over fast Rayleigh fading that gives bits the mutual information of ``awgn_snr_db`` over AWGN.

    ``awgn_snr_db`` between -20 and 35 dB: beyond, the grid ends.
    """
    over_awgn, over_fading = _information(bits_per_symbol)
    # Near saturation information itself has no digits left: interpolate in what is missing to the full m bits.
    missing = np.interp(awgn_snr_db, _GRID_DB, np.log(over_awgn))
    return float(np.interp(-missing, -np.log(over_fading), _GRID_DB))


@cache
def _information(bits_per_symbol: int) -> tuple[np.ndarray, np.ndarray]:
    """Bits per symbol that Gray QAM with independent bits loses on `_GRID_DB`: over AWGN, and over Rayleigh gains."""
    over_awgn = np.array([2 * _lost_bits(10 ** (-snr_db / 10), bits_per_symbol // 2) for snr_db in _GRID_DB])
    share = (np.arange(2000) + 0.5) / 2000
    gain_db = 10 * np.log10(-np.log1p(-share))  # equally likely values of |h|^2
    log_lost = np.log(over_awgn)
    faded = [np.exp(np.interp(snr_db + gain_db, _GRID_DB, log_lost)).mean() for snr_db in _GRID_DB]
    return over_awgn, np.array(faded)


def _lost_bits(noise_variance: float, bits: int) -> float:
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
