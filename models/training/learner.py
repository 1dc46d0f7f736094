"""What a step of training changes: weights, their average, the optimiser and its schedule (warm-up, then a cosine).

A `Trainee` brings the model, the loss and the validation. Only parameters in `parameter_groups()` require gradients; a
group may carry an `lr_scale`, a factor on the learning rate. `loss` runs in bf16 autocast when the precision is bf16,
`validate` in float32 on the EMA weights without gradients. Everything random at a step is seeded with (seed, step).
"""

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from simulator.devices import PRECISIONS, training_precision
from simulator.errors import UserError
from simulator.models.training.checkpoint import Checkpoint, optimizer_tensors, restore_optimizer
from simulator.models.training.data import ImageStore, training_batch
from simulator.models.training.monitor import count_flops
from simulator.models.training.muon import Muon
from simulator.randomness import derive_key


class Trainee(Protocol):
    """One training stage of one system.

    It may have an `adversary`, a module that only training needs: checkpoints keep it, averages and releases do not.
    """

    @property
    def model(self) -> nn.Module:
        """Everything that is trained or needed: checkpoints and EMA cover it."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of what this stage trains; `matrix=True` marks the weights that Muon is made for."""
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

    @property
    def measure(self) -> str:
        """What "score" is. Scores of different measures do not compare."""
        ...

    def pictures(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """Return a picture [3, H, W] in [0, 1] for TensorBoard."""
        ...


@dataclass(frozen=True)
class LoopConfig:
    """How to train. Exactly one of `minutes` (wall clock, all resumes together) and `steps` is the budget.

    Attributes:
        batch: images per process and step.
        crop: side of the training crops in pixels.
        learning_rate: peak rate, reached after `warmup` steps, then falling along a cosine to 1 % of it.
        optimizer: "adamw" for all weights, or "muon" for the matrices inside the networks and AdamW for the others.
        ema: decay of the averaged weights.
        precision: "bf16" (autocast), "fp32", or "auto": bf16 where the device does not emulate it.
        validation_images: number of held-out centre crops, `validation_crop` pixels wide.
        collapse_after: stop after this many validations in a row no better than a constant image.
    """

    minutes: float | None = None
    steps: int | None = None
    batch: int = 16
    crop: int = 128
    learning_rate: float = 1e-3
    warmup: int = 100
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    gradient_clip: float = 1.0
    ema: float = 0.999
    precision: str = "auto"
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
        if self.precision not in PRECISIONS:
            raise UserError(f"precision '{self.precision}' is unknown; use {', '.join(PRECISIONS)}")
        if self.optimizer not in ("adamw", "muon"):
            raise UserError(f"optimizer '{self.optimizer}' is unknown; use adamw or muon")
        for name in ("minutes", "steps", "batch", "crop", "learning_rate", "validation_images", "validation_crop"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UserError(f"training option '{name}' is {value}; it must be positive")
        if not self.gradient_clip > 0:
            raise UserError(f"training option 'gradient_clip' is {self.gradient_clip}; it must be positive")
        if not 0 <= self.ema < 1:
            raise UserError(f"training option 'ema' is {self.ema}; it must be from 0 to below 1")
        for name in ("warmup", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"training option '{name}' is {getattr(self, name)}; it must be 0 or more")


class _LossModule(nn.Module):
    """Makes the trainee's loss the forward pass, so that DistributedDataParallel sees every parameter."""

    def __init__(self, trainee: Trainee) -> None:
        super().__init__()
        self.model, self.adversary = trainee.model, _adversary(trainee)
        self._loss = trainee.loss

    def forward(
        self, images: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        return self._loss(images, progress, generator)


class Learner:
    """Mutable: the trainee's model on the accelerator's device, averaged weights, optimiser, and how many steps."""

    def __init__(self, trainee: Trainee, images: ImageStore, config: LoopConfig, accelerator: Any) -> None:
        self.trainee, self.images, self.config, self.accelerator = trainee, images, config, accelerator
        model = trainee.model.to(accelerator.device)
        if config.channels_last:
            model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema_model = copy.deepcopy(model).requires_grad_(False).eval()
        self._adversary = _adversary(trainee)
        if self._adversary is not None:
            self._adversary.to(accelerator.device)
        groups = trainee.parameter_groups()
        model.requires_grad_(False)
        for group in groups:
            group["params"] = list(group["params"])
            group["lr"] = config.learning_rate * group.pop("lr_scale", 1.0)
            group["matrix"] = group.get("matrix", False) and config.optimizer == "muon"
            for parameter in group["params"]:
                parameter.requires_grad_(True)
        optimizer = Muon(
            groups, lr=config.learning_rate, weight_decay=config.weight_decay, betas=(0.9, 0.99), fused=True
        )
        self._peak_rates = [group["lr"] for group in optimizer.param_groups]
        self._parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._loss_module, self._optimizer = accelerator.prepare(_LossModule(trainee), optimizer)
        self.step, self.skipped = 0, 0

    @property
    def learning_rate(self) -> float:
        """That of the first parameter group at the last step."""
        return self._optimizer.param_groups[0]["lr"]

    @property
    def images_seen(self) -> int:
        """Images of all steps so far, in all processes."""
        return self.step * self.config.batch * self.accelerator.num_processes

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a checkpoint needs: `model.*`, `ema.*`, `optimizer.*`, and `adversary.*` if there is one."""
        tensors = {f"model.{name}": tensor for name, tensor in self.trainee.model.state_dict().items()}
        if self._adversary is not None:
            tensors |= {f"adversary.{name}": one for name, one in self._adversary.state_dict().items()}
        moments = optimizer_tensors(_plain(self._optimizer))
        return tensors | self.ema_tensors() | {f"optimizer.{name}": tensor for name, tensor in moments.items()}

    def ema_tensors(self) -> dict[str, torch.Tensor]:
        """The averaged weights, `ema.*`."""
        return {f"ema.{name}": tensor for name, tensor in self.ema_model.state_dict().items()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over what `tensors` gave, and the record's `step` and `skipped`."""
        self.trainee.model.load_state_dict(checkpoint.part("model"))
        self.ema_model.load_state_dict(checkpoint.part("ema"))
        if self._adversary is not None:
            self._adversary.load_state_dict(checkpoint.part("adversary"))
        restore_optimizer(_plain(self._optimizer), checkpoint.part("optimizer"))
        self.step, self.skipped = checkpoint.record["step"], checkpoint.record["skipped"]

    def optimise(self, progress: float) -> tuple[torch.Tensor, dict[str, float], bool]:
        """Take one step unless its gradient is not finite; returns (loss, figures, whether it was taken)."""
        warm = min(1.0, (self.step + 1) / max(1, self.config.warmup))
        rate = warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group, peak in zip(self._optimizer.param_groups, self._peak_rates, strict=True):
            group["lr"] = peak * rate
        with self._autocast():
            loss, figures = self._loss_module(self._batch(), progress, self._generator())
        self.accelerator.backward(loss)
        norm = nn.utils.clip_grad_norm_(self._parameters, self.config.gradient_clip)
        # Gradients are averaged over processes, so that all of them see the same norm and make the same decision.
        good = bool(torch.isfinite(norm))
        if good:
            self._optimizer.step()
            decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
            update_ema(self.ema_model, self.trainee.model, decay)
        self._optimizer.zero_grad(set_to_none=True)
        self.skipped += not good
        self.step += 1
        return loss.detach(), figures, good

    def count_gflop(self) -> float:
        """GFLOP of a training step, forward and backward, per image. Changes no weight and no buffer."""
        images = self._batch()[:2]
        before = [(buffer, buffer.clone()) for buffer in self._loss_module.buffers()]

        def pass_once() -> None:
            with self._autocast():
                loss, _ = self.trainee.loss(images, 0.5, self._generator())
            loss.backward()

        flops = count_flops(pass_once) / len(images)
        self._optimizer.zero_grad(set_to_none=True)
        for buffer, value in before:  # spectral normalisation takes a step of its power iteration at every pass
            buffer.copy_(value)
        return flops / 1e9

    def _batch(self) -> torch.Tensor:
        rank, world = self.accelerator.process_index, self.accelerator.num_processes
        images = training_batch(
            self.images, self.config.seed, self.step, self.config.batch, self.config.crop, rank, world
        ).to(self.accelerator.device)
        return (
            images.contiguous(memory_format=torch.channels_last) if self.config.channels_last else images.contiguous()
        )

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        device = self.accelerator.device.type
        bf16 = training_precision(self.config.precision, device) == "bf16"
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            if device != "cpu":
                yield
                return
            with sdpa_kernel(SDPBackend.MATH):  # on short sequences in bf16 up to twice as fast as the flash kernel
                yield

    def _generator(self) -> torch.Generator:
        key = derive_key("step", self.config.seed, self.step, self.accelerator.process_index)
        torch.manual_seed(key)
        return torch.Generator(self.accelerator.device).manual_seed(key)


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) model; buffers are copied."""
    pairs = list(zip(average.parameters(), model.parameters(), strict=True))
    torch._foreach_lerp_([a for a, _ in pairs], [p.detach() for _, p in pairs], 1 - decay)
    for a, b in zip(average.buffers(), model.buffers(), strict=True):
        a.copy_(b)


def _adversary(trainee: Trainee) -> nn.Module | None:
    return getattr(trainee, "adversary", None)


def _plain(optimizer: Any) -> torch.optim.Optimizer:
    """The optimiser inside Accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)
