"""Finite constellations: the quantiser of the tables, the exact posterior, and digital schemes left alone."""

import math

import numpy as np
import pytest
import torch

from simulator.channels import Received, load_channel
from simulator.errors import UserError
from simulator.phy.constellation import (
    POINTS,
    expected_error,
    gaussian_quantiser,
    nearest_points,
    own_grid,
    posterior,
)
from simulator.phy.qam import map_bits
from simulator.phy.spreading import despread, gather, spread

RNG = np.random.default_rng(5)


def _gaussian(count: int) -> np.ndarray:
    return (RNG.normal(size=(count, 2)) * math.sqrt(0.5)).astype(np.float32).view(np.complex64)[:, 0]


@pytest.mark.parametrize(
    ("levels", "step", "distortion"),
    [(2, 1.596, 0.3634), (4, 0.9957, 0.1188), (8, 0.5860, 0.03744), (16, 0.3352, 0.01154), (32, 0.1881, 0.003495)],
)
def test_quantisers_are_those_of_maxs_table(levels: int, step: float, distortion: float) -> None:
    quantiser = gaussian_quantiser(levels)
    assert quantiser.step / math.sqrt(0.5) == pytest.approx(step, rel=1e-3)
    assert quantiser.distortion == pytest.approx(distortion, rel=2e-3)
    symbols = _gaussian(400_000)
    points = nearest_points(symbols, levels**2)
    assert np.mean(np.abs(points - symbols) ** 2) == pytest.approx(distortion, rel=0.02)
    assert len(np.unique(points)) <= levels**2


@pytest.mark.parametrize("points", [4, 16, 64, 256])
def test_posterior_is_the_exact_sum_over_the_constellation(points: int) -> None:
    quantiser = gaussian_quantiser(math.isqrt(points))
    levels = quantiser.amplitudes
    grid = (levels[:, None] + 1j * levels).ravel()
    cells = [-math.inf, *((levels[1:] + levels[:-1]) / 2), math.inf]
    chance = np.diff([0.5 * (1 + math.erf(edge)) for edge in cells])
    prior = (chance[:, None] * chance).ravel()
    received, gain = 1.5 * _gaussian(300), _gaussian(300)
    noise = RNG.uniform(0.01, 2, 300).astype(np.float32)
    weight = prior * np.exp(-(np.abs(received[:, None] - gain[:, None] * grid) ** 2) / noise[:, None].astype(float))
    weight /= weight.sum(1, keepdims=True)
    mean = weight @ grid
    spread = weight @ (np.abs(grid) ** 2) - np.abs(mean) ** 2
    found, variance = posterior(received, gain, noise, points)
    np.testing.assert_allclose(found, mean, atol=2e-5)
    np.testing.assert_allclose(variance, spread, atol=2e-5)


def test_posterior_survives_a_gain_of_zero_and_hardly_any_noise() -> None:
    point = nearest_points(_gaussian(50), 4096)
    mean, variance = posterior(point, np.ones_like(point), np.full(50, 1e-9, np.float32), 4096)
    np.testing.assert_allclose(mean, point, atol=1e-6)
    assert variance.max() < 1e-9
    mean, variance = posterior(point, np.zeros_like(point), np.full(50, 1e-9, np.float32), 4096)
    assert np.abs(mean).max() < 1e-12
    assert variance == pytest.approx(1 - gaussian_quantiser(64).distortion, rel=1e-3)


@pytest.mark.parametrize("bits_per_symbol", [2, 4, 6, 8])
def test_a_digital_scheme_is_left_alone_bit_for_bit(bits_per_symbol: int) -> None:
    symbols = map_bits(RNG.integers(0, 2, 4000 * bits_per_symbol, dtype=np.uint8), bits_per_symbol)
    scaled = symbols / np.float32(1.003)  # chance gave more than unit power
    for sent in (symbols, scaled, symbols[:1]):
        assert own_grid(sent, 2**bits_per_symbol) <= 2**bits_per_symbol
        assert own_grid(sent, 2**bits_per_symbol) > 0
        assert own_grid(sent, 4096) > 0
    if bits_per_symbol > 2:
        assert own_grid(symbols, 4) == 0
    assert own_grid(_gaussian(4000), 4096) == 0
    assert own_grid(symbols + np.complex64(0.01), 4096) == 0
    restricted, free = load_channel(f"awgn:constellation={2**bits_per_symbol}"), load_channel("awgn")
    for sent in (symbols, scaled):
        one, other = (
            channel.send(torch.from_numpy(sent), channel.realise(len(sent), 10.0, 3)) for channel in (restricted, free)
        )
        assert torch.equal(one.symbols, other.symbols)
        assert torch.equal(one.gain, other.gain)
        assert torch.equal(one.noise_variance, other.noise_variance)


def _heavy_tailed(count: int) -> torch.Tensor:
    """As learned schemes send them: some symbols are stronger than the others by 20 dB and more."""
    amplitude = np.exp(RNG.normal(size=count)).astype(np.float32)
    symbols = _gaussian(count) * amplitude
    return torch.from_numpy(symbols / np.sqrt(np.mean(np.abs(symbols) ** 2)))


def _error(received: Received, symbols: torch.Tensor) -> tuple[float, float]:
    """Squared error of the linear estimate that a receiver makes, and what it expects."""
    strength = received.gain.abs().square()
    weight = received.gain.conj() / (strength + received.noise_variance)
    error = float((weight * received.symbols - symbols).abs().square().mean())
    return error, float((received.noise_variance / (strength + received.noise_variance)).mean())


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
@pytest.mark.parametrize("points", POINTS)
def test_analog_receivers_are_told_the_error_that_is_there(points: int, snr_db: float) -> None:
    channel = load_channel(f"rayleigh-fast:constellation={points}")
    symbols = _heavy_tailed(200_000)
    realisation = channel.realise(len(symbols), snr_db, 1)
    error, told = _error(channel.send(symbols, realisation), symbols)
    assert error == pytest.approx(told, rel=0.02)
    # What both ends expect before anything is sent, and link adaptation with them.
    ahead = channel.analog(realisation.snr.numpy())
    assert error == pytest.approx(1 / (1 + ahead[0]), rel=0.02)
    assert np.ptp(ahead) == 0
    # Knowing the grid beats taking the quantisation error for noise on top of the channel's.
    unrestricted = float((1 / (1 + realisation.snr)).mean())
    distortion = gaussian_quantiser(math.isqrt(points)).distortion
    assert unrestricted < error * 1.005
    assert error < 1.005 * (unrestricted + distortion * (1 - unrestricted))


@pytest.mark.parametrize("points", [16, 256])
def test_a_grid_neither_clips_strong_symbols_nor_costs_power(points: int) -> None:
    symbols = _heavy_tailed(200_000)
    spread_out = spread(symbols.numpy())
    sent = nearest_points(spread_out, points) * gaussian_quantiser(math.isqrt(points)).amplification
    assert np.mean(np.abs(sent) ** 2) == pytest.approx(1, abs=0.005)
    channel = load_channel(f"awgn:constellation={points}")
    received = channel.send(symbols, channel.realise(len(symbols), 40.0, 1))
    strongest = symbols.abs() > 4
    distortion = gaussian_quantiser(math.isqrt(points)).distortion
    lost = (received.symbols - symbols).abs().square()
    assert strongest.sum() > 500
    assert float(lost.mean()) == pytest.approx(distortion / (1 - distortion), rel=0.03)
    assert float(lost[strongest].mean()) == pytest.approx(distortion / (1 - distortion), rel=0.2)
    clipped = nearest_points(symbols.numpy(), points) - symbols.numpy()
    assert np.mean(np.abs(clipped) ** 2) > 4 * distortion  # what spreading is for


def test_spreading_is_unitary_and_makes_symbols_gaussian() -> None:
    for count in (1, 2, 1009, 100_000):
        symbols = _heavy_tailed(count).numpy()
        sums = spread(symbols)
        assert sums.dtype == despread(sums).dtype == np.complex64
        assert np.sum(np.abs(sums) ** 2) == pytest.approx(np.sum(np.abs(symbols) ** 2), rel=1e-4)
        np.testing.assert_allclose(despread(sums), symbols, atol=1e-4)
    for strange in (symbols, np.ones(100_000, np.complex64)):
        power = np.abs(spread(strange)) ** 2
        assert np.mean(power**2) / np.mean(power) ** 2 == pytest.approx(2, abs=0.05)


def test_errors_of_spread_symbols_are_their_mean() -> None:
    """Estimates of unequal reliability, as over fading: every symbol gets the mean error, and is told so."""
    symbols, noise = _heavy_tailed(100_000).numpy(), RNG.uniform(0.01, 3, 100_000).astype(np.float32)
    error = noise / (1 + noise)
    estimate = (spread(symbols) + _gaussian(100_000) * np.sqrt(noise)) / (1 + noise)
    arrived, variance = gather(estimate, error)
    assert variance == pytest.approx(error.mean() / (1 - error.mean()), rel=1e-4)
    assert np.mean(np.abs(arrived - symbols) ** 2) == pytest.approx(variance, rel=0.02)


@pytest.mark.parametrize("points", [4, 64, 4096])
def test_expected_errors_are_the_measured_ones(points: int) -> None:
    amplification = np.float32(gaussian_quantiser(math.isqrt(points)).amplification)
    symbols, ones = _gaussian(200_000), np.ones(200_000, np.complex64)
    for snr_db in (-5.0, 8.3, 30.0):
        noise = np.full(len(symbols), 10 ** (-snr_db / 10), np.float32)
        received = nearest_points(symbols, points) * amplification + _gaussian(len(symbols)) * np.sqrt(noise)
        mean, _ = posterior(received, amplification * ones, noise, points)
        measured = np.mean(np.abs(mean - symbols) ** 2)
        assert expected_error(np.array([10 ** (snr_db / 10)]), points)[0] == pytest.approx(measured, rel=0.015)
    assert expected_error(np.array([0.0]), points)[0] == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("points", ["48", "0", "16.0", "8192", "all"])
def test_other_sizes_are_refused_in_one_line(points: str) -> None:
    with pytest.raises(
        UserError, match=f"constellation={points} is not allowed; give constellation as none or 4 or 16"
    ):
        load_channel(f"awgn:constellation={points}")
