"""Multipath of TR 38.901 out of Sionna: path gains over time, and their delays."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from simulator.randomness import sionna_seeded


@dataclass(frozen=True)
class Paths:
    """One draw of all paths.

    Attributes:
        gains: complex64 [T, P], one sample per OFDM symbol; the mean of sum_p |gain|^2 is 1.
        delays: float64 [P], in seconds.
    """

    gains: torch.Tensor
    delays: torch.Tensor

    def response(self, frequencies: torch.Tensor) -> torch.Tensor:
        """Frequency response h(t, f) = sum_p gain_p(t) exp(-j 2 pi f delay_p), complex64 [T, F]."""
        return self.gains @ phasors(self.delays, frequencies)


def phasors(delays: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """exp(-j 2 pi f tau), complex64 [P, F]; the phase is reduced in float64."""
    turns = delays[:, None].double() * frequencies.double()
    angle = (-2 * math.pi * (turns - turns.round())).float()
    return torch.polar(torch.ones_like(angle), angle)


class PathModel(ABC):
    """A multipath model: draws paths keyed by a seed."""

    @abstractmethod
    def _sample(self, batch: int, num_times: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Sionna's gains [batch, ..., P, T] and delays [batch, ..., P]."""

    def draw(self, num_times: int, interval_s: float, key: int) -> Paths:
        """Draw the paths of one link at `num_times` instants `interval_s` apart, keyed by `key`."""
        with sionna_seeded(key):
            gains, delays = self._sample(1, num_times, 1 / interval_s)
        return Paths(gains.reshape(-1, num_times).T.contiguous(), delays.reshape(-1).double())


class Tdl(PathModel):
    """Tapped delay line, TR 38.901, 7.7.2: a fixed power-delay profile, Jakes' Doppler spectrum on each tap."""

    def __init__(self, letter: str, delay_spread_s: float, speed_m_s: float, carrier_hz: float) -> None:
        """letter: "A" to "E"."""
        self._arguments = (letter, delay_spread_s, carrier_hz)
        self._speed_m_s = speed_m_s

    @cached_property
    def _block(self) -> Any:
        from sionna.phy.channel.tr38901 import TDL

        return TDL(*self._arguments, min_speed=self._speed_m_s, device="cpu")

    def _sample(self, batch: int, num_times: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self._block(batch, num_times, rate_hz)
