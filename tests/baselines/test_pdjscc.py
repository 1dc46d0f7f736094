"""Perceptual DeepJSCC: what the generator starts as, what trains it and when, and the scheme on the link."""

import json
import math
import shutil
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.air import Observation
from simulator.baselines.deepjscc.scheme import RATIOS, load_net, weights_name
from simulator.baselines.deepjscc.training import Conditions
from simulator.baselines.pdjscc import Pdjscc
from simulator.baselines.pdjscc.net import Generator, GeneratorConfig
from simulator.baselines.pdjscc.training import LossConfig, PdjsccSystem, PdjsccTrainee
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import Reception, channel_uses, transmit
from simulator.models.pretrained import Weights, read_card, release
from simulator.models.training.checkpoint import load_checkpoint, load_record
from simulator.models.training.entries import read_config
from simulator.models.training.loop import CHECKPOINT

CONFIG = Path("experiments/train/pdjscc.yaml")
SMALL = GeneratorConfig(48, (8, 12, 16), (1, 1, 1, 1))
WITH_ENDS = replace(SMALL, ends=True)
CONDITIONS = Conditions.read({"uses": [16, 64], "fading": 0.5}, 1)
IN_FRONT = {weights_name(ratio): read_card(weights_name(ratio))["sha256"] for ratio in RATIOS}
CARD = {"system": "pdjscc", "model": asdict(SMALL), "in_front": IN_FRONT}


class BlurDistance:
    """Stands in for LPIPS: the distance of local means."""

    name = "blur"

    def to(self, device: torch.device) -> "BlurDistance":
        return self

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(first - second, 4).square().mean(dim=(1, 2, 3))


@pytest.fixture(autouse=True)
def toy_lpips(monkeypatch) -> None:
    monkeypatch.setattr("simulator.models.training.perceptual.LpipsNet", lambda name: BlurDistance())


def woken(config: GeneratorConfig = SMALL) -> Generator:
    """A generator in which no part is silent."""
    torch.manual_seed(0)
    net = Generator(config)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    return net


def trainee(net: Generator, **loss: float) -> PdjsccTrainee:
    torch.manual_seed(0)
    in_front = {uses: load_net(Weights(weights_name(Fraction(uses, 768))), Fraction(uses, 768)) for uses in (16, 64)}
    return PdjsccTrainee(net, in_front, CONDITIONS, LossConfig(**{"perception": 0.5, **loss}))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.stack([image.pixels for image in load_image_set("samples", crop=96)[:2]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    release(folder, "mine", woken().state_dict(), CARD)
    return folder


@pytest.mark.parametrize("config", [SMALL, WITH_ENDS])
def test_before_training_it_sends_and_shows_what_deepjscc_does(images, tmp_path, config):
    release(tmp_path, "mine", Generator(config).state_dict(), CARD | {"model": asdict(config)})
    for ratio in RATIOS:
        ours, theirs = (
            transmit(scheme, images, ratio, load_channel("awgn"), 10.0)
            for scheme in (Pdjscc(f"weights={tmp_path}"), DeepJscc())
        )
        assert ours.transmission is not None
        assert theirs.transmission is not None
        assert all(map(torch.equal, ours.transmission.symbols, theirs.transmission.symbols))
        assert torch.equal(ours.decoded.images, theirs.decoded.images)


def test_every_part_of_the_generator_learns_and_nothing_in_front_does(images):
    one = trainee(woken())
    one.loss(images, 0.5, torch.Generator().manual_seed(0))[0].backward()
    for name, parameter in one.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert not any(parameter.requires_grad for net in one.in_front.values() for parameter in net.parameters())
    grouped = [parameter for group in one.parameter_groups() for parameter in group["params"]]
    assert {id(one) for one in grouped} == {id(one) for one in one.model.parameters()}


def test_both_ends_of_the_ratio_at_hand_learn_with_the_generator(images):
    one = trainee(woken(WITH_ENDS), sent_rate=0.3)
    groups = one.parameter_groups()
    assert [group["params"] for group in groups if group.get("lr_scale") == 0.3] == [list(one.model.ends.parameters())]
    one.loss(images, 0.5, torch.Generator().manual_seed(0))[0].backward()
    learnt = {name: p.grad is not None and bool(p.grad.any()) for name, p in one.model.ends.named_parameters()}
    ratios = {name.split(".")[0] for name, learns in learnt.items() if learns}
    assert len(ratios) == 1
    assert all(learns for name, learns in learnt.items() if name.split(".")[0] in ratios)
    assert not any(parameter.requires_grad for net in one.in_front.values() for parameter in net.parameters())
    assert one.model.leave.weight.grad is not None


def test_an_amplified_latent_is_expected_to_be_so(images):
    """What both ends do to amplitudes cancels where there is no noise."""
    net, front = Generator(WITH_ENDS), load_net(Weights("deepjscc-1-48"), Fraction(1, 48))
    snr_db, clear = torch.tensor([3.0, 3.0]), torch.full((2, 32, 6, 6), 1e-9)
    with torch.no_grad():
        before = net.encode(front, images, snr_db)
        net.ends["16"].amplitude.normal_(std=0.3)
        after = net.encode(front, images, snr_db)
        undone = net.estimate(front, Observation(after, clear), snr_db)[0]
        net.ends["16"].amplitude.zero_()
        plain = net.estimate(front, Observation(before, clear), snr_db)[0]
    assert not torch.allclose(before, after, rtol=0.05)
    assert torch.allclose(undone, plain, atol=1e-3, rtol=1e-3)


def test_texture_is_made_from_noise_that_a_receiver_can_make_again():
    net = woken()
    seen = torch.full((1, 3, 96, 96), 0.5), torch.zeros(1, 48, 24, 24), torch.zeros(1, 1, 1, 1), torch.tensor([10.0])
    with torch.no_grad():
        one, other = (net.train()(*seen, 48) for _ in range(2))
        again, anew = (net.eval()(*seen, 48) for _ in range(2))
    assert not torch.allclose(one, other, atol=1e-4)
    assert torch.equal(again, anew)


@pytest.mark.parametrize("index", range(3))
def test_the_state_of_the_link_changes_the_picture(index):
    net, detail = woken().eval(), torch.zeros(1, 48, 24, 24)
    states = [torch.zeros(1, 1, 1, 1), torch.tensor([10.0]), 48], [torch.ones(1, 1, 1, 1), torch.tensor([5.0]), 16]
    changed = list(states[0])
    changed[index] = states[1][index]
    with torch.no_grad():
        one, other = (net(torch.full((1, 3, 96, 96), 0.5), detail, *state) for state in (states[0], changed))
    assert not torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("size", [(64, 96), (67, 50)])
def test_link_contract(weights, images, ratio, size):
    shown = images[..., : size[0], : size[1]]
    trip = transmit(Pdjscc(f"weights={weights}"), shown, ratio, load_channel("rayleigh-fast"), 10.0)
    assert trip.decoded.images.shape == shown.shape
    assert trip.transmission is not None
    for symbols, ledger in zip(trip.transmission.symbols, trip.ledgers, strict=True):
        assert ledger.total == len(symbols) == channel_uses(ratio, size)
        assert float(symbols.abs().square().mean()) == pytest.approx(1, abs=1e-5)


def test_batch_equals_single_images(weights, images):
    scheme = Pdjscc(f"weights={weights}")
    both = transmit(scheme, images, Fraction(1, 16), load_channel("awgn"), 5.0).decoded.images
    for index in range(2):
        one = transmit(scheme, images[index : index + 1], Fraction(1, 16), load_channel("awgn"), 5.0)
        assert torch.equal(one.decoded.images[0], both[index])


def test_decodes_from_the_saved_reception_alone(weights, images, tmp_path):
    trip = transmit(Pdjscc(f"weights={weights}"), images[:1], Fraction(1, 24), load_channel("rayleigh"), 3.0)
    assert trip.reception is not None
    trip.reception.save(tmp_path / "reception.safetensors")
    again = Pdjscc(f"weights={weights / 'mine'}").decode(Reception.load(tmp_path / "reception.safetensors"))
    assert torch.equal(again.images, trip.decoded.images)


def test_other_weights_are_other_results(weights, tmp_path):
    release(tmp_path, "mine", Generator(SMALL).state_dict(), CARD)
    ours, others = (Pdjscc(f"weights={folder}").fingerprint() for folder in (weights, tmp_path))
    assert ours != others
    assert DeepJscc().fingerprint() in ours


def test_weights_that_do_not_fit_are_explained(weights, images, tmp_path):
    with pytest.raises(UserError, match="are of 'deepjscc', not of 'pdjscc'"):
        Pdjscc("weights=deepjscc-1-16")
    for file in weights.iterdir():
        shutil.copy(file, tmp_path)
    card = json.loads((tmp_path / "mine.json").read_text())
    for wrong, match in (
        ({"in_front": IN_FRONT | {"deepjscc-1-16": "0" * 64}}, "another version of 'deepjscc-1-16'; train again"),
        ({"in_front": {}}, "does not name four nets of DeepJSCC"),
    ):
        (tmp_path / "mine.json").write_text(json.dumps(card | wrong))
        with pytest.raises(UserError, match=match):
            Pdjscc(f"weights={tmp_path}")
    other = GeneratorConfig(40, (8, 12, 16), (1, 1, 1, 1))
    release(tmp_path, "mine", Generator(other).state_dict(), CARD | {"model": asdict(other)})
    with pytest.raises(UserError, match="do not fit together"):
        transmit(Pdjscc(f"weights={tmp_path}"), images, Fraction(1, 12), load_channel("awgn"), 10.0)


def test_the_discriminator_learns_alone_before_its_verdict_counts(images):
    one = trainee(woken(), adversary=0.1, adversary_from=0.2)
    judge = one.adversary
    assert judge is not None
    alone, figures = one.loss(images, 0.1, torch.Generator().manual_seed(0))
    alone.backward()
    assert float(alone.detach()) == pytest.approx(figures["discriminator"])
    assert all(parameter.grad is None for parameter in one.model.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in judge.parameters())
    one.loss(images, 0.2, torch.Generator().manual_seed(0))[0].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in one.model.parameters())


def test_the_verdict_moves_the_generator(images):
    gradients = []
    for adversary in (1e-9, 1.0):
        one = trainee(woken(), adversary=adversary)
        torch.manual_seed(1)
        one.loss(images, 1.0, torch.Generator().manual_seed(0))[0].backward()
        gradients.append(one.model.leave.weight.grad)
    assert float((gradients[1] - gradients[0]).norm() / gradients[0].norm()) > 0.01


def test_a_discriminator_that_learns_alone_soon_beats_a_guess(images):
    one = trainee(woken(), adversary=0.1, adversary_from=1.0)
    one.conditions = Conditions.read({"uses": 16, "snr_db": [0, 1]}, 1)
    assert one.adversary is not None
    optimiser = torch.optim.Adam(one.adversary.parameters(), 1e-3)
    losses = []
    for step in range(30):
        optimiser.zero_grad()
        loss, figures = one.loss(images, 0.0, torch.Generator().manual_seed(step))
        loss.backward()
        optimiser.step()
        losses.append(figures["discriminator"])
    assert losses[0] == pytest.approx(2 * math.log(2), abs=0.3)
    assert sum(losses[-10:]) / 10 < 2 * math.log(2) - 0.2


def test_validation_reports_every_ratio_and_a_low_snr(images):
    one = trainee(Generator(SMALL))
    figures = one.validate(one.model.eval(), images)
    points = ("16_uses_10_db", "64_uses_10_db", "64_uses_0_db")
    each = {name: [figures[f"{name}_{point}"] for point in points] for name in ("psnr_db", "lpips")}
    assert set(figures) == {"score", *each} | {f"{name}_{point}" for name in each for point in points}
    for name, values in each.items():
        assert figures[name] == pytest.approx(sum(values) / 3)
    assert figures["score"] == pytest.approx(figures["psnr_db"] - 50 * figures["lpips"])
    assert figures == one.validate(one.model.eval(), images)
    assert one.pictures(one.model, images).shape == (3, 4 * 96, 2 * 96)


RUN = """
system: pdjscc
model: {widths: [8, 12, 16], blocks: [1, 1, 1, 1]}
loop: {steps: 3, batch: 2, crop: 32, validation_crop: 48, validation_images: 2, optimizer: muon}
stages:
  - {uses: [16, 64], fading: 0.2, release: plain}
  - {uses: [16, 32, 48, 64], start: 1, release: mine, loss: {adversary: 0.1, adversary_from: 0.5}}
"""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    for index, photograph in enumerate(load_image_set("samples", crop=96)):
        for top in (0, 32):
            Image.fromarray(photograph.rgb[top : top + 64]).save(folder / f"{index}-{top}.png")
    return folder


def test_two_stages_give_weights_that_the_scheme_takes(images, photographs, tmp_path):
    config, run_dir, out = tmp_path / "config.yaml", tmp_path / "run", tmp_path / "out"
    config.write_text(RUN)
    system = PdjsccSystem()
    results = system.train(config, [photographs], run_dir)
    assert [result.step for result in results] == [3, 3]
    assert load_checkpoint(run_dir / "stage-2" / CHECKPOINT).part("adversary")
    assert not load_checkpoint(run_dir / "stage-1" / CHECKPOINT).part("adversary")
    again = system.train(config, [photographs], run_dir, ["stages.2.loop.steps=5"], stage=2)
    assert again[0].step == load_record(run_dir / "stage-2" / CHECKPOINT)["step"] == 5
    assert len(system.export(config, run_dir, out)) == 2
    card = read_card("mine", out)
    assert (card["system"], card["in_front"]) == ("pdjscc", IN_FRONT)
    stages = [entry["stage"].rpartition(", ")[2] for entry in card["training"]]
    assert stages == ["without discriminator", "with a discriminator"]
    scheme = Pdjscc(f"weights={out / 'mine'}")
    assert torch.isfinite(transmit(scheme, images, Fraction(1, 16), load_channel("awgn"), 10.0).decoded.images).all()
    # Training goes on from released weights, too, and both ends may learn where they did not before.
    text = RUN.replace("start: 1", f"start: {out / 'mine'}").replace("[8, 12, 16]", "[8, 12, 16], ends: true")
    config.write_text(text.replace("loss: {", "loss: {sent_rate: 0.3, "))
    assert [result.step for result in system.train(config, [photographs], tmp_path / "more", stage=2)] == [3]
    paths = system.export(config, tmp_path / "more", tmp_path / "with-ends")
    state, card = Weights("mine", tmp_path / "with-ends").load()
    assert len(paths) == 1
    assert any(one.any() for name, one in state.items() if name.startswith("ends."))
    assert not any("DeepJSCC's" in limit for limit in card["known_limits"])
    trip = transmit(Pdjscc(f"weights={tmp_path / 'with-ends'}"), images, Fraction(1, 16), load_channel("awgn"), 10.0)
    assert torch.isfinite(trip.decoded.images).all()
    config.write_text(RUN.replace("start: 1", f"start: {tmp_path / 'with-ends'}"))
    with pytest.raises(UserError, match="state its sizes"):
        system.train(config, [photographs], tmp_path / "none", stage=2)


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("stages.1.start=lrisc-compact", "are of 'lrisc', not of 'pdjscc'"),
        ("stages.1.loss.nets=[alexa]", "alexa"),
        ("stages.1.loss.perception=1.5", "perception"),
        ("stages.2.loss.adversary=-1", "adversary"),
        ("stages.2.loss.adversery=1", "adversery"),
        ("model.ends=false", "'sent_rate' of 'loss' needs 'ends: true' in 'model'"),
        ("stages.2.uses=24", "have 16, 32, 48, 64"),
        ("model.widths=[8, 8]", "widths"),
        ("loop.crop=64", "at least 80"),
        ("system=deepjscc", "not for pdjscc"),
    ],
)
def test_bad_configuration_is_named(override, match):
    with pytest.raises(UserError, match=match):
        PdjsccSystem().stages(read_config(CONFIG, [override]))


def test_a_generator_needs_the_features_of_the_nets_in_front():
    config = read_config(CONFIG, ["model.features=40"])
    with pytest.raises(UserError, match="'features' of 'model' is 40; the nets in front have 48"):
        PdjsccSystem().stages(config)[0].make(None, None)  # type: ignore[arg-type]
