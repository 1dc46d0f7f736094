"""The system whole: sizes of both configurations, the linear start, and the link of training."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import LriscConfig
from simulator.models.lrisc.rate import levels_at
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.lrisc.transform import fold_blocks, principal_axes
from simulator.models.lrisc.unet import UNetLevel
from simulator.models.training.channel import cross
from simulator.models.training.entries import read_config
from simulator.models.training.monitor import count_flops
from simulator.spec.configuration import build

SHARP = Aim.clean(torch.zeros(8))  # the perception end of eight images


def over_channel(
    model: Lrisc, z: torch.Tensor, levels: torch.Tensor, aim: Aim, generator: torch.Generator
) -> LatentEstimate:
    return model.receive(cross(model.send(z, levels, aim), aim.snr_db, generator), aim)


def shipped(name: str) -> Lrisc:
    """A shipped configuration's networks without their weights."""
    config = build(LriscConfig, read_config(Path(f"experiments/train/{name}.yaml"))["model"], "'model'")
    with torch.device("meta"):
        return Lrisc(config)


def step_gflop(model: Lrisc, psnr_end: bool = False) -> float:
    """GFLOP of one denoising step at 256 x 256, with adapters or without."""
    z, x = (torch.empty(1, n, s, s, device="meta") for n, s in ((model.config.latent_channels, 16), (3, 256)))
    condition, time = model.condition(LatentEstimate.exact(z)), torch.ones(1, device="meta")

    def step() -> None:
        guide = model.denoiser.guide(condition)
        model.denoiser.predict(x, guide if psnr_end else replace(guide, fidelity=None), time)

    return count_flops(step) / 1e9


def test_compact_configuration_is_small():
    model = shipped("lrisc-compact")
    weights = model.state_dict()
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == 8_989_624  # released weights depend on it
    assert parameters <= 12e6
    # Bytes of the released half-precision file; all that are released stay below 24 MiB together.
    assert sum(2 * weight.numel() + 200 for weight in weights.values()) <= 18.1e6
    assert 4 <= step_gflop(model) < step_gflop(model, psnr_end=True) <= 20
    assert len(model.config.rate_levels) == 16
    assert LriscConfig() == model.config


def test_paper_configuration_has_the_sizes_of_the_paper():
    model = shipped("lrisc-paper")
    unet = model.denoiser
    assert unet.patch == 1
    assert len(unet.down) == 6
    for level, stage in enumerate(unet.down):
        assert isinstance(stage, UNetLevel)
        assert stage.blocks[0].conv1.out_channels == 64 * (level + 1)
        assert len(stage.blocks) == 2
        assert not isinstance(stage.attention, torch.nn.Identity)
    assert len(unet.inject) == 4
    assert len(model.config.rate_levels) == 16
    adapters = sum(p.numel() for name, p in model.named_parameters() if ".faithful." in name)
    assert adapters == 3_923_968  # ours
    assert sum(p.numel() for name, p in unet.named_parameters() if ".faithful." not in name) == 33_410_371
    assert sum(p.numel() for p in model.parameters()) - adapters == 54_347_319
    assert step_gflop(model) == pytest.approx(144.8, rel=0.01)
    assert step_gflop(model, psnr_end=True) == pytest.approx(157.3, rel=0.01)


def test_linear_start_has_the_psnr_of_its_axes(linear, photographs):
    discarded = principal_axes(fold_blocks(photographs), 768)[1][12:].double().square().sum() / 768
    with torch.no_grad():
        z = linear.transform(photographs, SHARP)
        error = (linear.condition(LatentEstimate.exact(z)).linear - photographs).double().square().mean()
        assert abs(10 * (error / discarded).log10()) < 0.02
        image = linear.generate(LatentEstimate.exact(z), torch.zeros_like(photographs), steps=1)
    clipped = (image - photographs).double().square().mean()
    assert clipped <= error * 1.0001


def test_linear_start_knows_the_marginals(linear, photographs):
    """sigma starts at the deviation of each channel of z: the rate is that of independent Gaussians."""
    with torch.no_grad():
        z = linear.transform(photographs, SHARP)
    torch.testing.assert_close(linear.entropy.channel_scale[:, 0, 0], z.std(dim=(0, 2, 3)), rtol=0.05, atol=0.05)


def test_features_and_latent_are_inverse(model):
    z = torch.randn(2, 12, 3, 5)
    torch.testing.assert_close(model.latent(model.features(z)), z)


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 20.0])
def test_measured_noise_has_the_snr_of_the_label(linear, snr_db):
    """Es/N0 per complex symbol of each image alone, whatever the power that f_e happens to give it."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(2, 12, 128, 128, generator=generator) * torch.tensor([1.0, 7.0])[:, None, None, None]
    levels = torch.randint(2, 4, (2, 128, 128), generator=generator)
    aim = Aim(torch.tensor([snr_db, snr_db + 3]), torch.zeros(2))
    with torch.no_grad():
        sent = linear.send(z, levels, aim)
        heard = cross(sent, aim.snr_db, generator)
    assert (heard.components[~sent.mask] == 0).all()
    assert sent.mean_power[1] > 10 * sent.mean_power[0]
    for image in range(2):
        mask = sent.mask[image]
        symbols = torch.view_as_complex(sent.components[image][mask].reshape(-1, 2))
        noise = torch.view_as_complex((heard.components - sent.components)[image][mask].reshape(-1, 2))
        measured = 10 * (symbols.abs().square().mean() / noise.abs().square().mean()).log10()
        assert float(measured) == pytest.approx(float(aim.snr_db[image]), abs=0.05)
        assert float(heard.noise[image].mean()) == pytest.approx(float(noise.abs().square().mean()) / 2, rel=0.02)


def test_clean_channel_at_full_rate_returns_the_latent(linear, photographs):
    with torch.no_grad():
        z = linear.transform(photographs, SHARP)
        levels = torch.full((8, 4, 4), 3)
        aim = Aim(torch.full((8,), 80.0), torch.zeros(8), adapt=False)
        back = over_channel(linear, z, levels, aim, torch.Generator().manual_seed(0))
        error = linear.features(back.z) - linear.features(z)
    assert float(error.abs().max()) < 0.2  # the rate tokens
    assert float(error.square().mean()) < 5e-3


def test_batch_of_two_equals_two_batches_of_one(model, photographs):
    """At an SNR where the noise, drawn for the batch as a whole, does not show."""
    x = photographs[:2] * torch.tensor([1.0, 0.3])[:, None, None, None]
    aim, generator = Aim(torch.full((2,), 200.0), torch.tensor([1.0, 0.0])), torch.Generator().manual_seed(0)
    with torch.no_grad():
        latent = model.analyse(x, aim)
        levels = levels_at(latent.bits, torch.tensor([0.3, 0.1]), model.levels)
        back = over_channel(model, latent.z, levels, aim, generator)
        image = model.generate(back, torch.zeros_like(x), steps=2)
        for i in range(2):
            one = slice(i, i + 1)
            alone = model.analyse(x[one], aim[one])
            torch.testing.assert_close(alone.bits, latent.bits[one], atol=1e-3, rtol=1e-4)
            again = over_channel(model, alone.z, levels[one], aim[one], generator)
            torch.testing.assert_close(again.z, back[one].z, atol=1e-3, rtol=1e-3)
            torch.testing.assert_close(again.error, back[one].error, atol=1e-6, rtol=1e-4)
            picture = model.generate(again, torch.zeros_like(x[one]), steps=2)
            torch.testing.assert_close(picture, image[one], atol=1e-3, rtol=1e-3)


def test_generation_is_deterministic_and_in_range(model, photographs):
    with torch.no_grad():
        z, start = LatentEstimate.exact(model.transform(photographs, SHARP)), torch.randn(photographs.shape)
        first, second = model.generate(z, start, steps=3), model.generate(z, start, steps=3)
        other = model.generate(z, -start, steps=3)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert first.abs().max() <= 1
