"""Two processes that share the batch train what one process trains with all of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from simulator.models.training.checkpoint import load_checkpoint
from simulator.models.training.loop import CHECKPOINT
from tests.models.training.plain_training import STEPS, train

SCRIPT = Path(__file__).parent / "plain_training.py"
LAUNCHER = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port", "0")
DEFAULTS = ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")


@pytest.mark.slow
def test_two_processes_equal_one_with_twice_the_batch_and_stop_together(tmp_path):
    train(tmp_path / "one", 8)
    command = [sys.executable, *LAUNCHER, *DEFAULTS, SCRIPT, tmp_path / "two", "4"]  # they talk through gloo
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    for process in (0, 1):  # the second one was told, the first one wrote
        assert f"process {process} stopped at step 4" in done.stdout
    assert "continued after" in done.stdout
    one, two = (load_checkpoint(tmp_path / name / CHECKPOINT) for name in ("one", "two"))
    assert two.record["hardware"]["processes"] == 2
    assert two.record["step"] == STEPS
    assert two.record["images"] == one.record["images"] == STEPS * 8
    assert one.tensors.keys() == two.tensors.keys()
    for name, tensor in one.tensors.items():
        torch.testing.assert_close(
            two.tensors[name], tensor, rtol=1e-3, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )
