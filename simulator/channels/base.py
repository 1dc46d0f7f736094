"""The channel contract: what is drawn, what is received, and how a channel is identified."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch

from simulator.randomness import sionna_seeded
from simulator.spec.shown import Brief

# Noise and gains are drawn in blocks of this many symbols, so that the first K draws of a realisation are the
# same whether a scheme sends K symbols or more.
DRAW_BLOCK = 8192


@dataclass(frozen=True, repr=False)
class Realisation(Brief):
    """One draw of the channel for one image, before anything is sent.

    Attributes:
        gain: complex64 [K], E|gain|^2 = 1 over realisations.
        noise_variance: total complex noise variance (no/2 per real dimension), above 0.
        noise_key: seed of the additive noise.
    """

    gain: torch.Tensor
    noise_variance: float
    noise_key: int

    @property
    def capacity_bits(self) -> float:
        """Sum over the K channel uses of log2(1 + |h|^2 / no), in bits: capacity at unit power on every one."""
        return float(torch.log2(1 + self.snr).sum())

    @property
    def snr(self) -> torch.Tensor:
        """Signal over noise of each channel use, |h|^2 / no, float64 [K]; distortion counts as noise."""
        return self.gain.abs().double().square() / self.noise_variance

    def without_noise(self) -> "Realisation":
        """The realisation without its noise key: anyone holding the key could subtract the noise in advance."""
        return replace(self, noise_key=0)

    @property
    def snr_db(self) -> float:
        """Realised Es/N0 in dB: 10 log10(mean |gain|^2 / no) over the K channel uses; NaN when K = 0."""
        power = float(self.gain.abs().double().square().mean())
        return 10 * math.log10(power / self.noise_variance) if power else -math.inf


@dataclass(frozen=True, repr=False)
class Received(Brief):
    """What the receiver has after channel estimation: y = gain * s + noise, symbol by symbol.

    Attributes:
        symbols: complex64 [K].
        gain: complex64 [K], the receiver's estimate of the gain (exact with perfect CSI).
        noise_variance: float32 [K], above 0: variance of what remains around gain * s.
        overhead: channel uses spent on pilots, guards and prefixes in addition to the K data symbols.
        measured: what the channel measured of the transmission, such as its EVM, by the name of a column in results.
            The link removes it before the receiver.
    """

    symbols: torch.Tensor
    gain: torch.Tensor
    noise_variance: torch.Tensor
    overhead: int = 0
    measured: Mapping[str, float] = field(default_factory=dict)


class Channel(Protocol):
    """A single-user channel from unit-power symbols to received symbols and channel state information.

    The name is the full specification, such as `rician:K=6`: link adaptation loads the channel by it.

    `simulator.channels.ChannelCapabilities` lists the methods that are optional.
    """

    name: str

    def realise(self, num_symbols: int, snr_db: float, key: int) -> Realisation:
        """Draw gains for `num_symbols` uses at average Es/N0 `snr_db`.

        The same key gives the same gains at every SNR, and for fewer symbols the first of them.
        """
        ...

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        """Send complex64 [K] symbols (mean power <= 1) through a realisation of at least K uses."""
        ...


def noise_variance(snr_db: float) -> float:
    """Complex noise variance at Es/N0 `snr_db` for unit symbol energy: no = 10^(-snr/10)."""
    return float(10 ** (-snr_db / 10))


def fade(symbols: torch.Tensor, gain: torch.Tensor, variance: float, key: int) -> torch.Tensor:
    """gain * symbols + complex Gaussian noise of total variance `variance`, by Sionna's AWGN block; complex64 [K].

    The first k values are the same for every K, to the last bit: all is computed in whole draw blocks.
    """
    from sionna.phy.channel import AWGN

    if not len(symbols):
        return symbols
    with sionna_seeded(key):
        awgn = AWGN(device="cpu")
        pairs = zip(gain.split(DRAW_BLOCK), symbols.split(DRAW_BLOCK), strict=True)
        blocks = [awgn(_fill(gains) * _fill(block), variance) for gains, block in pairs]
    return torch.cat(blocks)[: len(symbols)]


def _fill(block: torch.Tensor) -> torch.Tensor:
    """Pad [k] values with zeros to a whole draw block."""
    return block if len(block) == DRAW_BLOCK else torch.nn.functional.pad(block, (0, DRAW_BLOCK - len(block)))
