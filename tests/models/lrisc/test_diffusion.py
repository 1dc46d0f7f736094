"""Equations (5)-(8) and the U-Net."""

import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulator.models.lrisc.diffusion import SNR_CLIP, add_noise, alpha, loss_weight, sample
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.lrisc.unet import UNet, time_features


def test_schedule_runs_from_image_to_noise():
    time = torch.linspace(0, 1, 101)
    level = alpha(time)
    assert level[0] == 1
    assert level[-1] < 1e-30
    assert (level.diff() < 0).all()


@given(st.floats(0, 1, width=32))
def test_noising_preserves_variance(time):
    level = alpha(torch.tensor([time]))
    signal, noise = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    gain = add_noise(signal, noise, torch.tensor([time]))
    spread = add_noise(noise, signal, torch.tensor([time]))
    assert float(gain**2 + spread**2) == pytest.approx(1, abs=1e-5)
    assert float(gain**2) == pytest.approx(float(level), abs=1e-5)


def test_weight_is_the_clipped_snr_of_equation_7():
    time = torch.tensor([0.01, 0.2, 0.5, 0.9, 1.0])
    level = alpha(time).double()
    expected = (level / (1 - level)).clamp_max(SNR_CLIP).float()
    torch.testing.assert_close(loss_weight(time), expected, rtol=1e-4, atol=1e-7)
    assert loss_weight(torch.tensor([1e-4]))[0] == SNR_CLIP
    assert loss_weight(torch.tensor([0.5]))[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("gamma", [0.0, 0.8, 1.0])
def test_perfect_denoiser_returns_the_image(steps, gamma):
    image = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    noise = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(sample(lambda x, time: image, gamma * noise, steps), image)


def test_sampler_walks_the_straight_path():
    """With the true image predicted, every x_n is sqrt(alpha) x_0 + sqrt(1 - alpha) eps: eps never changes."""
    image, noise = torch.full((1, 3, 2, 2), 0.3), torch.randn(1, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    seen = []

    def denoise(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        seen.append(float(time[0]))
        torch.testing.assert_close(x, add_noise(image, noise, time), atol=1e-4, rtol=1e-4)
        return image

    sample(denoise, noise, 5)
    assert seen == pytest.approx([1, 0.8, 0.6, 0.4, 0.2])


def test_single_step_is_the_prediction_itself():
    assert torch.equal(sample(lambda x, time: x * 0 + 0.25, torch.randn(1, 3, 4, 4), 1), torch.full((1, 3, 4, 4), 0.25))


def test_unet_starts_as_the_linear_reconstruction(linear, photographs):
    with torch.no_grad():
        z = linear.transform(photographs, Aim.clean(torch.zeros(8)))
        condition = linear.condition(LatentEstimate.exact(z))
        out = linear.denoiser(torch.randn(photographs.shape), condition, torch.full((8,), 0.7))
    assert torch.equal(out, condition.linear)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (32, 48), (80, 16)])
@pytest.mark.parametrize("full_resolution", [False, True])
def test_unet_keeps_any_size(config, height, width, full_resolution):
    """Also six levels, of which the last are less than a pixel of the 16 x 16 grid."""
    if full_resolution:
        config = dataclasses.replace(
            config,
            unet_patch=1,
            unet_channels=(4, 8, 8, 12, 12, 16),
            unet_attention=(True,) * 6,
            conditioned_levels=4,
        )
    torch.manual_seed(0)
    unet = UNet(config)
    with torch.no_grad():
        torch.nn.init.normal_(unet.leave.weight, std=0.1)
        z = torch.randn(2, 12, height // 16, width // 16)
        estimate = LatentEstimate(z, z.sigmoid(), Aim.clean(torch.tensor([1.0, 0.0])))
        condition = unet.condition(estimate, z)
        x = torch.randn(2, 3, height, width)
        out = unet(x, condition, torch.tensor([0.2, 1.0]))
        first = unet.condition(estimate[:1], z[:1])
        alone = unet(x[:1], first, torch.tensor([0.2]))
    strides = [config.unet_patch * 2**level for level in range(config.conditioned_levels)]
    assert [m.shape[2:] for m in condition.maps] == [(-(-height // s), -(-width // s)) for s in strides]
    assert out.shape == x.shape
    assert out.isfinite().all()
    torch.testing.assert_close(out[:1], alone, atol=1e-4, rtol=1e-4)


def test_prediction_depends_on_image_latent_error_end_and_time(model, photographs):
    with torch.no_grad():
        sharp, plain = (Aim.clean(torch.full((8,), fidelity)) for fidelity in (0.0, 1.0))
        x, z = torch.randn(photographs.shape), model.transform(photographs, sharp)
        time = torch.full((8,), 0.5)
        condition = model.condition(LatentEstimate.exact(z, sharp))
        out = model.denoiser(x, condition, time)
        assert not torch.allclose(out, model.denoiser(x + 1, condition, time))
        assert not torch.allclose(out, model.denoiser(x, model.condition(LatentEstimate.exact(z * 2)), time))
        for other in (LatentEstimate(z, torch.ones_like(z), sharp), LatentEstimate.exact(z, plain)):
            assert not torch.allclose(out, model.denoiser(x, model.condition(other), time))
        assert not torch.allclose(out, model.denoiser(x, condition, time / 2))


def test_time_features_tell_steps_apart():
    features = time_features(torch.linspace(1 / 1000, 1, 1000))
    assert features.shape == (1000, 64)
    assert features.abs().max() <= 1
    assert torch.cdist(features, features).fill_diagonal_(9).min() > 1e-2
