"""Finite constellations: the quantiser of the tables, the exact posterior, and digital schemes left alone."""

import math

import numpy as np
import pytest
import torch

from simulator.channels import Received, load_channel
from simulator.errors import UserError
from simulator.phy.constellation import POINTS, gaussian_quantiser, nearest_points, own_grid, posterior
from simulator.phy.qam import map_bits

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


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 25.0])
@pytest.mark.parametrize("points", POINTS)
def test_analog_receivers_are_told_the_error_that_is_there(points: int, snr_db: float) -> None:
    channel = load_channel(f"rayleigh-fast:constellation={points}")
    symbols = torch.from_numpy(_gaussian(200_000))
    received = channel.send(symbols, channel.realise(len(symbols), snr_db, 1))
    view = received.for_analog()
    weight = view.gain.conj() / (view.gain.abs().square() + view.noise_variance)
    error = float((weight * view.symbols - symbols).abs().square().mean())
    told = float((view.noise_variance / (view.gain.abs().square() + view.noise_variance)).mean())
    assert error == pytest.approx(told, rel=0.02)
    # Knowing the grid beats taking the quantisation error for noise.
    quantisation = gaussian_quantiser(math.isqrt(points)).distortion
    blind = received.gain.conj() / (received.gain.abs().square() * (1 + quantisation) + received.noise_variance)
    assert error < float((blind * received.symbols - symbols).abs().square().mean()) * 1.001


def test_a_view_without_a_grid_is_the_reception_itself() -> None:
    channel = load_channel("awgn")
    received = channel.send(torch.ones(5, dtype=torch.complex64), channel.realise(5, 3.0, 1))
    assert isinstance(received, Received)
    assert received.for_analog() is received


@pytest.mark.parametrize("points", ["48", "0", "16.0", "8192", "all"])
def test_other_sizes_are_refused_in_one_line(points: str) -> None:
    with pytest.raises(
        UserError, match=f"constellation={points} is not allowed; give constellation as none or 4 or 16"
    ):
        load_channel(f"awgn:constellation={points}")
