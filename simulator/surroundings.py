"""What lies around the program and must not change it: other people's settings, and what the current folder holds."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

UNSUPPORTED = "Windows is not supported; run the program on Linux, on macOS, or in WSL"
SAFE_PATH = "PYTHONSAFEPATH"  # keeps Python from looking for modules in the current folder (Python 3.11)
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python has it


def drop_lost_backend() -> None:
    """Forget a backend of matplotlib that this Python cannot load, as a shell that a notebook opened hands on.

    matplotlib refuses to be imported with it, and Sionna imports matplotlib.
    """
    chosen = os.environ.get("MPLBACKEND", "")
    module = chosen.removeprefix("module://")
    if module != chosen and find_spec(module.partition(".")[0]) is None:
        del os.environ["MPLBACKEND"]


def own_settings() -> None:
    """Make this process, a program of its own, and those it starts independent of the settings of others."""
    os.environ["MPLBACKEND"] = "agg"
    if os.environ.pop("PYTHONWARNINGS", None) is not None:
        warnings.resetwarnings()
        for category in SILENT:
            warnings.simplefilter("ignore", category)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a name may hold what a terminal's encoding lacks


@contextmanager
def variables(changes: dict[str, str]) -> Iterator[None]:
    """Environment variables that hold inside the block."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
