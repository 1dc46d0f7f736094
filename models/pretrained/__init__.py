"""Released weights: half-precision safetensors, each with a model card that has its hash. Nothing is unpickled.

A card may name a `base`: other released weights, by name and hash, from which these differ in some tensors. The file
then holds these tensors alone.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from simulator.disk import json_text, user_path, write_file
from simulator.errors import UserError, is_the_machines, kind_and_text

MAX_NAME_BYTES = 200
N = TypeVar("N", bound=torch.nn.Module)


@dataclass(frozen=True)
class Weights:
    """Where some weights are: `NAME.safetensors` and `NAME.json` in a folder, or (None) among those that ship."""

    name: str
    folder: Path | None = None

    def load(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Read weights and card, as `load_pretrained` does."""
        return load_pretrained(self.name, self.folder)

    def exists(self) -> bool:
        """Whether there is a card of this name."""
        return (self.folder or files(__name__)).joinpath(f"{self.name}.json").is_file()

    def card(self) -> dict[str, Any]:
        """Read the card alone, as `read_card` does."""
        return read_card(self.name, self.folder)


def find_weights(text: str, system: str) -> Weights:
    """Find what `text` names: released weights, a folder of an exported training, or a file in one.

    A released name comes first; write `./NAME` for a folder of the same name.

    Args:
        text: such as `lrisc-compact`, `exported`, `exported/mine.safetensors` or `~/exported/mine`.
        system: as model cards name it, such as `lrisc`; a folder must hold one card of it.

    Raises:
        UserError: there are no such weights, more than one, or they are of another system.
    """
    path = user_path(text)
    if any(len(part.encode()) > MAX_NAME_BYTES for part in path.parts):
        raise UserError(f"no weights '{text}'; no file has so long a name")
    if _ships(text):
        found = Weights(text)
    elif path.is_dir():
        cards = sorted(card.stem for card in path.glob("*.json") if card.with_suffix(".safetensors").is_file())
        fitting = [name for name in cards if read_card(name, path).get("system") == system]
        if len(fitting) != 1:
            have = f"{len(fitting)} of them: name one, as in {path / fitting[0]}" if fitting else "no weights of it"
            raise UserError(f"'{text}' must hold the weights of one '{system}', and has {have}")
        found = Weights(fitting[0], path)
    else:
        name = path.stem if path.suffix in (".safetensors", ".json") else path.name
        found = Weights(name, path.parent)
        if not found.exists():
            raise UserError(
                f"no weights '{text}'; name released ones, or a folder that `train {system} --export` wrote"
            )
    kind = found.card().get("system")
    if kind != system:
        raise UserError(f"the weights '{text}' are of '{kind}', not of '{system}'; name others")
    return found


def _ships(name: str) -> bool:
    """Whether weights of this name ship with the program."""
    return len(Path(name).parts) == 1 and not name.startswith(".") and Weights(name).exists()


def load_pretrained(name: str, folder: Path | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read released weights and their card.

    Args:
        name: such as `lrisc-compact`.
        folder: where they are; None takes those that ship with the program.

    Returns:
        float32 state dict (integer tensors keep their type), and the card.

    Raises:
        UserError: the file does not exist or does not match its card, or its base is not the one that the card names.
    """
    card = read_card(name, folder)
    base = _load_base(card["base"], name, folder) if "base" in card else {}
    data = _read(f"{name}.safetensors", folder)
    if hashlib.sha256(data).hexdigest() != card["sha256"]:
        raise UserError(f"the weights '{name}' do not match the hash of their model card; install or export them again")
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise UserError(
            f"the weights '{name}' are not a safetensors file ({error}); install or export them again"
        ) from None
    own = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    return base | own, card


def _load_base(base: Any, name: str, folder: Path | None) -> dict[str, torch.Tensor]:
    """The weights that a card is based on: in its folder, or (also those of the same name) among those that ship."""
    damaged = UserError(f"the model card '{name}.json' is damaged ('base'); install or export it again")
    match base:
        case {"name": str(named), "sha256": str(digest)}:
            beside = folder is not None and named != name and Weights(named, folder).exists()
        case _:
            raise damaged
    found = Weights(named, folder if beside else None)
    card = found.card()
    if card["sha256"] != digest:
        raise UserError(f"the weights '{name}' are based on another version of '{named}'; export them again")
    if "base" in card:  # none that was released has one: it could lead back here
        raise damaged
    return found.load()[0]


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


def build_network(make: Callable[[], N], state: Mapping[str, torch.Tensor], name: str) -> N:
    """Make the network that a model card describes, and give it its weights.

    Args:
        make: builds it from the card; called first without memory unless the weights ship with the program, so that a
            card cannot ask for more than its weights.
        state: as `load_pretrained` returns it.
        name: of the weights, for errors.

    Raises:
        UserError: the card describes no network, or not the network of its weights.
    """
    # The meta device takes seconds of imports, which the cards that ship need not wait for.
    first_on = nullcontext() if _ships(name) else torch.device("meta")
    try:
        with first_on:
            network = make()
            expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    except UserError:
        raise
    except Exception as error:  # layers reject sizes with many types of errors
        if is_the_machines(error):
            raise UserError(f"cannot build the network of '{name}': {kind_and_text(error)}") from error
        raise UserError(f"the model card of '{name}' describes no network ({error}); export it again") from error
    found = {key: tensor.shape for key, tensor in state.items()}
    if differing := sorted(key for key in expected | found if expected.get(key) != found.get(key)):
        raise UserError(
            f"the weights '{name}' are not of the network that their card describes in this version of the program "
            f"('{differing[0]}' differs); train or export them again, or take released ones"
        )
    network = network if _ships(name) else make()
    network.load_state_dict(state)
    return network


def release(folder: Path, name: str, state: Mapping[str, torch.Tensor], card: Mapping[str, Any]) -> Path:
    """Write weights as float16, and their card with the hash of that file; returns the weights' path.

    Of weights whose card names a base, only the tensors that differ from it are written.
    """
    half = {
        key: (tensor.half() if tensor.is_floating_point() else tensor).cpu().contiguous()
        for key, tensor in state.items()
    }
    if bad := [key for key, tensor in half.items() if tensor.is_floating_point() and not tensor.isfinite().all()]:
        raise UserError(f"weights '{bad[0]}' of '{name}' are not finite in half precision; train on or start again")
    if "base" in card:
        base = _load_base(card["base"], name, folder)
        half = {key: tensor for key, tensor in half.items() if key not in base or not _equal(tensor, base[key])}
    data = save(half, metadata={"name": name})
    full_card = {"name": name, **card, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path = folder / f"{name}.safetensors"
    write_file(path, data, "choose another folder")
    write_file(folder / f"{name}.json", json_text(full_card).encode(), "choose another folder")
    return path


def _equal(half: torch.Tensor, loaded: torch.Tensor) -> bool:
    """Whether a tensor to be released is one that was, which came back as float32."""
    return half.shape == loaded.shape and bool((half.to(loaded.dtype) == loaded).all())


def _read(file: str, folder: Path | None) -> bytes:
    place: Traversable | Path = files(__name__) if folder is None else folder
    try:
        return (place / file).read_bytes()
    except OSError as error:
        where = "the installed program" if folder is None else f"'{folder}'"
        raise UserError(f"no file '{file}' in {where}; install it again, or train and export the model") from error
