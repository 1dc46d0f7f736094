"""Pixels as floats, as bytes, and as a digest."""

import hashlib

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from simulator.errors import UserError

MIN_SIDE = 16


def image_digest(image: torch.Tensor) -> str:
    """SHA-256 (hex) of an image's shape and 8-bit RGB pixels.

    Args:
        image: float tensor [3, H, W] in [0, 1].
    """
    pixels = to_uint8(image)
    return hashlib.sha256(repr(tuple(pixels.shape)).encode() + pixels.tobytes()).hexdigest()


def to_uint8(image: torch.Tensor) -> np.ndarray:
    """Round a float image [3, H, W] in [0, 1] to uint8 pixels [H, W, 3], as a display or a file would."""
    rounded = (image.detach().float().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())


def to_float(pixels: np.ndarray) -> torch.Tensor:
    """Turn uint8 pixels [H, W, 3] into a float32 image [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255


def pad_to_multiple(images: torch.Tensor, multiple: int, mode: str = "replicate") -> torch.Tensor:
    """Pad float images [B, 3, H, W] at the bottom and on the right until both sides are multiples of `multiple`.

    Args:
        images: any values.
        multiple: in pixels.
        mode: of PyTorch's `pad`; "replicate" repeats the last row and column.
    """
    height, width = images.shape[-2:]
    return F.pad(images, (0, -width % multiple, 0, -height % multiple), mode=mode)


def scale_to(pixels: np.ndarray, long_side: int) -> np.ndarray:
    """Scale uint8 [H, W, 3] so that its longer side has `long_side` pixels and neither less than 16 (Lanczos)."""
    height, width = pixels.shape[:2]
    factor = long_side / max(height, width)
    size = (max(MIN_SIDE, round(width * factor)), max(MIN_SIDE, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def centre_crop(pixels: np.ndarray, side: int, name: str) -> np.ndarray:
    """Cut a square of `side` pixels from the centre of uint8 [H, W, 3].

    Raises:
        UserError: the image called `name` is smaller.
    """
    height, width = pixels.shape[:2]
    if min(height, width) < side:
        raise UserError(f"image '{name}' is {width}x{height}, smaller than --crop {side}; crop less or leave it out")
    top, left = (height - side) // 2, (width - side) // 2
    return np.ascontiguousarray(pixels[top : top + side, left : left + side])
