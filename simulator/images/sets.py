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
from simulator.errors import UserError
from simulator.images.kodak import load_kodak
from simulator.images.pixels import image_digest, to_float
from simulator.images.reading import MIN_SIDE, load_image
from simulator.spec.options import Declaration

SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
SETS = (
    Declaration("samples", "five photographs that ship with scikit-image"),
    Declaration("kodak", "24 photographs of 768x512 pixels; 'data get kodak' downloads them"),
    Declaration("PATH", "an image file, a folder (not searched deeper) or a glob (** goes deeper)"),
)
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")


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
        """float32 [3, H, W] in [0, 1]; made anew at each call, as uint8 takes a quarter of the memory."""
        return to_float(self.rgb)

    @cached_property
    def digest(self) -> str:
        """SHA-256 that keys the channel and states the provenance: `simulator.images.pixels.image_digest`."""
        return image_digest(self.pixels)


def load_image_set(
    spec: str, crop: int | None = None, passed_over: Callable[[Path], bool] = lambda path: False
) -> list[NamedImage]:
    """Load the images that `--images` names, in a fixed order.

    Args:
        spec: `samples`, `kodak`, a file, a folder (not searched deeper) or a glob (`**` goes deeper).
        crop: side of the square cut from each centre; None keeps the whole image.
        passed_over: says of a file in a folder or glob that it does not belong to the set.

    Raises:
        UserError: no such set or file, a file that is no usable image, an image smaller than the crop or 16 x 16.
    """
    if crop is not None and crop < MIN_SIDE:
        raise UserError(
            f"--crop {crop} is too small: the smallest image is {MIN_SIDE}x{MIN_SIDE}; crop to that or more"
        )
    if spec == "kodak":
        images = [NamedImage(path.stem, rgb) for path, rgb in load_kodak()]
    else:
        paths = sample_files() if spec == "samples" else _find_files(spec, passed_over)
        images = [NamedImage(name, load_image(path)) for name, path in zip(_names(paths), paths, strict=True)]
    return images if crop is None else [_centre_crop(image, crop) for image in images]


def group_by_size(images: list[NamedImage], batch_size: int) -> list[list[NamedImage]]:
    """Split a set into batches of at most `batch_size` images of one size, keeping the order within each size."""
    by_size: dict[tuple[int, int], list[NamedImage]] = {}
    for image in images:
        by_size.setdefault(image.size, []).append(image)
    return [group[i : i + batch_size] for group in by_size.values() for i in range(0, len(group), batch_size)]


def _centre_crop(image: NamedImage, side: int) -> NamedImage:
    height, width = image.size
    if min(height, width) < side:
        raise UserError(
            f"image '{image.name}' is {width}x{height}, smaller than --crop {side}; crop less or leave it out"
        )
    top, left = (height - side) // 2, (width - side) // 2
    return NamedImage(image.name, np.ascontiguousarray(image.rgb[top : top + side, left : left + side]))


def _names(paths: list[Path]) -> list[str]:
    """File names without suffix where that is unique, else the path below the files' common folder."""
    stems = [path.stem for path in paths]
    if max(Counter(stems).values()) == 1:
        return stems
    common = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(common).as_posix() for path in paths]


def sample_files() -> list[Path]:
    """The photographs of the set `samples`."""
    # Not skimage.data.astronaut() and its like: some of those download although the wheel holds the file.
    folder = Path(str(files("skimage") / "data"))
    return [folder / name for name in SAMPLES]


def _find_files(spec: str, passed_over: Callable[[Path], bool]) -> list[Path]:
    """The files that a file name, folder or glob stands for, sorted."""
    path = user_path(spec)
    if path.is_dir():
        candidates = list(path.iterdir()) if os.access(path, os.R_OK | os.X_OK) else []
    elif path.exists():
        return [path]
    elif glob.has_magic(spec):
        candidates = [Path(match) for match in glob.glob(str(path), recursive=True)]
    else:
        raise UserError(f"no image set, file or folder '{spec}'; expected samples, kodak, a file, a folder or a glob")
    found = sorted(one for one in candidates if one.suffix.lower() in SUFFIXES and one.is_file())
    if not found:
        raise UserError(f"no images in '{spec}'; expected files ending in {', '.join(SUFFIXES)}")
    if not (kept := [one for one in found if not passed_over(one)]):
        raise UserError(f"all {len(found)} images in '{spec}' are results of this program; copy them to another folder")
    return kept
