"""What Python says of the files that a project uses while its code runs: which are executed, read and written."""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from types import CodeType
from typing import Any

import safetensors
import safetensors.torch
import torch

_OPENED = "simulator.opened"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Heard:
    """Files by absolute path, since a project was entered; nothing is noted outside of projects.

    SQLite's databases, shared libraries, and files that a command line names are heard too, as are those of
    safetensors and TorchScript. What other libraries or programs open by themselves is not.
    """

    listening: bool = False
    executed: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Forget what was heard, and listen."""
        if not _hooked:
            _hooked.append(True)
            sys.addaudithook(_hear)
            for module, name in _UNHEARD:
                setattr(module, name, _announcing(getattr(module, name)))
        self.listening = True
        for files in (self.executed, self.read, self.written):
            files.clear()


HEARD = Heard()
# These open files without telling Python.
_UNHEARD = ((safetensors, "safe_open"), (safetensors.torch, "safe_open"), (torch.jit, "load"))
_hooked: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not HEARD.listening:
        return
    if event == "exec" and arguments and isinstance(arguments[0], CodeType):
        HEARD.executed.add(arguments[0].co_filename)
    elif event == "open" and isinstance(arguments[0], str | bytes | Path) and isinstance(arguments[2], int):
        with suppress(OSError, ValueError):  # an error would reach the code that opens the file
            file = os.path.abspath(os.fsdecode(arguments[0]))
            (HEARD.written if arguments[2] & _WRITING else HEARD.read).add(file)
    elif event in ("sqlite3.connect", "ctypes.dlopen", _OPENED) and isinstance(arguments[0], str | bytes | Path):
        _note_read(arguments[0])
    elif event == "subprocess.Popen":
        _, words, folder, _ = arguments
        for word in [words] if isinstance(words, str | bytes) else words:
            for part in os.fsdecode(word).split():  # of a line for a shell, or one argument
                _note_read(os.path.join(os.fsdecode(folder or ""), part))


def _note_read(name: str | bytes | Path) -> None:
    with suppress(OSError, ValueError):
        file = os.path.abspath(os.fsdecode(name).removeprefix("file:").partition("?")[0])
        if os.path.isfile(file):
            HEARD.read.add(file)


def _announcing(opener: Callable[..., Any]) -> Callable[..., Any]:
    """An opener of files that tells of each."""

    @wraps(opener)
    def call(file: Any, *arguments: Any, **options: Any) -> Any:
        sys.audit(_OPENED, file)
        return opener(file, *arguments, **options)

    return call
