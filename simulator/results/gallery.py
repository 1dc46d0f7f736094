"""Pictures of a results folder: kept reconstructions as PNG by row key, and each source once.

A picture has exactly the 8-bit samples that were scored, so its row's numbers can be measured from it again. It is
written before its row, so that a row never lacks a requested picture.
"""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from simulator.images import NamedImage
from simulator.results.rows import Row
from simulator.results.written import PICTURES, Written

KEEP = ("none", "best", "all")
SOURCES = "sources"  # in PICTURES


def encode_png(rgb: np.ndarray) -> bytes:
    """A picture, uint8 [H, W, 3], as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "png")
    return buffer.getvalue()


class Gallery:
    """The pictures in a results folder; there may be none."""

    def __init__(self, results: Path, written: Written | None = None) -> None:
        """results: the folder; written: what writes and deletes there, None to read only."""
        self.folder, self._written = results / PICTURES, written

    def path(self, key: str) -> Path:
        """Path of a row's picture, if it was kept."""
        return self.folder / f"{key}.png"

    def source_path(self, digest: str) -> Path:
        """Path of the source image with this SHA-256, if any of its pictures was kept."""
        return self.folder / SOURCES / f"{digest}.png"

    def keys(self) -> set[str]:
        """Keys of all rows that have a picture."""
        return {path.stem for path in self.folder.glob("*.png")}

    def add(self, key: str, png: bytes) -> None:
        """Write the picture of a row."""
        self._writing.write(self.path(key), png)

    def add_sources(self, images: Iterable[NamedImage]) -> None:
        """Write the missing sources."""
        for image in images:
            if not (path := self.source_path(image.digest)).exists():
                self._writing.write(path, encode_png(image.rgb))

    def discard(self, key: str) -> None:
        """Remove the picture of a row, if it is the one that was written."""
        self._writing.discard(self.path(key))

    @property
    def _writing(self) -> Written:
        assert self._written is not None, "a gallery that was opened to read"
        return self._written


Shot = tuple[str, str, float, float, str]  # scheme, channel, SNR in dB, CBR, image: what realisations have in common


class Keeper:
    """Decides which pictures a sweep keeps: every one, the best of an image's realisations, or none.

    Best is the realisation with the highest PSNR, the first of equals. Existing pictures are never removed, except
    when a better one of the same shot replaces one that was kept as the best.
    """

    def __init__(self, gallery: Gallery, keep: str) -> None:
        """keep: one of `KEEP`."""
        self.wanted = keep != "none"
        self.gallery, self._keep = gallery, keep
        self._best: dict[Shot, Row] = {}

    def lacking(self, rows: Iterable[Row], realisations: int) -> set[str]:
        """Keys of those finished rows that should have a picture and have none.

        Args:
            rows: everything that is finished.
            realisations: per image; the best one is known only when all of them exist.
        """
        if not self.wanted:
            return set()
        there, rows = self.gallery.keys(), list(rows)
        self._best = _best(row for row in rows if row.key in there)
        if self._keep == "all":
            return {row.key for row in rows} - there
        counts: dict[Shot, int] = {}
        for row in rows:
            counts[_shot(row)] = counts.get(_shot(row), 0) + 1
        complete = _best(row for row in rows if counts[_shot(row)] == realisations)
        return {
            row.key for shot, row in complete.items() if shot not in self._best or _rank(row) > _rank(self._best[shot])
        }

    def take(self, row: Row, png: bytes | None) -> str | None:
        """Keep the picture of a new row if requested; one of an earlier attempt, a fault, is removed.

        Returns:
            Key of the picture that it replaces, to be discarded once the row itself is stored.
        """
        if png is None:
            self.gallery.discard(row.key)
            return None
        last = self._best.get(_shot(row)) if self._keep == "best" else None
        rival = last is not None and last.key != row.key
        if last is not None and rival and _rank(row) <= _rank(last):
            self.gallery.discard(row.key)
            return None
        self.gallery.add(row.key, png)
        self._best[_shot(row)] = row
        return last.key if last is not None and rival else None


def _shot(row: Row) -> Shot:
    return (row.scheme, row.channel, row.snr_db, row.cbr_target, row.image)


def _rank(row: Row) -> tuple[float, int]:
    return (row.psnr_db, -row.realisation)


def _best(rows: Iterable[Row]) -> dict[Shot, Row]:
    found: dict[Shot, Row] = {}
    for row in rows:
        if (last := found.get(_shot(row))) is None or _rank(row) > _rank(last):
            found[_shot(row)] = row
    return found
