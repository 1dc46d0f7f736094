"""Images per second in training: a few steps of a stage as the loop takes them, without its files."""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from simulator.bench.table import Figure, faster
from simulator.bench.turns import one_thread
from simulator.images import load_image_set
from simulator.images.pixels import to_uint8
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import read_config
from simulator.models.training.learner import Learner
from simulator.models.training.session import System
from simulator.models.training.stages import LriscSystem


def measure_lrisc_training(quick: bool) -> Iterator[Figure]:
    """Speed of stage 1 of the compact network's training."""
    return measure_training(LriscSystem(), Path("experiments/train/lrisc-compact.yaml"), quick)


def measure_training(system: System, config_file: Path, quick: bool) -> Iterator[Figure]:
    """Images per second of the first stage in bfloat16 and in float32, one thread, in turns.

    Args:
        system: what is trained.
        config_file: a training file that ships.
        quick: take one step on small crops.
    """
    from accelerate import Accelerator

    images = [to_uint8(one.pixels) for one in load_image_set("samples") if min(one.pixels.shape[1:]) >= 256]
    store = ImageStore(images, [f"{index:064x}" for index in range(len(images))])
    one = system.stages(read_config(config_file))[0]
    loop = replace(one.loop, batch=1 if quick else 8, crop=64 if quick else 128)
    accelerator, trainee = Accelerator(cpu=True), one.make(store, None)
    with one_thread():
        learners = {
            precision: Learner(copy.deepcopy(trainee), store, replace(loop, precision=precision), accelerator)
            for precision in ("bf16", "fp32")
        }
        gflop = learners["fp32"].count_gflop()
        fastest = dict.fromkeys(learners, float("inf"))
        for turn in range(2 if quick else 4):
            for precision, learner in learners.items():
                begin = time.perf_counter()
                learner.optimise(0.5)
                if turn:  # the first makes room and finds kernels
                    fastest[precision] = min(fastest[precision], time.perf_counter() - begin)
    torch.manual_seed(0)
    rates = (loop.batch / fastest["bf16"], "images/s", "fp32", loop.batch / fastest["fp32"])
    note = f"{one.title}; crops of {loop.crop}, batch {loop.batch}, {gflop:.0f} GFLOP an image, one thread"
    yield faster("training", f"{config_file.stem} training, bf16", *rates, note)
