"""An imperfect oscillator: Wiener phase noise, residual frequency offset, and the pilots' correction."""

import math
from dataclasses import dataclass

import torch

from simulator.channels.grid import PILOT_SYMBOLS, SLOT_SYMBOLS, ResourceGrid

_WALK_SLOTS = 8  # drawn at once, always all of them, so that a walk does not depend on how long it goes on
_PHASE_SLOTS = 64


@dataclass(frozen=True)
class Oscillator:
    """The transmitter's and receiver's oscillators as one, at the transmitter.

    Attributes:
        linewidth_hz: full width at half maximum of the Lorentzian spectrum; the phase is a Wiener process whose
            increments over T seconds have variance 2 pi linewidth T (Demir et al., IEEE Trans. CAS-I 47(5), 2000).
        offset: frequency offset in subcarrier spacings.
    """

    linewidth_hz: float = 0.0
    offset: float = 0.0

    @property
    def ideal(self) -> bool:
        return not self.linewidth_hz and not self.offset

    def phase(self, grid: ResourceGrid, slots: int, size: int, key: int) -> torch.Tensor:
        """Phase in radians of `slots` slots' samples, `size` per OFDM symbol without prefix: float32 [slots, 14, size].

        The walk starts at 0 and continues through prefixes and from slot to slot.
        """
        generator = torch.Generator().manual_seed(key)
        variance = 2 * math.pi * self.linewidth_hz / (grid.spacing_hz * size)  # per sample
        prefix = grid.prefix / grid.fft_size * size
        blocks, start = [], torch.zeros(1, dtype=torch.float64)
        for _ in range(-(-slots // _WALK_SLOTS)):
            steps = torch.randn((_WALK_SLOTS * SLOT_SYMBOLS, size), generator=generator) * math.sqrt(variance)
            over_prefix = torch.randn(len(steps), generator=generator).double() * math.sqrt(variance * prefix)
            walk = steps.cumsum(1)
            ends = torch.cumsum(walk[:, -1].double() + over_prefix, 0)
            begins = start + over_prefix + torch.cat([torch.zeros(1, dtype=torch.float64), ends[:-1]])
            blocks.append(walk + begins[:, None].float())
            start = start + ends[-1]
        walked = torch.cat(blocks)[: slots * SLOT_SYMBOLS].reshape(slots, SLOT_SYMBOLS, size)
        index = torch.arange(slots * SLOT_SYMBOLS, dtype=torch.float64).reshape(slots, SLOT_SYMBOLS, 1)
        turns = self.offset * (index * (1 + grid.prefix / grid.fft_size) + torch.arange(size) / size)
        return walked + (2 * math.pi * (turns - turns.round())).float()


def common_phase(pilots: torch.Tensor, expected: torch.Tensor | None) -> torch.Tensor:
    """Common phase of each OFDM symbol from the pilots of its slot, float32 [at least slots, 14] in radians.

    The slots are filled up to whole blocks, whose last bits do not depend on how many there are.

    The phase is measured in the two OFDM symbols with pilots and taken to be linear in time through both.

    Args:
        pilots: received over sent, complex64 [slots, P]: those of the first OFDM symbol with pilots, then the second's.
        expected: what they would be without phase error, such as the gains. None measures the second half against the
            first, as a receiver does before it estimates the channel.
    """
    filling = (0, 0, 0, -len(pilots) % _PHASE_SLOTS)
    pilots = torch.nn.functional.pad(pilots, filling)
    expected = None if expected is None else torch.nn.functional.pad(expected, filling)
    first, second = pilots.reshape(len(pilots), 2, -1).unbind(1)
    if expected is None:
        start, turn = torch.zeros(len(pilots)), torch.angle((second * first.conj()).sum(1))
    else:
        wanted_first, wanted_second = expected.reshape(len(pilots), 2, -1).unbind(1)
        early, late = (first * wanted_first.conj()).sum(1), (second * wanted_second.conj()).sum(1)
        start, turn = torch.angle(early), torch.angle(late * early.conj())
    times = (torch.arange(SLOT_SYMBOLS) - PILOT_SYMBOLS[0]) / (PILOT_SYMBOLS[1] - PILOT_SYMBOLS[0])
    return start[:, None] + turn[:, None] * times
