"""Link adaptation over any channel, for a transmitter that knows only the channel's statistics.

The transmitter draws its own realisations (seeded by the channel's name, never by an image) and estimates for every MCS
how often a transport block would be lost: a realisation carries a transport block if every code block, each on
its own part of the realisation, gets the mutual information that it needs (`simulator.phy.miesm`). As both ends
draw the same, nothing has to be signalled.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log2, log10

import numpy as np
import torch

from simulator.channels import Channel, ChannelCapabilities, Realisation, capabilities, load_channel, noise_variance
from simulator.phy.mcs import MCS_TABLE, Mcs, select_mcs
from simulator.phy.miesm import effective_snr_db, mean_lost_bits
from simulator.phy.qam import BITS_PER_SYMBOL
from simulator.randomness import derive_key

REVISION = 1  # of the selection rule; part of the fingerprint of every scheme that uses it
# The operating point of LTE and NR links. Fewer outages would cost more quality in all other images than they save.
OUTAGE_TARGET = 0.1
_AWGN_OUTAGE_TARGET = 0.001  # where only noise decides, safety costs a fraction of a decibel
FIRST_DRAWS = 32  # enough where every transmission sees the whole channel
DRAWS = 200
FLAT_DRAWS = 2000  # of a channel with one gain per transmission, where a draw costs a single symbol
# Mean information, in bits per symbol, that ergodic draws differ by.
_ERGODIC_DEVIATION = 0.02
_MAX_STRETCHES = 2048
_SHORT = 1 << 14
_ESTIMATES = 4
_NO_SNR = 1e-30  # of streams without power
_ESTIMATED_SYMBOLS = 8192


@dataclass(frozen=True)
class Outlook:
    """Mutual information along possible realisations of a channel at one average SNR.

    Attributes:
        lost: float64 [N, 4, S + 1], sum of the bits that QAM of 2, 4, 6 and 8 bits per symbol loses from the first
            symbol to the end of each of S stretches, in each of N realisations.
        stretch: symbols per stretch.
        bits_per_symbol: of the largest constellation that the transmitter can send.
    """

    lost: np.ndarray
    stretch: int
    bits_per_symbol: int = BITS_PER_SYMBOL[-1]

    def outage(self, mcs: Mcs, num_blocks: int, info_bits: int, start: int, stop: int, repeats: int = 1) -> float:
        """Probability that one code block or more of a transport block fails, over realisations and noise.

        Args:
            mcs: modulation and code rate.
            num_blocks: code blocks of equal length.
            info_bits: of each of them.
            start, stop: the symbols that they occupy.
            repeats: how often each symbol is sent; the receiver combines them, which adds up their SNR.
        """
        sums = self.lost[:, BITS_PER_SYMBOL.index(mcs.bits_per_symbol)]
        apart = num_blocks if sums.shape[1] > 2 else 1  # in a single stretch all blocks see the same
        place = np.linspace(start, stop, apart + 1) / self.stretch
        before = np.minimum(place.astype(int), sums.shape[1] - 2)
        at_edges = sums[:, before] + (place - before) * (sums[:, before + 1] - sums[:, before])
        lost = np.diff(at_edges, axis=1) * (apart / (stop - start))
        snr_db = effective_snr_db(lost, mcs.bits_per_symbol) + 10 * log10(repeats)
        errors = mcs.block_error_rate(snr_db, info_bits)
        return float(1 - (np.prod(1 - errors, axis=1) ** (num_blocks / apart)).mean())

    def choose(self, num_symbols: int, target: float = OUTAGE_TARGET) -> Mcs:
        """The MCS with the highest expected quality among those with outage at most `target`, else the safest.

        Args:
            num_symbols: channel uses of the transport block; none count as one.
            target: highest outage probability.
        """
        num_symbols = max(1, num_symbols)
        table = [mcs for mcs in MCS_TABLE if mcs.bits_per_symbol <= self.bits_per_symbol]
        shapes = {mcs: (mcs.num_blocks(num_symbols), mcs.block_bits(num_symbols)) for mcs in table}
        outage = {mcs: self.outage(mcs, *shapes[mcs], 0, num_symbols) for mcs in table}
        allowed = [mcs for mcs in table if outage[mcs] <= target]
        if not allowed:
            return min(table, key=lambda mcs: outage[mcs])
        return max(allowed, key=lambda mcs: (1 - outage[mcs]) * _quality(mcs))


@lru_cache(maxsize=1024)
def choose_mcs(channel: str, snr_db: float, num_symbols: int, analog: bool = False) -> Mcs:
    """The MCS for a transport block of `num_symbols` uses of a channel at average Es/N0 `snr_db`.

    Over AWGN the SNR alone decides. Any other channel is loaded by its name.

    Args:
        channel: its name.
        snr_db: average Es/N0.
        num_symbols: uses.
        analog: as for `outlook`.

    Raises:
        UserError: no channel has that name.
    """
    most = _most_over_awgn(channel)
    if most is not None and not (analog and channel != "awgn"):
        return select_mcs(snr_db, num_symbols, most)
    target = OUTAGE_TARGET if most is None else _AWGN_OUTAGE_TARGET
    return outlook(channel, snr_db, max(1, num_symbols), analog).choose(num_symbols, target)


def choose_mcs_for(channel: str, snr_db: float, num_symbols: int, realisation: Realisation) -> Mcs:
    """The MCS with the highest expected quality in a known realisation; the most robust one if none works."""
    if (most := _most_over_awgn(channel)) is not None:
        return select_mcs(
            round(realisation.snr_db, 9), num_symbols, most
        )  # which may differ from what both ends believe
    loss = estimation_loss(channel, snr_db)
    stretch = _stretch(num_symbols)
    lost = [_lost(realisation.snr.numpy(), stretch, loss)]
    return _outlook(lost, stretch, _bits_per_symbol(load_channel(channel))).choose(num_symbols)


def outlook(channel: str, snr_db: float, num_symbols: int, analog: bool = False) -> Outlook:
    """Expected information over at least the first `num_symbols` uses of a channel; cached.

    Args:
        channel: its name.
        snr_db: average Es/N0.
        num_symbols: uses.
        analog: whether they are part of a transmission of analog symbols, which a channel may spread.

    Raises:
        UserError: no channel has that name.
    """
    # Rounded to three binary digits: images of about one size share an outlook.
    step = 1 << max(num_symbols.bit_length() - 3, 8)
    return _draw(channel, float(snr_db), -(-num_symbols // step) * step, analog)


@lru_cache(maxsize=32)
def _draw(name: str, snr_db: float, num_symbols: int, analog: bool) -> Outlook:
    channel = load_channel(name)
    bits, can = _bits_per_symbol(channel), capabilities(channel)
    blend = can.analog if analog else ChannelCapabilities.analog
    if can.survey_still is not None:
        snr = can.survey_still(FLAT_DRAWS, snr_db, derive_key("outlook", name)).numpy()
        return _still(blend(can.distortion(snr)), num_symbols, bits)
    loss = estimation_loss(name, snr_db)
    if (surveyed := _survey_snr(name, num_symbols, snr_db)) is not None:
        snr, stretch = can.distortion(surveyed[0]), surveyed[1]
        samples = snr.shape[-1]
        if num_symbols <= _SHORT:  # a short code block may by chance get more bad samples than good ones
            pick = np.random.default_rng(derive_key("survey")).integers(samples, size=stretch)
            snr, samples, stretch = snr[:, :, pick], _stretch(num_symbols), _stretch(num_symbols)
        met = blend(snr.reshape(len(snr), -1))
        return _outlook([_lost(one, samples, loss) for one in met], stretch, bits)
    if _is_flat(channel, num_symbols):
        snr = blend(can.distortion(_flat_power(name) / noise_variance(snr_db))[:, None])
        return _still(snr / loss, num_symbols, bits)
    stretch = _stretch(num_symbols)
    lost: list[np.ndarray] = []
    for index in range(DRAWS):
        if index == FIRST_DRAWS and _ergodic(lost):
            break
        realisation = channel.realise(num_symbols, snr_db, derive_key("outlook", name, index))
        lost.append(_lost(blend(realisation.snr.numpy()), stretch, loss))
    return _outlook(lost, stretch, bits)


def _is_flat(channel: Channel, num_symbols: int) -> bool:
    """Whether one gain applies to a whole transmission of `num_symbols`."""
    draws = (_power(channel.realise(num_symbols, 0.0, derive_key("flat", index))) for index in range(2))
    return all(np.ptp(snr) <= 1e-4 * snr.max() for snr in draws)


@lru_cache(maxsize=8)
def _flat_power(name: str) -> np.ndarray:
    """|h|^2 of transmissions with a single gain each, float64 [FLAT_DRAWS]."""
    channel = load_channel(name)
    keys = (derive_key("outlook", name, index) for index in range(FLAT_DRAWS))
    return np.concatenate([_power(channel.realise(1, 0.0, key)) for key in keys])


@lru_cache(maxsize=8)
def _survey(name: str, num_symbols: int) -> tuple[np.ndarray, int] | None:
    """|h|^2 from the channel's own survey; None if it has none."""
    survey = capabilities(load_channel(name)).survey
    if survey is None:
        return None
    power, stretch = survey(num_symbols, DRAWS, derive_key("outlook", name))
    return power.numpy(), stretch


def _survey_snr(name: str, num_symbols: int, snr_db: float) -> tuple[np.ndarray, int] | None:
    """Signal-to-noise ratios by the channel's own survey, float64 [DRAWS, S, n]; None if it has none."""
    if (survey := capabilities(load_channel(name)).survey_snr) is not None:
        snr, stretch = survey(num_symbols, DRAWS, snr_db, derive_key("outlook", name))
        return snr.double().numpy(), stretch
    if (surveyed := _survey(name, num_symbols)) is None:
        return None
    power, stretch = surveyed
    return power.astype(np.float64) / noise_variance(snr_db), stretch


@lru_cache(maxsize=256)
def estimation_loss(name: str, snr_db: float) -> float:
    """Factor by which the receiver's channel estimate lowers the SNR: 1 with perfect knowledge, more with pilots.

    Found by sending known symbols s. With u = (estimated gain) s, the part a u of what arrives, where a is fitted by
    least squares, is signal to the receiver and the rest is noise. |u|^2 alone would be wrong: a noisy estimate is
    larger than the gain. Both are sums over all symbols, as is what they would be with perfect knowledge: distortion
    makes noise differ from symbol to symbol, and a mean of ratios is no ratio of means.
    """
    channel: Channel = load_channel(name)
    signal = noise = true_signal = true_noise = 0.0
    for index in range(_ESTIMATES):
        realisation = channel.realise(_ESTIMATED_SYMBOLS, snr_db, derive_key("estimation", name, index))
        generator = torch.Generator().manual_seed(derive_key("estimation symbols", index))
        signs = torch.randint(0, 2, (_ESTIMATED_SYMBOLS, 2), generator=generator) * 2.0 - 1
        symbols = torch.view_as_complex(signs) / 2**0.5
        received = channel.send(symbols, realisation)
        claimed = received.noise_variance / realisation.noise_variance
        if torch.equal(received.gain, realisation.gain) and torch.allclose(claimed, torch.ones_like(claimed)):
            return 1.0
        expected, arrived = (received.gain * symbols).to(torch.complex128), received.symbols.to(torch.complex128)
        power = expected.abs().square().sum()
        scale = torch.vdot(expected, arrived) / power
        signal += float(scale.abs().square() * power)
        noise += float((arrived - scale * expected).abs().square().sum())
        true = torch.from_numpy(_power(realisation))
        true_signal += float(true.sum())
        true_noise += float((true / realisation.snr.clamp(min=_NO_SNR)).sum())
    return max(1.0, true_signal / true_noise * noise / signal)


def _power(realisation: Realisation) -> np.ndarray:
    """|h|^2 of every symbol, float64 [K]."""
    return realisation.gain.abs().double().square().numpy()


def _most_over_awgn(channel: str) -> int | None:
    """Bits per symbol of the largest constellation where nothing but noise is between both ends; None elsewhere."""
    name, *options = channel.split(":")
    plain = name == "awgn" and all(one.partition("=")[0] in ("constellation", "spread") for one in options)
    return _bits_per_symbol(load_channel(channel)) if plain else None


def _bits_per_symbol(channel: Channel) -> int:
    """Of the largest constellation in the table that the channel's transmitter can send."""
    points = capabilities(channel).most_points
    return max(bits for bits in BITS_PER_SYMBOL if not points or 2**bits <= points)


def _lost(snr: np.ndarray, stretch: int, loss: float) -> np.ndarray:
    """Mean lost bits [4, S] along a realisation."""
    short = -len(snr) % stretch
    return mean_lost_bits(np.pad(snr / loss, (0, short), mode="edge"), stretch)


def _outlook(lost: list[np.ndarray], stretch: int, bits_per_symbol: int) -> Outlook:
    sums = np.cumsum(np.stack(lost), axis=2, dtype=np.float64) * stretch
    return Outlook(np.pad(sums, ((0, 0), (0, 0), (1, 0))), stretch, bits_per_symbol)


def _still(snr: np.ndarray, num_symbols: int, bits_per_symbol: int) -> Outlook:
    """The outlook of a channel that stands still: n streams of symbols in N realisations, float64 [N, n]."""
    lost = mean_lost_bits(np.ascontiguousarray(snr).ravel(), snr.shape[1])
    return _outlook(list(lost.T[:, :, None]), num_symbols, bits_per_symbol)


def _stretch(num_symbols: int) -> int:
    """Number of symbols to average information over: short compared with any code block."""
    return max(16, num_symbols // _MAX_STRETCHES)


def _ergodic(lost: list[np.ndarray]) -> bool:
    """Whether all realisations offer about the same information."""
    return bool((np.stack(lost).mean(axis=2).std(axis=0) < _ERGODIC_DEVIATION).all())


def _quality(mcs: Mcs) -> float:
    """Quality above that of an outage, in units of the gain of doubling the file.

    BPG gains 3.3 dB per doubling, and 1 bit per channel use at CBR 1/16 shows Kodak 16 dB better than grey does: five
    doublings.
    """
    return max(log2(mcs.spectral_efficiency) + 5, 0)
