import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.phy.qam import BITS_PER_SYMBOL, demap, map_bits, uncoded_bit_error_rate


def labels(bits_per_symbol):
    index = np.arange(2**bits_per_symbol)[:, None]
    return ((index >> np.arange(bits_per_symbol - 1, -1, -1)) & 1).astype(np.uint8)


def noise(generator, count, variance):
    return np.sqrt(variance / 2) * generator.standard_normal((count, 2)).view(complex)[:, 0]


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_constellation_is_sionnas(bits_per_symbol, golden):
    points = map_bits(labels(bits_per_symbol).ravel(), bits_per_symbol)
    expected = np.array(golden["constellation"][str(bits_per_symbol)]).view(complex)[:, 0]
    np.testing.assert_allclose(points, expected, atol=1e-6)
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-6)


def test_16qam_is_ts_38_211():
    # 5.1.4: d = ((1 - 2 b0)(2 - (1 - 2 b2)) + j (1 - 2 b1)(2 - (1 - 2 b3))) / sqrt(10)
    b = labels(4).astype(int).T
    expected = ((1 - 2 * b[0]) * (1 + 2 * b[2]) + 1j * (1 - 2 * b[1]) * (1 + 2 * b[3])) / np.sqrt(10)
    np.testing.assert_allclose(map_bits(labels(4).ravel(), 4), expected, atol=1e-6)


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
@pytest.mark.parametrize("snr_db", [-5, 8, 22, 45])
def test_llrs_are_sionnas(bits_per_symbol, snr_db):
    import torch
    from sionna.phy.mapping import Demapper

    generator = np.random.default_rng(bits_per_symbol)
    bits = generator.integers(0, 2, 500 * bits_per_symbol).astype(np.uint8)
    gain = noise(generator, 500, 1.0).astype(np.complex64)
    variance = 10 ** (-snr_db / 10) * generator.uniform(0.5, 2, 500)
    received = (gain * map_bits(bits, bits_per_symbol) + noise(generator, 500, variance)).astype(np.complex64)
    got = demap(received, variance, bits_per_symbol, gain)

    wide = gain.astype(complex)
    sionna = Demapper("app", "qam", bits_per_symbol, precision="double")
    expected = sionna(torch.tensor(received / wide)[None], torch.tensor(variance / abs(wide) ** 2)[None]).numpy()[0]
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-5)


def test_a_symbol_without_gain_says_nothing():
    llrs = demap(np.array([1 + 1j, 0.3], np.complex64), 0.1, 4, np.array([0, 1], np.complex64))
    assert not llrs[:4].any()
    assert llrs[4:].any()


@pytest.mark.parametrize("variance", [0.0, -1.0, float("nan")])
def test_noise_variance_must_be_positive(variance):
    with pytest.raises(ValueError, match="positive"):
        demap(np.ones(3, np.complex64), variance, 2)


@settings(max_examples=30)
@given(st.sampled_from(BITS_PER_SYMBOL), st.integers(1, 300), st.integers(0, 2**32))
def test_round_trip_at_high_snr(bits_per_symbol, count, seed):
    bits = np.random.default_rng(seed).integers(0, 2, count * bits_per_symbol).astype(np.uint8)
    llrs = demap(map_bits(bits, bits_per_symbol), 1e-6, bits_per_symbol)
    assert np.isfinite(llrs).all()
    assert np.array_equal(llrs > 0, bits)


@pytest.mark.parametrize(
    ("bits_per_symbol", "snr_db"), [(2, 0), (2, 7), (4, 4), (4, 13), (6, 10), (6, 19), (8, 16), (8, 25)]
)
def test_uncoded_errors_lie_in_the_binomial_interval_of_theory(bits_per_symbol, snr_db):
    generator = np.random.default_rng(7)
    count = 200_000
    bits = generator.integers(0, 2, count * bits_per_symbol).astype(np.uint8)
    variance = 10 ** (-snr_db / 10)
    received = map_bits(bits, bits_per_symbol) + noise(generator, count, variance)
    errors = np.count_nonzero((demap(received, variance, bits_per_symbol) > 0) != bits)
    rate = uncoded_bit_error_rate(snr_db, bits_per_symbol)
    assert errors == pytest.approx(bits.size * rate, abs=3.3 * np.sqrt(bits.size * rate * (1 - rate)))


def test_theory_for_4qam_is_the_q_function():
    from scipy.stats import norm

    for snr_db in (-3, 0, 4, 9):
        assert uncoded_bit_error_rate(snr_db, 2) == pytest.approx(norm.sf(np.sqrt(10 ** (snr_db / 10))), rel=1e-12)
