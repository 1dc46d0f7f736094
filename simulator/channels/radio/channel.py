"""Any channel between a transmitter and a receiver that are not ideal."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from simulator.channels.base import Channel, Realisation, Received
from simulator.channels.contract import capabilities
from simulator.channels.grid import PILOT_SYMBOLS, ResourceGrid
from simulator.channels.mimo_ofdm import MimoOfdmChannel
from simulator.channels.ofdm import OfdmChannel, OfdmRealisation
from simulator.channels.radio.converter import Converter
from simulator.channels.radio.evm import evm_percent
from simulator.channels.radio.options import Radio
from simulator.channels.radio.oscillator import common_phase
from simulator.channels.radio.transmitter import Sent, Transmitter, fill, turned
from simulator.errors import UserError
from simulator.phy.constellation import POINTS, expected_error, gaussian_quantiser, nearest_points, own_grid, posterior
from simulator.phy.spreading import gather, spread
from simulator.randomness import derive_key
from simulator.spec.shown import Named

# Of an OFDM waveform over a channel that has no resource grid: 24 resource blocks of NR, without pilots.
_FLAT_GRID = ResourceGrid(288, 30e3, "none")
_REVISION = 3  # of how symbols are restricted to a grid, and link adaptation keeps to it
_OUTLOOK_REVISION = 1  # of what bounds and link adaptation expect of distortion, and of quantised waveforms

Level = float | torch.Tensor  # of all channel uses, or of each


@dataclass(frozen=True, repr=False)
class RadioRealisation(Realisation):
    """One draw of the channel, and what transmitter and receiver make of it.

    Attributes:
        link: what the channel between them drew.
        distortion: what they make of its |h|^2 / no.
        most_bits: that cross in one use: those of the points that are sent, or of the quantiser's levels.
    """

    link: Realisation
    distortion: "Distortion"
    most_bits: float = math.inf

    @property
    def snr(self) -> torch.Tensor:
        return self.distortion.along(self.link.snr)

    @property
    def capacity_bits(self) -> float:
        """Distortion of a waveform counts as noise, as for every receiver here.

        Where a symbol is a sample, distortion depends on the constellation, and an invertible one costs no information:
        there the bound is the capacity without it.
        """
        bits = torch.log2(1 + (self.snr if self.distortion.slot else self.link.snr))
        return float(bits.clamp(max=self.most_bits).sum())

    def without_noise(self) -> "RadioRealisation":
        return replace(self, link=self.link.without_noise(), noise_key=0)


@dataclass(frozen=True, eq=False)
class Distortion:
    """What transmitter and receiver make of a signal-to-noise ratio.

    Attributes:
        signal: |Bussgang gain|^2 of the transmitter, float32 [14], by OFDM symbol of a slot.
        transmitted: variance of its distortion relative to its input, float32 [14].
        quantised: variance of the receiver's quantisation noise, relative to the mean power that arrives.
        slot: data symbols of a slot, over which that mean goes; 0 where each symbol is a sample with a gain control.
        index: OFDM symbol of each data symbol of a slot, int64 [slot]; None where all OFDM symbols are alike.
    """

    signal: torch.Tensor
    transmitted: torch.Tensor
    quantised: float
    slot: int = 0
    index: torch.Tensor | None = None

    def __call__(self, snr: Any) -> Any:
        """On average over a slot: of ratios [..., n] that n of its channel uses have, an array or a tensor."""
        return self._of(snr, float(self.signal.mean()), float(self.transmitted.mean()))

    def along(self, snr: torch.Tensor) -> torch.Tensor:
        """Of each channel use of a transmission, float64 [K]."""
        slots = snr.split(self.slot) if self.slot else (snr,)
        if self.index is None:
            return torch.cat([self(one) for one in slots])
        signal, transmitted = self.signal[self.index], self.transmitted[self.index]
        return torch.cat([self._of(one, signal[: len(one)], transmitted[: len(one)]) for one in slots])

    def _of(self, snr: Any, signal: Level, transmitted: Level) -> Any:
        arrived = snr * (signal + transmitted) + 1
        if self.slot:
            arrived = arrived.mean(-1, keepdims=True)
        return snr * signal / (1 + snr * transmitted + self.quantised * arrived)


class RadioChannel(Named):
    """Symbols -> constellation -> transmitter -> channel -> converter -> receiver, over a channel of any kind.

    Gains and noise are those of the channel alone, so that they are the same with and without distortion.
    """

    def __init__(self, channel: Channel, radio: Radio, suffix: str) -> None:
        """Args:
        channel: what is between the antennas.
        radio: transmitter and receiver around it.
        suffix: its spelling after the channel's name.

        Raises:
            UserError: an oscillator that needs pilots over a channel without them.
        """
        self.name = channel.name + suffix
        self._channel, self._radio, self._suffix = channel, radio, suffix
        grid = channel.grid if isinstance(channel, OfdmChannel) else None
        several = channel.grid if isinstance(channel, MimoOfdmChannel) else None
        if not radio.oscillator.ideal and grid is None:
            lacks = "one antenna's pilots" if several else "pilots"
            raise UserError(
                f"channel '{channel.name}' has no {lacks} to follow phase_noise_hz or cfo with; use them over "
                "tdl-a ... rma, whose resource grid has pilots"
            )
        # Streams of several antennas have a waveform each; the grid that they lie on bills its overhead.
        flat = ResourceGrid(several.subcarriers, several.spacing_hz, "none") if several else _FLAT_GRID
        over_grid = grid or (flat if radio.ofdm else None)
        self._billed = over_grid if grid is None and several is None else None
        in_time = radio.ofdm or radio.adc_bits is not None or not radio.transmits_ideally
        self._transmitter = Transmitter(radio, over_grid if in_time else None)
        self._converter = None if radio.adc_bits is None else Converter(radio.adc_bits, over_grid)
        self._can = capabilities(channel)
        self.draws_as = self._can.announce(0.0)[0] if self._can.announce else channel.name
        self.survey, self.survey_snr = self._can.survey, self._can.survey_snr
        self.survey_still, self.streams = self._can.survey_still, self._can.streams

    def fingerprint(self) -> str:
        """That of the channel, how symbols are brought on a grid, and what is expected of distortion."""
        parts = [self._can.fingerprint()] if self._can.fingerprint else []
        distorts = self._converter is not None or not self._radio.transmits_ideally
        # Distortion of a waveform over AWGN is the same for all channel uses, and was so in every revision.
        alike = self._channel.name == "awgn" and self._transmitter.waveform is not None and self._converter is None
        expected = distorts and not alike
        revisions = [f"grid {_REVISION}"] * bool(self._radio.points) + [f"outlook {_OUTLOOK_REVISION}"] * expected
        return " ".join(parts + revisions)

    def announce(self, snr_db: float) -> tuple[str, float]:
        """What both ends believe of the channel, and their own parts, which they know."""
        if self._can.announce is None:
            return self.name, float(snr_db)
        name, believed_db = self._can.announce(snr_db)
        return name + self._suffix, believed_db

    @property
    def most_points(self) -> int:
        """Points of the largest constellation that gets through; 0 for no limit."""
        return self._radio.points

    @property
    def distortion(self) -> Distortion:
        """What the radio makes of |h|^2 / no, on average over a slot; a constellation is not counted."""
        known, waveform = self._transmitter.statistics(0), self._transmitter.waveform
        slot = waveform.grid.data_per_slot if waveform else 0
        index = None if self._radio.oscillator.ideal else self._transmitter.symbol_index(slot)
        quantised = self._converter.noise if self._converter else 0.0
        return Distortion(known.gain.abs().square(), known.variance, quantised, slot, index)

    @property
    def _most_bits(self) -> float:
        """That a channel use carries, whatever the noise."""
        levels = [2**self._radio.adc_bits] if self._radio.adc_bits and not self._transmitter.waveform else []
        levels += [math.isqrt(self._radio.points)] * bool(self._radio.points)
        return 2 * math.log2(min(levels)) if levels else math.inf

    def realise(self, num_symbols: int, snr_db: float, key: int) -> RadioRealisation:
        link = self._channel.realise(num_symbols, snr_db, key)
        drawn = (link.gain, link.noise_variance, link.noise_key)
        return RadioRealisation(*drawn, link, self.distortion, self._most_bits)

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        if not isinstance(realisation, RadioRealisation):
            raise TypeError(f"{self.name} sends over what it realised itself, not over a {type(realisation).__name__}")
        if not len(symbols):
            return self._channel.send(symbols, realisation.link)
        points, values = self._radio.points, np.ascontiguousarray(symbols.resolve_conj().numpy())
        own = own_grid(values, points or POINTS[-1])
        spreads = self._radio.spread and not own
        carried, scale = (spread(values) if spreads else values), 1.0
        mapped = carried
        if points and not own:
            scale = gaussian_quantiser(math.isqrt(points)).amplification
            mapped = nearest_points(carried, points) * np.float32(scale)
        sent = self._transmitter(torch.from_numpy(mapped), derive_key(realisation.noise_key, "radio"))
        known = self._transmitter.statistics(own)
        index = self._transmitter.symbol_index(len(symbols))
        gain, variance = known.gain[index], known.variance[index]
        evm = evm_percent(self._transmitter.in_phase(sent).numpy(), (gain * scale).numpy(), carried)
        through = self._over_grid if isinstance(self._channel, OfdmChannel) else self._over_symbols
        received = through(sent, realisation.link, gain, variance)
        count = len(symbols)
        arrived, met, noise = (one[:count] for one in (received.symbols, received.gain, received.noise_variance))
        overhead = received.overhead
        if self._billed is not None:
            overhead += self._billed.overhead(-(-count // self.streams))
        if spreads:
            arrived, met, noise = self._gather(arrived, met * scale, noise)
        return Received(arrived, met, noise, overhead, {"evm_percent": evm, **sent.measured})

    def _gather(self, *received: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Symbols, gains and noise variances, [K] each, of a transmission that was spread, from those of its sums.

        On a grid the posterior mean of the point takes the place of equalisation.
        """
        symbols, gain, noise = (one.numpy() for one in received)
        if self._radio.points:
            mean, error = posterior(symbols, gain, noise, self._radio.points)
            error += np.float32(gaussian_quantiser(math.isqrt(self._radio.points)).distortion)
        else:
            total = np.square(np.abs(gain)) + noise
            mean, error = gain.conj() * symbols / total, noise / total
        gathered, variance = gather(mean, error)
        count = len(symbols)
        return torch.from_numpy(gathered), torch.ones(count, dtype=torch.complex64), torch.full((count,), variance)

    def analog(self, snr: np.ndarray) -> np.ndarray:
        """Signal over noise of symbols of an analog transmission whose channel uses have `snr`, float64 [..., K]."""
        if not self._radio.spread:
            return snr
        error = expected_error(snr, self._radio.points) if self._radio.points else 1 / (1 + snr)
        return np.broadcast_to(1 / error.mean(-1, keepdims=True) - 1, snr.shape)

    def _over_symbols(self, sent: Sent, link: Realisation, gain: torch.Tensor, distortion: torch.Tensor) -> Received:
        """Over a channel that maps symbols to symbols."""
        received = self._channel.send(sent.symbols, link)
        if self._radio.transmits_ideally and self._transmitter.waveform is None and self._converter is None:
            return received
        gain, distortion = fill(gain), fill(distortion)
        symbols, scale, variance = (fill(one) for one in (received.symbols, received.gain, received.noise_variance))
        strength = scale.abs().square()
        variance = variance + strength * distortion
        if self._converter and self._transmitter.waveform is None:
            symbols, noise = self._converter.symbols(symbols, strength * gain.abs().square() + variance)
            variance = variance + noise
        elif self._converter and self._transmitter.waveform is not None:
            symbols, _, noise = self._converter.waveform(received.symbols, None)
            slot = self._transmitter.waveform.grid.data_per_slot
            variance = variance + fill(noise.repeat_interleave(slot))[: len(gain)]
        return replace(received, symbols=symbols, gain=scale * gain, noise_variance=variance)

    def _over_grid(self, sent: Sent, link: Realisation, gain: torch.Tensor, distortion: torch.Tensor) -> Received:
        """Over multipath, where transmitter and converter distort pilots as well as data."""
        channel, count = self._channel, len(sent.symbols)
        assert isinstance(channel, OfdmChannel)
        assert isinstance(link, OfdmRealisation)
        gain, distortion = fill(gain), fill(distortion)
        grid, slots, tracked = channel.grid, channel.grid.slots(count), not self._radio.oscillator.ideal
        symbols, pilots, noise = channel.carry(sent.symbols, link), None, torch.zeros(slots)
        if channel.estimates or tracked or self._converter:
            pilots = channel.carry_pilots(link, slots, sent.pilots)
        if self._converter:
            symbols, pilots, noise = self._converter.waveform(symbols, pilots)
        known, turn = self._transmitter.statistics(0), torch.ones(len(gain), dtype=torch.complex64)
        mean_gain = known.gain.mean()
        if pilots is not None:
            pilots = pilots / mean_gain
        if tracked and pilots is not None:
            phase = common_phase(pilots, None if channel.estimates else link.pilot_gain[:slots])
            turn = fill(turned(phase, grid, count))
            back = torch.polar(torch.ones_like(phase), -phase)[:slots, PILOT_SYMBOLS]
            pilots = pilots * back.repeat_interleave(grid.pilots_per_slot // len(PILOT_SYMBOLS), 1)
        around = link.noise_variance + float(known.variance.mean())  # of the average pilot
        if self._converter:
            around += self._converter.noise * (1 + around)
        told = around / float(mean_gain.abs()) ** 2
        estimate, spread = map(fill, channel.know(link, count, pilots if channel.estimates else None, told))
        strength = gain.abs().square()
        variance = (spread - told) * strength + estimate.abs().square() * distortion
        variance = variance + link.noise_variance + fill(noise.repeat_interleave(grid.data_per_slot)[:count])
        return Received(symbols, estimate * gain * turn, variance, grid.overhead(count))
