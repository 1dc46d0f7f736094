"""Training state on disk: one safetensors file per checkpoint, replaced atomically, never pickled.

Tensors are named `model.*`, `ema.*` and `optimizer.<index>.*`; everything else is JSON in the file's header.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from simulator.errors import UserError

ADAMW_STATE = {"step", "exp_avg", "exp_avg_sq"}
MUON_STATE = {"step", "exp_avg"}


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name and a JSON-able record."""

    tensors: dict[str, torch.Tensor]
    record: dict[str, Any]

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        """The tensors under `prefix.`, with the prefix taken off."""
        start = prefix + "."
        return {name[len(start) :]: tensor for name, tensor in self.tensors.items() if name.startswith(start)}


def save_checkpoint(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    """Write a checkpoint; after a crash the path holds either the old file or the new one, whole.

    Raises:
        UserError: it cannot be written (the disk is full, say); the old one is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    # A shared or strided tensor would be refused, and a GPU tensor must not tie the file to a GPU.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # the usual one: safetensors makes files that only their owner can read
        save_file(plain, temporary, metadata={"record": json.dumps(record)})
        temporary.chmod(mode)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (SafetensorError, OSError) as error:
        temporary.unlink(missing_ok=True)
        raise UserError(
            f"cannot write '{path}' ({error}); free some space and rerun the same command to resume"
        ) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load(path, with_tensors=True)


def load_record(path: Path) -> dict[str, Any]:
    """Read the record of a checkpoint and leave its tensors on disk.

    Raises:
        UserError: the file is missing or damaged.
    """
    return _load(path, with_tensors=False).record


def _load(path: Path, with_tensors: bool) -> Checkpoint:
    try:
        with safe_open(path, "pt") as file:
            record = json.loads((file.metadata() or {})["record"])
            names = file.keys() if with_tensors else ()
            return Checkpoint({name: file.get_tensor(name) for name in names}, record)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise UserError(
            f"'{path}' is not a readable checkpoint ({error}); remove it or name another run folder"
        ) from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The optimiser's state tensors as a flat dict `<parameter index>.<name>`."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, entry in state.items() for name, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put back what `optimizer_tensors` took; the parameter groups are not changed.

    Raises:
        UserError: the tensors are those of other parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        known = name and index.isdecimal() and int(index) < len(parameters)
        if not known or (tensor.dim() and tensor.shape != parameters[int(index)].shape):
            raise UserError("the checkpoint's optimiser belongs to another model; name another run folder")
        parameter = parameters[int(index)]
        if tensor.dim():
            # Fused AdamW walks parameter and moments in memory order: strides must agree (channels_last).
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    matrix = [bool(group.get("matrix")) for group in optimizer.param_groups for _ in group["params"]]
    if any(set(entry) != (MUON_STATE if matrix[index] else ADAMW_STATE) for index, entry in state.items()):
        raise UserError("the checkpoint's optimiser lacks some of its state; name another run folder")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
