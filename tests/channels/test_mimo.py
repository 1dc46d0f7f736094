"""Several antennas against theory: capacity, SINR of receivers, diversity, correlation, and what is billed.

Streams of one use interfere, so that the laws of tests/channels/test_laws.py hold here by whole blocks of streams.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from simulator.__main__ import main
from simulator.channels import load_channel
from simulator.channels.antennas import Antennas
from simulator.channels.contract import channel_identity
from simulator.channels.grid import ResourceGrid
from simulator.channels.mimo_flat import MimoChannel
from simulator.channels.spatial import alamouti, mismatched_sinr, singular_streams, spatial_multiplexing, water_filling
from simulator.link import load_scheme, transmit

GRID = (
    "mimo:model=tdl-c",
    "mimo:tx=4:rx=4:model=tdl-d:csi=estimated:subcarriers=48",
    "mimo:rx=4:model=tdl-a:receiver=zf:csi=ls:subcarriers=96",
    "mimo:model=cdl-c:precoding=svd",
    "mimo:model=tdl-c:precoding=alamouti:csi=estimated:subcarriers=96",
)
SPECS = (
    *GRID,
    "mimo",
    "mimo:tx=4:rx=4:fading=fast",
    "mimo:receiver=zf:fading=fast",
    "mimo:precoding=svd:fading=fast",
    "mimo:precoding=alamouti:fading=fast",
    "mimo:csi=estimated",
)


def _gaussian(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def _matrices(count: int, rx: int, tx: int) -> torch.Tensor:
    return _gaussian(count * rx * tx).reshape(count, rx, tx)


# Telatar's integral at 10 dB, bits per use: 2x2 5.549, 4x4 10.906 (equal power, channel known to the receiver).
@pytest.mark.parametrize(("antennas", "bits"), [(2, 5.549), (4, 10.906)])
def test_ergodic_capacity_is_telatars(antennas: int, bits: float) -> None:
    uses = 40_000
    realisation = load_channel(f"mimo:tx={antennas}:rx={antennas}:fading=fast").realise(uses * antennas, 10.0, 3)
    assert realisation.capacity_bits / uses == pytest.approx(bits, abs=0.05)


@pytest.mark.parametrize(("tx", "rx"), [(1, 2), (2, 2), (2, 4), (4, 4)])
def test_snr_after_zero_forcing_is_chi_square(tx: int, rx: int) -> None:
    sinr = spatial_multiplexing(_matrices(20_000, rx, tx), 0.1, "zf").sinr[:, 0].double().numpy()
    # 2 tx no SINR has a chi-square law of 2 (rx - tx + 1) degrees of freedom.
    assert kstest(2 * tx * 0.1 * sinr, "chi2", args=(2 * (rx - tx + 1),)).pvalue > 1e-3


@pytest.mark.parametrize("receiver", ["lmmse", "zf"])
def test_receivers_are_sionnas(receiver: str) -> None:
    from sionna.phy.mimo import lmmse_equalizer, zf_equalizer

    from simulator.randomness import sionna_seeded

    way = spatial_multiplexing(_matrices(200, 4, 3), 0.2, receiver)
    received = _gaussian(800, 2).reshape(200, 4)
    with sionna_seeded(0):
        equaliser = {"lmmse": lmmse_equalizer, "zf": zf_equalizer}[receiver]
        golden, noise = equaliser(received, way.channel, 0.2 * torch.eye(4, dtype=torch.complex64).expand(200, 4, 4))
    ours = (way.combiner @ received[..., None])[..., 0]
    assert torch.allclose(ours, golden, rtol=2e-3, atol=2e-3)
    assert torch.allclose(way.sinr, 1 / noise, rtol=2e-3)


@pytest.mark.parametrize("spec", SPECS)
def test_the_error_is_what_the_formula_of_the_sinr_says(spec: str) -> None:
    channel, around, told = load_channel(spec), 0.0, 0.0
    for key in range(6):
        symbols = _gaussian(12_000, key)
        received = channel.send(symbols, channel.realise(12_000, 10.0, key))
        powered = received.gain.abs() > 0  # water-filling leaves weak streams without power
        around += float((received.symbols - received.gain * symbols).abs().square()[powered].mean())
        told += float(received.noise_variance[powered].mean())
    # Six estimates of one matrix each say little about the average error of an estimate.
    assert around == pytest.approx(told, rel=0.3 if spec == "mimo:csi=estimated" else 0.02)


@pytest.mark.parametrize("correlation", [0, 0.8])
@pytest.mark.parametrize("how", [Antennas(4, 4), Antennas(2, 4, receiver="zf"), Antennas(2, 2, "alamouti")])
def test_the_error_behind_an_estimate_is_what_the_receiver_expects(how: Antennas, correlation: float) -> None:
    """For strong and weak streams alike."""
    channel, noise = MimoChannel("one", how, correlation, fast=False, estimated=True), 0.1
    true, way = channel._crossing(channel._draw(20_000, 1), noise, 2)
    off = way.combiner @ true - torch.eye(how.per_block)
    error = off.abs().square().sum(-1) + noise * way.combiner.abs().square().sum(-1)
    strong = way.sinr > way.sinr.median()
    for streams in (strong, ~strong & (way.sinr > 0.05)):
        assert float((error * way.sinr)[streams].mean()) == pytest.approx(1, abs=0.03)


def test_streams_behind_a_wrong_receiver_have_the_error_that_symbols_show() -> None:
    matrix, noise = _matrices(1, 2, 2), 0.1
    other = matrix * torch.tensor([1.0, 0.3]) + 0.2 * _gaussian(4, 5).reshape(1, 2, 2)
    true, way = spatial_multiplexing(matrix, noise, "lmmse"), spatial_multiplexing(other, noise, "lmmse")
    assert torch.allclose(mismatched_sinr(true.channel, true, noise).float(), true.sinr, rtol=1e-3)
    sent = torch.view_as_complex(torch.randn(2, 100_000, 2, generator=torch.Generator().manual_seed(1)).sign()) / 2**0.5
    arrived = true.channel[0] @ sent + noise**0.5 * _gaussian(200_000, 3).reshape(2, -1)
    in_phase = (way.combiner[0] @ arrived).real.double() * sent.real * 2
    weight, mean, variance = way.sinr[0].double(), in_phase.mean(1), in_phase.var(1)
    sinr = mean.square() / variance
    share = (weight * mean).sum() ** 2 / (weight.square() * variance).sum() / sinr.sum()
    assert share < 0.99
    assert mismatched_sinr(true.channel, way, noise)[0].tolist() == pytest.approx((sinr * share).tolist(), rel=0.03)


def test_streams_do_not_carry_every_second_symbol() -> None:
    gain = load_channel("mimo").realise(4096, 10.0, 1).gain.abs()
    strong = (gain == gain.max()).reshape(-1, 2)
    assert (strong.sum(1) == 1).all()  # each use carries both
    assert float(strong[:, 0].float().mean()) == pytest.approx(0.5, abs=0.05)


def test_rows_over_matrices_without_a_grid_are_marked() -> None:
    marked, plain = load_channel("mimo:csi=estimated"), load_channel("mimo:model=tdl-c")
    assert channel_identity(marked) == f"{marked.name} {marked.fingerprint()}"
    assert channel_identity(plain) == plain.name


def test_alamouti_has_the_diversity_of_all_its_paths() -> None:
    orders = {}
    for rx in (1, 2):
        gain = alamouti(_matrices(400_000, rx, 2), 1.0).sinr[:, 0].double().numpy()
        rates = [
            np.mean([0.5 * math.erfc(math.sqrt(one)) for one in 10 ** (snr_db / 10) * gain[:60_000]])
            for snr_db in (12, 18)
        ]
        orders[rx] = math.log10(rates[0] / rates[1]) / 0.6
    assert orders[1] == pytest.approx(2, abs=0.35)
    assert orders[2] > 3


def test_alamouti_separates_its_streams_and_svd_and_water_filling_do_too() -> None:
    for way in (alamouti(_matrices(50, 2, 2), 0.1), singular_streams(_matrices(50, 4, 2), 0.01)):
        assert torch.allclose(
            way.combiner @ way.channel, torch.eye(2, dtype=torch.complex64).expand(50, 2, 2), atol=1e-4
        )
    powers = water_filling(torch.tensor([[10.0, 1.0, 0.1], [5.0, 5.0, 5.0]], dtype=torch.float64))
    assert torch.allclose(powers.sum(-1), torch.ones(2, dtype=torch.float64))
    assert powers[0].tolist() == pytest.approx([0.95, 0.05, 0.0])
    assert powers[1].tolist() == pytest.approx([1 / 3] * 3)


def test_correlation_is_that_of_the_kronecker_model() -> None:
    matrix = load_channel("mimo:tx=2:rx=3:correlation=0.6:fading=fast").realise(200_000, 0.0, 1).matrix
    assert float(matrix.abs().square().mean()) == pytest.approx(1, abs=0.02)
    assert complex((matrix[:, 0, 0] * matrix[:, 0, 1].conj()).mean()) == pytest.approx(0.6, abs=0.02)
    assert complex((matrix[:, 0, 0] * matrix[:, 2, 0].conj()).mean()) == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize("spec", SPECS)
def test_a_key_is_all_that_a_draw_depends_on(spec: str) -> None:
    channel, symbols = load_channel(spec), _gaussian(400)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = channel.send(symbols, channel.realise(400, 5.0, 9))
    assert torch.equal(torch.get_rng_state(), before)
    other = channel.send(symbols, channel.realise(400, 5.0, 10))
    powered = first.symbols != 0  # water-filling leaves weak streams without power
    assert not torch.isclose(first.symbols, other.symbols)[powered].any()
    fresh = load_channel(spec)
    assert torch.equal(first.symbols, fresh.send(symbols, fresh.realise(400, 5.0, 9)).symbols)
    nothing = channel.send(symbols[:0], channel.realise(0, 5.0, 9))
    assert len(nothing.symbols) == len(nothing.gain) == len(nothing.noise_variance) == nothing.overhead == 0


@pytest.mark.parametrize("spec", SPECS)
def test_draws_of_whole_blocks_do_not_depend_on_how_many_are_made(spec: str) -> None:
    channel, symbols = load_channel(spec), _gaussian(9000)
    whole = channel.realise(9000, 8.0, 7)
    everything = channel.send(symbols, whole)
    for count in (4, 400, 8400):
        part = channel.realise(count, 8.0, 7)
        assert torch.equal(part.gain, whole.gain[:count])
        received = channel.send(symbols[:count], part)
        assert torch.equal(received.symbols, everything.symbols[:count])
        assert torch.equal(received.gain, everything.gain[:count])


@pytest.mark.parametrize(("count", "overhead"), [(8, 0), (7, 1), (1, 1)])
def test_a_code_whose_last_pair_is_half_empty_still_takes_two_uses(count: int, overhead: int) -> None:
    channel = load_channel("mimo:precoding=alamouti")
    assert channel.send(_gaussian(count), channel.realise(count, 5.0, 0)).overhead == overhead


@pytest.mark.usefixtures("toys")
def test_symbols_share_uses_and_pilots_are_billed() -> None:
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    uses = {}
    grid = "mimo:tx=4:rx=4:model=tdl-c:subcarriers=12"
    flat = ("mimo:tx=4:rx=4", "mimo:tx=4:rx=4:csi=estimated", "mimo:precoding=alamouti", "mimo:tx=4:rx=4:adc_bits=8")
    for spec in ("awgn", *flat, grid, f"{grid}:waveform=ofdm:pa=rapp"):
        trip = transmit(load_scheme("toy"), image, Fraction(1, 16), load_channel(spec), 15.0)
        uses[spec] = trip.ledgers[0].total
    sent = uses["awgn"]
    assert uses["mimo:tx=4:rx=4"] == -(-sent // 4)
    assert uses["mimo:tx=4:rx=4:csi=estimated"] == -(-sent // 4) + 4
    assert uses["mimo:precoding=alamouti"] == sent
    assert uses["mimo:tx=4:rx=4:adc_bits=8"] == uses["mimo:tx=4:rx=4"]
    slot = ResourceGrid(12, 30e3, "dmrs", antennas=4)
    assert uses[grid] == -(-sent // 4) + slot.overhead(-(-sent // 4))
    assert uses[f"{grid}:waveform=ofdm:pa=rapp"] == uses[grid]
    assert isinstance(load_channel("mimo"), MimoChannel)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mimo:tx=4:rx=2:receiver=zf", "zf cannot separate 4 streams at 2 antennas"),
        ("mimo:precoding=svd:csi=estimated", "svd needs the channel at the transmitter"),
        ("mimo:tx=3:precoding=alamouti", "has two transmit antennas, not 3"),
        ("mimo:csi=estimated:fading=fast", "pilots cannot follow"),
        ("mimo:receiver=zf:precoding=svd", "receiver=zf applies to streams without precoding"),
        ("mimo:csi=ls", "csi=ls interpolates between pilots of a grid"),
        ("mimo:subcarriers=24", "subcarriers applies to multipath; add model=tdl-c"),
        ("mimo:model=tdl-c:fading=fast", "over tdl-c speed_kmh sets how fast"),
        ("mimo:model=cdl-c:correlation=0.5", "cdl-c correlates antennas by its own angles"),
        ("mimo:model=tdl-c:speed_kmh=0:carrier_ghz=2", "at speed_kmh=0 no carrier frequency matters"),
        ("mimo:model=umi", "model=umi is not allowed; give model as flat or tdl-a"),
        ("mimo:model=tdl-c:precoding=svd:csi=estimated", "svd needs the channel at the transmitter"),
        ("mimo:model=tdl-c:phase_noise_hz=10", "has no one antenna's pilots to follow phase_noise_hz"),
        ("mimo:tx=9", "tx=9 is not allowed; give tx as a whole number from 1 to 8"),
    ],
)
def test_bad_input_is_one_line(spec: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "channels", "--channel", spec]) == 2
    said = capsys.readouterr().err.strip()
    assert message in said
    assert len(said.splitlines()) == 1
