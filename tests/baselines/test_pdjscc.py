"""Perceptual DeepJSCC: what its net starts from, what trains it and when, and the scheme on the link."""

import json
import math
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from simulator.baselines.deepjscc.net import DeepJsccNet, NetConfig
from simulator.baselines.deepjscc.scheme import RATIOS
from simulator.baselines.deepjscc.starts import grow
from simulator.baselines.deepjscc.training import Conditions, send_for_validation
from simulator.baselines.pdjscc import Pdjscc
from simulator.baselines.pdjscc.net import PdjsccNet
from simulator.baselines.pdjscc.training import LossConfig, PdjsccSystem, PdjsccTrainee
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import Reception, channel_uses, transmit
from simulator.models.pretrained import release
from simulator.models.training.checkpoint import load_checkpoint, load_record
from simulator.models.training.loop import CHECKPOINT
from simulator.models.training.monitor import count_flops
from simulator.models.training.session import read_config

CONFIG = Path("experiments/train/pdjscc.yaml")
SIZES = {"encoder_width": 8, "encoder_blocks": 1, "decoder_width": 8, "decoder_blocks": 1, "detail_width": 8}
SMALL = NetConfig(uses=64, detail_blocks=1, **SIZES)
LARGER = replace(SMALL, decoder_blocks=2, detail_width=12, detail_blocks=3)
CONDITIONS = Conditions.read({"uses": [16, 64], "fading": 0.5}, 1)


class BlurDistance(nn.Module):
    """Stands in for LPIPS: the distance of local means."""

    name = "blur"

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (nn.functional.avg_pool2d(first - second, 4)).square().mean(dim=(1, 2, 3))


@pytest.fixture(autouse=True)
def toy_lpips(monkeypatch) -> None:
    monkeypatch.setattr("simulator.models.training.perceptual.LpipsNet", lambda name: BlurDistance())


def woken(kind: type[DeepJsccNet], config: NetConfig, seed: int = 0) -> DeepJsccNet:
    """A net in which no part is silent."""
    torch.manual_seed(seed)
    net = kind(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return net


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.stack([image.pixels for image in load_image_set("samples", crop=96)[:2]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    release(folder, "mine", woken(PdjsccNet, LARGER).state_dict(), {"system": "pdjscc", "model": asdict(LARGER)})
    return folder


def test_a_deeper_and_wider_net_starts_as_the_smaller_one(images):
    small = woken(DeepJsccNet, SMALL).eval()
    large = PdjsccNet(LARGER).eval()
    grow(large, small.state_dict())
    assert len(large.decoder.detail_blocks) > len(small.decoder.detail_blocks)
    with torch.no_grad():
        for uses in (16, 64):
            before, after = (send_for_validation(net, images, 10.0, uses) for net in (small, large))
            assert torch.allclose(before, after, atol=1e-6)


def test_the_new_channels_and_blocks_learn(images):
    net = PdjsccNet(LARGER)
    grow(net, woken(DeepJsccNet, SMALL).state_dict())
    trainee = PdjsccTrainee(net, CONDITIONS, LossConfig(0.5))
    optimiser = torch.optim.Adam(net.parameters(), 1e-3)
    for step in range(3):  # what is behind a silent layer has no gradient until that layer speaks
        optimiser.zero_grad()
        trainee.loss(images, 0.5, torch.Generator().manual_seed(step))[0].backward()
        optimiser.step()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_texture_is_made_from_noise_that_a_receiver_can_make_again(images):
    net = woken(PdjsccNet, LARGER)
    latents, snr_db = torch.zeros(1, 128, 6, 6), torch.tensor([10.0])
    with torch.no_grad():
        one, other = (net.train().decoder(latents, torch.ones_like(latents), snr_db) for _ in range(2))
        again, anew = (net.eval().decoder(latents, torch.ones_like(latents), snr_db) for _ in range(2))
    assert not torch.allclose(one, other)
    assert torch.equal(again, anew)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", [(64, 96), (67, 50)])
def test_one_net_sends_every_ratio(weights, images, ratio, size):
    shown = images[..., : size[0], : size[1]]
    trip = transmit(Pdjscc(f"weights={weights}"), shown, ratio, load_channel("rayleigh-fast"), 10.0)
    assert trip.decoded.images.shape == shown.shape
    assert trip.transmission is not None
    for symbols, ledger in zip(trip.transmission.symbols, trip.ledgers, strict=True):
        assert ledger.total == len(symbols) == channel_uses(ratio, size)
        assert float(symbols.abs().square().mean()) == pytest.approx(1, abs=1e-5)


def test_decodes_from_the_saved_reception_alone(weights, images, tmp_path):
    trip = transmit(Pdjscc(f"weights={weights}"), images[:1], Fraction(1, 24), load_channel("rayleigh"), 3.0)
    assert trip.reception is not None
    trip.reception.save(tmp_path / "reception.safetensors")
    again = Pdjscc(f"weights={weights / 'mine'}").decode(Reception.load(tmp_path / "reception.safetensors"))
    assert torch.equal(again.images, trip.decoded.images)


def test_weights_that_do_not_fit_are_explained(images, tmp_path):
    small = replace(SMALL, uses=48)
    release(tmp_path, "few", PdjsccNet(small).state_dict(), {"system": "pdjscc", "model": asdict(small)})
    with pytest.raises(UserError, match="'few' send 48 symbols a block; CBR 1/12 needs 64"):
        transmit(Pdjscc(f"weights={tmp_path}"), images, Fraction(1, 12), load_channel("awgn"), 10.0)
    with pytest.raises(UserError, match="are of 'deepjscc', not of 'pdjscc'"):
        Pdjscc("weights=deepjscc-1-16")


def test_the_discriminator_learns_alone_before_its_verdict_counts(images):
    trainee = PdjsccTrainee(woken(PdjsccNet, LARGER), CONDITIONS, LossConfig(0.5, adversary=0.1, adversary_from=0.2))
    judge = trainee.adversary
    assert judge is not None
    alone, figures = trainee.loss(images, 0.1, torch.Generator().manual_seed(0))
    alone.backward()
    assert float(alone.detach()) == pytest.approx(figures["discriminator"])
    assert all(parameter.grad is None for parameter in trainee.model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in judge.parameters())
    of_judge = [parameter.grad.clone() for parameter in judge.parameters()]
    judge.zero_grad()
    trainee.loss(images, 0.2, torch.Generator().manual_seed(0))[0].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in trainee.model.decoder.blocks.parameters())
    for parameter, before in zip(judge.parameters(), of_judge, strict=True):
        assert parameter.grad.shape == before.shape
        assert parameter.grad.abs().sum() > 0


def test_the_verdict_moves_the_generator(images):
    gradients = []
    for adversary in (1e-9, 1.0):
        torch.manual_seed(0)
        trainee = PdjsccTrainee(woken(PdjsccNet, LARGER), CONDITIONS, LossConfig(0.5, adversary=adversary))
        torch.manual_seed(1)
        trainee.loss(images, 1.0, torch.Generator().manual_seed(0))[0].backward()
        gradients.append(trainee.model.decoder.head.weight.grad)
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) > 0.01


def test_validation_reports_every_ratio_and_a_low_snr(images):
    trainee = PdjsccTrainee(PdjsccNet(LARGER), CONDITIONS, LossConfig())
    figures = trainee.validate(trainee.model.eval(), images)
    points = ("16_uses_10_db", "64_uses_10_db", "64_uses_0_db")
    each = {name: [figures[f"{name}_{point}"] for point in points] for name in ("psnr_db", "lpips")}
    assert set(figures) == {"score", *each} | {f"{name}_{point}" for name in each for point in points}
    for name, values in each.items():
        assert figures[name] == pytest.approx(sum(values) / 3)
    assert figures["score"] == pytest.approx(figures["psnr_db"] - 50 * figures["lpips"])


RUN = """
system: pdjscc
model: {encoder_width: 8, encoder_blocks: 1, decoder_width: 8, decoder_blocks: 2, detail_width: 12, detail_blocks: 3}
loop: {steps: 3, batch: 2, crop: 32, validation_crop: 48, validation_images: 2, optimizer: muon}
stages:
  - {uses: [16, 64], start: FOLDER, fading: 0.2, release: plain}
  - {uses: [16, 64], start: 1, release: mine, loss: {adversary: 0.1, adversary_from: 0.5}}
"""


def test_two_stages_from_deepjscc_to_weights_that_the_scheme_takes(images, tmp_path):
    card = {"system": "deepjscc", "training": []}
    release(tmp_path / "start", "small", woken(DeepJsccNet, SMALL).state_dict(), {"model": asdict(SMALL)} | card)
    (tmp_path / "images").mkdir()
    for index, photograph in enumerate(load_image_set("samples", crop=96)):
        for top in (0, 32):
            Image.fromarray(photograph.rgb[top : top + 64]).save(tmp_path / "images" / f"{index}-{top}.png")
    config, run_dir = tmp_path / "config.yaml", tmp_path / "run"
    config.write_text(RUN.replace("FOLDER", str(tmp_path / "start")))
    system = PdjsccSystem()
    results = system.train(config, [tmp_path / "images"], run_dir)
    assert [result.step for result in results] == [3, 3]
    kept = load_checkpoint(run_dir / "stage-2" / CHECKPOINT)
    assert kept.part("adversary")
    assert not load_checkpoint(run_dir / "stage-1" / CHECKPOINT).part("adversary")
    again = system.train(config, [tmp_path / "images"], run_dir, ["stages.2.loop.steps=5"], stage=2)
    assert again[0].step == load_record(run_dir / "stage-2" / CHECKPOINT)["step"] == 5
    out = tmp_path / "out"
    assert len(system.export(config, run_dir, out)) == 2
    card = json.loads((out / "mine.json").read_text())
    assert card["system"] == "pdjscc"
    assert [entry["stage"].rpartition(", ")[2] for entry in card["training"][-2:]] == [
        "without discriminator",
        "with a discriminator",
    ]
    decoded = transmit(Pdjscc(f"weights={out / 'mine'}"), images, Fraction(1, 16), load_channel("awgn"), 10.0).decoded
    assert torch.isfinite(decoded.images).all()


def test_released_configuration_is_small_enough():
    stages = PdjsccSystem().stages(read_config(CONFIG))
    assert [stage.release for stage in stages] == [None, "pdjscc"]
    card = stages[-1].card
    assert card is not None
    net = PdjsccNet(NetConfig(**card["model"])).eval()
    assert 2 * sum(p.numel() for p in net.parameters()) <= 2.6e6
    snr_db = torch.zeros(1)

    def one_trip() -> None:
        latents = net.encoder(torch.rand(1, 3, 256, 256), snr_db)
        net.decoder(latents, torch.ones_like(latents), snr_db)

    assert count_flops(one_trip) <= 10e9


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("stages.1.start=null", "needs a 'start'"),
        ("stages.1.start=lrisc-compact", "lrisc"),
        ("stages.1.loss.nets=[alexa]", "alexa"),
        ("stages.1.loss.perception=1.5", "perception"),
        ("stages.2.loss.adversary=-1", "adversary"),
        ("stages.2.loss.adversery=1", "adversery"),
        ("stages.2.uses=3", "uses"),
        ("loop.crop=64", "at least 80"),
        ("system=deepjscc", "perceptual DeepJSCC"),
    ],
)
def test_bad_configuration_is_named(override, match):
    with pytest.raises(UserError, match=match):
        PdjsccSystem().stages(read_config(CONFIG, [override]))


@pytest.mark.parametrize("change", [{"encoder_width": 48}, {"decoder_blocks": 2}, {"uses": 65}])
def test_only_the_generator_may_differ_from_the_start(change):
    stage = PdjsccSystem().stages(read_config(CONFIG))[0]
    assert stage.card is not None
    sizes = {key: value for key, value in (stage.card["model"] | change).items() if key != "uses"}
    config = {"system": "pdjscc", "model": sizes, "loop": {"steps": 1}}
    options = {"uses": change.get("uses", 64), "start": "deepjscc-1-12"}
    with pytest.raises(UserError, match="cannot start from 'deepjscc-1-12'"):
        PdjsccSystem().stages(config | {"stages": [options]})[0].make(None, None)  # type: ignore[arg-type]


def test_chance_is_what_the_discriminator_starts_from(images):
    torch.manual_seed(0)
    trainee = PdjsccTrainee(woken(PdjsccNet, LARGER), CONDITIONS, LossConfig(adversary=0.1, adversary_from=1.0))
    optimiser = torch.optim.Adam(trainee.adversary.parameters(), 1e-3)
    losses = []
    for step in range(12):
        optimiser.zero_grad()
        loss, figures = trainee.loss(images, 0.0, torch.Generator().manual_seed(step))
        loss.backward()
        optimiser.step()
        losses.append(figures["discriminator"])
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.3)
    assert sum(losses[-3:]) / 3 < 2 * math.log(2) - 0.1
