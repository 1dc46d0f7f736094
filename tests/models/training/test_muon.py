import copy

import pytest
import torch
from torch import nn

from simulator.errors import UserError
from simulator.models.training.checkpoint import optimizer_tensors, restore_optimizer
from simulator.models.training.muon import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(24, 60), (60, 24), (32, 32), (1, 7)])
def test_singular_values_become_about_one(shape):
    torch.manual_seed(0)
    short = min(shape)
    left, right = (torch.linalg.qr(torch.randn(n, short))[0] for n in shape)
    steep = left * 10 ** torch.linspace(2, 0.5, short) @ right.T
    turned = orthogonalise(steep).float()
    assert turned.shape == shape
    values = torch.linalg.svdvals(turned)
    assert values.min() > 0.6
    assert values.max() < 1.25
    aligned = ((left.T @ turned @ right).diagonal() > 0.55).all()  # the same singular vectors
    assert aligned


def test_a_gradient_of_nothing_moves_nothing():
    assert torch.equal(orthogonalise(torch.zeros(3, 5)).float(), torch.zeros(3, 5))


def test_the_arithmetic_is_what_the_device_is_fast_in(monkeypatch):
    steep = torch.randn(24, 60, generator=torch.Generator().manual_seed(0))
    turned = []
    for native in (False, True):
        monkeypatch.setattr("simulator.devices.has_native_bf16", lambda native=native: native)
        turned.append(orthogonalise(steep))
    assert [one.dtype for one in turned] == [torch.float32, torch.bfloat16]
    torch.testing.assert_close(turned[0], turned[1].float(), atol=0.05, rtol=0)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 16, 3), nn.SiLU(), nn.Conv2d(16, 3, 1))
    return net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def optimiser(net: nn.Sequential, matrix: bool = True) -> Muon:
    inner = net[2].weight
    rest = [p for p in net.parameters() if p is not inner]
    return Muon([{"params": [inner], "matrix": matrix}, {"params": rest}], lr=1e-2, weight_decay=0.0)


def step(net: nn.Sequential, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    x = torch.randn(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    net(x).square().mean().backward()
    gradients = [p.grad.clone() for p in net.parameters()]
    optimizer.step()
    optimizer.zero_grad()
    return gradients


def test_without_matrices_it_is_adamw():
    net, twin = network(), network()
    ours, theirs = optimiser(net, matrix=False), torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(3):
        step(net, ours)
        step(twin, theirs)
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_first_step_turns_the_gradient_and_leaves_the_rest_to_adamw():
    net, twin = network(), network()
    ours, theirs = optimiser(net), torch.optim.AdamW(twin.parameters(), lr=1e-2, weight_decay=0.0)
    before = net[2].weight.detach().clone()
    step(net, ours)
    gradient = step(twin, theirs)[2]  # of the second convolution's weight
    moved = (before - net[2].weight.detach()).flatten(1)
    direction = orthogonalise(gradient.flatten(1)).float()
    assert torch.cosine_similarity(moved.flatten(), direction.flatten(), dim=0) > 0.99
    torch.testing.assert_close(net[0].weight, twin[0].weight)
    torch.testing.assert_close(net[2].bias, twin[2].bias)


def test_it_trains_and_decays():
    net = network()
    optimizer = optimiser(net)
    losses = []
    for _ in range(30):
        step(net, optimizer)
        losses.append(float(net(torch.ones(1, 3, 12, 12)).square().mean().detach()))
    assert losses[-1] < 0.1 * losses[0]
    shrinking = Muon([{"params": [weight := nn.Parameter(torch.ones(4, 4))], "matrix": True}], lr=0.5, weight_decay=0.1)
    weight.grad = torch.zeros(4, 4)
    shrinking.step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 0.95))


def test_it_comes_back_from_a_checkpoint():
    net = network()
    optimizer = optimiser(net)
    step(net, optimizer)
    twin = copy.deepcopy(net)
    twin_optimizer = optimiser(twin)
    stored = {k: v.clone(memory_format=torch.contiguous_format) for k, v in optimizer_tensors(optimizer).items()}
    restore_optimizer(twin_optimizer, stored)
    for _ in range(2):
        step(net, optimizer)
        step(twin, twin_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    with pytest.raises(UserError, match="lacks some of its state"):
        restore_optimizer(optimiser(network(), matrix=False), stored)
