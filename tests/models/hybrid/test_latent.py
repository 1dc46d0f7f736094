"""The rates of latents beside a base follow what the base lacks."""

import torch

from simulator.models.hybrid.latent import missing_bits
from simulator.models.lrisc.signals import Aim


def test_a_vector_counts_where_the_base_differs(model, photographs) -> None:
    images, aim = photographs[:2], Aim(torch.full((2,), 10.0), torch.zeros(2))
    base = images + 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    base[:, :, :16, :16] = 0  # lost altogether
    bits = missing_bits(model, model.transform(images, aim), base, aim)
    assert bits.shape == (2, 4, 4)
    assert (bits[:, 0, 0] > 2 * bits.flatten(1).median(dim=1).values).all()
