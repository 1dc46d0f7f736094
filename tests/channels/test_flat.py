"""Flat channels against their definition: noise, gains, prefix property, and nothing else touched."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.channels import load_channel
from simulator.channels.base import DRAW_BLOCK
from simulator.errors import UserError
from simulator.spec.plugins import plugin_names

FLAT = ("awgn", "rayleigh", "rayleigh-fast", "rician", "rician-fast:K=3")
CHANNELS = plugin_names("simulator.channels")


def _measured_snr_db(name: str, snr_db: float, num_symbols: int, draws: int) -> float:
    """Es/N0 out of what left the channel: E|h s|^2 (with E|h|^2 = 1) over the power around it."""
    channel = load_channel(name)
    noise = 0.0
    for key in range(draws):
        realisation = channel.realise(num_symbols, snr_db, key)
        symbols = torch.exp(2j * math.pi * torch.rand(num_symbols, generator=torch.Generator().manual_seed(key)))
        received = channel.send(symbols.to(torch.complex64), realisation)
        residual = received.symbols - received.gain * symbols
        noise += float(residual.abs().double().square().mean()) / draws
    return -10 * math.log10(noise)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 25.0])
@pytest.mark.parametrize("name", FLAT)
def test_snr_is_es_over_n0_per_complex_symbol(name: str, snr_db: float) -> None:
    # 2e6 samples of noise power: one standard deviation is 0.003 dB.
    assert _measured_snr_db(name, snr_db, 500_000, 4) == pytest.approx(snr_db, abs=0.02)


def test_a_misjudged_snr_changes_what_both_ends_believe_and_nothing_else() -> None:
    truth, misjudged = load_channel("awgn"), load_channel("awgn:assumed_db=10")
    assert misjudged.name == "awgn:assumed_db=10"
    assert misjudged.announce(3.0) == ("awgn", 10.0)
    symbols = torch.ones(100, dtype=torch.complex64)
    one, other = (channel.send(symbols, channel.realise(100, 3.0, key=1)) for channel in (truth, misjudged))
    assert torch.equal(one.symbols, other.symbols)
    assert torch.equal(one.noise_variance, other.noise_variance)
    with pytest.raises(UserError, match="give assumed_db as a number from -30 to 60"):
        load_channel("awgn:assumed_db=nan")


@pytest.mark.parametrize("name", FLAT)
def test_noise_is_circular_and_white(name: str) -> None:
    channel = load_channel(name)
    realisation = channel.realise(400_000, 3.0, 11)
    noise = channel.send(torch.zeros(400_000, dtype=torch.complex64), realisation).symbols
    half = realisation.noise_variance / 2
    assert float(noise.real.var()) == pytest.approx(half, rel=0.01)
    assert float(noise.imag.var()) == pytest.approx(half, rel=0.01)
    assert abs(float((noise.real * noise.imag).mean())) < 0.01 * half
    assert abs(complex((noise[1:] * noise[:-1].conj()).mean())) < 0.01 * half
    # Draw blocks must not repeat each other.
    assert not torch.equal(noise[:DRAW_BLOCK], noise[DRAW_BLOCK : 2 * DRAW_BLOCK])


def test_fast_fading_has_unit_mean_power_and_exponential_law() -> None:
    power = load_channel("rayleigh-fast").realise(1_000_000, 0.0, 1).gain.abs().double().square()
    assert float(power.mean()) == pytest.approx(1, abs=0.005)
    assert float(power.square().mean()) == pytest.approx(2, abs=0.03)
    assert float((power < 0.1).double().mean()) == pytest.approx(1 - math.exp(-0.1), abs=0.002)


def test_block_fading_is_one_rayleigh_gain_per_realisation() -> None:
    channel = load_channel("rayleigh")
    gains = []
    for key in range(1500):
        gain = channel.realise(3, 0.0, key).gain
        assert (gain == gain[0]).all()
        gains.append(gain[0])
    power = torch.stack(gains).abs().double().square()
    # Standard deviation of the mean of 1500 exponential draws: 0.026.
    assert float(power.mean()) == pytest.approx(1, abs=0.08)
    assert float((power < 1).double().mean()) == pytest.approx(1 - math.exp(-1), abs=0.04)
    assert abs(complex(torch.stack(gains).mean())) < 0.08


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(FLAT),
    longest=st.integers(1, 3 * DRAW_BLOCK),
    share=st.floats(0, 1),
    key=st.integers(0, 2**62),
    snr_db=st.floats(-10, 40),
)
def test_draws_do_not_depend_on_how_many_are_made(
    name: str, longest: int, share: float, key: int, snr_db: float
) -> None:
    channel = load_channel(name)
    length = int(share * longest)
    symbols = torch.ones(longest, dtype=torch.complex64)
    long, short = channel.realise(longest, snr_db, key), channel.realise(length, snr_db, key)
    assert torch.equal(short.gain, long.gain[:length])
    everything = channel.send(symbols, long)
    for part in (channel.send(symbols[:length], short), channel.send(symbols[:length], long)):
        assert torch.equal(part.symbols, everything.symbols[:length])
        assert torch.equal(part.noise_variance, everything.noise_variance[:length])


@pytest.mark.parametrize("name", FLAT)
def test_generators_are_left_as_found(name: str) -> None:
    torch.manual_seed(4)
    before = torch.get_rng_state()
    channel = load_channel(name)
    first = channel.send(torch.ones(100, dtype=torch.complex64), channel.realise(100, 5.0, 9))
    assert torch.equal(torch.get_rng_state(), before)
    from sionna.phy import config

    torch.manual_seed(99)
    config.seed = 123
    second = channel.send(torch.ones(100, dtype=torch.complex64), channel.realise(100, 5.0, 9))
    assert torch.equal(first.symbols, second.symbols)


def test_capacity_is_shannons() -> None:
    awgn = load_channel("awgn").realise(1000, 10.0, 0)
    assert awgn.capacity_bits == pytest.approx(1000 * math.log2(11), rel=1e-9)
    # Ergodic capacity of Rayleigh fading, e^(1/g) E1(1/g) / ln 2, at g = 10: 2.9007 bits.
    fast = load_channel("rayleigh-fast").realise(1_000_000, 10.0, 0)
    assert fast.capacity_bits / 1e6 == pytest.approx(2.9007, abs=0.01)


def test_realised_snr_is_that_of_the_gains() -> None:
    realisation = load_channel("rayleigh").realise(50, 7.0, 3)
    expected = 7.0 + 20 * math.log10(abs(complex(realisation.gain[0])))
    assert realisation.snr_db == pytest.approx(expected, abs=1e-5)
    assert load_channel("awgn").realise(50, 7.0, 3).snr_db == pytest.approx(7.0)
    assert math.isnan(load_channel("awgn").realise(0, 7.0, 3).snr_db)


@pytest.mark.parametrize("k_db", [-3.0, 0.0, 9.0])
def test_rician_gains_have_the_ricean_factor_and_unit_power(k_db: float) -> None:
    fast = load_channel(f"rician-fast:K={k_db:g}")
    block = load_channel(f"rician:K={k_db:g}")
    draws = [
        fast.realise(200_000, 0.0, 5).gain,
        torch.stack([block.realise(1, 0.0, key).gain[0] for key in range(2000)]),
    ]
    for gain in draws:
        mean = complex(gain.mean())
        k_factor = abs(mean) ** 2 / float((gain - mean).abs().double().square().mean())
        spread = 1 / math.sqrt(len(gain))
        assert float(gain.abs().double().square().mean()) == pytest.approx(1, abs=4 * spread)
        # At K = -3 dB one standard deviation of the measured K is 13 dB / sqrt(draws).
        assert 10 * math.log10(k_factor) == pytest.approx(k_db, abs=4 * 13 * spread)


def test_block_rician_is_one_gain_per_realisation() -> None:
    gain = load_channel("rician").realise(30, 0.0, 1).gain
    assert (gain == gain[0]).all()


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rayleigh-fast"])
def test_options_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="has no option 'fast'"):
        load_channel(f"{name}:fast")
    with pytest.raises(UserError, match="has no option 'csi=ls'"):
        load_channel(f"{name}:csi=ls")


@pytest.mark.parametrize("spec", ["rician:K=9", "rician:K=9.0", "rician:K=9e0"])
def test_names_are_canonical(spec: str) -> None:
    assert load_channel(spec).name == "rician"
    assert load_channel("rician-fast:K=2.50").name == "rician-fast:K=2.5"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rician:3", "has no option '3'; known: K="),
        ("rician:K=nan", "K=nan is not allowed; give K as a number from -60 to 60"),
        ("rician:K=", "K= is not allowed"),
        ("rician-fast:K=inf", "K=inf is not allowed"),
        ("rician:K=3:K=4", "'K' is given twice"),
    ],
)
def test_bad_ricean_factors_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_channel(spec)


def test_built_in_channels_are_registered() -> None:
    assert {name.partition(":")[0] for name in FLAT} <= set(CHANNELS)
