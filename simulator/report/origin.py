"""Provenance of the numbers in a report: command, versions, machine and weights, from the results folder."""

import shlex
from collections.abc import Sequence
from typing import Any

from simulator.results.provenance import commit_words, read_provenance
from simulator.results.store import Results

_KINDS: dict[str, type] = dict.fromkeys(("program", "python", "date"), str)
_KINDS |= dict.fromkeys(("commit", "packages", "machine"), dict) | dict.fromkeys(("command", "earlier"), list)


def origins(results: Sequence[Results]) -> list[dict[str, Any]]:
    """For each folder its name, the command that makes it again, and facts as pairs of words, JSON-serialisable."""
    return [_origin(one) for one in results]


def _origin(one: Results) -> dict[str, Any]:
    record = _sound(read_provenance(one.folder))
    command = record.get("command")
    return {
        "folder": one.name,
        "command": shlex.join(["python", "-m", *map(str, command)]) if command else None,
        "facts": _facts(one, record),
        "versions": _versions(one, record),
    }


def _sound(record: dict[str, Any]) -> dict[str, Any]:
    """The entries of the kinds that `environment` gives; those that differ for other rows (`earlier`) are alike."""
    kept: dict[str, Any] = {name: one for name, one in record.items() if isinstance(one, _KINDS.get(name, object))}
    if "earlier" in kept:
        kept["earlier"] = [_sound(one) for one in kept["earlier"] if isinstance(one, dict)]
    return kept


def _facts(one: Results, record: dict[str, Any]) -> list[tuple[str, str]]:
    config, machine = one.meta.get("config", {}), record.get("machine", {})
    commit, lpips = record.get("commit"), one.meta.get("lpips", {})
    weights = str(lpips.get("fingerprint", "none"))
    facts = [
        ("Program", f"simulator {record['program']}" if "program" in record else ""),
        ("Commit", commit_words(commit)),
        ("Date", record.get("date")),
        ("Images", f"{config.get('images', '')}, {len({row.image for row in one.rows})} pictures"),
        ("Rows", f"{len(one.rows)} of {one.planned}"),
        *(("Rows from elsewhere", _elsewhere(entry, record)) for entry in record.get("earlier", ())),
        ("Seed", str(config.get("seed", ""))),
        ("Device", str(config.get("device", ""))),
        ("LPIPS", "none" if weights == "none" else f"{lpips.get('net')}, weights {weights[:16]}"),
        ("Machine", ", ".join(str(machine[name]) for name in ("processor", "system") if machine.get(name))),
    ]
    return [(name, text) for name, text in facts if text]


def _elsewhere(earlier: dict[str, Any], record: dict[str, Any]) -> str:
    """How many rows come from other processes, and how these differ from the one of this record."""
    commit, machine = earlier.get("commit"), earlier.get("machine", {})
    packages, present = earlier.get("packages", {}), record.get("packages", {})
    facts = [
        f"simulator {earlier['program']}" if earlier.get("program") else "an unknown program",
        f"commit {commit_words(commit)}" if commit else None,
        f"Python {earlier['python']}" if earlier.get("python") not in (None, record.get("python")) else None,
        *(f"{name} {number}" for name, number in packages.items() if number and number != present.get(name)),
        *([machine.get("processor"), machine.get("system")] if machine != record.get("machine") else []),
        earlier.get("date"),
    ]
    return f"{earlier.get('rows')}: {', '.join(str(one) for one in facts if one)}"


def _versions(one: Results, record: dict[str, Any]) -> list[tuple[str, str]]:
    packages = [(name, number) for name, number in record.get("packages", {}).items() if number]
    python = [("Python", record["python"])] if "python" in record else []
    return [
        *python,
        *packages,
        *((f"Fingerprint of {name}", text) for name, text in one.meta.get("schemes", {}).items()),
    ]
