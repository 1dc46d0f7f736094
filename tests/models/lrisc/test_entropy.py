"""Equation (2) and the factorised prior."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from simulator.models.lrisc.entropy import LIKELIHOOD_FLOOR, EntropyModel, FactorisedPrior, add_uniform, gaussian_bits

MOST_BITS = -math.log2(LIKELIHOOD_FLOOR) + 1e-4


@given(
    z=st.floats(-8, 8, width=32),
    mean=st.floats(-4, 4, width=32),
    scale=st.floats(0.125, 8, width=32),
)
def test_gaussian_bits_are_the_convolution_of_equation_2(z, mean, scale):
    density, _ = quad(lambda u: norm.pdf(z - u, mean, scale), -0.5, 0.5, epsabs=1e-13)
    bits = float(gaussian_bits(torch.tensor(z), torch.tensor(mean), torch.tensor(scale)))
    # Far from the mean single precision leaves an absolute error of 1e-7 in the mass.
    tolerance = 1e-4 + 1e-7 / max(density, 1e-7) / math.log(2)
    assert bits <= MOST_BITS
    if density > 1e-6:
        assert bits == pytest.approx(-math.log2(density), abs=tolerance)
    else:
        assert bits > 19


@given(st.floats(-50, 50), st.floats(0, 50))
def test_densities_on_integers_never_exceed_one(mean, scale):
    values = torch.arange(-600.0, 601.0)
    bits = gaussian_bits(values, torch.tensor(mean), torch.tensor(scale))
    assert (bits >= 0).all()
    assert float(torch.exp2(-bits).sum()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("trained", [False, True])
def test_factorised_prior_sums_to_one(trained):
    torch.manual_seed(0)
    prior = FactorisedPrior(5)
    if trained:
        with torch.no_grad():
            for parameter in prior.parameters():
                parameter.add_(0.5 * torch.randn(parameter.shape))
    integers = torch.arange(-3000.0, 3001.0)[None, None, None].expand(1, 5, 1, -1)
    bits = prior.bits(integers)
    assert bits.shape == integers.shape
    assert (bits >= 0).all()
    torch.testing.assert_close(torch.exp2(-bits.double()).sum(dim=(0, 2, 3)), torch.ones(5).double(), atol=1e-3, rtol=0)


def test_prior_keeps_channels_apart():
    torch.manual_seed(0)
    prior, y = FactorisedPrior(3), torch.randn(2, 3, 4, 5)
    changed = y.clone()
    changed[1, 2, 3, 4] += 3
    same = prior.bits(y) == prior.bits(changed)
    assert not same[1, 2, 3, 4]
    assert same.sum() == y.numel() - 1


@pytest.mark.parametrize("size", [(1, 1), (4, 4), (5, 7)])
def test_every_latent_has_a_rate(config, size):
    torch.manual_seed(0)
    entropy = EntropyModel(config)
    z = torch.randn(2, 12, *size) * 3
    bits, hyper = entropy(z, z.round(), None)
    assert bits.shape == z.shape
    assert hyper.shape == (2, 4, -(-size[0] // 4), -(-size[1] // 4))
    assert (bits >= 0).all()
    assert (hyper >= 0).all()


def test_inference_is_deterministic_and_training_is_not(config):
    torch.manual_seed(0)
    entropy, z = EntropyModel(config), torch.randn(1, 12, 4, 4)
    assert torch.equal(entropy(z, z.round(), None)[0], entropy(z, z.round(), None)[0])
    generator = torch.Generator().manual_seed(0)
    assert not torch.equal(entropy(z, z, generator)[1], entropy(z, z, generator)[1])


def test_rates_follow_surprise(config):
    """A vector far from its mean costs more than one at its mean."""
    torch.manual_seed(0)
    entropy = EntropyModel(config)
    z = torch.zeros(1, 12, 4, 4)
    loud = z.clone()
    loud[..., 1, 2] = 6
    bits, _ = entropy(z, loud, None)
    assert bits.sum(dim=1).flatten().argmax() == 6


def test_uniform_noise_stays_within_half_a_step():
    noise = add_uniform(torch.zeros(10000), torch.Generator().manual_seed(0))
    assert noise.abs().max() <= 0.5
    assert float(noise.var()) == pytest.approx(1 / 12, rel=0.05)
