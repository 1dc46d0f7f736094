"""Images to files and back, with a check that a codec keeps its contract."""

import numpy as np
import torch

from simulator.errors import SchemeError
from simulator.images.pixels import to_float
from simulator.source import DamagedFile, DoesNotFit, SourceCodec


def compress(codec: SourceCodec, rgb: np.ndarray, max_bytes: int, scheme: str) -> bytes:
    """The codec's file of uint8 [H, W, 3], or nothing if none fits.

    Raises:
        SchemeError: it returned no bytes, or more than were allowed.
    """
    try:
        file = codec.encode(rgb, max_bytes)
    except DoesNotFit:
        return b""
    if not isinstance(file, bytes) or not file:
        raise SchemeError(f"{scheme}: encode must return bytes, or raise DoesNotFit; it returned {file!r:.40}")
    if len(file) > max_bytes:
        raise SchemeError(f"{scheme}: encode wrote {len(file)} bytes, {max_bytes} were allowed")
    return file


def show(codec: SourceCodec, file: bytes, size: tuple[int, int], scheme: str) -> torch.Tensor | None:
    """Decode a file whose CRCs hold, to float32 [3, H, W].

    Returns None when it is no file of that size: one damaged short block in 2^16 passes its CRC by accident.

    Raises:
        SchemeError: the codec returned no image.
    """
    try:
        rgb = codec.decode(file, size)
    except DamagedFile:
        return None
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        got = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise SchemeError(f"{scheme}: decode must return uint8 {(*size, 3)}, not {got}")
    return to_float(rgb) if rgb.shape[:2] == size else None
