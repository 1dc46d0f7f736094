"""The discriminator beside a codec: whose gradient reaches whom, and what it learns."""

import math

import pytest
import torch
from torch import nn

from simulator.models.training.adversary import Discriminator, adversarial_losses


def pair(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """True pictures, blurred ones, and features of both."""
    image = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    blurred = nn.functional.avg_pool2d(image, 3, stride=1, padding=1)
    return image, blurred, nn.functional.avg_pool2d(image, 16)


def losses(judge: Discriminator, image, estimate, features) -> tuple[torch.Tensor, torch.Tensor]:
    return adversarial_losses(judge, image, estimate, features, torch.Generator().manual_seed(0))


def test_each_loss_moves_its_own_side_alone():
    torch.manual_seed(0)
    judge, (image, estimate, features) = Discriminator(3), pair(0)
    estimate.requires_grad_()
    fooling, telling = losses(judge, image, estimate, features)
    assert fooling.shape == telling.shape == (4,)
    weights = [weight for weight in judge.parameters() if weight.requires_grad]
    assert len(weights) == len(list(judge.parameters()))
    of_codec = torch.autograd.grad(fooling.sum(), [estimate, *weights], retain_graph=True, allow_unused=True)
    assert of_codec[0].abs().sum() > 0
    assert all(gradient is None for gradient in of_codec[1:])
    of_judge = torch.autograd.grad(telling.sum(), [estimate, *weights], allow_unused=True)
    assert of_judge[0] is None
    assert all(gradient.abs().sum() > 0 for gradient in of_judge[1:])


def test_it_learns_to_tell_blurred_from_true():
    torch.manual_seed(0)
    judge = Discriminator(3)
    optimiser = torch.optim.Adam(judge.parameters(), 3e-3, betas=(0.5, 0.9))
    for step in range(15):
        optimiser.zero_grad()
        losses(judge, *pair(step))[1].mean().backward()
        optimiser.step()
    with torch.no_grad():
        fooling, telling = losses(judge, *pair(1000))
    assert float(telling.mean()) < 0.8 * 2 * math.log(2)  # that of a guess is 2 ln 2
    assert float(fooling.mean()) > math.log(2)


def test_a_picture_with_the_features_of_another_is_judged_otherwise():
    torch.manual_seed(0)
    judge, (image, _, features) = Discriminator(3).eval(), pair(0)
    assert not torch.allclose(judge(image, features), judge(image, features.flip(0)))


@pytest.mark.parametrize("side", [64, 96])
def test_one_verdict_for_each_patch(side):
    assert Discriminator(5)(torch.zeros(2, 3, side, side), torch.zeros(2, 5, 4, 4)).shape == (
        2,
        1,
        side // 8,
        side // 8,
    )
