"""Independence of the environment: the user's settings and the files in the current folder."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

UNSUPPORTED = "Windows is not supported; run the program on Linux, on macOS, or in WSL"
SAFE_PATH = "PYTHONSAFEPATH"  # keeps Python from looking for modules in the current folder (Python 3.11)
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python has it


def drop_lost_backend() -> None:
    """Forget a backend of matplotlib that this Python cannot load, such as one inherited from a notebook's shell.

    matplotlib cannot be imported with it, and Sionna imports matplotlib.
    """
    chosen = os.environ.get("MPLBACKEND", "")
    module = chosen.removeprefix("module://")
    if module != chosen and find_spec(module.partition(".")[0]) is None:
        del os.environ["MPLBACKEND"]


def own_settings() -> None:
    """Make this process (a program, not a library) and those it starts independent of the user's settings."""
    os.environ["MPLBACKEND"] = "agg"
    if os.environ.pop("PYTHONWARNINGS", None) is not None:
        warnings.resetwarnings()
        for category in SILENT:
            warnings.simplefilter("ignore", category)
    _open_missing_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # names may have characters that the encoding lacks
    if type(sys.stderr) is io.TextIOWrapper:  # not if another program or a test replaced it
        sys.stderr = _Expendable(
            sys.stderr.buffer, encoding=sys.stderr.encoding, errors="backslashreplace", write_through=True
        )


def drop_output(stream: Any) -> None:
    """Discard what a stream holds and will receive; Python would fail again when it flushes at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class _Expendable(io.TextIOWrapper):
    """A standard error that may be lost (a closed pipe, a full disk): notes and progress never cost results."""

    def write(self, text: str) -> int:
        """Write, or give the stream up."""
        try:
            return super().write(text)
        except OSError:
            drop_output(self)
            return len(text)

    def flush(self) -> None:
        """Flush, or give the stream up."""
        try:
            super().flush()
        except OSError:
            drop_output(self)


def _open_missing_streams() -> None:
    """Open standard streams that were closed (`>&-`): else messages go to the file that gets the number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, if possible its own
            stream = open(opened, "w" if number else "r", closefd=False)  # noqa: SIM115 (kept to the end)
            for place in (name, f"__{name}__"):  # the second keeps it open when the first is replaced
                setattr(sys, place, stream)


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
