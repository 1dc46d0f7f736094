"""Provenance of results: versions, commit, command, machine."""

import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from simulator.errors import in_one_line, readable
from simulator.version import __version__

PROVENANCE = "provenance.json"  # in the results folder
PACKAGES = (
    *("torch", "torchvision", "sionna-no-rt", "numpy", "scipy", "numba", "av", "pillow", "scikit-image"),
    *("lpips", "pytorch-msssim", "constriction", "safetensors", "matplotlib"),
)
VERSIONS = ("program", "commit", "python", "packages")
ENVIRONMENT = (*VERSIONS, "machine", "command", "date")  # keys of `environment`
_PLACED = re.compile(r"(?<=[:=,])(/|~|(\./)*\.\./)[^:,]*")  # a path to outside of the current folder
_QUOTED = re.compile(r"(?<![\w./~])~?/[^\s/:'\"]+(/[^\s/:'\"]+)+")
HOW_IT_IS_RUN = {"workers", "batch", "executor", "gpus_per_task", "timeout_s"}  # of a configuration; no result changes


def environment() -> dict[str, Any]:
    """Versions, commit, command line, machine and time of this process, JSON-serialisable.

    Only the last part of absolute paths is kept, because results get published.
    """
    return {
        "program": __version__,
        "commit": commit(),
        "command": ["simulator", *map(without_place, sys.argv[1:])],
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "gpus": _gpus(),
        },
    }


def read_provenance(folder: Path) -> dict[str, Any]:
    """Read the provenance of a results folder; empty if there is no readable file."""
    try:
        record = json.loads((folder / PROVENANCE).read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def describes(record: dict[str, Any], meta: dict[str, Any]) -> bool:
    """Whether a provenance describes the sweep of `meta`; execution options do not count.

    A value that only one of them has is no difference: older programs recorded less.
    """
    wanted, config = json.loads(json.dumps(meta)), record.get("config")
    if not isinstance(config, dict):
        return False
    run = {name: value for name, value in config.items() if name not in HOW_IT_IS_RUN}
    return _agree(run, wanted["config"]) and _agree(record | {"config": None}, wanted | {"config": None})


def _agree(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(first[name] == second[name] for name in first.keys() & second.keys())


def same_environment(first: dict[str, Any], second: dict[str, Any], but: tuple[str, ...] = ()) -> bool:
    """Whether two processes ran the same code on the same machine, whatever their commands; `but` does not count."""
    names = [name for name in (*VERSIONS, "machine") if name not in but]
    return all(first.get(name) == second.get(name) for name in names)


def commit() -> dict[str, Any] | None:
    """Commit of the checkout that this code runs from, and whether it was changed since; None outside of one.

    If git refuses to read it (another owner, say), `id` is None and `unread` has git's reason.

    `results/` does not count, because its files are written by the program and never read as code.
    """
    folder, checkout = Path(__file__).resolve().parent, Path(__file__).resolve().parents[2]
    try:
        _git(folder, "ls-files", "--error-unmatch", Path(__file__).name)  # a package inside another checkout fails here
        changes = _git(checkout, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
        return {"id": _git(folder, "rev-parse", "HEAD"), "dirty": bool(changes)}
    except (OSError, subprocess.SubprocessError) as error:
        if not (checkout / ".git").exists():
            return None
        reason = str(getattr(error, "stderr", "") or error).strip().splitlines() or [type(error).__name__]
        return {"id": None, "dirty": None, "unread": in_one_line(without_place(reason[0]))}


def commit_words(commit: dict[str, Any] | None, digits: int = 40) -> str:
    """What `commit` returned, for people: `digits` of its id, or why it was not read; empty outside of a checkout."""
    found = commit or {}
    unread = f"not read: {found['unread']}" if found.get("unread") else ""
    return (str(found["id"])[:digits] if found.get("id") else unread) + ", with local changes" * bool(
        found.get("dirty")
    )


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    # GIT_DIR and the like may name another checkout.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20, env=environment)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def without_place(argument: str, depth: int = 1) -> str:
    """The argument with the last parts only of paths that lead out of the current folder.

    Args:
        argument: a path, `--option=value`, or specifications with paths in them (`torch:/home/me/codec.py:Codec`).
        depth: how many parts of a path to keep.
    """
    option, equals, value = argument.rpartition("=") if argument.startswith("--") else ("", "", argument)
    if Path(value).is_absolute() or value.startswith("~") or Path(value).parts[:1] == ("..",):
        return readable(option + equals + _last_parts(value, depth))
    return readable(option + equals + _PLACED.sub(lambda found: _last_parts(found[0], depth), value))


def without_places(text: str) -> str:
    """A text, such as an error's, with the last part only of every absolute path of several parts."""
    return _QUOTED.sub(lambda found: _last_parts(found[0], 1), text)


def _last_parts(path: str, depth: int) -> str:
    return "/".join([one for one in path.split("/") if one][-depth:]) or path
