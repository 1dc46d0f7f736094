"""OFDM over multipath: data symbols on the resource grid, one complex gain each.

The model is that of each resource element in the frequency domain, y = h s + n: the cyclic prefix is longer than the
channel, and the channel stands still for the length of one OFDM symbol. So there is no interference between symbols or
between subcarriers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from simulator.channels.base import Realisation, Received, fade, noise_variance
from simulator.channels.estimation import Estimator
from simulator.channels.grid import SLOT_SYMBOLS, ResourceGrid
from simulator.channels.paths import PathModel, Paths
from simulator.randomness import derive_key
from simulator.spec.shown import Named

# Paths are drawn and responses computed for whole blocks of slots, so that the last bits of a gain do not depend on
# how many symbols are sent.
BLOCK_SLOTS = 8
_SURVEYED_SUBCARRIERS = 48


@dataclass(frozen=True, repr=False)
class OfdmRealisation(Realisation):
    """One draw of the channel on as many slots as the symbols take.

    Attributes:
        pilot_gain: complex64 [slots, pilots of a slot], for the receiver to measure.
    """

    pilot_gain: torch.Tensor


class OfdmChannel(Named):
    """Symbols laid on a resource grid over one multipath model."""

    def __init__(self, name: str, model: PathModel, grid: ResourceGrid, estimator: Estimator | None = None) -> None:
        """Args:
        name: how the channel is called in results.
        model: draws the paths.
        grid: where symbols and pilots lie.
        estimator: the receiver's; None if the receiver knows the gains.
        """
        self.name = name
        self.model = model
        self.grid = grid
        self._estimator = estimator

    def realise(self, num_symbols: int, snr_db: float, key: int) -> OfdmRealisation:
        """Draw the gains of `num_symbols` data symbols and of the pilots in their slots, in one run of time."""
        grid = self.grid
        slots = grid.slots(num_symbols)
        gains = [torch.zeros(0, dtype=torch.complex64)]
        pilots = [torch.zeros((0, grid.pilots_per_slot), dtype=torch.complex64)]
        if slots:
            num_times = -(-slots // BLOCK_SLOTS) * BLOCK_SLOTS * SLOT_SYMBOLS
            paths = self.model.draw(num_times, grid.symbol_s, derive_key(key, "gain"))
            for response in self._responses(paths):
                gains.append(response[:, grid.data_positions].reshape(-1))
                pilots.append(response[:, grid.pilot_positions])
        gain = torch.cat(gains)[:num_symbols]
        return OfdmRealisation(gain, noise_variance(snr_db), derive_key(key, "noise"), torch.cat(pilots)[:slots])

    def survey(self, num_symbols: int, count: int, key: int) -> tuple[torch.Tensor, int]:
        """|h|^2 of `count` realisations of `num_symbols` uses, sampled: once per slot, on a comb of subcarriers."""
        grid = self.grid
        gains, delays = self.model.draw_many(count, grid.slots(num_symbols), SLOT_SYMBOLS * grid.symbol_s, key)
        frequencies = grid.frequencies[:: max(1, grid.subcarriers // _SURVEYED_SUBCARRIERS)]
        links = zip(gains, delays, strict=True)
        response = torch.stack([Paths(gain.T, delay).response(frequencies) for gain, delay in links])
        return response.abs().square(), grid.data_per_slot

    def _responses(self, paths: Paths) -> Iterator[torch.Tensor]:
        """Frequency response of each block, complex64 [BLOCK_SLOTS, resource elements of a slot]."""
        for gains in paths.gains.split(BLOCK_SLOTS * SLOT_SYMBOLS):
            yield Paths(gains, paths.delays).response(self.grid.frequencies).reshape(BLOCK_SLOTS, -1)

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        """Send complex64 [K] symbols; pilots, guard and prefix are the overhead.

        What remains around estimate * s is the noise and the estimation error, which s multiplies.
        """
        received = self.carry(symbols, realisation)
        pilots = None
        if self.estimates and len(symbols):
            pilots = self.carry_pilots(realisation, self.grid.slots(len(symbols)))
        gain, variance = self.know(realisation, len(symbols), pilots, realisation.noise_variance)
        return Received(received, gain, variance, self.grid.overhead(len(symbols)))

    @property
    def estimates(self) -> bool:
        """Whether the receiver estimates the gains instead of knowing them."""
        return self._estimator is not None

    def carry(self, symbols: torch.Tensor, realisation: Realisation) -> torch.Tensor:
        """What arrives of complex64 [K] data symbols: gain * s + noise."""
        if not isinstance(realisation, OfdmRealisation):
            raise TypeError(f"{self.name} sends over what it realised itself, not over a {type(realisation).__name__}")
        return fade(symbols, realisation.gain[: len(symbols)], realisation.noise_variance, realisation.noise_key)

    def carry_pilots(self, realisation: Realisation, slots: int, sent: torch.Tensor | None = None) -> torch.Tensor:
        """What arrives of the pilots of `slots` slots over their known values, complex64 [slots, P].

        Args:
            realisation: of this channel.
            slots: how many.
            sent: what was sent over what is known, complex64 [slots, P]; None for 1 everywhere.
        """
        assert isinstance(realisation, OfdmRealisation)
        gain = realisation.pilot_gain[:slots].flatten()
        pilots = torch.ones_like(gain) if sent is None else sent.flatten()
        key = derive_key(realisation.noise_key, "pilots")
        return fade(pilots, gain, realisation.noise_variance, key).reshape(slots, -1)

    def know(
        self, realisation: Realisation, count: int, pilots: torch.Tensor | None, noise_variance: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Gains as the receiver knows them, complex64 [count], and the variance around gain * s, float32 [count].

        Args:
            realisation: of this channel.
            count: data symbols.
            pilots: as received, [slots, P]; None if the receiver knows the gains.
            noise_variance: of each pilot and data symbol.
        """
        variance = torch.full((count,), noise_variance)
        if self._estimator is None or pilots is None:
            return realisation.gain[:count], variance
        padded = torch.nn.functional.pad(pilots, (0, 0, 0, -len(pilots) % BLOCK_SLOTS))
        parts = [self._estimator.estimate(block, noise_variance) for block in padded.split(BLOCK_SLOTS)]
        gain = torch.cat([gain for gain, _ in parts]).flatten()[:count]
        return gain, variance + parts[0][1].repeat(len(pilots))[:count]
