"""The denoisers of the learned receiver: where it starts, what guides it, which pictures it takes."""

import json
from dataclasses import asdict

import pytest
import torch

from simulator.errors import UserError
from simulator.models.receiver.net import Receiver, ReceiverConfig, expected_error, restore
from simulator.spec.configuration import build

TINY = ReceiverConfig(patch=2, channels=(8, 12), blocks=(1, 1))


@pytest.fixture
def decoded() -> torch.Tensor:
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def awake() -> Receiver:
    """A network in which every branch adds something, as after training."""
    torch.manual_seed(0)
    net = Receiver(TINY).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return net


def shown(net: Receiver, decoded: torch.Tensor, qp: float = 30.0, gamma: float = 0.4, steps: int = 1, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return restore(net, decoded, torch.full((len(decoded),), qp), gamma, steps, generator)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("gamma", [0.0, 0.8])
def test_an_untrained_network_shows_the_decoded_picture(decoded: torch.Tensor, gamma: float, steps: int) -> None:
    assert torch.allclose(shown(Receiver(TINY), decoded, gamma=gamma, steps=steps), decoded, atol=1e-6)


def test_all_that_the_receiver_knows_guides_it(decoded: torch.Tensor) -> None:
    net = awake()
    usual = shown(net, decoded)
    for other in ({"qp": 31.0}, {"gamma": 0.0}, {"gamma": 0.8}, {"steps": 2}, {"seed": 1}):
        assert not torch.allclose(shown(net, decoded, **other), usual, atol=1e-4)
    assert torch.equal(shown(net, decoded), usual)


def test_each_end_has_its_own_denoiser(decoded: torch.Tensor) -> None:
    net = awake()
    ends = [shown(net, decoded, gamma=gamma) for gamma in (0.0, 0.4)]
    with torch.no_grad():
        for parameter in net.faithful.parameters():
            parameter.zero_()
    assert torch.equal(shown(net, decoded, gamma=0.4), ends[1])
    assert torch.allclose(shown(net, decoded, gamma=0.0), decoded)
    assert not torch.allclose(ends[0], decoded, atol=1e-4)


def test_the_psnr_end_has_no_noise(decoded: torch.Tensor) -> None:
    net = awake()
    assert torch.equal(shown(net, decoded, gamma=0.0, seed=1), shown(net, decoded, gamma=0.0, seed=2))


def test_a_batch_never_changes_a_picture(decoded: torch.Tensor) -> None:
    net = awake()
    both = shown(net, decoded, gamma=0.0)
    assert torch.allclose(shown(net, decoded[1:], gamma=0.0), both[1:], atol=1e-5)


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 50)])
def test_every_size_is_restored(size: tuple[int, int]) -> None:
    picture = torch.rand(1, 3, *size) * 2 - 1
    assert shown(awake(), picture).shape == picture.shape


def test_the_scale_follows_the_quantiser() -> None:
    assert float(expected_error(torch.tensor(49.0)) / expected_error(torch.tensor(37.0))) == pytest.approx(2)


def test_corrections_scale_with_the_quantiser() -> None:
    """Of the same network, finer files are changed less: its numbers are relative to the error that a QP means."""
    net, flat = awake(), torch.zeros(1, 3, 32, 32)
    changes = [float(shown(net, flat, qp=qp, gamma=0.0).abs().max()) for qp in (20.0, 51.0)]
    assert 0 < 2 * changes[0] < changes[1]


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"channels": [8, 8], "blocks": [1]}, "'blocks' of 'model' needs one entry per entry of 'channels'"),
        ({"patch": 3}, "'patch' of 'model' must be 1, 2, 4 or 8, not 3"),
        ({"width": 3}, "width"),
    ],
)
def test_other_sizes_are_refused(sizes: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        build(ReceiverConfig, sizes, "'model'")


def test_sizes_survive_a_model_card() -> None:
    assert build(ReceiverConfig, json.loads(json.dumps(asdict(TINY))), "'model'") == TINY
