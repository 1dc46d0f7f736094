"""Several antennas over multipath: streams on the resource grid, one channel matrix per resource element.

The model of a resource element is that of one antenna (`simulator.channels.ofdm`), y = H x + n: no interference between
OFDM symbols or subcarriers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from simulator.channels.antennas import Antennas, apply
from simulator.channels.base import Realisation, Received, fade, noise_variance
from simulator.channels.estimation import Estimator
from simulator.channels.grid import SLOT_SYMBOLS, ResourceGrid
from simulator.channels.ofdm import BLOCK_SLOTS
from simulator.channels.paths import PathModel, phasors
from simulator.channels.spatial import Streams
from simulator.randomness import derive_key
from simulator.spec.shown import Named

_SURVEYED_GROUPS = 12  # of neighbouring subcarriers in a slot
_SURVEYED_AT_ONCE = 256  # gains of paths over time, to bound the memory of Sionna's sums of sinusoids


@dataclass(frozen=True, repr=False)
class MimoOfdmRealisation(Realisation):
    """One draw of the channel matrices on as many slots as the symbols take.

    Attributes:
        served: how the streams of each slot cross the channel to a receiver that knows it.
        pilot_gain: complex64 [slots, rx, tx, pilots of a slot], for the receiver to measure.
        capacity: in bits, of all uses together, for an ideal receiver.
    """

    served: tuple[Streams, ...]
    pilot_gain: torch.Tensor
    capacity: float

    @property
    def capacity_bits(self) -> float:
        return self.capacity


class MimoOfdmChannel(Named):
    """Streams over one multipath model: total transmit power 1, noise of variance no at each receive antenna."""

    def __init__(
        self, name: str, model: PathModel, grid: ResourceGrid, antennas: Antennas, estimator: Estimator | None = None
    ) -> None:
        """Args:
        name: how the channel is called in results.
        model: draws the paths between all antennas.
        grid: where symbols and each antenna's pilots lie.
        antennas: at both ends, and how they are used.
        estimator: the receiver's, for one pair of antennas at a time; None if the receiver knows the matrices.
        """
        self.name, self.grid, self.streams = name, grid, antennas.streams
        self._model, self._antennas, self._estimator = model, antennas, estimator

    def realise(self, num_symbols: int, snr_db: float, key: int) -> MimoOfdmRealisation:
        """Draw the matrices of `num_symbols` data symbols; time continues from slot to slot."""
        noise, slots = noise_variance(snr_db), self._slots(num_symbols)
        served, bits = [], [torch.zeros(0, dtype=torch.float64)]
        pilots = [torch.zeros((0, self._antennas.rx, self._antennas.tx, self.grid.pilots_per_slot))]
        for response in self._responses(slots, derive_key(key, "gain")):
            matrices = self._blocks(response)
            streams = self._antennas.serve_in_turn(matrices, noise)
            served.append(streams)
            bits.append(self._antennas.capacity_bits(matrices[:, 0], noise, streams.sinr))
            if self._estimator is not None:
                pilots.append(self._at_pilots(response)[None])
        blocks = -(-num_symbols // self._antennas.per_block)
        mean = float(torch.cat(bits)[:blocks].mean()) if blocks else 0.0
        sinr = torch.cat([torch.zeros(0), *(one.sinr.flatten() for one in served)])[:num_symbols]
        gain = (sinr * noise).sqrt().to(torch.complex64)
        rest = tuple(served), torch.cat(pilots), mean * num_symbols / self._antennas.per_block
        return MimoOfdmRealisation(gain, noise, derive_key(key, "noise"), *rest)

    def survey_snr(self, num_symbols: int, count: int, snr_db: float, key: int) -> tuple[torch.Tensor, int]:
        """SINR of streams in `count` realisations, float32 [count, slots, n], sampled; and the symbols per slot."""
        grid, antennas, slots = self.grid, self._antennas, self._slots(num_symbols)
        first = torch.arange(0, grid.subcarriers, max(grid.group, grid.subcarriers // _SURVEYED_GROUPS))
        first = first - first % grid.group
        carriers = (first[:, None] + torch.arange(antennas.uses)).flatten()
        found, at_once = [], max(1, _SURVEYED_AT_ONCE // (antennas.tx * antennas.rx))
        for start in range(0, count, at_once):
            links = min(at_once, count - start)
            interval = SLOT_SYMBOLS * grid.symbol_s
            gains, delays = self._model.draw_matrices(links, slots, interval, derive_key(key, start))
            response = gains @ phasors(delays[0], grid.frequencies[carriers])  # [links, rx, tx, slots, F]
            matrices = response.permute(0, 3, 4, 1, 2).reshape(-1, antennas.uses, antennas.rx, antennas.tx)
            sinr = antennas.serve_in_turn(matrices, noise_variance(snr_db)).sinr
            found.append(sinr.reshape(links, slots, -1))
        return torch.cat(found), self._per_slot

    @property
    def _per_slot(self) -> int:
        """Data symbols of a slot."""
        return self.grid.data_per_slot * self._antennas.per_block // self._antennas.uses

    def _slots(self, num_symbols: int) -> int:
        return -(-num_symbols // self._per_slot)

    def _responses(self, slots: int, key: int) -> Iterator[torch.Tensor]:
        """Frequency response of each slot, complex64 [rx, tx, resource elements of a slot]."""
        if not slots:
            return
        num_times = -(-slots // BLOCK_SLOTS) * BLOCK_SLOTS * SLOT_SYMBOLS
        gains, delays = self._model.draw_matrices(1, num_times, self.grid.symbol_s, key)
        turns = phasors(delays[0], self.grid.frequencies)
        for one in gains[0].split(SLOT_SYMBOLS, dim=2)[:slots]:
            yield (one @ turns).flatten(2)

    def _blocks(self, response: torch.Tensor) -> torch.Tensor:
        """Matrices of the blocks of a slot in the order of the data, complex64 [n, uses, rx, tx]."""
        rx, tx, _ = response.shape
        return response[..., self.grid.data_positions].reshape(rx, tx, -1, self._antennas.uses).permute(2, 3, 0, 1)

    def _at_pilots(self, response: torch.Tensor) -> torch.Tensor:
        """Gains at each antenna's pilots, complex64 [rx, tx, P]."""
        ports = [response[:, antenna, self.grid.pilots_of(antenna)] for antenna in range(self._antennas.tx)]
        return torch.stack(ports, dim=1)

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        """Send complex64 [K] symbols; pilots of all antennas, guard and prefix are the overhead."""
        if not isinstance(realisation, MimoOfdmRealisation):
            raise TypeError(f"{self.name} sends over what it realised itself, not over a {type(realisation).__name__}")
        count, noise = len(symbols), realisation.noise_variance
        slots = self._slots(count)
        if not count:
            return Received(symbols, symbols, torch.zeros(0))
        sent = torch.nn.functional.pad(symbols, (0, slots * self._per_slot - count))
        parts = zip(sent.reshape(slots, -1, self._antennas.per_block), realisation.served, strict=False)
        arrived = torch.stack([apply(way.channel, one) for one, way in parts])
        ones = torch.ones(arrived.numel(), dtype=torch.complex64)
        received = fade(arrived.flatten(), ones, noise, realisation.noise_key).reshape(arrived.shape)
        told, known = torch.full((self._per_slot // self._antennas.per_block,), noise), realisation.served[:slots]
        if self._estimator is not None:
            told, known = self._estimate(realisation, slots)
        gain = torch.stack([(way.sinr * told[:, None]).sqrt() for way in known]).flatten()[:count]
        found = torch.stack([apply(way.combiner, one) for one, way in zip(received, known, strict=True)])
        variance = told.repeat_interleave(self._antennas.per_block).repeat(slots)[:count]
        overhead = self.grid.overhead(slots * self.grid.data_per_slot)
        known_gain = realisation.gain[:count] if self._estimator is None else gain.to(torch.complex64)
        return Received(found.flatten()[:count] * known_gain, known_gain, variance, overhead)

    def _estimate(self, realisation: MimoOfdmRealisation, slots: int) -> tuple[torch.Tensor, tuple[Streams, ...]]:
        """Noise variance with the estimates' errors, float32 [blocks of a slot], and the receiver of each slot.

        An error of variance e of each antenna's gain adds e / tx, its share of the power.
        """
        assert self._estimator is not None
        noise, antennas = realisation.noise_variance, self._antennas
        clean = realisation.pilot_gain[:slots]
        key = derive_key(realisation.noise_key, "pilots")
        pilots = fade(clean.flatten(), torch.ones(clean.numel(), dtype=torch.complex64), noise, key)
        padded = torch.nn.functional.pad(pilots.reshape(clean.shape), (0, 0) * 3 + (0, -slots % BLOCK_SLOTS))
        errors, ports = torch.zeros(self.grid.data_per_slot), []
        for antenna in range(antennas.tx):
            seen = padded[:, :, antenna].split(BLOCK_SLOTS)
            parts = [self._estimator.estimate(one.flatten(0, 1), noise, antenna) for one in seen]
            ports.append(torch.cat([gains for gains, _ in parts]).reshape(len(padded), antennas.rx, -1))
            errors += parts[0][1] / antennas.tx
        told = noise + errors.reshape(-1, antennas.uses).mean(1)
        gains = torch.stack(ports, 2)[:slots]  # [slots, rx, tx, data]
        shaped = gains.reshape(slots, antennas.rx, antennas.tx, -1, antennas.uses).permute(0, 3, 4, 1, 2)
        return told, tuple(antennas.serve_in_turn(one, told) for one in shaped)
