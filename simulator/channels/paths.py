"""Multipath of TR 38.901 out of Sionna: path gains over time, and their delays."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import torch

from simulator.randomness import derive_key, sionna_seeded

SPEED_OF_LIGHT = 299_792_458.0
# The line of sight of TDL-D and TDL-E has its Doppler shift at this fraction of the largest one (TR 38.901, 7.7.2).
_LOS_DOPPLER = 0.7
# Draws out of which the covariance of a model without a closed form is measured, and how many at a time.
_STATISTICS_DRAWS, _STATISTICS_BATCH = 600, 100


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


@dataclass(frozen=True)
class Covariance:
    """E[h(t, f) h*(t', f')] as a sum over r of time[r, t, t'] frequency[r, f, f'].

    Attributes:
        time: complex128 [R, T, T].
        frequency: complex128 [R, F, F].
    """

    time: torch.Tensor
    frequency: torch.Tensor


class PathModel(ABC):
    """A multipath model: draws paths keyed by a seed, and knows their second-order statistics."""

    @abstractmethod
    def sample(self, batch: int, num_times: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Sionna's gains [batch, ..., P, T] and delays [batch, ..., P]."""

    @abstractmethod
    def covariance(self, num_times: int, interval_s: float, frequencies: torch.Tensor) -> Covariance:
        """Covariance of the response at `num_times` instants and at `frequencies` [F] in Hz."""

    def draw(self, num_times: int, interval_s: float, key: int) -> Paths:
        """Draw the paths of one link at `num_times` instants `interval_s` apart, keyed by `key`."""
        with sionna_seeded(key):
            gains, delays = self.sample(1, num_times, 1 / interval_s)
        return Paths(gains.reshape(-1, num_times).T.contiguous(), delays.reshape(-1).double())

    def draw_many(self, count: int, num_times: int, interval_s: float, key: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the paths of `count` links at once: gains complex64 [count, P, T], delays float64 [count, P]."""
        with sionna_seeded(key):
            gains, delays = self.sample(count, num_times, 1 / interval_s)
        return gains.reshape(count, -1, num_times), delays.reshape(count, -1).double()

    def draw_matrices(
        self, count: int, num_times: int, interval_s: float, key: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the paths of `count` links between several antennas at once.

        Returns:
            Gains complex64 [count, rx, tx, T, P], delays float64 [count, P].
        """
        with sionna_seeded(key):
            gains, delays = self.sample(count, num_times, 1 / interval_s)
        return gains[:, 0, :, 0].mT.contiguous(), delays.reshape(count, -1).double()

    def _measure(self, num_times: int, interval_s: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Many seeded draws: gains complex128 [draws, P, T] and delays float64 [draws, P]."""
        batches = range(_STATISTICS_DRAWS // _STATISTICS_BATCH)
        keys = [derive_key("covariance", index) for index in batches]
        parts = [self.draw_many(_STATISTICS_BATCH, num_times, interval_s, key) for key in keys]
        gains = torch.cat([gains for gains, _ in parts])
        return gains.to(torch.complex128), torch.cat([delays for _, delays in parts])


@dataclass(frozen=True)
class LinkLevel(PathModel):
    """A profile of TR 38.901, 7.7, whose delays are scaled to a delay spread.

    Attributes:
        letter: "A" to "E".
        delay_spread_s, speed_m_s, carrier_hz: of the link.
        antennas: at the transmitter and at the receiver.
    """

    letter: str
    delay_spread_s: float
    speed_m_s: float
    carrier_hz: float
    antennas: tuple[int, int] = (1, 1)

    @property
    @abstractmethod
    def _block(self) -> Any:
        """Sionna's."""

    def sample(self, batch: int, num_times: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
        return self._block(batch, num_times, rate_hz)


@dataclass(frozen=True)
class Tdl(LinkLevel):
    """Tapped delay line, TR 38.901, 7.7.2: a fixed power-delay profile, Jakes' Doppler spectrum on each tap.

    Attributes:
        correlation: of neighbouring antennas of either end, exponential (Kronecker model).
    """

    correlation: float = 0

    @cached_property
    def _block(self) -> Any:
        from sionna.phy.channel import exp_corr_mat
        from sionna.phy.channel.tr38901 import TDL

        tx, rx = self.antennas
        ends: dict[str, Any] = {"num_tx_ant": tx, "num_rx_ant": rx}
        with sionna_seeded(0):
            if self.correlation:
                ends["tx_corr_mat"] = exp_corr_mat(self.correlation, tx, device="cpu")
                ends["rx_corr_mat"] = exp_corr_mat(self.correlation, rx, device="cpu")
            profile = (self.letter, self.delay_spread_s, self.carrier_hz)
            return TDL(*profile, min_speed=self.speed_m_s, device="cpu", **ends)

    def covariance(self, num_times: int, interval_s: float, frequencies: torch.Tensor) -> Covariance:
        """J0 in time and the power-delay profile's transform in frequency; a line of sight is a separate term."""
        lags = torch.arange(num_times, dtype=torch.float64) * interval_s
        turns = self.speed_m_s / SPEED_OF_LIGHT * self.carrier_hz * (lags[:, None] - lags)
        powers, delays = self._block.mean_powers.double(), self._block.delays.double()
        times = [torch.special.bessel_j0(2 * math.pi * turns).to(torch.complex128)]
        if self._block.los:
            los_power = float(self._block.mean_power_los)
            powers = powers - los_power * torch.eye(len(powers), dtype=torch.float64)[0]
            angle = 2 * math.pi * _LOS_DOPPLER * turns
            times.append(torch.polar(torch.full_like(angle, los_power), angle))
        steering = phasors(delays, frequencies).to(torch.complex128)
        return Covariance(torch.stack(times), torch.stack([_gram(steering, powers), _gram(steering[:1])][: len(times)]))


class Cdl(LinkLevel):
    """Clustered delay line, TR 38.901, 7.7.1: fixed cluster delays, powers and angles; random velocity and phases.

    Antennas are vertical and isotropic, several form a row half a wavelength apart; the terminal moves, in a
    direction drawn per realisation.
    """

    @cached_property
    def _block(self) -> Any:
        from sionna.phy.channel.tr38901 import CDL

        profile, speed = (self.letter, self.delay_spread_s, self.carrier_hz), self.speed_m_s
        with sionna_seeded(0):
            station, terminal = (_antennas(self.carrier_hz, count) for count in self.antennas)
            ends = {"ut_array": terminal, "bs_array": station, "direction": "downlink"}
            return CDL(*profile, **ends, min_speed=speed, max_speed=speed, device="cpu")

    def covariance(self, num_times: int, interval_s: float, frequencies: torch.Tensor) -> Covariance:
        """Measured time covariance of each cluster; delays are fixed."""
        gains, delays = self._measure(num_times, interval_s)
        time = torch.einsum("bpt,bps->pts", gains, gains.conj()) / len(gains)
        steering = phasors(delays[0], frequencies).to(torch.complex128)
        return Covariance(time, steering[:, :, None] * steering[:, None, :].conj())


class SystemLevel(PathModel):
    """UMi, UMa and RMa of TR 38.901, 7.2-7.5: one base station, one terminal dropped in its sector per realisation.

    Path loss, penetration loss and shadowing are left out, and both ends have one vertical, isotropic antenna. So the
    mean power over the small-scale fading of a drop is 1.
    """

    def __init__(self, scenario: str, speed_m_s: float, carrier_hz: float) -> None:
        """scenario: "umi", "uma" or "rma"."""
        self._scenario = scenario
        self._speed_m_s = speed_m_s
        self._carrier_hz = carrier_hz
        self._block = cache(self._build)

    def _build(self, batch: int) -> Any:
        """Sionna's block, one per batch size."""
        from sionna.phy.channel import tr38901

        with sionna_seeded(0):
            antenna = _antennas(self._carrier_hz, 1)
            switches = {"enable_pathloss": False, "enable_shadow_fading": False, "direction": "downlink"}
            arguments = switches | {"ut_array": antenna, "bs_array": antenna, "device": "cpu"}
            if self._scenario == "rma":
                return tr38901.RMa(self._carrier_hz, **arguments)
            block = {"umi": tr38901.UMi, "uma": tr38901.UMa}[self._scenario]
            return block(self._carrier_hz, o2i_model="low", **arguments)

    def sample(self, batch: int, num_times: int, rate_hz: float) -> tuple[torch.Tensor, torch.Tensor]:
        from sionna.phy.channel import gen_single_sector_topology

        speed = {"min_ut_velocity": self._speed_m_s, "max_ut_velocity": self._speed_m_s}
        topology = gen_single_sector_topology(batch, 1, self._scenario, **speed, device="cpu")
        terminal, station, terminal_turn, station_turn, velocity, indoor = topology
        upright = (torch.zeros_like(terminal_turn), torch.zeros_like(station_turn))
        block = self._block(batch)
        block.reset_topology()  # a block with a topology draws its next one in another order
        block.set_topology(terminal, station, *upright, velocity, indoor, los="random")
        return block(num_times, rate_hz)

    def covariance(self, num_times: int, interval_s: float, frequencies: torch.Tensor) -> Covariance:
        """Measured over drops, and taken as separable: time covariance of all paths times mean delay profile."""
        gains, delays = self._measure(num_times, interval_s)
        time = torch.einsum("bpt,bps->ts", gains, gains.conj()) / len(gains)
        powers = gains.abs().square().mean(2).flatten()
        steering = phasors(delays.flatten()[powers > 0], frequencies).to(torch.complex128)
        frequency = _gram(steering, powers[powers > 0] / powers.sum())
        return Covariance(time[None], frequency[None])


def _gram(steering: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """sum_p weight_p e_p e_p^H of the rows e_p of `steering` [P, F]."""
    weighted = steering if weights is None else steering * weights[:, None]
    return weighted.T @ steering.conj()


def _antennas(carrier_hz: float, count: int) -> Any:
    """Vertical, isotropic antenna elements in a row, half a wavelength apart."""
    from sionna.phy.channel.tr38901 import PanelArray

    kind = {"polarization": "single", "polarization_type": "V", "antenna_pattern": "omni"}
    return PanelArray(
        num_rows_per_panel=1, num_cols_per_panel=count, carrier_frequency=carrier_hz, device="cpu", **kind
    )
