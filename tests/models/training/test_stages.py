"""Algorithm 1 in miniature: what each stage trains, that it learns, and that resuming changes nothing."""

import copy
import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from simulator.errors import UserError
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import LriscConfig, Variant
from simulator.models.lrisc.rate import pool_tokens
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.pretrained import read_card, release
from simulator.models.training.checkpoint import load_checkpoint
from simulator.models.training.data import ImageStore, training_batch
from simulator.models.training.entries import read_config
from simulator.models.training.learner import LoopConfig
from simulator.models.training.loop import CHECKPOINT, run
from simulator.models.training.stages import LriscSystem, _grown, known_limits
from simulator.models.training.trainee import END_PARTS, TRAINED_MODULES, LriscTrainee, StageConfig
from simulator.spec.configuration import build

# At most 12 real dimensions a vector: bandwidth ratios that reach from the lowest level to the highest.
LOSS = StageConfig(cbr=(1 / 768, 1 / 128), perception_from=0.0)


class BlurDistance:
    """Stands in for LPIPS: the distance of local means."""

    name = "blur"

    def to(self, device: torch.device) -> "BlurDistance":
        return self

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(first - second, 4).square().flatten(1).mean(dim=1)


class Dying(LriscTrainee):
    """Is interrupted at its n-th evaluation of the loss."""

    calls, die_at = 0, 10**9

    def loss(self, images, progress, generator):
        self.calls += 1
        if self.calls > self.die_at:
            raise KeyboardInterrupt
        return super().loss(images, progress, generator)


@pytest.fixture(scope="module")
def store() -> ImageStore:
    draw = np.random.default_rng(0)
    images = []
    for _ in range(8):
        coarse = torch.from_numpy(draw.random((1, 3, 5, 6)).astype(np.float32))
        smooth = torch.nn.functional.interpolate(coarse, (64, 80), mode="bicubic").clamp(0, 1)[0]
        images.append((smooth * 255).byte().permute(1, 2, 0).contiguous().numpy())
    return ImageStore(images, [f"{index:064x}" for index in range(8)])


@pytest.fixture(scope="module")
def started(config, store) -> Lrisc:
    """The linear codec that every trainee here starts from."""
    torch.manual_seed(0)
    model = Lrisc(config)
    images = training_batch(store, 0, 0, 16, 64) * 2 - 1
    model.start_linear(images)
    model.start_jscc(images)
    return model


@pytest.fixture
def trainee(started) -> Callable[..., Dying]:
    def make(stage: int, loss: StageConfig = LOSS, awake: bool = True, **variant: object) -> Dying:
        torch.manual_seed(0)
        model = Lrisc(started.config, Variant(**variant))
        model.load_state_dict(started.state_dict())
        torch.manual_seed(0)
        if awake:  # branches start silent, and what lies before a silent layer has no gradient yet
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.03 * torch.randn(parameter.shape))
        return Dying(model, stage, loss, [BlurDistance()])

    return make


def backward(one: LriscTrainee, store: ImageStore, progress: float, steps: int = 6) -> None:
    for step in range(steps):
        images = training_batch(store, 0, step, 8, 64)
        one.loss(images, progress, torch.Generator().manual_seed(step))[0].backward()


def freeze(one: LriscTrainee) -> None:
    one.model.requires_grad_(False)
    for group in one.parameter_groups():
        group["params"] = [parameter.requires_grad_(True) for parameter in group["params"]]


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_gradients_reach_every_parameter_of_a_stage(trainee, store, stage):
    one = trainee(stage)
    freeze(one)
    backward(one, store, progress=1.0)
    for name, parameter in one.model.named_parameters():
        if name.split(".")[0] in TRAINED_MODULES[stage]:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            silent = stage == 1 and "doubt.weight" in name  # without a channel there is no doubt
            assert bool(parameter.grad.abs().sum() > 0) != silent, name
        else:
            assert parameter.grad is None, name


def test_second_stage_starts_without_the_snr_module(trainee, store):
    one = trainee(2, dataclasses.replace(LOSS, adapt_from=0.5))
    freeze(one)
    backward(one, store, progress=0.4, steps=1)
    snr = [p for name, p in one.model.named_parameters() if ".snr." in name]
    assert snr
    assert all(p.grad is None for p in snr)
    backward(one, store, progress=0.5, steps=2)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in snr)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_stage_learns(trainee, store, stage):
    """The loss of one fixed draw falls when it is trained on."""
    one = trainee(stage, awake=False)
    freeze(one)
    images = training_batch(store, 0, 0, 8, 32)
    optimizer = torch.optim.Adam(one.parameter_groups(), lr=4e-3)
    losses = []
    for _ in range(15):
        loss, figures = one.loss(images, 0.5, torch.Generator().manual_seed(0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(math.isfinite(value) for value in (*losses, *figures.values()))
    assert min(losses[-3:]) < 0.9 * losses[0]


def test_loss_is_that_of_equation_11(trainee, store):
    """Stage 1 without perception: weighted distortion plus lambda times the rate; eta rises over a fifth."""
    images = training_batch(store, 0, 0, 8, 32)

    def total(progress: float, **changes: float) -> tuple[float, dict[str, float]]:
        one = trainee(1, dataclasses.replace(LOSS, perception_from=0.5, **changes))
        loss, figures = one.loss(images, progress, torch.Generator().manual_seed(0))
        return loss.item(), figures

    plain, figures = total(0.0)
    assert plain == pytest.approx(0.05 * figures["bpp"] + figures["clean"], rel=1e-5)
    heavy, _ = total(0.0, rate_weight=0.5)
    assert heavy - plain == pytest.approx(0.45 * figures["bpp"], rel=1e-4)
    assert total(0.5)[0] == plain
    half, full, later = (total(progress)[0] for progress in (0.6, 0.7, 1.0))
    assert half != plain
    assert half - plain == pytest.approx((full - plain) / 2, rel=1e-3)
    assert later == full


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_loss_is_a_function_of_its_generator(trainee, store, stage):
    one, images = trainee(stage), training_batch(store, 0, 0, 4, 32)
    values = [one.loss(images, 1.0, torch.Generator().manual_seed(seed))[0].item() for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_validation_is_repeatable_and_sees_the_channel(trainee, store):
    images = training_batch(store, 0, 0, 2, 64)
    one = trainee(3)
    first, second = one.validate(one.model, images), one.validate(one.model, images)
    assert first == second
    per_snr = {f"{name}_at_{snr}_db" for name in ("psnr_db", "lpips") for snr in (0, 5, 10, 15)}
    assert set(first) == {"score", "psnr_db", "lpips", "psnr_db_perceptual", "bpp"} | per_snr
    for name in ("psnr_db", "lpips"):
        mean = sum(first[f"{name}_at_{snr}_db"] for snr in (0, 5, 10, 15)) / 4
        assert first[name] == pytest.approx(mean, rel=1e-5)
    assert first["score"] == pytest.approx(first["psnr_db"] - 50 * first["lpips"], rel=1e-5)
    clean = trainee(1)
    figures = clean.validate(clean.model, images)
    assert figures["psnr_db"] != first["psnr_db"]
    assert set(figures) == {"score", "psnr_db", "lpips", "psnr_db_perceptual", "bpp"}
    assert clean.measure != one.measure
    assert one.pictures(one.model, images).shape == (3, 5 * 64, 2 * 64)


def test_validation_of_the_linear_codec_falls_with_the_snr(trainee, store):
    one = trainee(3, awake=False)
    figures = one.validate(one.model, training_batch(store, 0, 0, 2, 64))
    psnrs = [figures[f"psnr_db_at_{snr}_db"] for snr in (0, 5, 10, 15)]
    assert psnrs == sorted(psnrs)
    assert psnrs[3] > psnrs[0] + 1


def test_interrupted_run_equals_uninterrupted(trainee, store, tmp_path):
    options = LoopConfig(
        precision="fp32",
        steps=2,
        batch=4,
        crop=32,
        warmup=1,
        validation_crop=64,
        validation_images=1,
        checkpoint_every_s=0.0,
    )
    run(trainee(3), store, options, tmp_path / "whole")
    dying = trainee(3)
    dying.die_at = 2  # the count of operations and one step
    with pytest.raises(KeyboardInterrupt):
        run(dying, store, options, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT).record["step"] == 1
    assert run(trainee(3), store, options, tmp_path / "parts").step == 2
    whole, parts = (load_checkpoint(tmp_path / name / CHECKPOINT) for name in ("whole", "parts"))
    assert whole.tensors.keys() == parts.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[name]), name


@pytest.mark.parametrize("name", ["lrisc-compact", "lrisc-paper"])
def test_shipped_configurations_are_algorithm_1(name):
    stages = LriscSystem().stages(read_config(Path(f"experiments/train/{name}.yaml")))
    titles = [stage.title[-7:] for stage in stages]
    assert titles == ["stage 1", "stage 2", "stage 3", *["stage 3"] * (len(stages) - 3)]
    assert [stage.start.stage for stage in stages] == [None, *range(1, len(stages))]
    assert [stage.release for stage in stages] == [None] * (len(stages) - 1) + [name]
    assert stages[-1].card["known_limits"]


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("speed=1", "unknown key 'speed'"),
        ("model.latent_chanels=3", "unknown key 'latent_chanels' in 'model'"),
        ("defaults.step=3", "unknown key 'step'"),
        ("defaults.sent_fidelity=1", "'sent_fidelity' of 'loss' is 1"),
        ("loop.bach=3", "unknown key 'bach' in 'loop'"),
        ("stages.1.los={}", "unknown key 'los'"),
        ("stages.1.loss.lambda=1", "unknown key 'lambda' in 'loss' of stage 1"),
        ("stages.1.loss.fading=2", "'fading' of 'loss' is 2.0; it must be a share from 0 to 1"),
        ("stages.1.loss.snr_db=[10, 0]", "the lowest and the highest Es/N0"),
        ("stages.1.loss.perception=5", "'perception' of 'loss' is 5.0; it must be a share from 0 to 1"),
        ("stages.1.loss.rate_weight=-1", "'rate_weight' of 'loss' is -1.0; it must be 0 or more"),
        ("stages.1.loss.gamma=0", "'gamma' of 'loss' is 0.0; it must be above 0"),
        ("stages.1.loss.snr_skew=0", "'snr_skew' of 'loss' is 0.0; it must be above 0"),
        ("stages.1.loss.cbr=[0, 1]", "within 0 < CBR"),
        ("stages.2.loss.psnr_end_only=true", "needs 'algorithm: 3', not 2"),
        (
            "stages.2.loss.perception_end_only=true",
            r"trains a part of the networks \(perception\) and needs 'algorithm: 3'",
        ),
        ("stages.11.loss.perception_end_only=true", "exclude each other"),
        ("stages.1.loss.sent_rate=0.1", "'sent_rate' of 'loss' needs 'perception_end_only: true'"),
        ("stages.1.loss.sent_fidelity=1", "'sent_fidelity' of 'loss' is 1.0; it must be from 0 to below 1"),
        ("stages.1.loss.lattice=-1", "'lattice' of 'loss' is -1.0; it must be 0 or more"),
        ("stages.1.loss.nets=[resnet]", "'nets' of 'loss' has resnet; known: alex, "),
        ("loop.crop=100", "must be multiples of 16"),
        ("stages.1.loop.minutes=-1", "'minutes' is -1.0; it must be positive"),
        ("loop.gradient_clip=0", "'gradient_clip' is 0.0; it must be positive"),
        ("loop.ema=1", "'ema' is 1.0; it must be from 0 to below 1"),
        ("loop.warmup=-5", "'warmup' is -5; it must be 0 or more"),
        ("loop.weight_decay=-1", "'weight_decay' is -1.0; it must be 0 or more"),
        ("name=../mine", r"'name' must be a name for files of weights, without folders, not '\.\./mine'"),
        ("stages.1.algorithm=4", "must be 1, 2 or 3"),
        ("stages.2.start=2", "must be an earlier stage"),
        ("system=deepjscc", "not for lrisc: it needs 'system: lrisc', 'name' and"),
        ("model.rate_levels=[3]", "even"),
    ],
)
def test_mistakes_in_the_file_are_explained(override, match):
    config = read_config(Path("experiments/train/lrisc-compact.yaml"), [override])
    with pytest.raises(UserError, match=match):
        LriscSystem().stages(config)


def test_the_documentation_has_every_option_of_loss():
    text = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
    assert not [one.name for one in dataclasses.fields(StageConfig) if f"`{one.name}`" not in text]


def test_released_card_rebuilds_the_network():
    card = LriscSystem().stages(read_config(Path("experiments/train/lrisc-compact.yaml")))[-1].card
    assert build(LriscConfig, card["config"]["model"], "'model'") == LriscConfig(own_denoiser=True)
    assert card["config"]["defaults"] == {"steps": 1, "gamma": 0.4}
    assert card["config"]["snr_db"] == [-1.0, 16.0]


def test_stages_start_from_weights_or_axes(store, monkeypatch, config):
    """Stage 1 starts as a linear codec, a later one from what it is given."""
    monkeypatch.setattr("simulator.models.training.perceptual.LpipsNet", lambda name: BlurDistance())
    overrides = [f"model.{key}={json.dumps(value)}" for key, value in dataclasses.asdict(config).items()]
    stages = LriscSystem().stages(read_config(Path("experiments/train/lrisc-compact.yaml"), overrides))
    wide = ImageStore([np.tile(image, (5, 5, 1)) for image in store.images], store.digests)
    first = stages[0].make(wide, None).model
    x = training_batch(store, 0, 0, 4, 64) * 2 - 1
    with torch.no_grad():
        exact = LatentEstimate.exact(first.transform(x, Aim.clean(torch.zeros(4))))
        error = (first.generate(exact, torch.zeros_like(x), 1) - x).square().mean()
    assert error < 0.1 * x.var()
    weights = {key: value + 1 for key, value in first.state_dict().items()}
    second = stages[2].make(wide, weights).model.state_dict()
    assert [key for key, value in second.items() if not torch.equal(value, weights[key])] == []


def test_weights_of_another_size_are_refused(store, config):
    wide = ImageStore([np.tile(image, (5, 5, 1)) for image in store.images], store.digests)
    overrides = [f"model.{key}={json.dumps(value)}" for key, value in dataclasses.asdict(config).items()]
    overrides.append("stages.3.start=lrisc-compact")
    last = LriscSystem().stages(read_config(Path("experiments/train/lrisc-paper.yaml"), overrides))[2]
    with pytest.raises(UserError, match="leave out 'model'"):
        last.make(wide, None)


def test_without_the_snr_module_it_is_not_trained(trainee, store):
    one = trainee(3, snr_module=False)
    freeze(one)
    backward(one, store, progress=1.0, steps=2)
    assert all(p.grad is None for name, p in one.model.named_parameters() if ".snr." in name)
    assert all(math.isfinite(value) for value in one.validate(one.model, training_batch(store, 0, 0, 1, 64)).values())


def test_all_networks_are_told_which_images_start_from_zeros(trainee, store, monkeypatch):
    one = trainee(3)
    model, told = one.model, []
    encode, decode, denoise = model.encoder.forward, model.decoder.forward, model.denoiser.forward

    def encoder(features, levels, allocation, power, aim):
        told.append(aim.fidelity)
        return encode(features, levels, allocation, power, aim)

    def decoder(estimate, levels, allocation, token_snr_db, aim):
        assert torch.equal(aim.fidelity, told[-1])
        return decode(estimate, levels, allocation, token_snr_db, aim)

    def denoiser(x, condition, time):
        at_start = time == 1
        from_zeros = (x.abs().amax(dim=(1, 2, 3)) < 1e-6).float()
        assert torch.equal(from_zeros[at_start], condition.aim.fidelity[at_start])
        if len(x) == 16:  # the whole batch, as it came over the channel
            assert torch.equal(condition.aim.fidelity, told[0])
        return denoise(x, condition, time)

    monkeypatch.setattr(model.encoder, "forward", encoder)
    monkeypatch.setattr(model.decoder, "forward", decoder)
    monkeypatch.setattr(model.denoiser, "forward", denoiser)
    counts = set()
    for seed in range(6):
        told.clear()
        one.loss(training_batch(store, 0, 0, 16, 64), 1.0, torch.Generator().manual_seed(seed))
        counts.add(int(told[0].sum()))
    assert counts == {6, 8}  # three of every eight, and half of the time one more


def test_training_the_psnr_end_only_leaves_the_other_end_as_it_was(trainee, store, tmp_path):
    one = trainee(3, dataclasses.replace(LOSS, psnr_end_only=True))
    before, figures = copy.deepcopy(one.model), one.validate(one.model, training_batch(store, 0, 0, 4, 64))
    # Another memory format would change the last bits of the validation itself.
    loop = LoopConfig(
        steps=30, batch=8, crop=32, learning_rate=3e-3, warmup=1, ema=0.5, precision="fp32", channels_last=False
    )
    run(one, store, dataclasses.replace(loop, validation_images=1, validation_crop=64), tmp_path)
    state = one.model.state_dict()
    changed = {name for name, weight in before.state_dict().items() if not torch.equal(weight, state[name])}
    own = {name for name in state if any(part in name for part in END_PARTS["psnr"])}
    assert changed <= own
    transmitter = ("transform.branch", "transform.faithful", "encoder.blocks", "encoder.snr", "encoder.faithful")
    for part in (*transmitter, "decoder.blocks", "decoder.snr", "denoiser.down"):
        assert any(name.startswith(part) for name in changed), part
    after = one.validate(one.model, training_batch(store, 0, 0, 4, 64))
    assert after["psnr_db"] > figures["psnr_db"] + 0.01
    assert {key: after[key] for key in ("lpips", "psnr_db_perceptual")} == {
        key: figures[key] for key in ("lpips", "psnr_db_perceptual")
    }


def grown(one: Dying, loss: StageConfig) -> Dying:
    """The trainee of a stage for the perception end, from another one's weights."""
    sizes = dataclasses.replace(one.model.config, own_denoiser=True, own_adapters=True)
    model = Lrisc(sizes)
    model.load_state_dict(_grown(one.model.state_dict(), sizes))
    return Dying(model, 3, loss, [BlurDistance()])


EYES = dataclasses.replace(
    LOSS, perception_end_only=True, sent_fidelity=0.3, perception_from=-1.0, structure=0.3, lattice=1.0
)


@pytest.mark.parametrize("sent_rate", [0.0, 0.5])
def test_training_the_perception_end_only_leaves_the_other_end_as_it_was(trainee, store, tmp_path, sent_rate):
    shared = trainee(3)
    one = grown(shared, dataclasses.replace(EYES, sent_rate=sent_rate))
    images = training_batch(store, 0, 0, 4, 64)
    assert one.validate(one.model, images)["psnr_db"] == shared.validate(shared.model, images)["psnr_db"]
    before = copy.deepcopy(one.model.state_dict())
    loop = LoopConfig(
        steps=10, batch=8, crop=64, learning_rate=3e-3, warmup=1, ema=0.5, precision="fp32", channels_last=False
    )
    run(one, store, dataclasses.replace(loop, validation_images=1, validation_crop=64), tmp_path)
    changed = {name for name, weight in one.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert any(name.startswith("lifelike.") for name in changed)
    adapters = {name for name in changed if not name.startswith("lifelike.")}
    assert all(".faithful." in name and name.endswith(".perceptual.weight") for name in adapters)
    assert {name.split(".")[0] for name in adapters} == ({"encoder", "decoder"} if sent_rate else set())
    untrained = copy.deepcopy(one.model)  # torch multiplies by frozen weights, as now, in another order
    untrained.load_state_dict(before)
    figures, after = one.validate(untrained, images), one.validate(one.model, images)
    assert after["psnr_db"] == figures["psnr_db"]
    assert after["psnr_db_perceptual"] > figures["psnr_db_perceptual"] + 0.1
    assert after["score"] == pytest.approx(after["psnr_db_perceptual"] - 50 * after["lpips"], rel=1e-5)
    assert one.measure != shared.measure


def test_images_of_the_perception_end_are_sent_as_asked(trainee, store, monkeypatch):
    one, told = grown(trainee(3), EYES), []
    send = one.model.send

    def spy(z, levels, aim):
        told.append(aim.fidelity)
        return send(z, levels, aim)

    monkeypatch.setattr(one.model, "send", spy)
    backward(one, store, progress=1.0, steps=1)
    assert torch.equal(torch.cat(told), torch.full((8,), 0.3))


def test_a_joint_stage_trains_both_denoisers_each_on_its_images(trainee, store, monkeypatch):
    one, served = grown(trainee(3), dataclasses.replace(LOSS, sent_fidelity=0.3)), {}
    for name, other in (("denoiser", 0.3), ("lifelike", 1.0)):
        denoise = getattr(one.model, name).forward

        def spy(x, condition, time, denoise=denoise, name=name, other=other):
            assert not (condition.aim.fidelity == other).any()
            served[name] = served.get(name, 0) + len(x)
            return denoise(x, condition, time)

        monkeypatch.setattr(getattr(one.model, name), "forward", spy)
    freeze(one)
    backward(one, store, progress=1.0)
    assert min(served.values()) > 0
    for name, parameter in one.model.named_parameters():
        if name.split(".")[0] in TRAINED_MODULES[3]:
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_a_stage_for_the_perception_end_grows_its_denoiser(tmp_path):
    """From released weights with one denoiser to a card and weights with two."""
    config = {
        "system": "lrisc",
        "name": "eyes",
        "stages": [
            {"algorithm": 3, "start": "lrisc-compact", "loss": {"perception_end_only": True, "sent_fidelity": 0.3}}
        ],
        "loop": {"steps": 1},
    }
    config["stages"].append({"algorithm": 3, "start": 1, "loss": {"perception_end_only": True}})
    first, second = LriscSystem().stages(config)
    assert first.card["base"] == second.card["base"]
    assert first.card["base"] == {"name": "lrisc-compact", "sha256": read_card("lrisc-compact")["sha256"]}
    stage = first
    assert stage.card["config"]["model"]["own_denoiser"] is True
    assert stage.card["config"]["sent_fidelity"] == 0.3
    assert stage.card["known_limits"][-1].startswith("its perception end went on alone")
    assert build(LriscConfig, stage.card["config"]["model"], "'model'").own_denoiser


def test_training_the_denoisers_only_leaves_what_is_sent_as_it_was(trainee, store, tmp_path):
    one = grown(trainee(3), dataclasses.replace(EYES, perception_end_only=False, denoisers_only=True))
    before = copy.deepcopy(one.model.state_dict())
    loop = LoopConfig(steps=4, batch=8, crop=64, warmup=1, ema=0.5, precision="fp32", channels_last=False)
    run(one, store, dataclasses.replace(loop, validation_images=1, validation_crop=64), tmp_path)
    changed = {name for name, weight in one.model.state_dict().items() if not torch.equal(weight, before[name])}
    assert {name.split(".")[0] for name in changed} == {"denoiser", "lifelike"}


def test_a_regular_pattern_costs_at_the_psnr_end_too(trainee, store):
    plain, woven = (
        trainee(3, dataclasses.replace(LOSS, psnr_end_only=True, lattice=lattice)) for lattice in (0.0, 100.0)
    )
    images = training_batch(store, 0, 0, 8, 64)
    losses = [one.loss(images, 1.0, torch.Generator().manual_seed(0))[0] for one in (plain, woven)]
    assert losses[1] > losses[0]


def test_psnr_end_alone_never_sees_the_true_image(trainee, store, monkeypatch):
    one, seen = trainee(3, dataclasses.replace(LOSS, psnr_end_only=True)), []
    reconstruct = one._reconstruction_loss

    def spy(x, estimate, lessons, eta, generator):
        seen.append((lessons, estimate.aim.fidelity))
        return reconstruct(x, estimate, lessons, eta, generator)

    monkeypatch.setattr(one, "_reconstruction_loss", spy)
    backward(one, store, progress=1.0, steps=8)
    assert len(seen) == 8  # the channel's terms only
    for lessons, fidelity in seen:
        assert (fidelity == 1).all()
        assert lessons.from_zeros.all()
        assert torch.equal(lessons.own, ~lessons.at_start)
        assert int(lessons.own.sum()) == 1  # of eight images


@pytest.mark.parametrize("skew", [1.0, 2.0])
def test_skew_draws_low_snrs_more_often(trainee, store, monkeypatch, skew):
    one, drawn = trainee(2, StageConfig(snr_db=(-1.0, 15.0), snr_skew=skew)), []

    send = one.model.send

    def spy(z, levels, aim):
        drawn.append(aim.snr_db)
        return send(z, levels, aim)

    monkeypatch.setattr(one.model, "send", spy)
    images = training_batch(store, 0, 0, 16, 32)
    for seed in range(32):
        one.loss(images, 1.0, torch.Generator().manual_seed(seed))
    snrs = torch.cat(drawn)
    assert -1 <= snrs.min() < snrs.max() <= 15
    assert float(snrs.median()) == pytest.approx(-1 + 16 * 0.5**skew, abs=1.5)


def test_maps_as_sent_follow_snr_and_bandwidth_of_each_image(trainee, store, monkeypatch):
    one, asked, shared = trainee(3, dataclasses.replace(LOSS, coarse_maps=1.0, maps_as_sent=True)), [], []
    share = one.model.share

    def grid(cbr, snr_db):
        asked.append((cbr, snr_db))
        return 2 if snr_db < 10 else 1

    def spy(bits, *rest):
        shared.extend(bits)
        return share(bits, *rest)

    monkeypatch.setattr("simulator.models.training.trainee.usual_grid", grid)
    monkeypatch.setattr(one.model, "share", spy)
    one.loss(training_batch(store, 0, 0, 16, 64), 1.0, torch.Generator().manual_seed(0))
    assert len(asked) == len(shared) == 16
    assert all(snr_db == round(4 * snr_db) / 4 and 0 <= snr_db <= 20 for _, snr_db in asked)
    constant = [torch.equal(bits, pool_tokens(bits[None], 2)[0]) for bits in shared]
    assert constant == [snr_db < 10 for _, snr_db in asked]
    assert {True, False} == set(constant)


def test_at_fixed_rates_all_vectors_of_an_image_share(trainee, store, monkeypatch):
    one = trainee(3, rates="fixed")
    seen = []
    send = one.model.send

    def spy(z, levels, aim):
        seen.append(levels)
        return send(z, levels, aim)

    monkeypatch.setattr(one.model, "send", spy)
    backward(one, store, progress=1.0, steps=4)
    for levels in torch.cat(seen):
        assert levels.max() - levels.min() <= 1
    assert len(torch.cat(seen).unique()) > 1


@pytest.mark.parametrize("name", ["control", "no-snr-module", "fixed-rate", "no-lpips"])
def test_ablations_differ_from_their_control_in_one_thing(name):
    folder = Path("experiments/train/ablations")
    ours, control = (read_config(folder / f"{one}.yaml") for one in (name, "control"))
    (stage,) = LriscSystem().stages(ours)
    assert stage.release == name
    assert stage.loop == LriscSystem().stages(control)[0].loop
    changed = {key for key in ours.keys() | control.keys() if ours.get(key) != control.get(key)} - {"name"}
    assert changed == {"control": set(), "no-lpips": {"stages"}}.get(name, {"variant"})
    assert any("ablation" in limit for limit in stage.card["known_limits"]) == (name != "control")
    fixed = {"rates": "fixed" if name == "fixed-rate" else "entropy", "snr_module": name != "no-snr-module"}
    assert stage.card["config"]["variant"] == fixed


@pytest.fixture
def own_weights(started, tmp_path) -> Path:
    config = {"model": dataclasses.asdict(started.config), "variant": {"snr_module": False}, "defaults": {}}
    release(tmp_path, "own", started.state_dict(), {"system": "lrisc", "config": config})
    return tmp_path


def test_sizes_and_variant_come_from_the_weights_that_are_continued(own_weights, store, config, monkeypatch):
    monkeypatch.setattr("simulator.models.training.perceptual.LpipsNet", lambda name: BlurDistance())
    stage = {"algorithm": 3, "start": str(own_weights), "loop": {"steps": 1}}
    file = {"system": "lrisc", "name": "more", "stages": [stage]}
    (made,) = LriscSystem().stages(file)
    assert made.card["config"]["model"] == dataclasses.asdict(config)
    assert made.card["config"]["variant"]["snr_module"] is False
    wide = ImageStore([np.tile(image, (5, 5, 1)) for image in store.images], store.digests)
    same = made.make(wide, None).model.state_dict()
    refitted = LriscSystem().stages(file | {"variant": {"rates": "fixed"}})[0].make(wide, None).model.state_dict()
    changed = {name for name in same if not torch.equal(same[name], refitted[name])}
    assert changed
    assert all(name.startswith("allocation.") for name in changed)


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ("stages.1.loss.perception=0", ["loss.perception"]),
        ("stages.1.loss.snr_db=[0, 18]", ["loss.snr_db"]),
        ("stages.1.algorithm=2", ["algorithm"]),
        ("variant.rates=fixed", ["variant.rates", "variant.snr_module"]),  # the whole section replaces the card's
        ("model.latent_scale=3", ["model.latent_scale"]),  # no weight changes its shape
        ("stages.1.start=null", ["start", "start_weights", "variant.snr_module"]),  # of the card
        ("defaults.steps=2", []),  # how the scheme runs it
        ("stages.1.loop.steps=2", []),  # the loop keeps its own record
    ],
)
def test_stage_knows_what_it_optimises(own_weights, tmp_path, override, changed):
    stage = {"algorithm": 3, "start": str(own_weights), "loss": {"fading": 0.25}, "loop": {"steps": 1}}
    model = read_card("own", own_weights)["config"]["model"]
    file = tmp_path / "file.yaml"
    file.write_text(yaml.safe_dump({"system": "lrisc", "name": "more", "model": model, "stages": [stage]}))
    first, second = (LriscSystem().stages(read_config(file, one))[0].identity for one in ([], [override]))
    recorded = json.loads(json.dumps(first.options))
    assert first.differences(recorded) == []
    assert second.differences(recorded) == changed
    assert recorded["start_weights"] == read_card("own", own_weights)["sha256"]


def test_limits_on_the_card_are_those_of_the_last_stage():
    mixture = StageConfig(fading=0.25, snr_db=(0, 18), cbr=(0.0125, 0.11))
    first = known_limits(3, mixture, Variant())[0]
    assert first.startswith(
        "trained over AWGN for 75% and Rayleigh or Rician fading for 25% of the images at 0 to 18 dB"
    )
    assert "CBR 1/80 to 11/100;" in first
    assert known_limits(3, StageConfig(), Variant())[0].startswith(
        "trained over AWGN at 0 to 20 dB and CBR 1/96 to 1/8;"
    )
    assert known_limits(1, mixture, Variant())[0] == "trained without a channel: f_e and f_d are not"
    alone = dataclasses.replace(mixture, cbr=(0.05, 0.1), psnr_end_only=True)
    *before, added = known_limits(3, alone, Variant(), known_limits(3, mixture, Variant()))
    assert before == known_limits(3, mixture, Variant())
    assert added.startswith("its PSNR end went on alone, trained over AWGN for 75%")
    assert added.endswith("0 to 18 dB and CBR 1/20 to 1/10")
    assert known_limits(3, alone, Variant(), [*before, added]) == [*before, added]  # said once, however often trained
