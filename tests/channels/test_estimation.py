"""Channel estimates against theory, and what the receiver is told of their errors."""

import math
import time

import pytest
import torch

from simulator.channels import load_channel
from simulator.channels.estimation import design
from simulator.channels.grid import ResourceGrid
from simulator.channels.paths import Covariance, Tdl


def _measured_and_told(spec: str, snr_db: float, draws: int, count: int = 2000) -> list[tuple[float, float, float]]:
    """E|estimate - gain|^2, the error variance told, and the mean power of what remains around estimate * s.

    Of the Wiener filter and of least squares, over the same realisations.
    """
    bits = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(1))
    symbols = torch.view_as_complex((2.0 * bits - 1) / math.sqrt(2))
    channels = [load_channel(f"{spec}:csi={method}") for method in ("lmmse", "ls")]
    found = torch.zeros(len(channels), 3, dtype=torch.float64)
    for key in range(draws):
        realisation = channels[0].realise(count, snr_db, key)
        for of_one, channel in zip(found, channels, strict=True):
            received = channel.send(symbols, realisation)
            measured = (received.gain - realisation.gain).abs().square().mean()
            told = (received.noise_variance - realisation.noise_variance).mean()
            remaining = (received.symbols - received.gain * symbols).abs().square().mean()
            of_one += torch.stack([measured, told, remaining]) / draws
    return [tuple(of_one.tolist()) for of_one in found]


@pytest.mark.parametrize("snr_db", [0.0, 15.0, 30.0])
@pytest.mark.parametrize(
    "spec",
    [
        "tdl-c:subcarriers=96",
        "tdl-d:speed_kmh=120:subcarriers=96:pilots=kronecker",
        "cdl-c:subcarriers=96:speed_kmh=60",
    ],
)
def test_wiener_estimates_are_as_good_as_theory_says_and_better_than_least_squares(spec: str, snr_db: float) -> None:
    draws = 80 if spec.startswith("cdl") else 150
    (measured, told, remaining), (simple, told_of_simple, _) = _measured_and_told(spec, snr_db, draws)
    assert abs(10 * math.log10(measured / told)) < 0.5
    assert 10 * math.log10(remaining / (told + 10 ** (-snr_db / 10))) == pytest.approx(0, abs=0.2)
    assert abs(10 * math.log10(simple / told_of_simple)) < 0.5
    assert measured < simple / 2


@pytest.mark.parametrize("spec", ["umi", "uma", "rma"])
def test_measured_statistics_serve_a_drop_at_random(spec: str) -> None:
    # Delay spreads vary a lot from drop to drop, so that few draws say little about the mean.
    (lmmse, told, _), (simple, *_) = _measured_and_told(f"{spec}:subcarriers=96", 10.0, 40, 200)
    assert lmmse < simple / 1.4
    assert abs(10 * math.log10(lmmse / told)) < 3


def test_a_wide_grid_is_estimated_window_by_window() -> None:
    (narrow, told_narrow, _), _ = _measured_and_told("tdl-a:subcarriers=288", 10.0, 20, 3000)
    (wide, told_wide, _), _ = _measured_and_told("tdl-a:subcarriers=420", 10.0, 20, 3000)
    assert told_wide == pytest.approx(told_narrow, rel=0.05)
    assert wide == pytest.approx(narrow, rel=0.3)


@pytest.mark.parametrize("method", ["ls", "lmmse"])
def test_a_still_flat_channel_without_noise_is_known_exactly(method: str) -> None:
    ones = torch.ones((1, 14, 14), dtype=torch.complex128)
    flat = Covariance(ones, torch.ones((1, 24, 24), dtype=torch.complex128))
    grid = ResourceGrid(24, 30e3, "dmrs")
    known = design(flat, grid, 1e-9, method)
    assert torch.allclose(known.weights.sum(1), torch.ones(14 * 24, dtype=torch.complex64), atol=1e-4)
    assert float(known.error_variance.max()) < 2e-9
    if method == "lmmse":  # the mean of 24 pilots
        noisy = design(flat, grid, 0.5, method)
        assert torch.allclose(noisy.error_variance, torch.tensor(0.5 / (24 + 0.5)), rtol=1e-5)


def test_no_filter_beats_the_wiener_filter() -> None:
    grid = ResourceGrid(48, 30e3, "dmrs")
    covariance = Tdl("B", 300e-9, 30.0, 3.5e9).covariance(14, grid.symbol_s, grid.frequencies)
    best = design(covariance, grid, 0.1, "lmmse")
    assert (best.error_variance < design(covariance, grid, 0.1, "ls").error_variance).all()
    assert (best.error_variance < design(covariance, grid, 0.11, "lmmse").error_variance).all()


def test_a_kodak_image_is_estimated_in_a_fraction_of_a_second() -> None:
    channel = load_channel("tdl-c:csi=lmmse")
    symbols = torch.ones(73_728, dtype=torch.complex64)
    realisation = channel.realise(len(symbols), 10.0, 0)
    channel.send(symbols, realisation)  # designs the filter
    begin = time.process_time()
    channel.send(symbols, realisation)
    assert time.process_time() - begin < 0.2
