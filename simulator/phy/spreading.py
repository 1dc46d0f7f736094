"""Spreading of analog symbols over a whole transmission, so that whatever distorts them meets Gaussian ones.

Few symbols of a learned scheme carry most of its power (kurtosis 20 to 30, peaks of 29 dB). A grid of unit power clips
them, and an amplifier distorts the OFDM symbol that carries them. A fixed unitary matrix, fixed signs followed by a
DFT, makes every symbol a sum of all: nearly Gaussian, at the same total power. Both ends know it, so it costs nothing.
"""

from functools import lru_cache

import numpy as np

from simulator.randomness import derive_key

_LARGEST_ERROR = 0.999  # of a unit-power symbol: one of which nothing is known


def spread(symbols: np.ndarray) -> np.ndarray:
    """Sums over all symbols, complex64 [K] -> complex64 [K] of the same energy."""
    from scipy.fft import fft  # loads slowly, and most links need none of it

    return fft(symbols * signs(len(symbols)), norm="ortho")


def despread(symbols: np.ndarray) -> np.ndarray:
    """The inverse of `spread`."""
    from scipy.fft import ifft

    return ifft(symbols, norm="ortho") * signs(len(symbols))


def gather(mean: np.ndarray, error: np.ndarray) -> tuple[np.ndarray, float]:
    """Symbols of a transmission as if received at gain 1, and the noise variance that goes with all of them.

    An estimate m = (1 - e) x + d of a spread symbol x of unit power, E|d|^2 = e (1 - e), contributes to every symbol:
    these have the mean E of all e as their error, and m / (1 - E) is the reception in noise of variance E / (1 - E) of
    which a linear estimator makes an estimate of that error.

    Args:
        mean: least-squares estimates of spread symbols, complex64 [K].
        error: their expected squared errors e, float32 [K].
    """
    together = min(float(error.mean(dtype=np.float64)), _LARGEST_ERROR)
    return despread(mean) / np.float32(1 - together), together / (1 - together)


@lru_cache(maxsize=8)
def signs(count: int) -> np.ndarray:
    """float32 [count] of 1 and -1, the same for all transmissions: a constant would otherwise add up in one sum."""
    return np.random.default_rng(derive_key("spreading")).integers(0, 2, count).astype(np.float32) * 2 - 1
