"""AWGN, flat Rayleigh and flat Rician fading with perfect channel state information at the receiver."""

import math
from collections.abc import Callable

import torch

from simulator.channels.base import DRAW_BLOCK, Realisation, Received, fade, noise_variance
from simulator.randomness import derive_key, sionna_seeded
from simulator.spec.options import Declaration, Number, declares
from simulator.spec.shown import Named

_ASSUMED = Number(None, -30, 60, help="SNR in dB that both ends assume, regardless of the true one")
# Mean Ricean factor of the line-of-sight links of TR 38.901, Table 7.5-6: 9 dB in UMi and UMa.
_K = Number(9, -60, 60, help="power of the line of sight over that of all else, in dB")
_AWGN = Declaration("awgn", "additive white Gaussian noise, h = 1", {"assumed_db": _ASSUMED})
_RAYLEIGH = Declaration("rayleigh", "block fading: one gain h ~ CN(0, 1) per image and realisation")
_RAYLEIGH_FAST = Declaration("rayleigh-fast", "fast fading: an independent gain h ~ CN(0, 1) for every symbol")
_RICIAN = Declaration("rician", "block fading with a line of sight: one gain per image and realisation", {"K": _K})
_RICIAN_FAST = Declaration(
    "rician-fast", "fast fading with a line of sight: an independent gain for every symbol", {"K": _K}
)


class FlatChannel(Named):
    """y = h * s + n (eq. 1 of LRISC), drawn by Sionna's GenerateFlatFadingChannel and AWGN blocks."""

    def __init__(self, name: str, draw_gain: Callable[[int, int], torch.Tensor]) -> None:
        """Args:
        name: how the channel is called in results.
        draw_gain: (num_symbols, key) -> complex64 [num_symbols] with E|h|^2 = 1.
        """
        self.name = name
        self._draw_gain = draw_gain

    def realise(self, num_symbols: int, snr_db: float, key: int) -> Realisation:
        """Draw gains [num_symbols] at average Es/N0 `snr_db`."""
        gain = self._draw_gain(num_symbols, derive_key(key, "gain"))
        return Realisation(gain, noise_variance(snr_db), derive_key(key, "noise"))

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        """Multiply by the gain and add noise with Sionna's AWGN block; the receiver knows gain and variance."""
        gain = realisation.gain[: len(symbols)]
        received = fade(symbols, gain, realisation.noise_variance, realisation.noise_key)
        variance = torch.full((len(symbols),), realisation.noise_variance)
        return Received(received, gain, variance)


def _no_fading(num_gains: int, key: int) -> torch.Tensor:
    return torch.ones(num_gains, dtype=torch.complex64)


class _MisjudgedAwgn(FlatChannel):
    """AWGN whose two ends are set up for another SNR than it has, as after outdated feedback."""

    def __init__(self, name: str, assumed_db: float) -> None:
        super().__init__(name, _no_fading)
        self._assumed_db = assumed_db

    def announce(self, snr_db: float) -> tuple[str, float]:
        """What both ends believe, regardless of the true SNR."""
        return "awgn", self._assumed_db


def rayleigh_gains(num_gains: int, key: int) -> torch.Tensor:
    """`num_gains` independent CN(0, 1) gains, complex64 [num_gains]."""
    from sionna.phy.channel import GenerateFlatFadingChannel

    with sionna_seeded(key):
        draw = GenerateFlatFadingChannel(1, 1, device="cpu")
        num_blocks = -(-num_gains // DRAW_BLOCK)
        gains = [draw(DRAW_BLOCK).reshape(-1) for _ in range(num_blocks)]
    return torch.cat(gains)[:num_gains] if gains else torch.zeros(0, dtype=torch.complex64)


def _rician(num_gains: int, key: int, k_factor_db: float) -> torch.Tensor:
    """`num_gains` gains with a line of sight of power K/(K+1) and phase 0, and a Rayleigh part of power 1/(K+1)."""
    k_factor = 10 ** (k_factor_db / 10)
    return math.sqrt(k_factor / (k_factor + 1)) + math.sqrt(1 / (k_factor + 1)) * rayleigh_gains(num_gains, key)


@declares(_AWGN)
def awgn(*options: str) -> FlatChannel:
    """Additive white Gaussian noise, h = 1. Both ends assume an SNR of `assumed_db`, if that is given."""
    chosen = _AWGN.read(options)
    assumed_db = chosen["assumed_db"]
    return FlatChannel("awgn", _no_fading) if assumed_db is None else _MisjudgedAwgn(_AWGN.spell(chosen), assumed_db)


@declares(_RAYLEIGH)
def rayleigh(*options: str) -> FlatChannel:
    """Block fading: one complex gain h ~ CN(0, 1) per image and realisation."""
    _RAYLEIGH.read(options)
    return FlatChannel("rayleigh", lambda num_symbols, key: rayleigh_gains(1, key).expand(num_symbols).clone())


@declares(_RAYLEIGH_FAST)
def rayleigh_fast(*options: str) -> FlatChannel:
    """Fast fading: an independent complex gain h ~ CN(0, 1) for every symbol."""
    _RAYLEIGH_FAST.read(options)
    return FlatChannel("rayleigh-fast", lambda num_symbols, key: rayleigh_gains(num_symbols, key))


@declares(_RICIAN)
def rician(*options: str) -> FlatChannel:
    """Block fading with a line of sight (`K` in dB): one gain per image and realisation."""
    chosen = _RICIAN.read(options)
    k_factor_db = chosen["K"]
    return FlatChannel(
        _RICIAN.spell(chosen), lambda num_symbols, key: _rician(1, key, k_factor_db).expand(num_symbols).clone()
    )


@declares(_RICIAN_FAST)
def rician_fast(*options: str) -> FlatChannel:
    """Fast fading with a line of sight (`K` in dB): an independent gain for every symbol."""
    chosen = _RICIAN_FAST.read(options)
    k_factor_db = chosen["K"]
    return FlatChannel(_RICIAN_FAST.spell(chosen), lambda num_symbols, key: _rician(num_symbols, key, k_factor_db))
