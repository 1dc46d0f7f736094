"""Image sets: photographs that ship with scikit-image, Kodak, or any file, folder or glob."""

import glob
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch

from simulator.disk import user_path
from simulator.errors import UserError, did_you_mean, readable
from simulator.images.kodak import load_kodak
from simulator.images.pixels import MIN_SIDE, centre_crop, image_digest, to_float
from simulator.images.reading import load_image
from simulator.spec.options import Declaration

SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
SETS = (
    Declaration("samples", "five photographs that ship with scikit-image"),
    Declaration("kodak", "24 photographs of 768x512 pixels; 'data get kodak' downloads them"),
    Declaration("PATH", "an image file, a folder (not searched deeper) or a glob (** goes deeper)"),
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".pnm")


@dataclass(frozen=True, eq=False)
class NamedImage:
    """One photograph of a set.

    Attributes:
        name: unique within its set.
        rgb: uint8 [H, W, 3], RGB.
    """

    name: str
    rgb: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return (self.rgb.shape[0], self.rgb.shape[1])

    @property
    def pixels(self) -> torch.Tensor:
        """float32 [3, H, W] in [0, 1]; computed at each call, because uint8 takes a quarter of the memory."""
        return to_float(self.rgb)

    @cached_property
    def digest(self) -> str:
        """SHA-256 that keys the channel and states the provenance: `simulator.images.pixels.image_digest`."""
        return image_digest(self.pixels)


def load_image_set(
    spec: str,
    crop: int | None = None,
    is_result: Callable[[Path], bool] = lambda path: False,
    notify: Callable[[str], None] = lambda note: None,
) -> list[NamedImage]:
    """Load the images that `--images` names, in a fixed order.

    Args:
        spec: `samples`, `kodak`, a file, a folder (not searched deeper) or a glob (`**` goes deeper).
        crop: side of the square cut from each centre; None keeps the whole image.
        is_result: whether this program wrote a file in a folder or glob; such files belong to no set.
        notify: receives one-line notes (on files that were passed over, or a shadowed folder).

    Raises:
        UserError: no such set or file, a file that is no usable image, an image smaller than the crop or 16 x 16.
    """
    if crop is not None and crop < MIN_SIDE:
        raise UserError(
            f"--crop {crop} is too small: the smallest image is {MIN_SIDE}x{MIN_SIDE}; crop to that or more"
        )
    if spec in ("samples", "kodak") and os.path.lexists(spec):
        notify(f"'{spec}' is the built-in image set; write ./{spec} for what lies in the current folder")
    if spec == "kodak":
        images = [NamedImage(path.stem, rgb) for path, rgb in load_kodak()]
    else:
        paths = sample_files() if spec == "samples" else _find_files(spec, is_result, notify)
        images = [NamedImage(name, load_image(path)) for name, path in zip(_names(paths), paths, strict=True)]
    return images if crop is None else [NamedImage(one.name, centre_crop(one.rgb, crop, one.name)) for one in images]


def group_by_size(images: list[NamedImage], batch_size: int) -> list[list[NamedImage]]:
    """Split a set into batches of at most `batch_size` images of one size, keeping the order within each size."""
    by_size: dict[tuple[int, int], list[NamedImage]] = {}
    for image in images:
        by_size.setdefault(image.size, []).append(image)
    return [group[i : i + batch_size] for group in by_size.values() for i in range(0, len(group), batch_size)]


def _names(paths: list[Path]) -> list[str]:
    """File names without suffix; of files that share one, the paths below the common folder of all."""
    stems = Counter(path.stem for path in paths)
    common = os.path.commonpath([path.parent for path in paths])
    whole = [path.relative_to(common).as_posix() for path in paths]
    names = [path.stem if stems[path.stem] == 1 else full for path, full in zip(paths, whole, strict=True)]
    return list(map(readable, names if len(set(names)) == len(names) else whole))


def sample_files() -> list[Path]:
    """The photographs of the set `samples`."""
    # Not skimage.data.astronaut() and its like: some of those download a file that the wheel has.
    folder = Path(str(files("skimage") / "data"))
    return [folder / name for name in SAMPLES]


def _find_files(spec: str, is_result: Callable[[Path], bool], notify: Callable[[str], None]) -> list[Path]:
    """The files of a file name, folder or glob, sorted, each once."""
    path = user_path(spec)
    if path.is_dir():
        candidates = list(path.iterdir()) if os.access(path, os.R_OK | os.X_OK) else []
    elif path.exists():
        return [path]
    elif glob.has_magic(spec):
        candidates = [Path(match) for match in glob.glob(str(path), recursive=True)]
    else:
        close = did_you_mean(spec, ("samples", "kodak"))
        raise UserError(
            f"no image set, file or folder '{spec}'; expected samples, kodak, a file, a folder or a glob{close}"
        )
    kept: dict[tuple[int, int], Path] = {}
    passed_over: Counter[str] = Counter()
    for one in sorted(candidates, key=lambda one: (len(one.parts), one)):  # of several ways to a file the shortest
        if not one.is_file():
            continue
        where = one.stat()
        identity = (where.st_dev, where.st_ino)
        if reason := _reason_against(one, identity in kept, is_result):
            passed_over[reason] += 1
        else:
            kept[identity] = one
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(passed_over.items()))
    if not kept:
        details = f" ({said})" if said else ""
        raise UserError(f"no images in '{spec}'{details}; expected files ending in {', '.join(SUFFIXES)}")
    if said:
        notify(f"files in '{spec}' that are not in the set: {said}")
    return sorted(kept.values())


def _reason_against(path: Path, known: bool, is_result: Callable[[Path], bool]) -> str:
    """Why a file does not belong to a set; empty if it does."""
    if path.suffix.lower() not in SUFFIXES:
        return "of other kinds"
    if path.name.startswith("."):
        return "hidden (a dot begins the name)"
    if known:
        return "reached a second time, by a link"
    return "results of this program (copy them to use them)" if is_result(path) else ""
