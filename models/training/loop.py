"""One training run of one stage: `run(trainee, store, config, run_dir)` on CPU, one GPU or several.

A `Trainee` brings the model, the loss and the validation; the loop brings data order, AdamW, warm-up and cosine over a
wall-clock or step budget, EMA, checkpoints, logs, and stops a run that diverges or turns grey. Only parameters in
`parameter_groups()` require gradients; a group may carry an `lr_scale`, a factor on the learning rate. `loss` runs in
bf16 autocast when the precision is bf16, `validate` in float32 on the EMA weights without gradients.

Everything random at a step is seeded with (seed, step), so that a run which was interrupted and resumed equals one that
was not, bit for bit on one CPU when the budget is in steps.
"""

import copy
import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from models.training.checkpoint import load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from models.training.data import ImageStore, training_batch, validation_batch
from models.training.monitor import CollapseDetector, Console, count_flops
from simulator.errors import UserError
from simulator.provenance import environment
from simulator.randomness import derive_key

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
MAX_SKIPPED_IN_A_ROW = 20
# What may differ between a run and its continuation: when it ends and how it reports, not what it computes.
RESUMABLE = {"minutes", "steps", "validate_every_s", "checkpoint_every_s", "log_every_s", "collapse_after"}


class Trainee(Protocol):
    """One training stage of one system."""

    @property
    def model(self) -> nn.Module:
        """Everything that is trained or needed: checkpoints and EMA cover it."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """AdamW parameter groups: what this stage trains."""
        ...

    def loss(
        self, images: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        """Return the scalar loss of float32 images [B, 3, h, w] in [0, 1], and figures to log.

        `progress` runs from 0 to 1 over the budget; `generator` lives on the images' device.
        """
        ...

    def validate(self, model: nn.Module, images: torch.Tensor) -> dict[str, float]:
        """Measure `model` (a copy of `self.model` with EMA weights): "score" (higher is better), "psnr_db" and more."""
        ...

    def pictures(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor | None:
        """Return a picture [3, H, W] in [0, 1] for TensorBoard, or None."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How to train. Exactly one of `minutes` (wall clock, all resumes together) and `steps` is the budget.

    Attributes:
        batch: images per process and step.
        crop: side of the training crops in pixels.
        learning_rate: AdamW's peak rate, reached after `warmup` steps, then falling along a cosine to 1 % of it.
        ema: decay of the averaged weights.
        precision: "bf16" (autocast) or "fp32".
        validation_images: number of held-out centre crops, `validation_crop` pixels wide.
        collapse_after: stop after this many validations in a row no better than a constant image.
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 16
    crop: int = 128
    learning_rate: float = 1e-3
    warmup: int = 100
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    ema: float = 0.999
    precision: str = "bf16"
    channels_last: bool = True
    seed: int = 0
    validation_images: int = 16
    validation_crop: int = 256
    validate_every_s: float = 120.0
    checkpoint_every_s: float = 60.0
    log_every_s: float = 15.0
    collapse_after: int = 10

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.steps is None):
            raise UserError("the training budget is one of 'minutes' and 'steps'; set exactly one of them")
        if self.precision not in ("bf16", "fp32"):
            raise UserError(f"precision '{self.precision}' is unknown; use bf16 or fp32")
        for name in ("batch", "crop", "learning_rate", "validation_images", "validation_crop"):
            if not getattr(self, name) > 0:
                raise UserError(f"training option '{name}' is {getattr(self, name)}; it must be positive")


@dataclass(frozen=True)
class RunResult:
    """Where a run stands: optimisation steps, seconds and images spent, the last and the best validation figures."""

    step: int
    elapsed_s: float
    images: int
    validation: dict[str, float]
    best: dict[str, float]


class _LossModule(nn.Module):
    """Makes the trainee's loss the forward pass, so that DistributedDataParallel sees every parameter."""

    def __init__(self, trainee: Trainee) -> None:
        super().__init__()
        self.model = trainee.model
        self._loss = trainee.loss

    def forward(
        self, images: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        return self._loss(images, progress, generator)


def run(trainee: Trainee, store: ImageStore, config: LoopConfig, run_dir: Path, resume: str = "auto") -> RunResult:
    """Train until the budget is spent; write checkpoints, the best EMA weights and TensorBoard logs to `run_dir`.

    Args:
        trainee: the stage; its model is trained in place and ends with the raw (not averaged) weights.
        store: decoded images; one in 64 is held out for validation.
        config: budget and hyper-parameters.
        run_dir: folder of this stage.
        resume: "auto" continues from the folder's checkpoint if there is one; "never" refuses to touch it.

    Raises:
        UserError: the checkpoint belongs to another configuration, the run diverged, or it collapsed to grey.
        KeyboardInterrupt: on SIGINT or SIGTERM, after a checkpoint was written.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Autocast is ours: Accelerate fixes its precision once per process, and stages may differ in theirs.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    session = _Session(trainee, store, config, run_dir, accelerator)
    session.restore(resume)
    return session.train()


class _Session:
    """The mutable state of one run; `run` is its only user."""

    def __init__(
        self, trainee: Trainee, store: ImageStore, config: LoopConfig, run_dir: Path, accelerator: Any
    ) -> None:
        self.trainee, self.config, self.run_dir, self.accelerator = trainee, config, run_dir, accelerator
        training, held_out = store.split()
        self.training = training.at_least(config.crop)
        self.validation_images = validation_batch(held_out, config.validation_images, config.validation_crop)
        self.validation_images = self.validation_images.to(accelerator.device)
        model = trainee.model.to(accelerator.device)
        if config.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_model = copy.deepcopy(model).requires_grad_(False).eval()
        groups = trainee.parameter_groups()
        model.requires_grad_(False)
        for group in groups:
            group["params"] = list(group["params"])
            group["lr"] = config.learning_rate * group.pop("lr_scale", 1.0)
            for parameter in group["params"]:
                parameter.requires_grad_(True)
        optimizer = torch.optim.AdamW(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99), fused=True
        )
        self.peak_rates = [group["lr"] for group in optimizer.param_groups]
        self.parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self.loss_module, self.optimizer = accelerator.prepare(_LossModule(trainee), optimizer)
        self.step, self.elapsed_before, self.skipped = 0, 0.0, 0
        self.best: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.hardware = environment()["machine"] | {"processes": accelerator.num_processes}

    def restore(self, resume: str) -> None:
        """Continue from the checkpoint of the run folder, if there is one."""
        path = self.run_dir / CHECKPOINT
        if resume not in ("auto", "never"):
            raise UserError(f"resume mode '{resume}' is unknown; use auto or never")
        if not path.exists():
            return
        if resume == "never":
            raise UserError(f"'{self.run_dir}' holds a run; continue it with --resume auto or name another --out")
        checkpoint = load_checkpoint(path)
        record = checkpoint.record
        now = asdict(self.config)
        changed = sorted(k for k, v in record["config"].items() if k not in RESUMABLE and now.get(k) != v)
        if changed:
            raise UserError(f"'{path}' was trained with other {', '.join(changed)}; restore them or name another --out")
        if record["data"] != self.training.fingerprint():
            raise UserError(f"'{path}' was trained on other images; give the same --data or name another --out")
        self.trainee.model.load_state_dict(checkpoint.part("model"))
        self.ema_model.load_state_dict(checkpoint.part("ema"))
        restore_optimizer(_plain(self.optimizer), checkpoint.part("optimizer"))
        self.step, self.elapsed_before, self.skipped = record["step"], record["elapsed_s"], record["skipped"]
        self.best, self.validation = record["best"], record["validation"]

    def train(self) -> RunResult:
        """Take steps until the budget is spent."""
        config, main = self.config, self.accelerator.is_main_process
        self.started = time.monotonic()
        if self.progress() >= 1:
            return self._result()
        console = Console(self.run_dir, self.step) if main else None
        if console and self.step:
            print(f"     step {self.step:6d}  continued after {self.elapsed_before / 60:.1f} minutes", flush=True)
        collapse = CollapseDetector(self.validation_images, config.collapse_after)
        gflop = self._count_flops() if console else 0.0
        due = {"log": 0.0, "validate": config.validate_every_s, "checkpoint": config.checkpoint_every_s}
        start_step, in_a_row = self.step, 0
        self.started = time.monotonic()

        with _stop_signals() as stop:
            while (progress := self.progress()) < 1:
                loss, figures, good = self._optimise(progress)
                in_a_row = 0 if good else in_a_row + 1
                if in_a_row >= MAX_SKIPPED_IN_A_ROW:
                    raise UserError(
                        f"training diverged: {in_a_row} steps in a row had no finite gradient (step {self.step}); "
                        "lower learning_rate or use precision fp32, and start from an earlier checkpoint"
                    )
                ran = time.monotonic() - self.started
                if console and ran >= due["log"]:
                    due["log"] = ran + config.log_every_s
                    images_per_s = (self.step - start_step) * config.batch * self.accelerator.num_processes / ran
                    speed = {"images_per_s": images_per_s, "gflop_per_s": images_per_s * gflop}
                    state = {"learning_rate": self.optimizer.param_groups[0]["lr"], "skipped": float(self.skipped)}
                    console.step(self.step, progress, {"loss": float(loss), **figures, **state, **speed})
                if console and ran >= due["validate"]:
                    self._validate(console, collapse)
                    due["validate"] = time.monotonic() - self.started + config.validate_every_s
                if main and (stop or ran >= due["checkpoint"]):
                    self.save()
                    due["checkpoint"] = time.monotonic() - self.started + config.checkpoint_every_s
                if stop:
                    raise KeyboardInterrupt
            if console and self.step > start_step:
                self._validate(console, collapse)
                self.save()
        self.accelerator.wait_for_everyone()
        return self._result()

    def _result(self) -> RunResult:
        images = self.step * self.config.batch * self.accelerator.num_processes
        return RunResult(self.step, self.elapsed(), images, self.validation, self.best)

    def elapsed(self) -> float:
        """Seconds of training, all resumes together."""
        return self.elapsed_before + time.monotonic() - self.started

    def progress(self) -> float:
        """Share of the budget that is spent; the same in every process."""
        if self.config.steps is not None:
            return min(1.0, self.step / self.config.steps)
        assert self.config.minutes is not None
        progress = min(1.0, self.elapsed() / (60 * self.config.minutes))
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast

            progress = float(broadcast(torch.tensor(progress, device=self.accelerator.device)))
        return progress

    def save(self) -> None:
        """Write the checkpoint of this moment."""
        tensors = {f"model.{name}": tensor for name, tensor in self.trainee.model.state_dict().items()}
        tensors |= {f"ema.{name}": tensor for name, tensor in self.ema_model.state_dict().items()}
        moments = optimizer_tensors(_plain(self.optimizer))
        tensors |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
        save_checkpoint(self.run_dir / CHECKPOINT, tensors, self._record())

    def _record(self) -> dict[str, Any]:
        return {
            "config": asdict(self.config),
            "data": self.training.fingerprint(),
            "training_images": len(self.training),
            "step": self.step,
            "elapsed_s": self.elapsed(),
            "images": self.step * self.config.batch * self.accelerator.num_processes,
            "skipped": self.skipped,
            "best": self.best,
            "validation": self.validation,
            "hardware": self.hardware,
        }

    def _batch(self) -> torch.Tensor:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        images = training_batch(
            self.training, self.config.seed, self.step, self.config.batch, self.config.crop, rank, world
        ).to(self.accelerator.device)
        return (
            images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images.contiguous()
        )

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _generator(self) -> torch.Generator:
        key = derive_key("step", self.config.seed, self.step, self.accelerator.process_index)
        torch.manual_seed(key)
        return torch.Generator(self.accelerator.device).manual_seed(key)

    def _optimise(self, progress: float) -> tuple[torch.Tensor, dict[str, float], bool]:
        """Take one step unless its gradient is not finite; returns (loss, figures, whether it was taken)."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup))
        rate = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group, peak in zip(self.optimizer.param_groups, self.peak_rates, strict=True):
            group["lr"] = peak * rate
        with self._autocast():
            loss, figures = self.loss_module(self._batch(), progress, self._generator())
        self.accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.config.gradient_clip)
        # Gradients are summed over processes, so that all of them see the same norm and decide alike.
        good = bool(torch.isfinite(norm))
        if good:
            self.optimizer.step()
            decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
            update_ema(self.ema_model, self.trainee.model, decay)
        self.optimizer.zero_grad(set_to_none=True)
        self.skipped += not good
        self.step += 1
        return loss.detach(), figures, good

    def _count_flops(self) -> float:
        """GFLOP of a training step, forward and backward, per image."""
        images = self._batch()[:2]

        def pass_once() -> None:
            with self._autocast():
                loss, _ = self.trainee.loss(images, 0.5, self._generator())
            loss.backward()

        flops = count_flops(pass_once) / len(images)
        self.optimizer.zero_grad(set_to_none=True)
        return flops / 1e9

    @torch.no_grad()
    def _validate(self, console: "Console", collapse: "CollapseDetector") -> None:
        self.validation = self.trainee.validate(self.ema_model, self.validation_images)
        improved = self.validation["score"] > self.best.get("score", -math.inf)
        if improved:
            self.best = dict(self.validation, step=float(self.step))
            weights = {f"ema.{name}": tensor for name, tensor in self.ema_model.state_dict().items()}
            save_checkpoint(self.run_dir / BEST, weights, self._record())
        console.validation(self.step, self.validation, improved)
        picture = self.trainee.pictures(self.ema_model, self.validation_images)
        if picture is not None:
            console.picture(self.step, picture)
        collapse.check(self.validation["psnr_db"])


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model; buffers are copied."""
    pairs = list(zip(average.parameters(), model.parameters(), strict=True))
    torch._foreach_lerp_([a for a, _ in pairs], [p.detach() for _, p in pairs], 1 - decay)
    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser inside Accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


@contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM instead of dying of them; a second one kills at once."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        if received:
            os._exit(130)
        received.append(number)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are not ours
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
