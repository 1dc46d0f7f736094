"""The pictures of a report: those that a sweep kept, as many as fit, each scheme at every condition that is shown."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image

from simulator.images import load_image
from simulator.report.data import Axes, Series
from simulator.results.gallery import Gallery
from simulator.results.rows import Row
from simulator.results.store import Results

T = TypeVar("T")

QUALITY = 85  # of WebP, 0 .. 100, for pictures that do not fit as they are
BASE64 = 4 / 3  # characters per byte
SAMPLE = 4  # pictures by which the size of the others is first estimated
ROUNDS = 3  # of choosing, compressing and estimating again

Condition = tuple[int, int, int]  # places of channel, CBR and SNR


@dataclass(frozen=True)
class Shot:
    """One kept picture: its place in the report, its row and its file."""

    series: int
    condition: Condition
    image: int
    row: Row
    path: Path


@dataclass(frozen=True)
class Album:
    """The pictures that go into the page.

    Attributes:
        sources: file (MIME type, bytes) by place of the image.
        shots: with the file of each.
        quality: of WebP; None if the files are those that were kept, without loss.
        images, conditions: how many of each are shown, and how many were kept.
    """

    sources: dict[int, tuple[str, bytes]]
    shots: list[tuple[Shot, tuple[str, bytes]]]
    quality: int | None
    images: tuple[int, int]
    conditions: tuple[int, int]


def find_shots(results: Sequence[Results], series: Sequence[Series], axes: Axes) -> tuple[list[Shot], dict[int, Path]]:
    """Every shot whose picture and source are there, and the sources by place of the image.

    Of several realisations the first whose picture was kept is taken, which is the same draw of the channel for all
    schemes when all were kept.
    """
    sources: dict[int, Path] = {}
    pictures: dict[str, Path] = {}
    for one in results:
        gallery = Gallery(one.folder)
        keys = gallery.keys()
        pictures |= {row.key: gallery.path(row.key) for row in one.rows if row.key in keys}
        for image in one.meta.get("images", ()):
            path = gallery.source_path(image["sha256"])
            if image["name"] in axes.images and path.is_file():
                sources[axes.images.index(image["name"])] = path
    image_at = {image: index for index, image in enumerate(axes.images)}
    first: dict[tuple[int, Condition, int], Shot] = {}
    for row in (row for one in series for row in one.rows if row.key in pictures):
        place, channel, cbr, snr = axes.place(row)
        where = (place, (channel, cbr, snr), image_at[row.image])
        if where[2] in sources and (where not in first or row.realisation < first[where].row.realisation):
            first[where] = Shot(*where, row, pictures[row.key])
    return list(first.values()), sources


def make_album(shots: Sequence[Shot], sources: dict[int, Path], budget: float) -> Album:
    """Read, and where needed choose and compress, what fits into `budget` characters of base64.

    Raises:
        UserError: a file is damaged.
    """
    images, conditions = _images(shots), list(dict.fromkeys(shot.condition for shot in shots))
    files = [sources[image] for image in images] + [shot.path for shot in shots]
    if not shots or sum(path.stat().st_size for path in files) * BASE64 <= budget:
        whole = {path: _png(path) for path in files}
        return _album(shots, sources, whole, None, len(images), len(conditions))
    if (lossless := _without_loss(files, budget)) is not None:
        return _album(shots, sources, lossless, None, len(images), len(conditions))
    made = {path: _webp(path) for path in _spread(files, SAMPLE)}
    chosen: Sequence[Shot] = shots
    for _ in range(ROUNDS):  # the chosen pictures estimate the size better than a sample
        room = budget / (BASE64 * sum(len(data) for _, data in made.values()) / len(made))  # in pictures
        chosen = shots if len(files) <= room else _choose(shots, room)
        paths = {shot.path for shot in chosen} | {sources[image] for image in _images(chosen)}
        made = {path: made.get(path) or _webp(path) for path in paths} or made
    kept: list[Shot] = []
    spent = 0.0
    for image in _images(chosen):
        own = [shot for shot in chosen if shot.image == image]
        spent += sum(len(made[path][1]) for path in (sources[image], *(shot.path for shot in own))) * BASE64
        if spent > budget:
            break
        kept += own
    return _album(kept, sources, made, QUALITY, len(images), len(conditions))


def _album(
    shots: Sequence[Shot],
    sources: dict[int, Path],
    files: dict[Path, tuple[str, bytes]],
    quality: int | None,
    images: int,
    conditions: int,
) -> Album:
    shown = _images(shots)
    return Album(
        {image: files[sources[image]] for image in shown},
        [(shot, files[shot.path]) for shot in shots],
        quality,
        (len(shown), images),
        (len({shot.condition for shot in shots}), conditions),
    )


def _choose(shots: Sequence[Shot], room: float) -> list[Shot]:
    """Shots of about `room` pictures: about as many images as conditions, both spread evenly.

    Only conditions that most schemes share are considered.
    """
    schemes: dict[Condition, set[int]] = {}
    for shot in shots:
        schemes.setdefault(shot.condition, set()).add(shot.series)
    most = max(len(there) for there in schemes.values())
    conditions = sorted(condition for condition, there in schemes.items() if len(there) == most)
    images = _images(shots)
    best = (0, 0, 0, 0)
    for count in range(1, len(conditions) + 1):
        affordable = min(len(images), int(room / (1 + count * most)))
        best = max(best, (min(affordable, count), affordable * count, affordable, count))
    *_, num_images, num_conditions = best
    shown = set(_spread(images, num_images)), set(_spread(conditions, num_conditions))
    return [shot for shot in shots if shot.image in shown[0] and shot.condition in shown[1]]


def _images(shots: Sequence[Shot]) -> list[int]:
    return sorted({shot.image for shot in shots})


def _spread(items: Sequence[T], count: int) -> list[T]:
    """`count` of the items, from the first to the last at even distances."""
    if count <= 1:
        return list(items[len(items) // 2 :][:count])
    count = min(count, len(items))
    return [items[round(index * (len(items) - 1) / max(count - 1, 1))] for index in range(count)]


def _png(path: Path) -> tuple[str, bytes]:
    load_image(path)  # a damaged one is refused here, not in the reader's browser
    return "image/png", path.read_bytes()


def _without_loss(files: Sequence[Path], budget: float) -> dict[Path, tuple[str, bytes]] | None:
    """All files as lossless WebP, about three quarters of a PNG; None if they do not fit either."""
    sample = _spread(files, SAMPLE)
    share = sum(len(_webp(path, True)[1]) for path in sample) / sum(path.stat().st_size for path in sample)
    if share * sum(path.stat().st_size for path in files) * BASE64 > budget:
        return None
    made = {path: _webp(path, True) for path in files}
    return made if sum(len(data) for _, data in made.values()) * BASE64 <= budget else None


def _webp(path: Path, lossless: bool = False) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    Image.fromarray(load_image(path)).save(buffer, "webp", quality=QUALITY, method=2, lossless=lossless, exact=lossless)
    return "image/webp", buffer.getvalue()
