"""Find schemes, channels and metrics by entry point, both the built-in ones and those of other packages.

A specification reads `name[:option[:option...]]`; of schemes, `torch:FILE.py:CLASS` and
`keras:ENCODER.keras,DECODER.keras` name codecs that are not installed (`simulator.codecs`). The entry
point is a callable that takes the options as strings.
"""

import sys
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from simulator.errors import UserError, did_you_mean, explain
from simulator.spec.options import Declaration

SCHEMES, CHANNELS, METRICS = "simulator.schemes", "simulator.channels", "simulator.metrics"


def _by_name(group: str) -> dict[str, EntryPoint]:
    """Of several plug-ins of one name, the last."""
    return {point.name: point for point in _points(group)}


def _points(group: str) -> tuple[EntryPoint, ...]:
    return _points_on(tuple(sys.path), group)


@lru_cache(maxsize=32)
def _points_on(path: tuple[str, ...], group: str) -> tuple[EntryPoint, ...]:
    """Entry points of a group. To find them takes milliseconds, as every installed package is asked."""
    return tuple(entry_points(group=group))


def plugin_names(group: str) -> list[str]:
    """Names registered under an entry point group, sorted."""
    return sorted(_by_name(group))


def plugin_module(group: str, spec: str) -> str | None:
    """Dotted name of the module that defines the plug-in's factory; None if no plug-in has that name."""
    point = _by_name(group).get(spec.partition(":")[0])
    return None if point is None else point.module


def find_plugin(group: str, name: str) -> Any:
    """Import what the entry point `name` of a group refers to."""
    return _by_name(group)[name].load()


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
    points = _by_name(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none: is the package installed? (pip install -e .)"
        raise UserError(f"unknown {kind} '{name}'; known: {known}{did_you_mean(name, points)}")
    return find_plugin(group, name)(*options)


def declarations(group: str) -> list[Declaration]:
    """Declarations of the plug-ins of a group, by name.

    One that declares nothing is described by the first line of its docstring, one that cannot be imported by the
    reason.
    """
    return [_declaration(point) for point in sorted(_by_name(group).values(), key=lambda point: point.name)]


def standard_schemes() -> list[str]:
    """Schemes to run when none is named, in the order that they declare."""
    return _in_order("standard")


def opening_schemes() -> list[str]:
    """Schemes with which the playground opens, in the order that they declare."""
    return _in_order("opening")


def _in_order(place: str) -> list[str]:
    found = [(getattr(one, place), one.name) for one in declarations(SCHEMES)]
    return [name for number, name in sorted(one for one in found if one[0] is not None)]


def _declaration(point: EntryPoint) -> Declaration:
    try:
        factory = point.load()
    except Exception as error:  # another package's plug-in may fail in any way; using it shows the error
        reason = explain(error, ImportError)
        return Declaration(point.name, f"cannot be imported ({reason})", declared=False, broken=reason)
    declaration = getattr(factory, "declaration", None)
    if isinstance(declaration, Declaration):
        return declaration
    summary = (factory.__doc__ or "").strip().partition("\n")[0]
    return Declaration(point.name, summary or "no description", declared=False)
