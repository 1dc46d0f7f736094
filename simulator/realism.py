"""How real received pictures look: KID of each point of a results folder, from the pictures that were kept."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.analysis.fitting import Column, FittedTable
from simulator.analysis.grouping import Identity, group_by_point
from simulator.analysis.tables import records_csv
from simulator.analysis.words import cbr_label
from simulator.errors import UserError
from simulator.images import load_image
from simulator.metrics.features import Features
from simulator.metrics.kid import SUBSETS, cut_patches, kernel_distance
from simulator.results.gallery import Gallery
from simulator.results.rows import Row
from simulator.results.store import Results

RERUN = "rerun its command with --keep-images all"
MOST_NAMED = 3  # images or points in one message


@dataclass(frozen=True)
class Realism:
    """The distance of the pictures that were received at one point of the grid from their sources.

    Attributes:
        images, pictures: how many sources, and how many were received (each image once per realisation).
        outages: how many of the pictures are outages, shown and counted as grey.
        patches: of the received pictures.
        distance: KID, or the kernel distance of other features, without pairs of patches of one picture.
        spread: standard deviation over random subsets; None if all patches were compared at once.
        all_pairs: the same with these pairs, as torch-fidelity computes it from the same patches.
    """

    scheme: str
    channel: str
    snr_db: float
    cbr_target: float
    images: int
    pictures: int
    outages: int
    patches: int
    distance: float
    spread: float | None
    all_pairs: float


@dataclass(frozen=True)
class KeptPictures:
    """The points of a results folder at which every picture was kept, of the same images.

    Attributes:
        sources: file by image.
        points: rows by point.
        gallery: where their pictures are.
    """

    sources: dict[str, Path]
    points: dict[Identity, list[Row]]
    gallery: Gallery

    @property
    def files(self) -> int:
        """How many pictures there are to read."""
        return len(self.sources) + sum(map(len, self.points.values()))


def find_pictures(results: Results, patch: int, notify: Callable[[str], None] = lambda note: None) -> KeptPictures:
    """The points that can be compared.

    Args:
        results: of a sweep.
        patch: side in pixels; no image may be smaller.
        notify: receives a note on points that are left out, because they lack pictures of some images.

    Raises:
        UserError: no point has all its pictures, an image is smaller than a patch, or there is a single image.
    """
    gallery, points = Gallery(results.folder), group_by_point(results.rows)
    kept = gallery.keys()
    wanted: Counter[str] = Counter()
    for rows in points.values():
        wanted |= Counter(row.image for row in rows)
    if not (kept & {row.key for row in results.rows}):
        raise UserError(f"no pictures were kept in '{results.folder}'; {RERUN}")
    missing = {point: wanted - Counter(row.image for row in rows if row.key in kept) for point, rows in points.items()}
    complete = {point: rows for point, rows in points.items() if not missing[point]}
    lacking = {point: names for point, names in missing.items() if names}
    if not complete:
        raise UserError(f"no point has all its pictures: {_described(lacking)}; {RERUN}")
    if lacking:
        notify(f"left out, because pictures are missing: {_described(lacking)}; to compare them, {RERUN}")
    meta = [image for image in results.meta.get("images", ()) if image["name"] in wanted]
    if small := [one for one in meta if min(one["size"]) < patch]:
        height, width = small[0]["size"]
        what_to_do = f"compare smaller patches, --patch {min(min(one['size']) for one in meta)} or less"
        raise UserError(
            f"image '{small[0]['name']}' is {width}x{height}, smaller than a patch of {patch}; {what_to_do}"
        )
    if len(wanted) < 2:
        raise UserError(f"'{results.folder}' has a single image; KID compares sets of two images or more")
    sources = {image["name"]: gallery.source_path(image["sha256"]) for image in meta}
    if gone := [name for name in wanted if name not in sources or not sources[name].is_file()]:
        raise UserError(f"the source pictures of {_some(gone)} are missing in '{results.folder}'; {RERUN}")
    return KeptPictures(sources, complete, gallery)


def measure_realism(
    pictures: KeptPictures,
    features: Features,
    patch: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Realism]:
    """The distance of every point, in the order of the sweep.

    Args:
        pictures: what to compare.
        features: of patches.
        patch: side in pixels.
        progress: receives (pictures done, pictures in all).

    Raises:
        UserError: a picture is damaged, or is not of its source's size.
    """
    done = 0
    sizes: dict[str, tuple[int, ...]] = {}

    def read(path: Path, image: str) -> np.ndarray:
        nonlocal done
        rgb = load_image(path)
        if rgb.shape != sizes.setdefault(image, rgb.shape):
            raise UserError(f"{path}: not of the size of its source '{image}'; {RERUN}")
        found = features(cut_patches(rgb, patch))
        done += 1
        progress(done, pictures.files)
        return found

    progress(0, pictures.files)
    numbers = {image: number for number, image in enumerate(pictures.sources)}
    sources, of_sources = _together((read(path, image), numbers[image]) for image, path in pictures.sources.items())
    measured = []
    for point, rows in pictures.points.items():
        shown, of_shown = _together(
            (read(pictures.gallery.path(row.key), row.image), numbers[row.image]) for row in rows
        )
        apart = kernel_distance(sources, shown, (of_sources, of_shown))
        counts = (len(numbers), len(rows), sum(row.outage for row in rows), len(shown))
        measured.append(Realism(*point, *counts, apart.mean, apart.spread, kernel_distance(sources, shown).mean))
    return measured


def _together(parts: Iterable[tuple[np.ndarray, int]]) -> tuple[np.ndarray, np.ndarray]:
    """Features of several pictures as one array, and the number of each one's picture."""
    features, numbers = zip(*parts, strict=True)
    return np.concatenate(features), np.repeat(numbers, [len(one) for one in features])


def _described(missing: Mapping[Identity, Counter[str]]) -> str:
    """Points and the images that they lack, the first few of them."""
    said = [
        f"{scheme} over {channel} at {snr_db:g} dB and CBR {cbr_label(cbr)} ({_some(list(names))})"
        for (scheme, channel, snr_db, cbr), names in list(missing.items())[:MOST_NAMED]
    ]
    return ", ".join(said) + f" and {len(missing) - MOST_NAMED} more" * (len(missing) > MOST_NAMED)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:MOST_NAMED]) + f" and {len(names) - MOST_NAMED} more" * (len(names) > MOST_NAMED)


def realism_records(measured: Iterable[Realism], features: Features, patch: int) -> list[dict[str, Any]]:
    """Flat records whose columns are named after the features."""
    names = {"distance": features.column, "spread": f"{features.column}_spread"}
    names |= {"all_pairs": f"{features.column}_all_pairs"}
    own = {"patch": patch, "weights_sha256": features.fingerprint}
    return [{names.get(name, name): value for name, value in asdict(one).items()} | own for one in measured]


def realism_csv(records: Sequence[dict[str, Any]]) -> bytes:
    """The records as a file; an empty spread means that all patches were compared at once."""
    return records_csv(list(records[0]), records).encode()


def realism_file(features: Features) -> str:
    """Name of the file in the results folder: `kid.csv`, or that of another distance."""
    return f"{features.column.replace('_', '-')}.csv"


def realism_table(measured: Sequence[Realism], features: Features) -> FittedTable:
    """The distances for people."""
    columns = [Column("scheme", is_name=True), Column("channel", is_name=True)]
    label = features.label.replace(" (", "\n(")
    columns += [Column(head) for head in ("Es/N0 dB", "CBR", "outages", "patches", f"{label} ↓", "spread")]
    table = FittedTable(columns, spare=("outages",))
    for one in measured:
        table.add(
            *(one.scheme, one.channel, f"{one.snr_db:g}", cbr_label(one.cbr_target), str(one.outages)),
            *(str(one.patches), f"{one.distance:.5f}", "-" if one.spread is None else f"{one.spread:.5f}"),
        )
    return table


def realism_note(measured: Sequence[Realism]) -> str:
    """What the numbers are not, in one line for people."""
    if measured[0].spread is None:
        return "No interval: patches of one picture are not independent."
    return f"The spread is that of {SUBSETS} random subsets, which overlap: no interval."
