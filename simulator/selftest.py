"""Physics self-tests: does this installation measure what theory says?

Each test draws from fixed seeds, so that the outcome on one machine does not change from run to run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch

from simulator.channels import Channel, load_channel
from simulator.channels.base import noise_variance
from simulator.channels.flat import FlatChannel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.images.pixels import to_float, to_uint8
from simulator.metrics.backbones import backbone_file
from simulator.metrics.lattice import LIMIT, lattice_excess
from simulator.spec.plugins import plugin_names

SNR_TOLERANCE_DB = 0.02
TEST_SNR_DB = 10.0
NUM_SYMBOLS = 500_000
NUM_DRAWS = 1500  # of a flat channel; one of these takes microseconds, a drop of UMi milliseconds
_DRAWS_SHARE = 30  # the others get a fraction, and their gains are averaged over a slot
_Z = 4.0  # standard deviations: a right installation fails one test in 16,000


# Every released network, as a scheme that decodes with it, and the level of its lattice if it is known to have one.
# Remove the number of a network once it is trained without one; a test requires it.
RELEASED_LATTICES: dict[str, float | None] = {
    "deepjscc": None,
    "pdjscc": None,
    "lrisc": None,
    "lrisc:gamma=0": 2.5,
    "bpg-ldpc:receiver=diffusion": None,
    "bpg-ldpc:receiver=diffusion:gamma=0": None,
}
LATTICE_CBRS = (Fraction(1, 48), Fraction(1, 24), Fraction(1, 16), Fraction(1, 12))
LATTICE_SNR_DB = 0.0  # where patterns are strongest
LATTICE_IMAGES = 3


@dataclass(frozen=True)
class Check:
    """One test: what was measured, what was expected, and whether they agree.

    Attributes:
        passed: None if it could not run.
        known: it fails, and this release is known to.
    """

    name: str
    measured: str
    expected: str
    passed: bool | None
    known: bool = False


def run_all() -> Iterator[Check]:
    """Run every self-test; yields each check when it is done."""
    for name in plugin_names("simulator.channels"):
        yield from _guarded(f"channel {name}", partial(check_channel, name))
    yield from _guarded("QAM", check_qam)
    yield from _guarded("LDPC", check_ldpc)
    yield from _guarded("LPIPS", check_lpips)
    for spec, known in RELEASED_LATTICES.items():
        yield from _guarded(f"lattice of {spec}", partial(check_lattice, spec, known))


def _guarded(name: str, checks: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """An exception becomes a failed check and does not end the report."""
    try:
        yield from checks()
    except UserError as error:
        yield Check(name, str(error), "runs", None)
    except Exception as error:
        yield Check(name, f"{type(error).__name__}: {error}".splitlines()[0], "runs", False)


def check_channel(name: str) -> Iterator[Check]:
    """Es/N0 = E|gain|^2 E|s|^2 / E|y - gain s|^2 out of what the receiver gets, and E|gain|^2.

    A channel that draws one gain for many symbols has too few draws to measure the mean gain closely; the noise,
    and with it Es/N0 at E|gain|^2 = 1, is measured closely on all.
    """
    channel = load_channel(name)
    noise = _noise_power(channel)
    snr_db = -10 * math.log10(noise)
    error_db = abs(snr_db - TEST_SNR_DB)
    yield Check(
        f"{name}: Es/N0", f"{snr_db:.3f} dB", f"{TEST_SNR_DB:g} +- {SNR_TOLERANCE_DB} dB", error_db <= SNR_TOLERANCE_DB
    )
    draws, uses = (NUM_DRAWS, 64) if isinstance(channel, FlatChannel) else (NUM_DRAWS // _DRAWS_SHARE, 3744)
    powers = np.array([_mean_gain_power(channel, uses, key) for key in range(draws)])
    mean, error = float(powers.mean()), float(powers.std(ddof=1) / math.sqrt(len(powers)))
    margin = _Z * error + 1e-6
    yield Check(f"{name}: E|h|^2", f"{mean:.4f}", f"1 +- {margin:.4f}", abs(mean - 1) <= margin)


def _noise_power(channel: Channel) -> float:
    """Mean power of y - gain s for unit-power QPSK symbols."""
    bits = torch.randint(0, 2, (NUM_SYMBOLS, 2), generator=torch.Generator().manual_seed(1))
    symbols = torch.view_as_complex((2.0 * bits - 1) / math.sqrt(2))
    received = channel.send(symbols, channel.realise(NUM_SYMBOLS, TEST_SNR_DB, 1))
    return float((received.symbols - received.gain * symbols).abs().double().square().mean())


def _mean_gain_power(channel: Channel, uses: int, key: int) -> float:
    realisation = channel.realise(uses, TEST_SNR_DB, key)
    gains = getattr(realisation, "matrix", realisation.gain)  # several antennas: before any receiver
    return float(gains.abs().double().square().mean())


def check_qam() -> Iterator[Check]:
    """Unit mean power over all labels, and hard-decided bit errors over AWGN within the binomial interval of theory."""
    from simulator.phy.qam import BITS_PER_SYMBOL, demap, map_bits, uncoded_bit_error_rate

    rng = np.random.default_rng(2)
    for bits_per_symbol in BITS_PER_SYMBOL:
        labels = np.arange(2**bits_per_symbol, dtype=np.uint8)[:, None]
        constellation = map_bits(np.unpackbits(labels, axis=1)[:, -bits_per_symbol:], bits_per_symbol)
        power = float(np.mean(np.abs(constellation.astype(np.complex128)) ** 2))
        name = f"{2**bits_per_symbol}-QAM"
        yield Check(f"{name}: mean power", f"{power:.6f}", "1 +- 0.000001", abs(power - 1) <= 1e-6)

        snr_db = 3.0 * bits_per_symbol
        bits = rng.integers(0, 2, 240_000 * bits_per_symbol, dtype=np.uint8)
        symbols = map_bits(bits, bits_per_symbol)
        noise = rng.normal(scale=math.sqrt(noise_variance(snr_db) / 2), size=(len(symbols), 2))
        received = (symbols + noise.view(np.complex128)[:, 0]).astype(np.complex64)
        errors = int(((demap(received, noise_variance(snr_db), bits_per_symbol) > 0) != bits).sum())
        rate, theory = errors / len(bits), uncoded_bit_error_rate(snr_db, bits_per_symbol)
        margin = _Z * math.sqrt(theory * (1 - theory) / len(bits))
        yield Check(
            f"{name}: bit error rate at {snr_db:g} dB",
            f"{rate:.3e}",
            f"{theory:.3e} +- {margin:.1e}",
            abs(rate - theory) <= margin,
        )


def check_ldpc() -> Iterator[Check]:
    """One MCS per constellation, 0.3 dB above its threshold for BLER 1e-2 and 1 dB below: no errors, all errors."""
    from simulator.phy.mcs import parse_mcs
    from simulator.phy.waterfall import count_errors, reference_code

    for name in ("4qam-1/2", "16qam-1/2", "64qam-2/3", "256qam-3/4"):
        mcs = parse_mcs(name)
        code = reference_code(mcs, 4096)
        threshold_db = mcs.threshold_db(0.01, code.info_bits)
        for offset_db, good in ((0.3, True), (-1.0, False)):
            snr_db = threshold_db + offset_db
            point = count_errors(code, mcs.bits_per_symbol, snr_db, max_blocks=64, max_errors=64)
            passed = point.errors <= 1 if good else point.errors >= 0.9 * point.blocks
            expected = "at most 1" if good else f"at least {math.ceil(0.9 * point.blocks)}"
            measured = f"{point.errors} of {point.blocks} blocks"
            yield Check(f"LDPC {name}: errors at {snr_db:.2f} dB", measured, expected, passed)


def check_lpips() -> Iterator[Check]:
    """The distance of two fixed patterns per backbone that is there, as the lpips package gives it."""
    from simulator.metrics import LpipsNet, LpipsUnavailable

    for name, expected in _LPIPS_OF_PATTERNS.items():
        label = f"LPIPS {name}: patterns"
        try:
            if name not in _DOWNLOADED and backbone_file(name) is None:
                raise LpipsUnavailable("only looked at where it is in use")
            measured = LpipsNet(name).distance(*_patterns())
        except LpipsUnavailable:
            yield Check(label, "no backbone", f"{expected:.4f} +- 0.0001", None)
            continue
        yield Check(label, f"{measured:.4f}", f"{expected:.4f} +- 0.0001", abs(measured - expected) <= 1e-4)


def check_lattice(spec: str, known: float | None = None) -> Iterator[Check]:
    """Spectral lines of reconstructions over those of their sources (`simulator.metrics.lattice`), at each CBR.

    Args:
        spec: scheme that decodes with the network.
        known: level that this release is known to have; None if it is sound.
    """
    from simulator.link import load_scheme

    scheme, images = load_scheme(spec), [image.pixels for image in load_image_set("samples")[:LATTICE_IMAGES]]
    levels = {}
    for cbr in LATTICE_CBRS:
        shown = [_shown(scheme, image, cbr) for image in images]
        excess = lattice_excess(images, shown)
        levels.update({(cbr, period): level for period, level in excess.items()})
    (cbr, period), level = max(levels.items(), key=lambda item: item[1])
    measured = f"{level:.1f} x the sources' (CBR {cbr}, period {period})"
    expected = f"at most {LIMIT:g} x" + ("" if known is None else f"; known: {known:g} x")
    yield Check(f"lattice of {spec}", measured, expected, level <= LIMIT, known is not None and level > LIMIT)


def _shown(scheme: Any, image: torch.Tensor, cbr: Fraction) -> torch.Tensor:
    """What a viewer sees of an image after a trip over AWGN."""
    from simulator.link import transmit

    with torch.inference_mode():
        decoded = transmit(scheme, image[None], cbr, load_channel("awgn"), LATTICE_SNR_DB).decoded.images[0]
    return to_float(to_uint8(decoded))


# Measured once with lpips 0.1.4 whose networks gave the published distances of the package's own example pictures.
_LPIPS_OF_PATTERNS = {"alex": 0.581088, "squeeze": 0.577712, "vgg": 0.559640}
_DOWNLOADED = ("alex", "squeeze")  # the others are checked if they are on this machine


def _patterns() -> tuple[torch.Tensor, torch.Tensor]:
    """Two float32 images [3, 64, 64] in [0, 1]: waves, and the same waves coarsely quantised."""
    row, column = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    waves = torch.stack([torch.sin(row / 5) + torch.sin(column / 7 + phase) for phase in (0.0, 1.0, 2.0)]) / 4 + 0.5
    return waves, (waves * 4).round() / 4
