"""Released weights: half-precision safetensors, each beside a model card that holds its hash. Nothing is unpickled."""

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from simulator.cache import write_atomically
from simulator.errors import UserError


def load_pretrained(name: str, folder: Path | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read released weights and their card.

    Args:
        name: such as `lrisc-compact`.
        folder: where they are; None takes those that ship with the program.

    Returns:
        float32 state dict (integer tensors keep their type), and the card.

    Raises:
        UserError: there is no such file, or it is not what its card says.
    """
    card = read_card(name, folder)
    data = _read(f"{name}.safetensors", folder)
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise UserError(f"the weights '{name}' do not match the hash of their model card; install or export them again")
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UserError(
            f"the weights '{name}' are no safetensors file ({error}); install or export them again"
        ) from None
    return {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}, card


def read_card(name: str, folder: Path | None = None) -> dict[str, Any]:
    """Read a model card; its `sha256` is the hash of the weights.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        card = json.loads(_read(f"{name}.json", folder))
    except ValueError:
        card = None
    if not isinstance(card, dict) or not isinstance(card.get("sha256"), str):
        raise UserError(f"the model card '{name}.json' is damaged; install or export it again")
    return card


def release(folder: Path, name: str, state: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> Path:
    """Write weights as float16, and their card with the hash of that file; returns the weights' path."""
    half = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for key, tensor in state.items()
    }
    if bad := [key for key, tensor in half.items() if tensor.is_floating_point() and not tensor.isfinite().all()]:
        raise UserError(f"weights '{bad[0]}' of '{name}' are not finite in half precision; train on or start again")
    data = save(half, metadata={"name": name})
    full_card = {"name": name, **card, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path = folder / f"{name}.safetensors"
    write_atomically(path, data)
    write_atomically(folder / f"{name}.json", (json.dumps(full_card, indent=2) + "\n").encode())
    return path


def _read(file: str, folder: Path | None) -> bytes:
    place: Traversable | Path = files(__name__) if folder is None else folder
    try:
        return (place / file).read_bytes()
    except OSError as error:
        where = "the installed program" if folder is None else f"'{folder}'"
        raise UserError(f"no file '{file}' in {where}; install it again, or train and export the model") from error
