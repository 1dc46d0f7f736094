"""Error vector magnitude: how far what a transmitter sends is from what it was to send (TS 38.104, annex B)."""

import numpy as np

from simulator.phy.kernels import kernel


def evm_percent(sent: np.ndarray, gain: np.ndarray, intended: np.ndarray) -> float:
    """Root of the mean squared error of `sent / gain` over the mean power of `intended`, in per cent.

    Args:
        sent: symbols that left the transmitter, complex64 [K].
        gain: that the receiver corrects, complex64 [K].
        intended: symbols without any distortion, complex64 [K].

    Returns:
        0 where nothing but zeros is to be sent.
    """
    error, power = _energies(sent, gain, intended)
    return 100 * (error / power) ** 0.5 if power else 0.0


@kernel
def _energies(sent, gain, intended):
    """Of error and symbols, in one pass."""
    error = power = 0.0
    for n in range(sent.size):
        g, x = np.complex128(gain[n]), np.complex128(intended[n])
        e = np.complex128(sent[n]) * np.conj(g) / (g.real**2 + g.imag**2) - x
        error += e.real**2 + e.imag**2
        power += x.real**2 + x.imag**2
    return error, power
