"""The loop: resume is exact, bad steps are skipped, grey runs stop."""

import signal

import numpy as np
import pytest
import torch
from torch import nn

from simulator.errors import UserError
from simulator.models.training.adversary import Discriminator, adversarial_losses, adversary_group
from simulator.models.training.checkpoint import load_checkpoint, save_checkpoint
from simulator.models.training.data import ImageStore
from simulator.models.training.identity import describe
from simulator.models.training.learner import LoopConfig
from simulator.models.training.loop import BEST, CHECKPOINT, run
from simulator.models.training.monitor import CollapseDetector


class Denoiser(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


class DenoiserTrainee:
    """Trains a denoiser; may die at a step, or hand out bad losses."""

    def __init__(self, die_at: int | None = None, bad_steps: range = range(0), frozen: bool = False) -> None:
        torch.manual_seed(0)
        self.model = Denoiser()
        self.die_at, self.bad_steps, self.frozen, self.calls = die_at, bad_steps, frozen, 0

    def parameter_groups(self):
        return [{"params": self.model.net[2].parameters() if self.frozen else self.model.parameters()}]

    def loss(self, images, progress, generator):
        self.calls += 1  # one more than steps: the count of operations is a call of its own
        if self.die_at is not None and self.calls > self.die_at:
            raise KeyboardInterrupt
        noisy = images + 0.1 * torch.randn(images.shape, generator=generator)
        loss = (self.model(noisy) - images).square().mean()
        if self.calls - 2 in self.bad_steps:
            loss = loss * float("nan")
        return loss, {"progress": progress}

    def validate(self, model, images):
        psnr = float(-10 * (model(images).detach() - images).square().mean().log10())
        return {"score": psnr, "psnr_db": psnr}

    measure = "PSNR"

    def pictures(self, model, images):
        return model(images)[0]


class AdversarialTrainee(DenoiserTrainee):
    """Beside the denoiser, trains a discriminator whose buffers change at every pass."""

    def __init__(self, die_at: int | None = None) -> None:
        super().__init__(die_at)
        self.adversary = Discriminator(3)

    def parameter_groups(self):
        return super().parameter_groups() + adversary_group(self.adversary)

    def loss(self, images, progress, generator):
        loss, figures = super().loss(images, progress, generator)
        x, estimate = images * 2 - 1, self.model(images) * 2 - 1
        fooling, telling = adversarial_losses(self.adversary, x, estimate, x[:, :, ::4, ::4], generator)
        return loss + (0.1 * fooling + telling).mean(), figures


@pytest.fixture
def store() -> ImageStore:
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(6)]
    return ImageStore(images, [f"{index:064x}" for index in range(6)])


def config(**changes) -> LoopConfig:
    options = {"steps": 12, "batch": 4, "crop": 16, "validation_crop": 32, "warmup": 2, "collapse_after": 1000}
    return LoopConfig(**(options | changes))


@pytest.mark.parametrize("trainee", [DenoiserTrainee, AdversarialTrainee])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_interrupted_run_equals_uninterrupted(tmp_path, store, precision, trainee):
    options = config(precision=precision, checkpoint_every_s=0.0)
    run(trainee(), store, options, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(trainee(die_at=6), store, options, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT).record["step"] == 5
    result = run(trainee(), store, options, tmp_path / "parts")
    assert result.step == 12
    whole = load_checkpoint(tmp_path / "whole" / CHECKPOINT)
    parts = load_checkpoint(tmp_path / "parts" / CHECKPOINT)
    assert whole.tensors.keys() == parts.tensors.keys()
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, parts.tensors[name]), name


def test_signal_saves_and_the_run_continues(tmp_path, store):
    class Interrupted(DenoiserTrainee):
        def loss(self, images, progress, generator):
            if self.calls == 4:
                signal.raise_signal(signal.SIGTERM)
            return super().loss(images, progress, generator)

    options = config(checkpoint_every_s=1000.0)
    run(DenoiserTrainee(), store, options, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), store, options, tmp_path / "parts")
    assert load_checkpoint(tmp_path / "parts" / CHECKPOINT).record["step"] == 4
    run(DenoiserTrainee(), store, options, tmp_path / "parts")
    whole, parts = (load_checkpoint(tmp_path / name / CHECKPOINT).tensors for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_training_learns_and_keeps_the_best(tmp_path, store):
    trainee = DenoiserTrainee()
    before = trainee.validate(trainee.model, torch.rand(2, 3, 32, 32))["psnr_db"]
    result = run(trainee, store, config(steps=80, learning_rate=1e-2, validate_every_s=0.05), tmp_path)
    assert result.best["psnr_db"] > before + 3
    best = load_checkpoint(tmp_path / BEST)
    assert best.record["best"]["step"] == result.best["step"]
    assert any((tmp_path / "tensorboard").iterdir())


def test_run_with_another_score_is_refused(tmp_path, store):
    run(DenoiserTrainee(), store, config(steps=6), tmp_path)
    old = load_checkpoint(tmp_path / CHECKPOINT)
    save_checkpoint(tmp_path / CHECKPOINT, old.tensors, old.record | {"measure": "MS-SSIM"})
    with pytest.raises(UserError, match=r"validated by another score \(MS-SSIM\); name another --out"):
        run(DenoiserTrainee(), store, config(steps=8), tmp_path)


def test_finished_run_is_left_alone(tmp_path, store):
    first = run(DenoiserTrainee(), store, config(), tmp_path)
    content = (tmp_path / CHECKPOINT).read_bytes()
    again = run(DenoiserTrainee(), store, config(), tmp_path)
    assert again.step == first.step
    assert (tmp_path / CHECKPOINT).read_bytes() == content


def test_minutes_budget_ends(tmp_path, store):
    result = run(DenoiserTrainee(), store, config(steps=None, minutes=1 / 60), tmp_path)
    assert result.step > 1
    assert result.elapsed_s < 10


def test_a_budget_that_is_spent_already_is_said_and_nothing_changes(tmp_path, store, capsys):
    run(DenoiserTrainee(), store, config(), tmp_path)
    old = load_checkpoint(tmp_path / CHECKPOINT)
    save_checkpoint(tmp_path / CHECKPOINT, old.tensors, old.record | {"elapsed_s": 600.0})
    content = (tmp_path / CHECKPOINT).read_bytes()
    capsys.readouterr()
    assert run(DenoiserTrainee(), store, config(steps=None, minutes=5), tmp_path).step == 12
    expected = "the budget is spent already: 12 steps in 10.0 minutes; give more to train on"
    assert capsys.readouterr().out.strip() == expected
    assert (tmp_path / CHECKPOINT).read_bytes() == content
    run(DenoiserTrainee(), store, config(steps=None, minutes=10 + 1 / 60), tmp_path)  # more trains on
    assert "spent already" not in capsys.readouterr().out
    assert load_checkpoint(tmp_path / CHECKPOINT).record["step"] > 12


def test_bad_steps_are_skipped_and_counted(tmp_path, store):
    trainee = DenoiserTrainee(bad_steps=range(3, 5))
    run(trainee, store, config(), tmp_path)
    assert load_checkpoint(tmp_path / CHECKPOINT).record["skipped"] == 2
    assert all(torch.isfinite(parameter).all() for parameter in trainee.model.parameters())


def test_divergence_stops_in_one_line(tmp_path, store):
    with pytest.raises(UserError, match="diverged"):
        run(DenoiserTrainee(bad_steps=range(1000)), store, config(steps=100), tmp_path)


def test_only_the_groups_are_trained(tmp_path, store):
    trainee = DenoiserTrainee(frozen=True)
    before = {name: tensor.clone() for name, tensor in trainee.model.state_dict().items()}
    run(trainee, store, config(), tmp_path)
    changed = {name for name, tensor in trainee.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"net.2.weight", "net.2.bias"}


def test_other_configuration_or_data_is_refused(tmp_path, store):
    run(DenoiserTrainee(), store, config(), tmp_path)
    with pytest.raises(UserError, match="batch"):
        run(DenoiserTrainee(), store, config(batch=2), tmp_path)
    with pytest.raises(UserError, match="other images"):
        run(DenoiserTrainee(), ImageStore(store.images[:5], store.digests[:5]), config(), tmp_path)
    with pytest.raises(UserError, match="--resume auto"):
        run(DenoiserTrainee(), store, config(), tmp_path, resume="never")
    longer = run(DenoiserTrainee(), store, config(steps=14), tmp_path)
    assert longer.step == 14


def test_other_trainee_is_refused_even_by_a_finished_run(tmp_path, store):
    ours, theirs = describe({"noise": 0.1}), describe({"noise": 0.2})
    run(DenoiserTrainee(), store, config(), tmp_path, identity=ours)
    for steps in (12, 14):
        with pytest.raises(UserError, match="trained with other noise; restore them or name another --out"):
            run(DenoiserTrainee(), store, config(steps=steps), tmp_path, identity=theirs)
    assert run(DenoiserTrainee(), store, config(steps=14), tmp_path, identity=ours).step == 14
    for name in (CHECKPOINT, BEST):
        assert load_checkpoint(tmp_path / name).record["identity"] == {"noise": 0.1}


def test_collapse_detector_knows_flat_images():
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    flat = images.mean(dim=(2, 3), keepdim=True).expand_as(images)
    flat_psnr = float((-10 * (flat - images).square().mean(dim=(1, 2, 3)).log10()).mean())
    detector = CollapseDetector(images, patience=2)
    assert detector.constant_psnr_db == pytest.approx(flat_psnr, abs=1e-3)
    detector.check(flat_psnr - 0.1)
    detector.check(flat_psnr + 1)
    detector.check(flat_psnr - 0.1)
    with pytest.raises(UserError, match="collapsed"):
        detector.check(flat_psnr - 0.1)


def test_budget_is_minutes_or_steps():
    for both in ({}, {"steps": 1, "minutes": 1.0}):
        with pytest.raises(UserError, match="exactly one"):
            LoopConfig(**both)
