"""What was reordered for speed, held to the formulas as they are written."""

import constriction
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from simulator.models.lrisc.allocation import PowerAllocation
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.diffusion import alpha, sample
from simulator.models.lrisc.ratemap import _AdaptiveModel, encode_map
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.lrisc.snr import FIDELITY_UNIT, SNR_UNIT_DB
from simulator.models.lrisc.unet import Condition, UNet, time_features


def predict_as_written(unet: UNet, x: Tensor, condition: Condition, time: Tensor) -> Tensor:
    """X_theta on sides that are multiples of 32: one convolution over both inputs, maps projected at every step."""
    embedding = unet.time(time_features(time)) + condition.doubt
    h = unet.enter(F.pixel_unshuffle(torch.cat([x, condition.linear], dim=1), unet.patch))
    skips = []
    for level, stage in enumerate(unet.down):
        if level < len(unet.inject):
            h = h + unet.inject[level](condition.maps[level])
        h = stage(h, embedding, condition.aim.fidelity)
        if level < len(unet.shrink):
            skips.append(h)
            h = unet.shrink[level](h)
    for level in reversed(range(len(unet.up))):
        h = unet.up[level](skips[level] + unet.grow[level](h), embedding, condition.aim.fidelity)
    return condition.linear + F.pixel_shuffle(unet.leave(F.silu(unet.norm(h))), unet.patch)


@torch.inference_mode()
def test_denoiser_is_the_one_that_was_trained(model: Lrisc):
    z, x = 2 * torch.randn(2, model.config.latent_channels, 4, 6), torch.randn(2, 3, 64, 96)
    time = torch.tensor([1.0, 0.3])
    condition = model.condition(estimate := LatentEstimate(z, torch.rand_like(z), Aim.clean(torch.tensor([0.0, 1.0]))))
    expected = predict_as_written(model.denoiser, x, condition, time)
    torch.testing.assert_close(model.denoiser(x, condition, time), expected, atol=1e-5, rtol=1e-5)
    last = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    torch.testing.assert_close(last.denoiser(x, last.condition(estimate), time), expected, atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_linear_reconstruction_stays_in_float32(model: Lrisc):
    z = 2 * torch.randn(1, model.config.latent_channels, 4, 4)
    exact = model.condition(LatentEstimate.exact(z))
    with torch.autocast("cpu", torch.bfloat16):
        coarse = model.condition(LatentEstimate.exact(z))
    assert torch.equal(exact.linear, coarse.linear)
    assert coarse.maps[0].dtype == torch.bfloat16


@pytest.mark.parametrize("steps", [1, 4])
def test_sampler_ends_as_eq_8_says(steps):
    def denoise(x: Tensor, time: Tensor) -> Tensor:
        return 0.3 * x + time[:, None, None, None]

    x = start = torch.randn(1, 3, 16, 16)
    for n in range(steps, 0, -1):
        now = torch.full((1,), n / steps)
        image, level, following = denoise(x, now), alpha(now[0]), alpha(now[0] * (n - 1) / n)
        x = following.sqrt() * image + (1 - following).sqrt() * (x - level.sqrt() * image) / (1 - level).sqrt()
    torch.testing.assert_close(sample(denoise, start, steps), x)


@pytest.mark.parametrize("snr_db", [-5.0, 0.0, 10.0, 20.0])
@pytest.mark.parametrize("spread", [0.0, 1.0, 4.0, 8.0])
def test_water_level_is_that_of_bisection(snr_db, spread):
    generator = torch.Generator().manual_seed(1)
    variance = torch.exp(spread * torch.randn(1, 300, 40, generator=generator))
    mask = torch.rand(1, 300, 40, generator=generator) < 0.4
    deviation, noise, budget = variance.double().sqrt(), 10 ** (-snr_db / 10), int(mask.sum())
    low, high = 0.0, float(2 * (1 + noise) * budget / (deviation * mask).max())
    for _ in range(80):
        level = (low + high) / 2
        spent = float(((level * deviation - noise).clamp_min(0) * mask).sum())
        low, high = (level, high) if spent <= budget else (low, level)
    expected = ((low * deviation - noise).clamp_min(0) * mask).sqrt() / deviation
    gain = PowerAllocation.gain(None, variance, mask, torch.tensor([snr_db]))  # type: ignore[arg-type]
    error = (gain.square() * variance - expected.float().square() * variance).abs().max()
    assert float(error) < 1e-4 * float((expected.square() * variance).max() + 1)


@torch.inference_mode()
def test_snr_module_knows_every_vector(model: Lrisc):
    snr = model.decoder.snr
    x = torch.randn(2, 7, model.config.latent_channels)
    snr_db = torch.tensor([[3.0, 3.0, 9.0, -1.0, 9.0, 3.0, 20.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    ends = torch.tensor([[1.0], [0.0]]).expand(2, 7)
    h = snr.enter(x)
    for layer, modulation in zip([*snr.hidden, snr.leave], snr.modulations, strict=True):
        h = layer(h * modulation(torch.stack([snr_db / SNR_UNIT_DB, ends * FIDELITY_UNIT], dim=2)))
    torch.testing.assert_close(snr(x, snr_db, ends[:, 0]), x * torch.sigmoid(h))


def test_map_coded_at_once_is_that_coded_level_by_level():
    draw = np.random.default_rng(3)
    for num_levels, shape in ((16, (12, 17)), (4, (1, 9)), (2, (5, 1))):
        levels = draw.integers(0, num_levels, shape)
        coder, model, coded = constriction.stream.queue.RangeEncoder(), _AdaptiveModel(num_levels), np.full(shape, -1)
        for row, column in np.ndindex(shape):
            context, level = model.context(coded, row, column), int(levels[row, column])
            coder.encode(level, model.distribution(context))
            model.update(context, level)
            coded[row, column] = level
        assert encode_map(levels, num_levels) == coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")
