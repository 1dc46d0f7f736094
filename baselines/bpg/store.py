"""Encodes on disk: a search over budgets, or a second run, finds them instead of running x265 again.

Layout: <cache>/bpg/<picture and codec>/qp<QP>-<digest of the file>.bpg. The digest in the name tells a damaged
entry from a sound one, and each entry is a plain BPG file for anyone who wants to look.
"""

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

from simulator.disk import cache_dir, write_atomically

_DIGEST_CHARACTERS = 32


class EncodeStore:
    """Encodes of one picture, by QP. Safe for several processes: entries appear whole or not at all."""

    def __init__(self, rgb: npt.NDArray[np.uint8], chroma: str, codec: str) -> None:
        """rgb: uint8 [H, W, 3]; codec: names everything else that decides the bytes."""
        key = hashlib.sha256(f"{rgb.shape} {chroma} {codec}\n".encode())
        key.update(np.ascontiguousarray(rgb).data)
        self._folder: Path = cache_dir() / "bpg" / key.hexdigest()[:_DIGEST_CHARACTERS]

    def load(self, qp: int) -> bytes | None:
        """The stored file, or None if there is none that is sound."""
        with suppress(OSError):
            for path in sorted(self._folder.glob(f"qp{qp:02d}-*.bpg")):
                data = path.read_bytes()
                if path.name == _name(qp, data):
                    return data
        return None

    def save(self, qp: int, data: bytes) -> None:
        """Keeps a file if the disk lets us: a full or read-only cache costs time, never the encode."""
        with suppress(OSError):
            write_atomically(self._folder / _name(qp, data), data)


def _name(qp: int, data: bytes) -> str:
    return f"qp{qp:02d}-{hashlib.sha256(data).hexdigest()[:_DIGEST_CHARACTERS]}.bpg"
