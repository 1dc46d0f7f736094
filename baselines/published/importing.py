"""`weights import`: from a downloaded checkpoint to safetensors and a card in the user's library."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save

from simulator.baselines.published.checkpoint import Checked, check, read_tensors
from simulator.baselines.published.families import FAMILIES
from simulator.baselines.published.library import imported, library_dir, library_name
from simulator.baselines.published.scheme import SNR
from simulator.disk import json_text, write_file
from simulator.errors import UserError
from simulator.models.pretrained import read_card
from simulator.spec.options import Declaration, Option, Text

_OPTIONS: dict[str, Option] = {"mode": Text("MODE"), "snr": SNR}


@dataclass(frozen=True)
class Kind:
    """What a user says of a file: `swinjscc`, `witt:mode=sa:snr=10`.

    Attributes:
        system: one of `FAMILIES`.
        mode: of SwinJSCC and WITT, or None.
        snr_db: the SNR that the networks always receive, or None for the link's.
    """

    system: str
    mode: str | None = None
    snr_db: float | None = None


def read_kind(text: str) -> Kind:
    """Parse what stands behind `--as`.

    Raises:
        UserError: an unknown system or option.
    """
    system, *options = text.split(":")
    if system not in FAMILIES:
        raise UserError(f"--as names '{system}'; it must be one of {', '.join(FAMILIES)}")
    chosen = Declaration(system, "", _OPTIONS).read(options)
    return Kind(system, chosen["mode"], chosen["snr"])


def import_weights(path: Path, kind: Kind, name: str | None = None) -> dict[str, Any]:
    """Check a checkpoint and store it under a name; returns its card.

    Raises:
        UserError: it is no sound checkpoint of that system, or the name belongs to another file. Nothing is stored.
    """
    checked = check(read_tensors(path), kind.system, kind.mode, f"'{path}'")
    source = path.read_bytes()
    digest = hashlib.sha256(source).hexdigest()
    own = library_name(name or path.name.removesuffix(".tar").rpartition(".")[0])
    folder = library_dir()
    _check_free(folder, own, digest)
    data = save(checked.state, metadata={"name": own})
    card = _card(checked, kind, path, digest, len(source)) | {"bytes": len(data)}
    card = {"name": own, **card, "sha256": hashlib.sha256(data).hexdigest()}
    for name, content in {f"{own}.safetensors": data, f"{own}.json": json_text(card).encode()}.items():
        write_file(folder / name, content, "make room, or set SIMULATOR_DATA_DIR")
    return card


def _check_free(folder: Path, name: str, digest: str) -> None:
    if not (folder / f"{name}.json").exists():
        return
    if read_card(name, folder).get("source", {}).get("sha256") != digest:
        raise UserError(f"another file is already imported as '{name}'; choose another name with --name")


def _card(checked: Checked, kind: Kind, path: Path, digest: str, size: int) -> dict[str, Any]:
    limits = ["converted from the authors' checkpoint, which is theirs; its licence, if any, is not this program's"]
    return {
        "system": kind.system,
        "title": FAMILIES[kind.system].title,
        "model": asdict(checked.config),
        "snr_db": kind.snr_db,
        "source": {"file": path.name, "bytes": size, "sha256": digest, "dropped": len(checked.dropped)},
        "known_limits": limits,
    }


class Library:
    """The user's library, as the command line finds it (entry point group `simulator.libraries`)."""

    def add(self, path: Path, kind: str, name: str | None = None) -> dict[str, Any]:
        """Import a file, as `import_weights` does; `kind` is a text such as `witt:mode=sa`."""
        return import_weights(path, read_kind(kind), name)

    def reproduce(
        self, name: str, ties: str, precision: str, limit: int | None, tell: Callable[[Any], None]
    ) -> list[Any]:
        """What a paper reports and what weights do here, point by point, as `paper.reproduce` does."""
        from simulator.baselines.published.paper import reproduce

        return reproduce(name, ties, precision, limit, tell)

    cards = staticmethod(imported)
