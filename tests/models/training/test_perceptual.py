"""The perceptual loss: it must see what eyes see, and what one net at one pixel phase does not."""

import pytest
import torch
from torch.nn import functional as F

from simulator.models.training.perceptual import (
    OFF_PHASE,
    PHASES,
    VGG_WINDOW,
    ShiftedLpips,
    dissimilarity,
    lattice_energy,
)


class Recorder:
    """Stands in for LPIPS: squared error, and a note of what it was shown."""

    def __init__(self, name: str) -> None:
        self.name, self.shown = name, []

    def to(self, device: torch.device) -> "Recorder":
        return self

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        assert first.shape == second.shape
        self.shown.append(first)
        return (first - second).square().flatten(1).mean(dim=1)


def pattern(period: int, side: int = 128) -> torch.Tensor:
    """A pattern [3, side, side] of +-1, whose smallest period is `period` in both directions."""
    line = torch.arange(side) % period < period // 2
    return torch.where(line[:, None] ^ line, 1.0, -1.0).expand(3, -1, -1)


@pytest.mark.parametrize(("period", "times"), [(2, 4), (4, 3), (8, 2), (16, 1)])
def test_a_pattern_counts_at_every_period_that_it_has(period, times):
    energy = lattice_energy(torch.stack([0.1 * pattern(period), 0.2 * pattern(period)]))
    torch.testing.assert_close(energy, torch.tensor([0.01, 0.04]) * times)


def test_a_pattern_that_changes_within_the_picture_is_found():
    sign = torch.ones(128, 128)
    sign[:, 64:] = -1
    whole, halves = lattice_energy(torch.stack([pattern(4), pattern(4) * sign]))
    torch.testing.assert_close(halves, whole)


def test_noise_and_shades_are_no_pattern():
    flat = torch.linspace(-1, 1, 3)[:, None, None].expand(3, 128, 128)
    assert float(lattice_energy(flat[None])) < 1e-10
    noise = torch.randn(8, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    assert float(lattice_energy(noise).mean()) < 0.25


def test_the_energy_shows_the_way_out_of_a_pattern():
    error = (0.1 * pattern(4) + 0.1 * torch.randn(3, 128, 128, generator=torch.Generator().manual_seed(0)))[None]
    error = error.requires_grad_()
    (gradient,) = torch.autograd.grad(lattice_energy(error).sum(), error)
    along = (gradient[0] * pattern(4)).mean()
    assert float(along) > 0
    assert float(along) > 0.9 * float(gradient.square().mean().sqrt())


def test_dissimilarity_of_shades_is_that_of_the_formula():
    dark, bright = torch.full((1, 3, 64, 64), 0.2), torch.full((1, 3, 64, 64), 0.5)
    luma = (2 * 0.2 * 0.5 + 4e-4) / (0.2**2 + 0.5**2 + 4e-4)
    assert float(dissimilarity(dark, bright)) == pytest.approx(1 - (luma + 2) / 3, rel=1e-4)
    assert float(dissimilarity(dark, dark)) == pytest.approx(0, abs=1e-6)


def test_dissimilarity_sees_lost_colour_and_lost_detail():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(2, 3, 17, 17, generator=generator) * 2 - 1
    image = F.interpolate(coarse, (128, 128), mode="bicubic").clamp(-1, 1)
    grey = image.mean(dim=1, keepdim=True).expand_as(image)
    blurred = F.avg_pool2d(F.pad(image, (8, 8, 8, 8), mode="replicate"), 17, 1)
    near = image + 0.02 * torch.randn(image.shape, generator=generator)
    worse = [float(dissimilarity(image, one).mean()) for one in (near, blurred, grey)]
    assert 0 < worse[0] < min(worse[1:])
    assert worse[2] > 0.4


def test_nets_take_turns_and_see_every_phase():
    nets = [Recorder("alex"), Recorder("squeeze")]
    lpips, generator = ShiftedLpips([nets[0], nets[0], nets[1]]), torch.Generator().manual_seed(0)
    place = torch.arange(96 * 96.0).reshape(1, 1, 96, 96).expand(1, 3, -1, -1)
    for _ in range(600):
        lpips.distance(place, place + 1, generator)
    full = [[one for one in net.shown if one.shape[-1] == 96 - PHASES] for net in nets]
    assert 300 < len(full[0]) < 500
    assert len(full[0]) + len(full[1]) == 600
    corners = {divmod(int(one[0, 0, 0, 0]), 96) for one in full[0]}
    assert corners == {(top, left) for top in range(PHASES) for left in range(PHASES)}
    halves = [one for one in nets[0].shown if one.shape[-1] == (96 - PHASES) // 2]
    assert len(halves) == len(full[0])


def test_the_distance_is_that_of_both_scales_and_a_function_of_its_generator():
    lpips = ShiftedLpips([Recorder("alex")])
    first, second = torch.rand(2, 3, 80, 80), torch.rand(2, 3, 80, 80)
    one, again, other = (lpips.distance(first, second, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    shift = lpips.distance(first, first + 0.1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(shift, torch.full((2,), 0.01))  # a constant offset is the same at both scales


def test_vgg_sees_a_window():
    net = Recorder("vgg")
    ShiftedLpips([net]).distance(torch.rand(1, 3, 96, 96), torch.rand(1, 3, 96, 96), torch.Generator().manual_seed(0))
    assert [one.shape[-2:] for one in net.shown] == [(VGG_WINDOW, VGG_WINDOW)]


def test_validation_measures_every_net_once_at_one_phase():
    nets = [Recorder("alex"), Recorder("squeeze")]
    lpips = ShiftedLpips([nets[0], nets[1], nets[0]])
    first, second = torch.rand(1, 3, 80, 80), torch.rand(1, 3, 80, 80)
    value = lpips.off_phase(first, second)
    assert [len(net.shown) for net in nets] == [1, 1]
    down, right = OFF_PHASE
    expected = (first - second)[..., down:, right:].square().mean()
    torch.testing.assert_close(value, expected[None])
