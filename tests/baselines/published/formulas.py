"""Weights, images and noise that formulas give, so that golden values need no files: a hash of index and key."""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_MASK = np.uint64(0xFFFFFFFF)


def signed(count: int, stream: int) -> np.ndarray:
    """float64 [count] in [-1, 1), the same for the same stream."""
    h = (np.arange(count, dtype=np.uint64) * np.uint64(2654435761)) & _MASK
    h = (h + np.uint64((stream * 2246822519 + 374761393) & 0xFFFFFFFF)) & _MASK
    h ^= h >> np.uint64(15)
    h = (h * np.uint64(2246822519)) & _MASK
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(3266489917)) & _MASK
    h ^= h >> np.uint64(16)
    return 2 * (h.astype(np.float64) / 2**32) - 1


def fill(key: str, shape: tuple[int, ...], rule: Mapping[str, Any]) -> Tensor:
    """The float32 tensor of one state-dict entry; `rule` is [kind, scale, offset] of the key table by name."""
    s = signed(math.prod(shape), zlib.crc32(key.encode())).reshape(shape)
    kind, scale, offset = rule["kind"], rule.get("scale", 0.0), rule.get("offset", 0.0)
    if kind == "affine":
        value = offset + scale * s
    elif kind == "gdn_gamma":
        value = 0.05 * (1.2 * (s + 1) / 2 - 0.1) + 0.3 * np.eye(shape[0])
    elif kind == "quantiles":
        value = np.broadcast_to(np.array([-10.0, 0.0, 10.0]), shape) + 0.3 * s * np.array([0.0, 1.0, 0.0])
    elif kind == "hs_bias":
        value = scale * s + offset * (np.arange(shape[0]) < shape[0] // 2)
    elif kind == "hs_weight":
        value = scale * s + offset * (np.arange(shape[1]) < shape[1] // 2)[None, :, None, None]
    else:
        raise ValueError(f"no rule fills '{key}' by '{kind}'")
    return torch.from_numpy(value.astype(np.float32))


def images(batch: int, height: int, width: int) -> Tensor:
    """float32 [B, 3, H, W]: a smooth pattern under a texture."""
    c, h = np.arange(3).reshape(1, 3, 1, 1), np.arange(height).reshape(1, 1, height, 1)
    w, b = np.arange(width).reshape(1, 1, 1, width), np.arange(batch).reshape(batch, 1, 1, 1)
    smooth = 0.5 + 0.2 * np.sin(0.11 * h + 0.7 * c + 0.5 * b) * np.cos(0.07 * w - 0.3 * c)
    texture = np.stack([signed(3 * height * width, 999 + k).reshape(3, height, width) for k in range(batch)])
    return torch.from_numpy((smooth + 0.3 * texture).astype(np.float32))


def noise(count: int, snr_db: float) -> np.ndarray:
    """complex128 [count] of variance 10^(-snr_db/10)."""
    sigma = math.sqrt(1 / (2 * 10 ** (snr_db / 10)))
    return sigma * math.sqrt(3) * (signed(count, 777) + 1j * signed(count, 778))


def gains(count: int) -> np.ndarray:
    """float64 [count]: real fading gains of mean square one."""
    return np.sqrt(3 * signed(count, 779) ** 2 + 3 * signed(count, 780) ** 2) / math.sqrt(2)
