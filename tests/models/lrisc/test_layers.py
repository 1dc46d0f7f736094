"""What the networks are built from."""

import pytest
import torch
from torch import nn

from models.lrisc.layers import FidelityAdapter


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
    with torch.no_grad():  # where nothing is asked of it, it is not even computed
        torch.testing.assert_close(adapter(x, torch.tensor([0.0, 1.0])), both)
        assert adapter(x, torch.zeros(2)) is x
