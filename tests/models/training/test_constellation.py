"""Training over QAM grids: the same reception as over the link, gradients for both ends, and what is refused."""

import pytest
import torch

from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig
from simulator.baselines.deepjscc.training import Conditions, DeepJsccSystem, over_channel
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.models.lrisc.signals import Sent
from simulator.models.training.channel import cross
from simulator.models.training.constellation import Grids, nearest_levels, over_grid
from simulator.models.training.trainee import StageConfig


def _gaussian(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("points", [4, 16, 256])
def test_what_arrives_is_what_the_link_gives_an_analog_receiver(points: int) -> None:
    quadratures, variance, silent = _gaussian(500, 2) * 0.5**0.5, torch.full((500,), 0.1), torch.zeros(500, 2)
    channel = load_channel(f"awgn:constellation={points}")
    realisation = channel.realise(500, 10.0, 3)
    golden = channel.send(torch.view_as_complex(quadratures), realisation)
    nothing = load_channel("awgn").send(torch.zeros(500, dtype=torch.complex64), realisation.link).symbols
    noise = torch.view_as_real(nothing) / 0.05**0.5
    seen, spread = over_grid(quadratures, variance, points, "straight", noise)
    assert torch.allclose(torch.view_as_complex(seen), golden.symbols, atol=1e-3)
    assert torch.allclose(spread, golden.noise_variance, atol=1e-4)
    assert not torch.allclose(seen, over_grid(quadratures, variance, points, "straight", silent)[0], atol=1e-2)


@pytest.mark.parametrize("gradient", ["straight", "soft"])
def test_gradients_pass_the_nearest_point(gradient: str) -> None:
    values = _gaussian(200).requires_grad_()
    nearest = nearest_levels(values, 16, gradient)
    assert len(nearest.detach().round(decimals=4).unique()) == 4
    nearest.sum().backward()
    assert values.grad is not None
    if gradient == "straight":
        assert torch.equal(values.grad, torch.ones(200))
    else:
        assert (values.grad >= -1e-6).all()
        assert 0.5 < float(values.grad.mean()) < 1.5


@pytest.mark.parametrize("gradient", ["straight", "soft"])
def test_deepjscc_learns_over_grids_at_both_ends(gradient: str) -> None:
    model = DeepJsccNet(NetConfig(uses=16, encoder_width=8, encoder_blocks=1, decoder_width=8, decoder_blocks=1))
    grids, generator = Grids(1.0, (16,), gradient), torch.Generator().manual_seed(1)
    images = torch.rand((2, 3, 32, 32), generator=generator)
    snr_db = torch.tensor([5.0, 12.0])
    (
        over_channel(model, images, snr_db, 16, generator, Conditions((16,), grids=grids)) - images
    ).square().mean().backward()
    for net in (model.encoder, model.decoder):
        slopes = [one.grad for one in net.parameters() if one.grad is not None]
        assert all(slope.isfinite().all() for slope in slopes)
        assert any(slope.abs().max() > 0 for slope in slopes)


def test_lrisc_learns_over_grids_and_other_images_do_not_notice() -> None:
    components = _gaussian(4, 6, 8).requires_grad_()
    mask = (torch.arange(8) < 6).expand(4, 6, 8)
    sent = Sent(components * mask, mask, torch.zeros(4, 6, dtype=torch.int64))
    snr_db = torch.full((4,), 10.0)
    plain = cross(sent, snr_db, torch.Generator().manual_seed(2))
    over = cross(sent, snr_db, torch.Generator().manual_seed(2), grids=Grids(0.5, (16,)))
    changed = [not torch.equal(*pair) for pair in zip(plain.components, over.components, strict=True)]
    assert 0 < sum(changed) < 4
    assert (over.noise >= plain.noise * 0.99).all()
    over.components.square().sum().backward()
    assert components.grad is not None
    assert components.grad.isfinite().all()
    assert (components.grad[:, :, :6].abs().sum((1, 2)) > 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qam": 2}, "'qam' of 'loss' is 2; it must be a share"),
        ({"qam": 0.5, "qam_points": (48,)}, r"'qam_points' of 'loss' is \[48\]; it must be a list of some of 4, 16"),
        ({"qam": 0.5, "qam_gradient": "hard"}, "'qam_gradient' of 'loss' is 'hard'; it must be straight or soft"),
    ],
)
def test_bad_options_are_one_line(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        StageConfig(**options)


def test_a_stage_of_deepjscc_takes_grids() -> None:
    stage = {"uses": 48, "qam": 0.5, "qam_points": [16, 64], "loop": {"steps": 2}}
    (found,) = DeepJsccSystem().stages({"system": "deepjscc", "stages": [stage]})
    assert "50% over QAM of 16, 64 points" in found.card["known_limits"][0]
    assert found.identity.options["grids.points"] == [16, 64]
    with pytest.raises(UserError, match="'qam_points' of stage 1 is 16; it must be a list"):
        DeepJsccSystem().stages({"system": "deepjscc", "stages": [stage | {"qam_points": 16}]})
