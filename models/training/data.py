"""Training images: decoded once into memory, cropped and flipped as a pure function of (seed, step)."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from simulator.errors import UserError, hindrance
from simulator.images.reading import decode_image, quiet_decoding
from simulator.randomness import derive_key

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
SHARDS = (".tar", ".zip")
MAX_FILE_BYTES = 64 * 2**20
FORMATS = ("PNG", "JPEG", "WEBP")
FILES_AT_ONCE = 16  # in memory before they are decoded
HELD_OUT_ONE_IN = 64


@dataclass(frozen=True)
class ImageStore:
    """Decoded images of varying size.

    Attributes:
        images: uint8 [H, W, 3] each, RGB; further planes (a system's own) are cropped and flipped with them.
        digests: SHA-256 (hex) of each encoded file.
    """

    images: list[np.ndarray] = field(repr=False)
    digests: list[str] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the set of files, independent of their order, names and places."""
        return hashlib.sha256("".join(sorted(self.digests)).encode()).hexdigest()

    def split(self) -> tuple["ImageStore", "ImageStore"]:
        """Divide into training and held-out images, one in 64 by the hash of the file (at least one).

        Content decides, so that an image stays on its side when files are added, moved or left out.
        """
        held_out = [int(digest, 16) % HELD_OUT_ONE_IN == 0 for digest in self.digests]
        if not any(held_out):
            held_out[self.digests.index(min(self.digests))] = True
        return self._where([not held for held in held_out]), self._where(held_out)

    def at_least(self, size: int) -> "ImageStore":
        """Keep the images whose sides are both at least `size` pixels.

        Raises:
            UserError: none is.
        """
        kept = self._where([min(image.shape[:2]) >= size for image in self.images])
        if not len(kept):
            raise UserError(f"no training image is {size} pixels wide and high; use a smaller crop or larger images")
        return kept

    def first(self, count: int) -> "ImageStore":
        """The images of the `count` lowest hashes, in their order; all where there are fewer."""
        return self._take(sorted(range(len(self)), key=lambda index: self.digests[index])[:count])

    def _where(self, mask: list[bool]) -> "ImageStore":
        return self._take([index for index, keep in enumerate(mask) if keep])

    def _take(self, chosen: list[int]) -> "ImageStore":
        return ImageStore([self.images[i] for i in chosen], [self.digests[i] for i in chosen])


def load_images(sources: Sequence[Path], limit: int | None = None, workers: int = 2) -> ImageStore:
    """Decode every WebP, JPEG and PNG in folders (recursively) and shards (tar, zip), telling formats by content.

    Pixels are those of `simulator.images.load_image`; CMYK and animations, which it refuses, are read too.

    Shards are read member by member: nothing is extracted, links and devices are passed over.

    Args:
        sources: folders, shards, or single images.
        limit: stop after this many images.
        workers: decoding threads (Pillow lets go of the interpreter lock while it decodes).

    Raises:
        UserError: a source is missing, a file is no readable image or too large, or there is no image at all.
    """
    files = islice(_read_files(sources), limit)
    with quiet_decoding(), ThreadPoolExecutor(workers) as pool:
        decoded: list[tuple[np.ndarray, str]] = []
        while chunk := list(islice(files, FILES_AT_ONCE)):
            decoded += pool.map(_decode, chunk)
    unique = {digest: image for image, digest in decoded}
    if len(unique) < 2:
        raise UserError(
            f"found {len(unique)} images in {', '.join(map(str, sources))}; training needs at least two "
            f"({', '.join(SUFFIXES)}, in folders, .tar or .zip shards)"
        )
    return ImageStore(list(unique.values()), list(unique))


def _read_files(sources: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of every image file, in an order that depends on names only."""
    for source in sources:
        if source.is_dir():
            found = [path for path in source.rglob("*") if not path.name.startswith(".")]  # macOS writes `._x.png`
            shards = sorted(path for path in found if path.suffix.lower() in SHARDS and path.parent == source)
            images = sorted(path for path in found if path.suffix.lower() in SUFFIXES)
            yield from _read_files([*shards, *images])
        elif not source.is_file():
            raise UserError(f"no training data at '{source}'; give folders of images, .tar or .zip shards with --data")
        elif source.suffix.lower() == ".tar":
            yield from _read_tar(source)
        elif source.suffix.lower() == ".zip":
            yield from _read_zip(source)
        else:
            _check_size(str(source), source.stat().st_size)
            yield str(source), source.read_bytes()


def _read_tar(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r:") as shard:  # uncompressed only: a few compressed bytes could expand to many
            for member in shard:
                if member.isreg() and Path(member.name).suffix.lower() in SUFFIXES:
                    name = f"{path}:{member.name}"
                    _check_size(name, member.size)
                    content = shard.extractfile(member)
                    if content is not None:
                        yield name, content.read()
    except UserError:
        raise
    except Exception as error:  # damaged shards raise many types of errors
        raise UserError(_unreadable(path, error, f"is not a readable tar shard ({error}); fetch it again")) from error


def _read_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as shard:
            for member in shard.infolist():
                if not member.is_dir() and Path(member.filename).suffix.lower() in SUFFIXES:
                    name = f"{path}:{member.filename}"
                    _check_size(name, member.file_size)
                    yield name, shard.read(member)
    except UserError:
        raise
    except Exception as error:
        raise UserError(_unreadable(path, error, f"is not a readable zip shard ({error}); fetch it again")) from error


def _unreadable(name: Path | str, error: Exception, damage: str) -> str:
    """Why a file cannot be read: what the system said, else `damage`."""
    reason = hindrance(error)
    return f"'{name}' {damage}" if reason is None else f"'{name}' cannot be read ({reason})"


def _check_size(name: str, num_bytes: int) -> None:
    if num_bytes > MAX_FILE_BYTES:
        raise UserError(f"'{name}' has {num_bytes} bytes; training images may have {MAX_FILE_BYTES}")


def _decode(file: tuple[str, bytes]) -> tuple[np.ndarray, str]:
    name, content = file
    return decode_image(content, name, FORMATS, lenient=True), hashlib.sha256(content).hexdigest()


@lru_cache(maxsize=4)
def _epoch_order(num_images: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng(derive_key("epoch", seed, epoch)).permutation(num_images)


def training_batch(
    store: ImageStore, seed: int, step: int, batch: int, crop: int, rank: int = 0, world: int = 1
) -> torch.Tensor:
    """Random crops and flips of the images that are due at `step`: every image once per epoch.

    What the processes get together is the batch that one process would get of as many images.

    Args:
        store: images with sides >= crop.
        seed: of the run.
        step: number of the optimisation step; the batch depends on nothing else.
        batch: images per process.
        crop: side of the square crops in pixels.
        rank: this process among `world` processes, each of which gets other images.
        world: number of processes.

    Returns:
        float32 [batch, planes, crop, crop] in [0, 1]; 3 planes unless the store has more.
    """
    crops = np.empty((batch, crop, crop, store.images[0].shape[2]), np.uint8)
    first = (step * world + rank) * batch
    for row, position in enumerate(range(first, first + batch)):
        draw = np.random.default_rng(derive_key("crop", seed, position))
        epoch, place = divmod(position, len(store))
        image = store.images[_epoch_order(len(store), seed, epoch)[place]]
        top = draw.integers(image.shape[0] - crop + 1)
        left = draw.integers(image.shape[1] - crop + 1)
        patch = image[top : top + crop, left : left + crop]
        crops[row] = patch[:, ::-1] if draw.random() < 0.5 else patch
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255)


def validation_batch(store: ImageStore, count: int, crop: int) -> torch.Tensor:
    """Centre crops of the first `count` held-out images by hash: float32 [N, planes, crop, crop] in [0, 1]."""
    crops = []
    for image in store.at_least(crop).first(count).images:
        height, width = image.shape[:2]
        top, left = (height - crop) // 2, (width - crop) // 2
        crops.append(image[top : top + crop, left : left + crop])
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float().div_(255)
