"""The OFDM waveform in time: resource grid to oversampled samples and back, by Sionna's blocks."""

from functools import cached_property
from typing import Any

import numpy as np
import torch

from simulator.channels.grid import SLOT_SYMBOLS, ResourceGrid
from simulator.randomness import derive_key, sionna_seeded

OVERSAMPLING = 4  # samples per sample of the channel's bandwidth: enough to see the peaks between samples


class Waveform:
    """OFDM symbols of unit mean power in time.

    The prefix repeats samples, so that it changes neither peaks nor distortion: it enters the length of an OFDM symbol
    (how far an oscillator drifts) and the bill, and is not computed.
    """

    def __init__(self, grid: ResourceGrid, oversampling: int = OVERSAMPLING) -> None:
        from scipy.fft import next_fast_len  # loads slowly, and most channels need none of it

        self.grid = grid
        self.size = next_fast_len(oversampling * grid.fft_size)
        self._first = self.size // 2 - grid.subcarriers // 2

    @cached_property
    def _blocks(self) -> tuple[Any, Any]:
        from sionna.phy.ofdm import OFDMDemodulator, OFDMModulator

        with sionna_seeded(0):
            return OFDMModulator(0, device="cpu"), OFDMDemodulator(self.size, 0, 0, device="cpu")

    @cached_property
    def pilots(self) -> torch.Tensor:
        """Known QPSK pilots of a slot, complex64 [P]: equal ones would add up to a peak."""
        return _qpsk(self.grid.pilots_per_slot, derive_key("pilot symbols"))

    def others(self, key: int) -> torch.Tensor:
        """QPSK of other users for the free part of a slot, complex64 [data of a slot]."""
        return _qpsk(self.grid.data_per_slot, key)

    def place(
        self, symbols: torch.Tensor, others: torch.Tensor | None = None, pilots: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Lay symbols and pilots on slots, complex64 [slots, 14, subcarriers].

        Args:
            symbols: complex64 [K].
            others: fills the last slot where symbols end; None for nothing.
            pilots: over their known values, complex64 [slots, P]; None for 1 everywhere.
        """
        grid, slots = self.grid, self.grid.slots(len(symbols))
        free = slots * grid.data_per_slot - len(symbols)
        rest = torch.zeros(free, dtype=torch.complex64) if others is None else others[len(others) - free :]
        resources = torch.zeros((slots, SLOT_SYMBOLS * grid.subcarriers), dtype=torch.complex64)
        resources[:, grid.data_positions] = torch.cat([symbols, rest]).reshape(slots, grid.data_per_slot)
        resources[:, grid.pilot_positions] = self.pilots if pilots is None else self.pilots * pilots
        return resources.reshape(slots, SLOT_SYMBOLS, grid.subcarriers)

    def take(self, resources: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first `count` data symbols, complex64 [count], and all pilots over their known values, [slots, P]."""
        flat = resources.reshape(len(resources), -1)
        pilots = flat[:, self.grid.pilot_positions] * self.pilots.conj()
        return flat[:, self.grid.data_positions].reshape(-1)[:count], pilots

    def modulate(self, resources: torch.Tensor) -> torch.Tensor:
        """Samples of unit mean power, complex64 [slots, 14, size], for resource elements of unit power."""
        shape, bandwidth = resources.shape[:-1], self.grid.subcarriers
        padded = torch.zeros((*shape, self.size), dtype=torch.complex64)
        padded[..., self._first : self._first + bandwidth] = resources
        samples = self._blocks[0](padded).reshape(*shape, self.size)
        return samples * (self.size / bandwidth) ** 0.5

    def demodulate(self, samples: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Resource elements, complex64 [slots, 14, subcarriers], and power outside the channel's bandwidth over power
        inside, of each OFDM symbol, float32 [slots, 14]."""
        shape, bandwidth = samples.shape[:-1], self.grid.subcarriers
        bins = self._blocks[1](samples.reshape(*shape[:-1], -1)).reshape(*shape, self.size)
        power = bins.real.square() + bins.imag.square()
        middle, half = self.size // 2, self.grid.fft_size // 2
        inside = power[..., middle - half : middle + half].sum(-1)
        outside = power[..., : middle - half].sum(-1) + power[..., middle + half :].sum(-1)
        resources = bins[..., self._first : self._first + bandwidth] * (bandwidth / self.size) ** 0.5
        return resources, outside / inside.clamp(min=1e-30)


def papr_db(samples: torch.Tensor) -> np.ndarray:
    """Peak over mean power of every OFDM symbol, complex64 [..., size] -> float64 [...] in dB."""
    power = samples.abs().double().square()
    return (10 * torch.log10(power.amax(-1) / power.mean(-1))).numpy()


def _qpsk(count: int, key: int) -> torch.Tensor:
    signs = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(key)) * 2.0 - 1
    return torch.view_as_complex(signs) / 2**0.5
