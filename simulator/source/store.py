"""Encodes on disk: a search over budgets, or a second run, finds them instead of running the encoder again.

Layout: <cache>/<format>/<picture and codec>/<level>-<digest of the file>.<format>. The digest in the name reveals
a damaged entry, and each entry is a plain file.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulator.disk import cache_dir, write_atomically

_DIGEST_CHARACTERS = 32


class EncodeStore:
    """Encodes of one picture, by level. Safe for several processes: entries appear whole or not at all."""

    def __init__(self, rgb: npt.NDArray[np.uint8], suffix: str, codec: str) -> None:
        """rgb: uint8 [H, W, 3]; suffix: of the files; codec: identifies everything else that decides the bytes."""
        key = hashlib.sha256(f"{rgb.shape} {codec}\n".encode())
        key.update(np.ascontiguousarray(rgb).data)
        self._suffix = suffix
        self._folder: Path = cache_dir() / suffix / key.hexdigest()[:_DIGEST_CHARACTERS]

    def get(self, level: str, make: Callable[[], bytes], keep: Callable[[], bool] = lambda: True) -> bytes:
        """The stored file; else the one that `make` gives, which is stored if `keep` then allows it."""
        data = self.load(level)
        if data is None:
            data = make()
            if keep():
                self.save(level, data)
        return data

    def load(self, level: str) -> bytes | None:
        """The stored file, or None if there is none that is sound."""
        with suppress(OSError):
            for path in sorted(self._folder.glob(f"{level}-*.{self._suffix}")):
                data = path.read_bytes()
                if path.name == self._name(level, data):
                    return data
        return None

    def save(self, level: str, data: bytes) -> None:
        """Keep a file if possible: a full or read-only cache costs time, never the encode."""
        with suppress(OSError):
            write_atomically(self._folder / self._name(level, data), data)

    def _name(self, level: str, data: bytes) -> str:
        return f"{level}-{hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]}.{self._suffix}"
