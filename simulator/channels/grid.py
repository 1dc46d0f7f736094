"""The OFDM resource grid: positions of data and pilots, duration of a slot, and its overhead."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from simulator.randomness import derive_key

SLOT_SYMBOLS = 14  # TS 38.211, 4.3.2: OFDM symbols per slot with normal cyclic prefix
PILOT_SYMBOLS = (2, 11)  # TS 38.211, Table 7.4.1.1.2-3: type A, one additional position
_PORTS = 4  # antennas whose pilots share an OFDM symbol, each on a separate comb; the next four use the next symbol
_GUARD = 0.1  # of the channel's bandwidth
_PREFIX = 144 / 2048  # normal cyclic prefix over the useful part, TS 38.211, 5.3.1

Pilots = Literal["dmrs", "kronecker", "none"]


@dataclass(frozen=True)
class ResourceGrid:
    """Slots of 14 OFDM symbols by `subcarriers`; the same data and pilot positions in each.

    Attributes:
        subcarriers: that carry something, in blocks of 12.
        spacing_hz: between subcarriers.
        pilots: "dmrs", every second subcarrier of two symbols (TS 38.211, 7.4.1.1, type 1, one CDM group); or
            "kronecker", all subcarriers of these two symbols; or "none", for a link whose gains need not be measured.
        antennas: transmit antennas, each with its own pilots, during which all others are silent. With
            several, OFDM symbols with pilots carry no data.
        group: neighbouring subcarriers of data that the interleaver keeps together.
    """

    subcarriers: int
    spacing_hz: float
    pilots: Pilots
    antennas: int = 1
    group: int = 1

    @property
    def pilot_spacing(self) -> int:
        """Subcarriers from one pilot of an antenna to the next."""
        if self.antennas > 2:
            return _PORTS
        return 2 if self.pilots == "dmrs" else 1

    @property
    def pilots_per_slot(self) -> int:
        """Pilots of an antenna, all of unit power."""
        return 0 if self.pilots == "none" else len(PILOT_SYMBOLS) * self.subcarriers // self.pilot_spacing

    @property
    def data_per_slot(self) -> int:
        """Resource elements that carry data symbols."""
        pilots = self.pilots_per_slot
        if self.antennas > 1:
            pilots = len(PILOT_SYMBOLS) * -(-self.antennas // _PORTS) * self.subcarriers
        return SLOT_SYMBOLS * self.subcarriers - pilots

    @property
    def fft_size(self) -> int:
        """Bandwidth in subcarrier spacings: 10 % of it is guard, as in LTE."""
        return math.ceil(self.subcarriers / (1 - _GUARD))

    @property
    def prefix(self) -> int:
        """Length of the cyclic prefix in samples at the rate `fft_size * spacing_hz`."""
        return math.ceil(self.fft_size * _PREFIX)

    @property
    def symbol_s(self) -> float:
        """Duration of an OFDM symbol with its prefix."""
        return (1 + self.prefix / self.fft_size) / self.spacing_hz

    def slots(self, num_symbols: int) -> int:
        """Slots that `num_symbols` data symbols take."""
        return -(-num_symbols // self.data_per_slot)

    def overhead(self, num_symbols: int) -> int:
        """Channel uses spent in addition to the data: all of each slot used, less its data resource elements.

        A slot takes 14 (fft_size + prefix) complex uses of time and bandwidth. Free data resource elements
        in the last slot belong to another user and are not charged; its pilots, guard and prefix are.
        """
        slot_uses = SLOT_SYMBOLS * (self.fft_size + self.prefix)
        return self.slots(num_symbols) * (slot_uses - self.data_per_slot)

    @cached_property
    def frequencies(self) -> torch.Tensor:
        """Baseband frequency of each subcarrier in Hz, float64 [subcarriers], around the carrier."""
        return (torch.arange(self.subcarriers, dtype=torch.float64) - self.subcarriers // 2) * self.spacing_hz

    def pilot_symbols(self, antenna: int = 0) -> tuple[int, ...]:
        """OFDM symbols of a slot in which an antenna sends pilots."""
        return tuple(symbol + antenna // _PORTS for symbol in PILOT_SYMBOLS)

    def pilot_carriers(self, antenna: int = 0) -> slice:
        """Subcarriers of these OFDM symbols that carry the antenna's pilots."""
        return slice(antenna % self.pilot_spacing, None, self.pilot_spacing)

    def pilots_of(self, antenna: int) -> torch.Tensor:
        """Pilots of an antenna, int64 [pilots_per_slot], as positions symbol * subcarriers + subcarrier, ascending."""
        if self.pilots == "none":
            return torch.zeros(0, dtype=torch.int64)
        carriers = torch.arange(self.subcarriers)[self.pilot_carriers(antenna)]
        return torch.cat([symbol * self.subcarriers + carriers for symbol in self.pilot_symbols(antenna)])

    @cached_property
    def pilot_positions(self) -> torch.Tensor:
        """Pilots of the first antenna, int64 [pilots_per_slot]."""
        return self.pilots_of(0)

    @cached_property
    def data_positions(self) -> torch.Tensor:
        """Data of a slot, int64 [data_per_slot], in the order in which they are filled.

        The order is one fixed pseudo-random permutation of groups per grid: an interleaver, the same for every scheme.
        """
        free = torch.ones(SLOT_SYMBOLS * self.subcarriers, dtype=torch.bool)
        free[self.pilot_positions] = False
        if self.antennas > 1:
            for antenna in range(self.antennas):
                for symbol in self.pilot_symbols(antenna):
                    free[symbol * self.subcarriers : (symbol + 1) * self.subcarriers] = False
        seed = derive_key("interleaver", self.subcarriers, self.pilots)
        groups = free.nonzero()[:, 0].reshape(-1, self.group)
        return groups[torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))].flatten()
