"""One training run of one stage: `run(trainee, store, config, run_dir)` on CPU, one GPU or several.

The learner takes the steps; the loop brings a wall-clock or step budget, checkpoints, validation, logs, and stops a run
that diverges or turns grey. A run which was interrupted and resumed equals one that was not, bit for bit on one CPU
when the budget is in steps.
"""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from simulator.errors import UserError
from simulator.models.training.checkpoint import load_checkpoint, load_record, save_checkpoint
from simulator.models.training.data import ImageStore, validation_batch
from simulator.models.training.identity import FORMAT, Identity, check_record
from simulator.models.training.learner import Learner, LoopConfig, Trainee
from simulator.models.training.monitor import CollapseDetector, Console
from simulator.results.provenance import environment

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"
MAX_SKIPPED_IN_A_ROW = 20
UNDESCRIBED = Identity()


@dataclass(frozen=True)
class RunResult:
    """Where a run stands: optimisation steps, seconds and images spent, the last and the best validation figures."""

    step: int
    elapsed_s: float
    images: int
    validation: dict[str, float]
    best: dict[str, float]


def run(
    trainee: Trainee,
    store: ImageStore,
    config: LoopConfig,
    run_dir: Path,
    resume: str = "auto",
    identity: Identity = UNDESCRIBED,
) -> RunResult:
    """Train until the budget is spent; write checkpoints, the best EMA weights and TensorBoard logs to `run_dir`.

    Args:
        trainee: the stage; its model is trained in place and ends with the raw (not averaged) weights.
        store: decoded images; one in 64 is held out for validation.
        config: budget and hyper-parameters.
        run_dir: folder of this stage.
        resume: "auto" continues from the folder's checkpoint if there is one; "never" refuses to touch it.
        identity: what the trainee optimises; recorded, and checked when the run is resumed.

    Raises:
        UserError: the checkpoint is of another configuration or trainee, the run diverged, or it collapsed to grey.
        KeyboardInterrupt: on SIGINT or SIGTERM, after a checkpoint was written.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Autocast is ours: Accelerate fixes its precision once per process, and stages may differ in theirs.
    accelerator = Accelerator(
        cpu=not torch.cuda.is_available(),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )
    session = _Session(trainee, store, config, run_dir, accelerator, identity)
    session.restore(resume)
    return session.train()


def check_continuation(run_dir: Path, config: LoopConfig, resume: str, identity: Identity) -> bool:
    """Whether a run folder has a checkpoint to resume from; arguments as in `run`.

    Raises:
        UserError: it holds one of another configuration or trainee, or one although `resume` is "never".
    """
    path = run_dir / CHECKPOINT
    if resume not in ("auto", "never"):
        raise UserError(f"resume mode '{resume}' is unknown; use auto or never")
    if not path.exists():
        return False
    if resume == "never":
        raise UserError(f"'{run_dir}' holds a run; continue it with --resume auto or name another --out")
    check_record(path, load_record(path), identity, config)
    return True


class _Session:
    """The mutable state of one run; `run` is its only user."""

    def __init__(
        self,
        trainee: Trainee,
        store: ImageStore,
        config: LoopConfig,
        run_dir: Path,
        accelerator: Any,
        identity: Identity,
    ) -> None:
        self.trainee, self.config, self.run_dir, self.accelerator = trainee, config, run_dir, accelerator
        self.identity = identity
        training, held_out = store.split()
        self.training = training.at_least(config.crop)
        self.validation_images = validation_batch(held_out, config.validation_images, config.validation_crop)
        self.validation_images = self.validation_images.to(accelerator.device)
        self.learner = Learner(trainee, self.training, config, accelerator)
        self.elapsed_before = 0.0
        self.best: dict[str, float] = {}
        self.validation: dict[str, float] = {}
        self.hardware = environment()["machine"] | {"processes": accelerator.num_processes}

    def restore(self, resume: str) -> None:
        """Continue from the checkpoint of the run folder, if there is one."""
        if not check_continuation(self.run_dir, self.config, resume, self.identity):
            return
        path = self.run_dir / CHECKPOINT
        checkpoint = load_checkpoint(path)
        record = checkpoint.record
        if record["data"] != self.training.fingerprint():
            raise UserError(f"'{path}' was trained on other images; give the same --data or name another --out")
        if record["measure"] != self.trainee.measure:
            raise UserError(f"'{path}' was validated by another score ({record['measure']}); name another --out")
        self.learner.restore(checkpoint)
        self.elapsed_before, self.best, self.validation = record["elapsed_s"], record["best"], record["validation"]

    def train(self) -> RunResult:
        """Take steps until the budget is spent."""
        config, learner, main = self.config, self.learner, self.accelerator.is_main_process
        self.started = time.monotonic()
        if self.progress() >= 1:
            if main and learner.step:
                spent = f"{learner.step} steps in {self.elapsed_before / 60:.1f} minutes"
                print(f"     the budget is spent already: {spent}; give more to train on", flush=True)
            return self._result()
        console = Console(self.run_dir, learner.step) if main else None
        if console and learner.step:
            print(f"     step {learner.step:6d}  continued after {self.elapsed_before / 60:.1f} minutes", flush=True)
        collapse = CollapseDetector(self.validation_images, config.collapse_after)
        gflop = learner.count_gflop() if console else 0.0
        due = {"log": 0.0, "validate": config.validate_every_s, "checkpoint": config.checkpoint_every_s}
        start_step, in_a_row = learner.step, 0
        self.started = time.monotonic()

        with _stop_signals() as stop:
            while True:
                progress, stopping = self._agree(self.progress(), bool(stop))
                if stopping:
                    if main:
                        self.save()
                    raise KeyboardInterrupt
                if progress >= 1:
                    break
                loss, figures, good = learner.optimise(progress)
                in_a_row = 0 if good else in_a_row + 1
                if in_a_row >= MAX_SKIPPED_IN_A_ROW:
                    raise UserError(
                        f"training diverged: {in_a_row} steps in a row had no finite gradient (step {learner.step}); "
                        "lower learning_rate or use precision fp32, and start from an earlier checkpoint"
                    )
                ran = time.monotonic() - self.started
                if console and ran >= due["log"]:
                    due["log"] = ran + config.log_every_s
                    images_per_s = (learner.step - start_step) * config.batch * self.accelerator.num_processes / ran
                    speed = {"images_per_s": images_per_s, "gflop_per_s": images_per_s * gflop}
                    state = {"learning_rate": learner.learning_rate, "skipped": float(learner.skipped)}
                    console.step(learner.step, progress, {"loss": float(loss), **figures, **state, **speed})
                if console and ran >= due["validate"]:
                    self._validate(console, collapse)
                    due["validate"] = time.monotonic() - self.started + config.validate_every_s
                if main and ran >= due["checkpoint"]:
                    self.save()
                    due["checkpoint"] = time.monotonic() - self.started + config.checkpoint_every_s
            if console and learner.step > start_step:
                self._validate(console, collapse)
                self.save()
        self.accelerator.wait_for_everyone()
        return self._result()

    def _result(self) -> RunResult:
        return RunResult(self.learner.step, self.elapsed(), self.learner.images_seen, self.validation, self.best)

    def elapsed(self) -> float:
        """Seconds of training, all resumes together."""
        return self.elapsed_before + time.monotonic() - self.started

    def progress(self) -> float:
        """Share of the budget that is spent, by this process's clock."""
        if self.config.steps is not None:
            return min(1.0, self.learner.step / self.config.steps)
        assert self.config.minutes is not None
        return min(1.0, self.elapsed() / (60 * self.config.minutes))

    def _agree(self, progress: float, stop: bool) -> tuple[float, bool]:
        """Progress of the furthest process, and whether any received a signal to stop; the same in every process."""
        if self.accelerator.num_processes == 1:
            return progress, stop
        both = torch.tensor([progress, float(stop)], dtype=torch.float64, device=self.accelerator.device)
        torch.distributed.all_reduce(both, torch.distributed.ReduceOp.MAX)
        return float(both[0]), bool(both[1])

    def save(self) -> None:
        """Write the checkpoint of this moment."""
        save_checkpoint(self.run_dir / CHECKPOINT, self.learner.tensors(), self._record())

    def _record(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "config": asdict(self.config),
            "identity": dict(self.identity.options),
            "data": self.training.fingerprint(),
            "training_images": len(self.training),
            "step": self.learner.step,
            "elapsed_s": self.elapsed(),
            "images": self.learner.images_seen,
            "skipped": self.learner.skipped,
            "best": self.best,
            "validation": self.validation,
            "measure": self.trainee.measure,
            "hardware": self.hardware,
        }

    @torch.no_grad()
    def _validate(self, console: Console, collapse: CollapseDetector) -> None:
        average, step = self.learner.ema_model, self.learner.step
        self.validation = self.trainee.validate(average, self.validation_images)
        improved = self.validation["score"] > self.best.get("score", -math.inf)
        if improved:
            self.best = dict(self.validation, step=float(step))
            save_checkpoint(self.run_dir / BEST, self.learner.ema_tensors(), self._record())
        console.validation(step, self.validation, improved)
        console.picture(step, self.trainee.pictures(average, self.validation_images))
        collapse.check(self.validation["psnr_db"])


@contextmanager
def _stop_signals() -> Iterator[list[float]]:
    """Note SIGINT and SIGTERM instead of ending at once; another one, more than a second later, kills the process."""
    received: list[float] = []

    def note(number: int, frame: object) -> None:
        now = time.monotonic()
        if received and now > received[0] + 1:  # launchers of several processes repeat the terminal's signal
            os._exit(130)
        received.append(now)

    try:
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # signals can be handled in the main thread only
        before = {}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
