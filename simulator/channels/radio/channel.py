"""Any channel between a transmitter and a receiver that are not ideal."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from simulator.channels.base import Channel, Realisation, Received
from simulator.channels.contract import capabilities
from simulator.channels.grid import PILOT_SYMBOLS, ResourceGrid
from simulator.channels.mimo_ofdm import MimoOfdmChannel
from simulator.channels.ofdm import OfdmChannel, OfdmRealisation
from simulator.channels.radio.converter import Converter
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


@dataclass(frozen=True, repr=False)
class RadioRealisation(Realisation):
    """One draw of the channel, and what transmitter and receiver make of it.

    Attributes:
        link: what the channel between them drew.
        distortion: what they make of its |h|^2 / no.
        points: of the grid that symbols are restricted to.
    """

    link: Realisation
    distortion: "Distortion"
    points: int = 0

    @property
    def snr(self) -> torch.Tensor:
        return self.distortion(self.link.snr)

    @property
    def capacity_bits(self) -> float:
        """Distortion counts as noise, and no more than log2(points) bits cross in one use."""
        bits = torch.log2(1 + self.snr)
        return float((bits.clamp(max=self.points.bit_length() - 1) if self.points else bits).sum())

    def without_noise(self) -> "RadioRealisation":
        return replace(self, link=self.link.without_noise(), noise_key=0)


@dataclass(frozen=True)
class Distortion:
    """What transmitter and receiver make of a signal-to-noise ratio.

    Attributes:
        signal: |Bussgang gain|^2 of the transmitter.
        transmitted: variance of its distortion, relative to its input.
        quantised: variance of the receiver's quantisation noise, relative to all that arrives.
    """

    signal: float
    transmitted: float
    quantised: float

    def __call__(self, snr: torch.Tensor) -> torch.Tensor:
        arrived = snr * (self.signal + self.transmitted) + 1
        return snr * self.signal / (1 + snr * self.transmitted + self.quantised * arrived)


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
        self.survey, self.survey_snr, self.streams = self._can.survey, self._can.survey_snr, self._can.streams

    def fingerprint(self) -> str:
        """That of the channel, and how symbols are brought on a grid."""
        parts = [self._can.fingerprint()] if self._can.fingerprint else []
        return " ".join(parts + [f"grid {_REVISION}"] * bool(self._radio.points))

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
        known = self._transmitter.statistics(0)
        signal, transmitted = float(known.gain.abs().square().mean()), float(known.variance.mean())
        return Distortion(signal, transmitted, self._converter.noise if self._converter else 0.0)

    def realise(self, num_symbols: int, snr_db: float, key: int) -> RadioRealisation:
        link = self._channel.realise(num_symbols, snr_db, key)
        return RadioRealisation(
            link.gain, link.noise_variance, link.noise_key, link, self.distortion, self._radio.points
        )

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        if not isinstance(realisation, RadioRealisation):
            raise TypeError(f"{self.name} sends over what it realised itself, not over a {type(realisation).__name__}")
        if not len(symbols):
            return self._channel.send(symbols, realisation.link)
        points, values = self._radio.points, symbols.numpy()
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
        error = self._transmitter.in_phase(sent) / (gain * scale) - torch.from_numpy(carried)
        power = float(symbols.abs().square().mean())
        evm = 100 * (float(error.abs().square().mean()) / power) ** 0.5 if power else 0.0
        through = self._over_grid if isinstance(self._channel, OfdmChannel) else self._over_symbols
        received = through(sent, realisation.link, fill(gain), fill(variance))
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
