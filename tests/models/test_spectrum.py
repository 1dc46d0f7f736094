"""The transform over the block grid: orthonormal, and measured spectra give back what was put in."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.models import spectrum


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40))
def test_transform_is_orthonormal(height, width):
    grid = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(height))
    coefficients = spectrum.transform(grid)
    assert float(coefficients.square().sum()) == pytest.approx(float(grid.square().sum()), rel=1e-4)
    assert torch.allclose(spectrum.inverse(coefficients), grid, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (32, 48)])
def test_gain_keeps_the_power_of_every_latent(size):
    module = spectrum.Spectrum(4)
    module.log_variance.copy_(torch.linspace(6, -2, spectrum.KNOTS).expand(4, -1) + torch.arange(4.0)[:, None])
    variance, gain = module.variance(size), module.gain(size)
    sent = (variance * gain.square()).mean(dim=(1, 2))
    assert torch.allclose(sent, variance.mean(dim=(1, 2)), rtol=1e-4)
    if size == (32, 48):
        assert gain[0, 0, 0] < gain[0, -1, -1] / 3  # slow changes are the strong ones


def test_white_latents_are_measured_as_white():
    module = spectrum.Spectrum(2)
    generator = torch.Generator().manual_seed(0)
    grids = [torch.tensor([1.0, 3.0])[:, None, None] * torch.randn(2, 24, 32, generator=generator) for _ in range(40)]
    module.fit(grids)
    variance = module.variance((24, 32))
    assert torch.allclose(variance[0].mean(), torch.tensor(1.0), rtol=0.05)
    assert torch.allclose(variance[1].mean(), torch.tensor(9.0), rtol=0.05)
    assert variance.max() / variance[1].mean() < 2


def test_smooth_latents_are_measured_as_low_frequency():
    module = spectrum.Spectrum(1)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(20, 1, 4, 4, generator=generator)
    module.fit(list(torch.nn.functional.interpolate(coarse, (24, 24), mode="bilinear")))
    variance = module.variance((24, 24))[0]
    assert variance[1, 1] > 100 * variance[-1, -1]


def test_inference_first_training_later():
    with torch.inference_mode():
        spectrum.transform(torch.zeros(1, 7, 9))
        spectrum.Spectrum(1).gain((7, 9))
    grid = torch.randn(1, 7, 9, requires_grad=True)
    (spectrum.transform(grid) * spectrum.Spectrum(1).gain((7, 9))).square().sum().backward()
    assert grid.grad is not None


def test_autocast_leaves_the_transform_exact():
    grid = 100 + torch.randn(1, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        again = spectrum.inverse(spectrum.transform(grid))
    assert torch.allclose(again, grid, atol=1e-3)
