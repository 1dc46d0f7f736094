"""From the points of a constellation to the antenna, and what the receiver knows of the distortion on the way."""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from simulator.channels.base import DRAW_BLOCK
from simulator.channels.grid import SLOT_SYMBOLS, ResourceGrid
from simulator.channels.radio.amplifier import clip, iq_imbalance, rapp, saleh
from simulator.channels.radio.options import Radio
from simulator.channels.radio.oscillator import common_phase
from simulator.channels.radio.waveform import Waveform
from simulator.randomness import derive_key

_CALIBRATION_SLOTS, _OSCILLATOR_SLOTS = 32, 384  # few slots give a poor estimate of a slowly drifting phase
_CALIBRATION_SYMBOLS = 200_000
_NO_POWER = 1e-12  # -120 dB: what float32 FFTs leave outside the band of an undistorted waveform


@dataclass(frozen=True)
class Sent:
    """What left the antenna.

    Attributes:
        symbols: complex64 [K], each with its distortion.
        pilots: sent over known, complex64 [slots, P]; None without a resource grid.
        measured: PAPR of the waveform, its power out of band and the amplifier's mean output power over its saturated
            one, by the names of their columns in results.
    """

    symbols: torch.Tensor
    pilots: torch.Tensor | None
    measured: dict[str, float]


@dataclass(frozen=True)
class Statistics:
    """What a receiver knows of a distortion: x = gain * s + d (Bussgang), by OFDM symbol of a slot.

    Attributes:
        gain: complex64 [14]; the same value everywhere without a resource grid.
        variance: float32 [14], E|d|^2 for E|s|^2 = 1.
    """

    gain: torch.Tensor
    variance: torch.Tensor


class Transmitter:
    """Distorts symbols of unit mean power: clipping, I/Q imbalance, oscillator, amplifier, in that order."""

    def __init__(self, radio: Radio, grid: ResourceGrid | None) -> None:
        """grid: on which an OFDM waveform is made; None distorts the symbols themselves, one sample each."""
        self.radio = radio
        self.waveform = None if grid is None else Waveform(grid)

    def __call__(self, symbols: torch.Tensor, key: int) -> Sent:
        """Send complex64 [K], K > 0; `key` seeds the oscillator and other users' symbols."""
        if self.waveform is None:
            output = self._amplify(self._modulate(fill(symbols)))[: len(symbols)]
            return Sent(output, None, self._power(output))
        resources = self.waveform.place(symbols, self.waveform.others(derive_key(key, "others")))
        samples = self._modulate(self.waveform.modulate(resources))
        if not self.radio.oscillator.ideal:
            key = derive_key(key, "oscillator")
            phase = self.radio.oscillator.phase(self.waveform.grid, len(samples), self.waveform.size, key)
            samples = samples * torch.polar(torch.ones_like(phase), phase)
        output = self._amplify(samples)
        distorted, leaked = self.waveform.demodulate(output)
        power = samples.real.square() + samples.imag.square()
        measured = {
            "papr_db": 10 * math.log10(float(power.max() / power.mean())),
            "out_of_band_db": 10 * math.log10(max(float(leaked.mean()), _NO_POWER)),
        }
        return Sent(*self.waveform.take(distorted, len(symbols)), measured | self._power(output))

    def _modulate(self, samples: torch.Tensor) -> torch.Tensor:
        radio = self.radio
        if radio.clip_db is not None:
            samples = clip(samples, radio.clip_db)
        if radio.iq_db or radio.iq_deg:
            samples = iq_imbalance(samples, radio.iq_db, radio.iq_deg)
        return samples

    def _amplify(self, samples: torch.Tensor) -> torch.Tensor:
        if self.radio.amplifier == "none":
            return samples
        return {"rapp": rapp, "saleh": saleh}[self.radio.amplifier](samples, self.radio.backoff_db)

    def _power(self, output: torch.Tensor) -> dict[str, float]:
        """Mean output power of the amplifier over its saturated one."""
        if self.radio.amplifier == "none":
            return {}
        power = float(output.abs().square().mean())
        return {"amplifier_db": 10 * math.log10(max(power, _NO_POWER)) - self.radio.backoff_db}

    def in_phase(self, sent: Sent) -> torch.Tensor:
        """The symbols that left, complex64 [K], less their common phase as their pilots show it."""
        if self.radio.oscillator.ideal or sent.pilots is None or self.waveform is None:
            return sent.symbols
        phase = common_phase(sent.pilots, torch.ones_like(sent.pilots))
        return sent.symbols * turned(-phase, self.waveform.grid, len(sent.symbols))

    def symbol_index(self, count: int) -> torch.Tensor:
        """OFDM symbol within its slot of each of `count` data symbols, int64 [count]; 0 without a grid."""
        if self.waveform is None:
            return torch.zeros(count, dtype=torch.int64)
        grid = self.waveform.grid
        return (grid.data_positions // grid.subcarriers).repeat(grid.slots(count))[:count]

    def statistics(self, points: int) -> Statistics:
        """What both ends know of the distortion of Gaussian symbols, or of QAM of `points`; measured once per process.

        Samples of an OFDM waveform are Gaussian for any symbols.
        """
        grid = None if self.waveform is None else self.waveform.grid
        return _statistics(self.radio, grid, 0 if grid else points)

    def calibrate(self, points: int) -> Statistics:
        """Measure the distortion on seeded symbols, for `statistics`."""
        grid = None if self.waveform is None else self.waveform.grid
        slots = _CALIBRATION_SLOTS if self.radio.oscillator.ideal else _OSCILLATOR_SLOTS
        count = _CALIBRATION_SYMBOLS if grid is None else slots * grid.data_per_slot
        symbols = _calibration_symbols(count, points)
        arriving, index = self.in_phase(self(symbols, derive_key("calibration"))), self.symbol_index(count)
        gain, variance = torch.ones(SLOT_SYMBOLS, dtype=torch.complex64), torch.zeros(SLOT_SYMBOLS)
        for symbol in index.unique().tolist():
            chosen = index == symbol
            known, arrived = symbols[chosen].to(torch.complex128), arriving[chosen].to(torch.complex128)
            scale = torch.vdot(known, arrived) / torch.vdot(known, known)
            places = slice(None) if grid is None else slice(symbol, symbol + 1)
            gain[places] = scale.to(torch.complex64)
            variance[places] = (arrived - scale * known).abs().square().mean().float()
        return Statistics(gain, variance)


@lru_cache(maxsize=64)
def _statistics(radio: Radio, grid: ResourceGrid | None, points: int) -> Statistics:
    return Transmitter(radio, grid).calibrate(points)


def fill(values: torch.Tensor) -> torch.Tensor:
    """Pad [k] with zeros to whole draw blocks: vectorised functions round the last few of a tensor differently."""
    return torch.nn.functional.pad(values, (0, -len(values) % DRAW_BLOCK))


def turned(phase: torch.Tensor, grid: ResourceGrid, count: int) -> torch.Tensor:
    """exp(j phase) of the first `count` data symbols, complex64 [count], from the phase of each OFDM symbol [S, 14]."""
    rotation = torch.polar(torch.ones_like(phase), phase)
    return rotation[:, grid.data_positions // grid.subcarriers].reshape(-1)[:count]


def _calibration_symbols(count: int, points: int) -> torch.Tensor:
    """Complex Gaussian symbols of unit variance, or uniform QAM of unit energy: complex64 [count]."""
    generator = torch.Generator().manual_seed(derive_key("calibration symbols", points))
    if not points:
        return torch.randn(count, dtype=torch.complex64, generator=generator)
    side = math.isqrt(points)
    levels = torch.randint(0, side, (count, 2), generator=generator) - (side - 1) / 2
    return torch.view_as_complex(levels * math.sqrt(6 / (points - 1)))
