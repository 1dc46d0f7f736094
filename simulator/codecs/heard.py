"""What Python says of the files that a project uses while its code runs: which are executed, read and written."""

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Heard:
    """Files by absolute path, since a project was entered; nothing is noted outside of projects.

    What libraries written in C open themselves (SQLite, safetensors, an external program) is not heard.
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
        self.listening = True
        for files in (self.executed, self.read, self.written):
            files.clear()


HEARD = Heard()
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
