"""Pixels as floats, as bytes, and as a digest."""

import hashlib

import numpy as np
import torch


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
