"""LRISC in miniature: all classes at sizes for which a test takes milliseconds."""

import copy

import pytest
import torch
from torch.nn import functional as F

from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import LriscConfig

TINY = LriscConfig(
    latent_channels=12,
    transform_channels=(8, 8, 8),
    hyper_channels=4,
    rate_levels=(2, 4, 6, 12),
    jscc_heads=2,
    jscc_window=4,
    unet_channels=(8, 12, 16),
    unet_attention=(False, True, True),
    condition_channels=8,
)


def smooth_images(count: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    """Images [count, 3, height, width] in [-1, 1] with most of their energy at low frequencies, as photographs have."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.zeros(count, 3, height, width)
    for cell in (32, 8, 2):
        coarse = torch.randn(count, 3, height // cell + 2, width // cell + 2, generator=generator)
        image += F.interpolate(coarse, scale_factor=cell, mode="bilinear")[..., :height, :width] * cell
    return torch.tanh(image / 32)


@pytest.fixture(scope="session")
def config() -> LriscConfig:
    return TINY


@pytest.fixture
def photographs() -> torch.Tensor:
    return smooth_images(8, 64, 64)


@pytest.fixture(scope="session")
def _started() -> Lrisc:
    torch.manual_seed(0)
    model = Lrisc(TINY).eval()
    model.start_linear(smooth_images(8, 64, 64))
    model.start_jscc(smooth_images(8, 64, 64))
    return model


@pytest.fixture
def linear(_started) -> Lrisc:
    """The untrained system: a linear codec."""
    torch.manual_seed(0)
    return copy.deepcopy(_started)


@pytest.fixture
def model(linear) -> Lrisc:
    """A system in which every branch is awake, as after training."""
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape))
    return linear
