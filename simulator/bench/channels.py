"""Speed of channels compared with the bare Sionna blocks that they wrap."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from simulator.bench.turns import one_thread, take_turns
from simulator.channels.base import noise_variance
from simulator.channels.flat import FlatChannel
from simulator.channels.grid import SLOT_SYMBOLS
from simulator.channels.load import load_channel
from simulator.channels.ofdm import BLOCK_SLOTS, OfdmChannel

SNR_DB = 10.0
NOISE = noise_variance(SNR_DB)
CHANNELS = (
    *("awgn", "rayleigh", "rayleigh-fast", "rician-fast"),
    *("tdl-c", "tdl-c:csi=ls", "tdl-c:csi=lmmse", "cdl-c", "cdl-c:csi=lmmse", "umi", "uma", "rma"),
    *("awgn:constellation=64", "awgn:pa=rapp:iq_db=0.5", "awgn:pa=saleh:papr_db=4", "awgn:adc_bits=6"),
    *("mimo", "mimo:tx=4:rx=4:fading=fast", "mimo:precoding=svd:fading=fast", "mimo:precoding=alamouti"),
    *("mimo:model=tdl-c", "mimo:tx=4:rx=4:model=tdl-c", "mimo:model=cdl-c:precoding=svd"),
    *("mimo:model=tdl-c:precoding=alamouti", "mimo:tx=4:rx=4:model=tdl-c:csi=estimated"),
    *("awgn:waveform=ofdm", "awgn:waveform=ofdm:papr_db=4:pa=rapp:adc_bits=6", "tdl-c:phase_noise_hz=10:csi=lmmse"),
)


@dataclass(frozen=True)
class ChannelRun:
    """One channel on one core.

    Attributes:
        symbols_per_second: data symbols through `realise` and `send`.
        bare_symbols_per_second: through Sionna's own blocks on the same number of data symbols: draw, response, noise;
            with perfect channel knowledge even if the channel estimates. None for a channel that does not use them.
    """

    channel: str
    symbols_per_second: float
    bare_symbols_per_second: float | None

    @property
    def cost(self) -> float | None:
        """Our time over the bare blocks' time."""
        bare = self.bare_symbols_per_second
        return None if bare is None else bare / self.symbols_per_second


def compare_channels(
    specs: tuple[str, ...], num_symbols: int, repeats: int, report: Callable[[str], None] = lambda spec: None
) -> Iterator[ChannelRun]:
    """Send `num_symbols` over each channel `repeats` times, in turns with the bare blocks; the fastest turns count.

    One thread. What is built once per channel (Sionna's tables, the Wiener filter) is not timed.

    Raises:
        UserError: no such channel.
    """
    for spec in specs:
        report(spec)
        contestants = [one for one in (_ours(spec, num_symbols), _bare(spec, num_symbols)) if one is not None]
        with one_thread():
            ours, *bare = take_turns(contestants, repeats, time.process_time)
        yield ChannelRun(spec, num_symbols / ours, num_symbols / bare[0] if bare else None)


def _ours(spec: str, num_symbols: int) -> Callable[[], Any]:
    channel, symbols = load_channel(spec), torch.ones(num_symbols, dtype=torch.complex64)
    return lambda: channel.send(symbols, channel.realise(num_symbols, SNR_DB, 1))


def _bare(spec: str, num_symbols: int) -> Callable[[], Any] | None:
    """Sionna's blocks as its documentation strings them together; None for a channel without such blocks."""
    channel = load_channel(spec)
    if isinstance(channel, OfdmChannel):
        return _bare_multipath(channel, num_symbols)
    return _bare_flat(spec.partition(":")[0], num_symbols) if isinstance(channel, FlatChannel) else None


def _bare_multipath(channel: OfdmChannel, num_symbols: int) -> Callable[[], Any]:
    from sionna.phy.channel import ApplyOFDMChannel, cir_to_ofdm_channel

    grid, apply = channel.grid, ApplyOFDMChannel(device="cpu")
    # Whole blocks of slots, as ours, so that what differs is the wrapping alone.
    times = -(-grid.slots(num_symbols) // BLOCK_SLOTS) * BLOCK_SLOTS * SLOT_SYMBOLS
    frequencies = grid.frequencies.float()
    sent = torch.ones((1, 1, 1, times, grid.subcarriers), dtype=torch.complex64)

    def run() -> torch.Tensor:
        gains, delays = channel.model.sample(1, times, 1 / grid.symbol_s)
        return apply(sent, cir_to_ofdm_channel(frequencies, gains, delays), NOISE)

    return run


def _bare_flat(name: str, num_symbols: int) -> Callable[[], Any]:
    from sionna.phy.channel import AWGN, FlatFadingChannel, GenerateFlatFadingChannel

    symbols, awgn = torch.ones((num_symbols, 1), dtype=torch.complex64), AWGN(device="cpu")
    if name == "awgn":
        return lambda: awgn(symbols, NOISE)
    if name.endswith("-fast"):
        fading = FlatFadingChannel(1, 1, device="cpu")
        return lambda: fading(symbols, NOISE)
    draw = GenerateFlatFadingChannel(1, 1, device="cpu")
    return lambda: awgn(draw(1).reshape(()) * symbols, NOISE)
