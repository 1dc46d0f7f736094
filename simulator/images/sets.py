"""Image sets: photographs that ship with scikit-image, Kodak, or any file, folder or glob.

What becomes of a file: 16-bit samples are scaled to 8 bits, grey is repeated to RGB, palettes are expanded, alpha is
composited on white (as a browser shows it), EXIF orientation is applied, embedded colour profiles are ignored. Float,
32-bit, CMYK and Lab pixels, animations and multi-page files are refused.
"""

import csv
import glob
import hashlib
import os
import urllib.request
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from simulator.disk import cache_dir, write_atomically
from simulator.errors import UserError
from simulator.randomness import image_digest, to_float

SAMPLES = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".ppm")
KODAK_SITE = "https://r0k.us/graphics/kodak/kodak/"
MIN_SIDE = 16
MAX_FILE_BYTES = 2**24  # of a Kodak image, that a server could send without end
STRIP = 512  # rows converted at a time
MAX_PIXELS = 2**26  # 8192 x 8192; asked before anything is decoded, for a small file may claim any size
_SIXTEEN_BIT = {"I;16", "I;16B", "I;16L", "I;16N"}
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "La", "YCbCr"}


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
        """SHA-256 that keys the channel and states the provenance: `simulator.randomness.image_digest`."""
        return image_digest(self.pixels)


def load_image_set(spec: str, crop: int | None = None) -> list[NamedImage]:
    """Load the images that `--images` names, in a fixed order.

    Args:
        spec: `samples`, `kodak`, a file, a folder (not searched deeper) or a glob (`**` goes deeper).
        crop: side of the square cut from each centre; None keeps the whole image.

    Raises:
        UserError: no such set or file, a file that is no usable image, an image smaller than the crop or 16 x 16.
    """
    if crop is not None and crop < MIN_SIDE:
        raise UserError(
            f"--crop {crop} is too small: the smallest image is {MIN_SIDE}x{MIN_SIDE}; crop to that or more"
        )
    if spec == "kodak":
        images = [NamedImage(path.stem, rgb) for path, rgb in _load_kodak()]
    else:
        paths = sample_files() if spec == "samples" else _find_files(spec)
        images = [NamedImage(name, load_image(path)) for name, path in zip(_names(paths), paths, strict=True)]
    return images if crop is None else [_centre_crop(image, crop) for image in images]


def group_by_size(images: list[NamedImage], batch_size: int) -> list[list[NamedImage]]:
    """Split a set into batches of at most `batch_size` images of one size, keeping the order within each size."""
    by_size: dict[tuple[int, int], list[NamedImage]] = {}
    for image in images:
        by_size.setdefault(image.size, []).append(image)
    return [group[i : i + batch_size] for group in by_size.values() for i in range(0, len(group), batch_size)]


def load_image(path: Path | str) -> np.ndarray:
    """Read one image file as uint8 [H, W, 3] RGB, upright; the module's docstring says what becomes of other modes.

    Raises:
        UserError: missing, unreadable, corrupt, too large, smaller than 16 x 16, or of a refused kind.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                image.verify()  # the only check of a PNG's checksums; it leaves the file unusable
            with Image.open(path) as image:
                rgb = _to_rgb(image, path)
    except UserError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(f"{path}: more than {MAX_PIXELS // 10**6} megapixels; scale the image down") from None
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except Image.UnidentifiedImageError:
        raise UserError(f"{path}: not an image, or damaged; expected PNG, JPEG, WebP or TIFF") from None
    except Exception as error:  # on damaged files Pillow's readers let out errors of many kinds
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: cannot be read as an image ({reason}); replace or remove it") from None
    height, width = rgb.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise UserError(f"{path}: {width}x{height} is too small; images must be at least {MIN_SIDE}x{MIN_SIDE}")
    return rgb


def _to_rgb(image: Image.Image, path: Path) -> np.ndarray:
    """Bring an open image to uint8 [H, W, 3]."""
    # A phone's JPEG may carry a preview as second frame (MPO).
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise UserError(f"{path}: holds several pictures; save the one you want as a file of its own")
    if image.mode not in _EIGHT_BIT | _SIXTEEN_BIT:
        raise UserError(f"{path}: pixel format {image.mode} is not supported; convert it to 8- or 16-bit RGB or grey")
    ImageOps.exif_transpose(image, in_place=True)
    rgb = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, STRIP):  # whole copies of a large image would fill the memory
        strip = image.crop((0, top, image.width, min(top + STRIP, image.height)))
        rgb[top : top + STRIP] = _strip_to_rgb(strip)
    return rgb


def _strip_to_rgb(image: Image.Image) -> np.ndarray:
    """Some rows of an image as uint8 [h, W, 3]."""
    if image.mode in _SIXTEEN_BIT:
        grey = (np.asarray(image).astype(np.uint32) * 255 + 32767) // 65535
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in {"LA", "PA", "RGBA", "RGBa", "La"} or "transparency" in image.info:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)
    return np.asarray(image.convert("RGB"))


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


def _find_files(spec: str) -> list[Path]:
    """The files that a file name, folder or glob stands for, sorted."""
    path = Path(spec).expanduser()
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
    return found


@dataclass(frozen=True)
class _KodakEntry:
    name: str
    sha256_file: str
    sha256_rgb_pixels: str


def kodak_folder() -> Path:
    """Where the Kodak images are, or would be downloaded to: KODAK_DIR, else `kodak` in the cache."""
    chosen = os.environ.get("KODAK_DIR")
    return Path(chosen).expanduser() if chosen else cache_dir() / "kodak"


def _load_kodak() -> list[tuple[Path, np.ndarray]]:
    """The 24 images, each held to the pixels of the originals."""
    folder = kodak_folder()
    table = (files("simulator.images") / "kodak.csv").read_text().splitlines()
    images = []
    for entry in (_KodakEntry(**row) for row in csv.DictReader(table)):
        path = folder / entry.name
        if not path.exists():
            if os.environ.get("KODAK_DIR"):
                raise UserError(f"KODAK_DIR={folder} has no {entry.name}; point it at the 24 PNGs or unset it")
            _download(entry, path)
        rgb = load_image(path)
        if hashlib.sha256(rgb.tobytes()).hexdigest() != entry.sha256_rgb_pixels:
            raise UserError(f"{path}: not the Kodak original; replace it, or name the folder itself with --images")
        images.append((path, rgb))
    return images


def _download(entry: _KodakEntry, path: Path) -> None:
    """Fetch one verified file; what is complete is kept, so that a broken download goes on where it stopped."""
    data = _fetch(entry)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise UserError(f"cannot write {path} ({error.strerror}); set SIMULATOR_CACHE_DIR to another folder") from None


def _fetch(entry: _KodakEntry) -> bytes:
    """The bytes of one Kodak file, if they are the right ones."""
    from simulator.images.download import open_https

    try:
        with open_https(urllib.request.Request(KODAK_SITE + entry.name), 30) as response:
            data = response.read(MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() == entry.sha256_file:
            return data
        reason = "its checksum is wrong"
    except (OSError, HTTPException) as error:
        reason = str(getattr(error, "reason", error))
    raise UserError(
        f"cannot download {entry.name} from {KODAK_SITE} ({reason}); set KODAK_DIR to a folder with the 24 PNGs"
    )
