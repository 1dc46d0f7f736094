"""Where imported weights are kept: `NAME.safetensors` and its card `NAME.json` in the user's data folder."""

import re
from pathlib import Path
from typing import Any

from simulator.disk import data_dir, user_path
from simulator.errors import UserError
from simulator.models.pretrained import Weights, find_weights, read_card

SYSTEMS = ("swinjscc", "witt", "ntscc", "adjscc", "pdjscc-published")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+-]{0,99}")


def library_dir() -> Path:
    """The folder of imported weights: in SIMULATOR_DATA_DIR, else in the platform's user data folder."""
    return data_dir() / "weights"


def library_name(text: str) -> str:
    """A name for weights, made of a file's name: letters, digits and . _ = + - (a scheme's options use other signs).

    Raises:
        UserError: nothing of the text can be part of a name.
    """
    name = re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-.")[:100]
    if not _NAME.fullmatch(name):
        raise UserError(f"'{text}' is not a name for weights; give one of letters, digits and . _ = + - with --name")
    return name


def imported() -> list[dict[str, Any]]:
    """The cards of all imported weights, by name; what is damaged is left out."""
    cards = []
    for path in sorted(library_dir().glob("*.json")):
        try:
            card = read_card(path.stem, path.parent)
        except UserError:
            continue
        if path.with_suffix(".safetensors").is_file() and card.get("system") in SYSTEMS:
            cards.append({**card, "name": path.stem})
    return cards


def find(text: str, system: str) -> Weights:
    """Find weights of a system: an imported name, or the folder or file that `train SYSTEM --export` wrote.

    Raises:
        UserError: there are none, or they are of another system.
    """
    if _NAME.fullmatch(text) and (library_dir() / f"{text}.json").is_file():
        found = Weights(text, library_dir())
        kind = found.card().get("system")
        if kind != system:
            raise UserError(f"the weights '{text}' are of '{kind}', not of '{system}'; write {kind}:weights={text}")
        return found
    if not user_path(text).exists() and not user_path(f"{text}.json").exists():
        raise UserError(f"no weights '{text}'; {there_are(system)}")
    return find_weights(text, system)


def there_are(system: str) -> str:
    """What `find` would find, for errors."""
    names = [card["name"] for card in imported() if card["system"] == system]
    if names:
        return f"imported for {system}: {', '.join(names)}"
    return f"none are imported for {system}: download a checkpoint and run 'weights import FILE --as {system}'"
