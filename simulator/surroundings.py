"""Independence of the environment: the user's settings and the files in the current folder."""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from importlib.util import find_spec
from typing import Any

UNSUPPORTED = "Windows is not supported; run the program on Linux, on macOS, or in WSL"
SAFE_PATH = "PYTHONSAFEPATH"  # keeps Python from looking for modules in the current folder (Python 3.11)
# Numba's variables that change no result; others (NUMBA_DISABLE_JIT ...) are dropped.
NUMBAS = ("NUMBA_NUM_THREADS", "NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
SILENT = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)  # as Python has it


def drop_lost_settings() -> None:
    """Forget settings of the user with which a library cannot be imported, and keep all others.

    These are a number of threads that is none (Numba), a backend that this Python cannot load, such as one inherited
    from a notebook's shell, and settings or style files that cannot be read (matplotlib, which Sionna imports).
    """
    threads = os.environ.get("NUMBA_NUM_THREADS", "1")
    if not (threads.isascii() and threads.isdigit() and int(threads)):
        del os.environ["NUMBA_NUM_THREADS"]
    _drop_lost_backend()
    if "matplotlib" not in sys.modules and not all(map(_is_readable, _matplotlibs_files())):
        _import_matplotlib_alone()


def _drop_lost_backend() -> None:
    chosen = os.environ.get("MPLBACKEND", "")
    module = chosen.removeprefix("module://")
    if module != chosen and find_spec(module.partition(".")[0]) is None:
        del os.environ["MPLBACKEND"]


def _matplotlibs_files() -> Iterator[str]:
    """Where matplotlib looks for settings and styles of the user."""
    yield "matplotlibrc"
    if chosen := os.environ.get("MATPLOTLIBRC"):
        yield from (chosen, os.path.join(chosen, "matplotlibrc"))
    home = os.path.expanduser("~")
    on_linux = os.path.join(os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "matplotlib")
    usual = on_linux if sys.platform == "linux" else os.path.join(home, ".matplotlib")
    own = os.environ.get("MPLCONFIGDIR") or usual
    yield os.path.join(own, "matplotlibrc")
    with suppress(OSError):
        yield from (one.path for one in os.scandir(os.path.join(own, "stylelib")) if one.name.endswith(".mplstyle"))


def _is_readable(path: str) -> bool:
    """Whether a file is text in UTF-8, or is not there."""
    try:
        if os.path.isfile(path):
            with open(path, encoding="utf-8") as file:
                file.read()
    except (OSError, UnicodeDecodeError):
        return False
    return True


def _import_matplotlib_alone() -> None:
    """Import matplotlib where it finds no files of the user."""
    from tempfile import TemporaryDirectory  # here and below: a module of its name in the current folder must not count

    with suppress(ImportError, OSError), TemporaryDirectory() as empty, chdir(empty):
        with_none = {"MATPLOTLIBRC": empty, "MPLCONFIGDIR": empty}
        with variables(with_none):
            import matplotlib.style  # noqa: F401  (reads the styles)


def quiet_matplotlib() -> None:
    """Silence matplotlib's complaints about settings of the user, on which no figure depends."""
    import logging

    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def own_settings() -> None:
    """Make this process (a program, not a library) and those it starts independent of the user's settings."""
    os.environ["MPLBACKEND"] = "agg"
    quiet_matplotlib()
    for name in [one for one in os.environ if one.startswith("NUMBA_") and one not in NUMBAS]:
        del os.environ[name]
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
