"""What the networks are built from."""

import pytest
import torch
from torch import nn

from simulator.models.lrisc.layers import FidelityAdapter, ResBlock
from simulator.models.lrisc.signals import Aim


@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(6, 6, bias=False), (2, 5, 6)), (nn.Conv2d(6, 6, 1, bias=False), (2, 6, 4, 5))]
)
def test_an_adapter_is_silent_at_first_and_always_at_the_perception_end(layer, shape):
    adapter, x = FidelityAdapter(layer), torch.randn(shape)
    assert torch.equal(adapter(x, torch.ones(2)), x)
    nn.init.normal_(layer.weight)
    both = adapter(x, torch.tensor([0.0, 1.0]))
    assert torch.equal(both[0], x[0])
    torch.testing.assert_close(both[1], x[1] + layer(x)[1])
    assert adapter(x, None) is x  # it is not even computed


def test_adapters_are_skipped_when_no_image_requests_the_psnr_end_and_nothing_is_learnt():
    ends, none = Aim.clean(torch.tensor([0.0, 1.0])), Aim.clean(torch.zeros(2))
    assert none.faithful is none.fidelity  # training: weights of adapters need a gradient, be it zero
    with torch.no_grad():
        assert none.faithful is None
        assert ends.faithful is ends.fidelity


def test_adapters_of_a_block_serve_the_images_that_ask():
    torch.manual_seed(0)
    block, x, ends = ResBlock(6), torch.randn(2, 6, 4, 5), torch.tensor([0.0, 1.0])
    nn.init.normal_(block.conv2.weight)
    plain = block(x)
    assert torch.equal(block(x, fidelity=ends), plain)
    for adapter in block.faithful:
        nn.init.normal_(adapter.layer.weight)
        adapted = block(x, fidelity=ends)
        assert torch.equal(adapted[0], plain[0])
        assert not torch.allclose(adapted[1], plain[1])
        nn.init.zeros_(adapter.layer.weight)


def test_a_block_of_one_end_has_no_adapters():
    torch.manual_seed(0)
    block, x = ResBlock(6, adapters=False), torch.randn(2, 6, 4, 5)
    nn.init.normal_(block.conv2.weight)
    assert not [name for name, _ in block.named_parameters() if "faithful" in name]
    assert torch.equal(block(x, fidelity=torch.ones(2)), block(x))
