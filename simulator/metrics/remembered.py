"""Features of reference images, computed once: in a sweep the rows of one image follow one another."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from threading import Lock

import torch

MOST_BYTES = 2**29  # of features; a 768x512 image has 0.15 GB of AlexNet's over sixteen phases, 0.2 GB of VGG16's

Features = Sequence[torch.Tensor]


class Remembered:
    """A function from images to features that remembers its latest results, by the pixels."""

    def __init__(self, features: Callable[[torch.Tensor], Features], images: int = 1) -> None:
        """features: the function; images: how many results to keep, as far as `MOST_BYTES` allow."""
        self._compute, self._images = features, images
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._lock = Lock()

    def __getstate__(self) -> tuple[Callable[[torch.Tensor], Features], int]:
        """A copy starts without memories: locks cannot be copied."""
        return self._compute, self._images

    def __setstate__(self, state: tuple[Callable[[torch.Tensor], Features], int]) -> None:
        self._compute, self._images = state
        self._kept, self._lock = OrderedDict(), Lock()

    def __call__(self, image: torch.Tensor) -> Features:
        """The features of a float image [3, H, W]; nobody may change them."""
        pixels = image.detach().cpu().contiguous().numpy()
        key = hashlib.sha256(f"{pixels.dtype} {pixels.shape}".encode() + pixels.tobytes()).hexdigest()
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                self._drop(self._images - 1)  # the old make room before the new ones are computed
        features = self._compute(image) if found is None else found
        with self._lock:
            self._kept[key] = features
            self._kept.move_to_end(key)
            self._drop(self._images)
        return features

    def clear(self) -> None:
        """Forget everything, because the function changes."""
        with self._lock:
            self._kept.clear()

    def _drop(self, images: int) -> None:
        """Forget the oldest until few enough are left."""
        while self._kept and (len(self._kept) > images or _bytes(self._kept.values()) > MOST_BYTES):
            self._kept.popitem(last=False)


def _bytes(kept: Iterable[Features]) -> int:
    return sum(tensor.nbytes for features in kept for tensor in features)
