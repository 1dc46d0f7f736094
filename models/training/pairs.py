"""Pairs of a picture and its coded version: the training data of a receiver.

Every training picture is coded once, as a whole, at a QP that depends on its content alone. The files are kept in the
cache of BPG encodes, so that coding resumes where it was interrupted, and later runs only decode.
"""

from collections.abc import Callable

import numpy as np
import torch

from simulator.baselines.bpg.codec import decode, encode
from simulator.models.training.data import ImageStore
from simulator.randomness import derive_key

LOWEST_QP, HIGHEST_QP = 20, 51
PLANES = 7  # RGB of the picture, RGB of the coded picture, QP: cropped and flipped together

Tell = Callable[[int, int], None]


def pair_up(store: ImageStore, pictures: int, tell: Tell) -> ImageStore:
    """Code the first `pictures` of a store (by digest): uint8 [H, W, PLANES] each.

    Args:
        store: RGB pictures.
        pictures: at most so many; the others are left out.
        tell: receives how many are done and how many there are.
    """
    chosen, pairs = store.first(pictures), []
    for done, (image, digest) in enumerate(zip(chosen.images, chosen.digests, strict=True)):
        tell(done, len(chosen))
        pairs.append(pair(image, qp_of(digest)))
    tell(len(chosen), len(chosen))
    return ImageStore(pairs, chosen.digests)


def pair(rgb: np.ndarray, qp: int) -> np.ndarray:
    """A picture uint8 [H, W, 3] with its coded version and the QP: uint8 [H, W, PLANES]."""
    coded = decode(encode(rgb, qp))
    return np.concatenate([rgb, coded, np.full((*rgb.shape[:2], 1), qp, np.uint8)], axis=2)


def qp_of(digest: str) -> int:
    """The QP of a picture: the mean of two uniform draws, because links rarely use the ends of the range."""
    low, high = np.random.default_rng(derive_key("QP of a training picture", digest)).uniform(size=2)
    return LOWEST_QP + int((HIGHEST_QP - LOWEST_QP + 1) * (low + high) / 2)


def apart(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Planes [B, PLANES, H, W] in [0, 1], as the training loop cuts them -> pictures, coded pictures, QPs [B]."""
    return batch[:, :3], batch[:, 3:6], (batch[:, 6, 0, 0] * 255).round()
