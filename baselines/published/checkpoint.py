"""Read an authors' checkpoint: only tensors, checked name by name and shape by shape against the network."""

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from simulator.baselines.published.families import FAMILIES, looks_like
from simulator.errors import UserError, hindrance, is_the_machines

SUFFIXES = (".model", ".pth", ".pth.tar", ".safetensors")
_PREFIXES = (("module.", ""), ("jscc_encoder.", "Encoder."), ("jscc_decoder.", "Decoder."))
_NEWER_NAMES = re.compile(r"entropy_bottleneck\.(matrices|biases|factors)\.(\d)")
_OLDER = {"matrices": "_matrix", "biases": "_bias", "factors": "_factor"}
_REFUSED = ("unsupported global", "blocked", "unsupported class", "unsupported operand")  # says torch.load
_NAMED = 3  # so many keys an error names


@dataclass(frozen=True)
class Checked:
    """A checkpoint that fits its network.

    Attributes:
        config: the network's sizes.
        state: float32 tensors (integers as they are) by the network's own names.
        dropped: keys of the file that are not needed.
    """

    config: Any
    state: dict[str, Tensor]
    dropped: list[str]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file. Pickles are read by torch's restricted reader: what is not a tensor is refused.

    Raises:
        UserError: no such file, another kind of file, truncated, or a pickle that would run code.
    """
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"'{path}' is none of {', '.join(SUFFIXES)}; give a checkpoint as its authors released it")
    try:
        if path.suffix == ".safetensors":
            tree: Any = load_file(path)
        else:
            with warnings.catch_warnings():  # of pickle protocols that the reader may not know
                warnings.simplefilter("ignore")
                tree = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"no file '{path}'; download the checkpoint and give its path") from None
    except pickle.UnpicklingError as error:
        if not any(sign in str(error).lower() for sign in _REFUSED):
            raise UserError(f"'{path}' is damaged or truncated; download it again") from None
        raise UserError(
            f"'{path}' has more than tensors, and reading it could run code; nothing was run: get a file "
            "with only a state dict"
        ) from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError) as error:
        if (reason := hindrance(error)) is not None:
            raise UserError(f"cannot read '{path}' ({reason})") from None
        reason = str(error).splitlines()[0].split(". ")[0] if str(error) else "it ends too soon"
        raise UserError(f"'{path}' is damaged or truncated ({reason[:160]}); download it again") from None
    return _flat(tree, path)


def _flat(tree: Any, path: Path) -> dict[str, Tensor]:
    """The state dict, freed from a wrapper and from prefixes."""
    if isinstance(tree, Mapping) and isinstance(tree.get("state_dict"), Mapping):
        tree = tree["state_dict"]
    if not isinstance(tree, Mapping) or not tree or not all(isinstance(one, Tensor) for one in tree.values()):
        raise UserError(f"'{path}' holds no state dict of tensors by name; give a checkpoint of a network")
    state: dict[str, Tensor] = {}
    for key, tensor in tree.items():
        name = str(key)
        for old, new in _PREFIXES:
            name = new + name[len(old) :] if name.startswith(old) else name
        name = _NEWER_NAMES.sub(lambda found: f"entropy_bottleneck.{_OLDER[found[1]]}{found[2]}", name)
        if name in state:
            raise UserError(f"'{path}' holds '{name}' twice; it is damaged")
        state[name] = tensor
    return state


def check(state: Mapping[str, Tensor], system: str, mode: str | None, what: str) -> Checked:
    """Hold a state dict to a system's network.

    Args:
        state: as `read_tensors` returns it.
        system: one of `FAMILIES`.
        mode: needed where the keys do not determine it.
        what: to call the file in errors.

    Raises:
        UserError: it is of another network, or keys are missing, left over or of other shapes; it names them.
    """
    family = FAMILIES[system]
    if family.signature not in state:
        others = " or ".join(looks_like(state))
        hint = f"its keys are those of {others}" if others else f"it has no key '{family.signature}'"
        raise UserError(f"{what} is not a checkpoint of {system}: {hint}")
    try:
        config = family.infer(state, mode)
        with torch.device("meta"):
            expected = {key: tensor.shape for key, tensor in family.make(config).state_dict().items()}
    except UserError as error:
        raise UserError(f"{what} cannot be imported as {system}: {error}") from None
    except Exception as error:  # layers refuse sizes with errors of many kinds
        if is_the_machines(error):
            raise
        raise UserError(f"{what} is of no network that {system} knows ({error})") from None
    missing = [key for key in expected if key not in state]
    left = [key for key in state if key not in expected and not family.extra.fullmatch(key)]
    shapes = [key for key in expected if key in state and state[key].shape != expected[key]]
    if problems := [
        f"{len(keys)} {kind} ({', '.join(keys[:_NAMED])}{', ...' if len(keys) > _NAMED else ''})"
        for kind, keys in (("missing", missing), ("left over", left), ("of another shape", shapes))
        if keys
    ]:
        raise UserError(f"{what} does not fit {system}: keys {'; '.join(problems)}")
    kept = {key: _plain(state[key], key, what) for key in expected}
    return Checked(config, kept, sorted(key for key in state if key not in expected))


def _plain(tensor: Tensor, key: str, what: str) -> Tensor:
    if not tensor.is_floating_point():
        return tensor.contiguous()
    if not bool(tensor.isfinite().all()):
        raise UserError(f"{what} is damaged: '{key}' is not finite; download it again")
    return tensor.float().contiguous()
