"""g_e and its linear start."""

import json
from dataclasses import asdict

import pytest
import torch
from torch.nn import functional as F

from simulator.errors import UserError
from simulator.models.lrisc.config import STRIDE, LriscConfig
from simulator.models.lrisc.layers import FidelityAdapter
from simulator.models.lrisc.signals import Aim
from simulator.models.lrisc.transform import (
    AnalysisTransform,
    LinearAnalysis,
    LinearSynthesis,
    fold_blocks,
    principal_axes,
)
from simulator.spec.configuration import build


def test_principal_axes_are_orthonormal_and_carry_their_deviation(photographs):
    blocks = fold_blocks(photographs)
    axes, deviations, mean = principal_axes(blocks, 12)
    torch.testing.assert_close(axes @ axes.T, torch.eye(12), atol=1e-5, rtol=0)
    projected = (blocks - mean) @ axes.T
    torch.testing.assert_close(projected.std(dim=0, correction=0), deviations, rtol=1e-3, atol=1e-4)
    assert (deviations.diff() <= 0).all()


@pytest.mark.parametrize("channels", [4, 12, 40])
def test_linear_codec_loses_what_its_axes_leave_out(photographs, channels):
    """Eckart-Young: the squared error of C axes is the variance along all others."""
    config = LriscConfig(latent_channels=channels, rate_levels=(2, 4), jscc_heads=1)
    every = principal_axes(fold_blocks(photographs), 3 * STRIDE**2)[1].double().square()
    axes, _, mean = principal_axes(fold_blocks(photographs), channels)
    analysis, synthesis = LinearAnalysis(config), LinearSynthesis(config)
    analysis.start(axes, mean)
    synthesis.start(axes, mean)
    error = (synthesis(analysis(photographs)) - photographs).double().square().mean()
    expected = every[channels:].sum() / (3 * STRIDE**2)
    assert abs(10 * (error / expected).log10()) < 0.02  # dB of PSNR


def test_transform_starts_as_its_linear_part(config, photographs):
    transform = AnalysisTransform(config)
    z = transform(photographs, Aim.clean(torch.zeros(8)))
    assert z.shape == (8, 12, 4, 4)
    torch.testing.assert_close(z, transform.linear(photographs))


def test_adapters_serve_the_images_that_ask(config, photographs):
    torch.manual_seed(0)
    transform, ends = AnalysisTransform(config), torch.arange(8.0) % 2
    for name, parameter in transform.named_parameters():
        if ".faithful." not in name and not name.startswith("faithful."):
            torch.nn.init.normal_(parameter, std=0.1)
    plain, asking = transform(photographs, Aim.clean(torch.zeros(8))), ends > 0
    assert torch.equal(transform(photographs, Aim.clean(ends)), plain)
    adapters = [module for module in transform.modules() if isinstance(module, FidelityAdapter)]
    assert len(adapters) == 2 * len(config.transform_channels) + 1
    for adapter in adapters:
        torch.nn.init.normal_(adapter.layer.weight)
        adapted = transform(photographs, Aim.clean(ends))
        assert torch.equal(adapted[~asking], plain[~asking])
        assert not any(torch.allclose(one, other) for one, other in zip(adapted[asking], plain[asking], strict=True))
        torch.nn.init.zeros_(adapter.layer.weight)


def test_latent_steps_have_the_configured_size(photographs):
    """latent_scale is the gain of z: twice the scale, twice the latent, half the step in pixels."""
    axes, _, mean = principal_axes(fold_blocks(photographs), 8)
    latents = []
    for scale in (1.0, 2.0):
        analysis = LinearAnalysis(LriscConfig(latent_channels=8, rate_levels=(2, 8), jscc_heads=1, latent_scale=scale))
        analysis.start(axes, mean)
        latents.append(analysis(photographs))
    torch.testing.assert_close(latents[1], 2 * latents[0])


def test_blocks_are_those_that_pixel_shuffle_makes(photographs):
    blocks = fold_blocks(photographs)
    assert blocks.shape == (8 * 16, 768)
    back = F.pixel_shuffle(blocks.reshape(8, 4, 4, 768).permute(0, 3, 1, 2), STRIDE)
    assert torch.equal(back, photographs)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"rate_levels": [4, 2]}, "ascending"),
        ({"rate_levels": [3, 4]}, "even"),
        ({"rate_levels": [2, 400]}, "exceeds latent_channels"),
        ({"unet_attention": [True]}, "one entry per"),
        ({"unet_patch": 3}, "unet_patch must be 1, 2, 4, 8 or 16, got 3"),
        ({"jscc_heads": 5}, "multiple of jscc_heads 5"),
        ({"transform_patch": 2}, "a stride of 8; it must be 16"),
        ({"transform_channels": [64, 96]}, "a stride of 8; it must be 16"),
        ({"latent_chanels": 3}, "unknown key 'latent_chanels' in 'model'"),
    ],
)
def test_impossible_configurations_are_explained(values, match):
    with pytest.raises(UserError, match=match):
        build(LriscConfig, values, "'model'")


def test_configuration_survives_a_round_trip(config):
    assert build(LriscConfig, json.loads(json.dumps(asdict(config))), "'model'") == config
