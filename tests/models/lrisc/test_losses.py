"""Equations (9)-(11)."""

import pytest
import torch

from simulator.models.lrisc.losses import (
    DISTORTION_SCALE,
    SATURATION,
    bits_per_pixel,
    distortion,
    distortion_perception,
)


def absolute(image: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
    return (image - estimate).abs().flatten(1).mean(dim=1)


def test_distortion_is_squared_error_until_it_is_large():
    image = torch.zeros(3, 3, 4, 4)
    estimate = torch.tensor([0.001, 0.1, 1.0])[:, None, None, None].expand_as(image)
    d = distortion(image, estimate)
    assert float(d[0]) == pytest.approx(1e-6, rel=1e-3)
    assert d.diff().gt(0).all()
    assert float(d[2]) == pytest.approx(SATURATION * torch.tensor(1 + 1 / SATURATION).log().item(), rel=1e-5)


def test_each_image_has_its_own_mixture():
    generator = torch.Generator().manual_seed(0)
    image, estimate = torch.randn(3, 3, 8, 8, generator=generator), torch.randn(3, 3, 8, 8, generator=generator)
    weight, eta = torch.tensor([1.0, 0.5, 2.0]), torch.tensor([0.0, 0.5, 1.0])
    loss = distortion_perception(image, estimate, weight, eta, absolute)
    d, p = DISTORTION_SCALE * weight * distortion(image, estimate), absolute(image, estimate)
    torch.testing.assert_close(loss, (1 - eta) * d + eta * p)


def test_no_perceptual_evaluation_without_weight():
    def refuse(image: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        raise AssertionError("evaluated")

    image = torch.zeros(2, 3, 4, 4)
    loss = distortion_perception(image, image + 0.1, torch.ones(2), torch.zeros(2), refuse)
    assert (loss > 0).all()


def test_only_images_with_weight_are_evaluated():
    def record(image: torch.Tensor, estimate: torch.Tensor) -> torch.Tensor:
        assert len(image) == 1
        assert (image == 2).all()
        return absolute(image, estimate)

    image = torch.arange(3.0)[:, None, None, None].expand(3, 3, 4, 4)
    loss = distortion_perception(image, image + 1, torch.ones(3), torch.tensor([0.0, 0.0, 1.0]), record)
    assert float(loss[2]) == pytest.approx(1)


def test_rate_counts_both_latents_per_pixel():
    latent, hyper = torch.full((2, 4, 2, 2), 8.0), torch.full((2, 1, 1, 1), 64.0)
    assert float(bits_per_pixel(latent, hyper, torch.zeros(2, 3, 32, 32))) == pytest.approx((256 + 128) / 2048)
