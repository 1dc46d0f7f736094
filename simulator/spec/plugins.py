"""Schemes and channels are found by entry point: the built-in ones exactly like a stranger's.

A specification reads `name[:option[:option...]]`; of schemes, `torch:FILE.py:CLASS` and
`keras:ENCODER.keras,DECODER.keras` name what is not installed (`simulator.codecs`). The entry
point is a callable that takes the options as strings.
"""

from importlib.metadata import entry_points
from typing import Any

from simulator.errors import UserError


def plugin_names(group: str) -> list[str]:
    """Names registered under an entry point group, sorted."""
    return sorted({point.name for point in entry_points(group=group)})


def plugin_module(group: str, spec: str) -> str | None:
    """Dotted name of the module in which the plug-in's factory stands; None if nothing is registered by that name."""
    name = spec.partition(":")[0]
    return next((point.module for point in entry_points(group=group) if point.name == name), None)


def load_plugin(group: str, kind: str, spec: str) -> Any:
    """Build the plug-in that `spec` names.

    Args:
        group: entry point group, such as "simulator.schemes".
        kind: what to call it in an error, such as "scheme".
        spec: `name[:option[:option...]]`.

    Raises:
        UserError: unknown name; the factory raises it too for options it does not know.
    """
    name, *options = spec.split(":")
    points = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        known = ", ".join(sorted(points)) or "none: is the package installed? (pip install -e .)"
        raise UserError(f"unknown {kind} '{name}'; known: {known}")
    return points[name].load()(*options)
