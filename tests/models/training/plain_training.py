"""A training without noise, as a script for a launcher of two processes: RUN_DIR BATCH.

The second process is told to stop on the way; then both go on.
"""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from simulator.models.training.checkpoint import load_checkpoint
from simulator.models.training.data import ImageStore
from simulator.models.training.learner import LoopConfig
from simulator.models.training.loop import CHECKPOINT, run

STEPS = 8


class Autoencoder:
    """A trainee whose loss depends on images and weights alone; one process may be told to stop on the way."""

    measure = "PSNR"

    def __init__(self, stop_after: int | None = None) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.PReLU(), nn.Conv2d(8, 3, 3, padding=1))
        self.calls, self.stop_after = 0, stop_after

    def parameter_groups(self):
        return [{"params": self.model.parameters()}]

    def loss(self, images, progress, generator):
        self.calls += 1
        if self.calls == self.stop_after:
            signal.raise_signal(signal.SIGTERM)
        return (self.model(images) - images).square().mean(), {}

    def validate(self, model, images):
        psnr = float(-10 * (model(images).detach() - images).square().mean().log10())
        return {"score": psnr, "psnr_db": psnr}

    def pictures(self, model, images):
        return images[0]


def train(run_dir: Path, batch: int, stop_after: int | None = None) -> None:
    """Eight steps on images of noise."""
    draw = np.random.default_rng(0)
    images = [draw.integers(0, 256, (40, 48, 3), dtype=np.uint8) for _ in range(9)]
    store = ImageStore(images, [f"{index:064x}" for index in range(9)])
    sizes = {"batch": batch, "crop": 16, "validation_crop": 32, "warmup": 2, "collapse_after": 1000}
    options = LoopConfig(steps=STEPS, precision="fp32", learning_rate=1e-2, **sizes)
    run(Autoencoder(stop_after), store, options, run_dir)


if __name__ == "__main__":
    run_dir, batch, second = Path(sys.argv[1]), int(sys.argv[2]), os.environ["RANK"] == "1"
    try:
        train(run_dir, batch, 4 if second else None)
    except KeyboardInterrupt:
        torch.distributed.barrier()  # the first process writes for both
        print(f"process {os.environ['RANK']} stopped at step {load_checkpoint(run_dir / CHECKPOINT).record['step']}")
        train(run_dir, batch)
