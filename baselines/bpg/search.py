"""The finest quantiser whose file fits a budget."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.codec import MAX_QP, MIN_QP, check_image, encode
from simulator.baselines.bpg.errors import BpgDoesNotFit

_TYPICAL_QP = 34  # photographs at half a bit per pixel
_TYPICAL_BITS_PER_PIXEL = 0.5
_LOG2_BYTES_PER_QP = -0.17  # typical slope: six QPs double the step and halve the file


@dataclass(frozen=True)
class Encoded:
    data: bytes  # a BPG file
    qp: int


def encode_to_size(rgb: npt.NDArray[np.uint8], max_bytes: int, chroma: str = "444") -> Encoded:
    """Encodes with the smallest QP whose file has at most max_bytes bytes.

    File sizes fall with QP, close to exponentially, so the search interpolates log size between a QP that is too
    big and one that fits: 3-5 encodes. Its path depends on nothing but the arguments, never on the cache.

    rgb, chroma: as for `encode`.
    Raises:
        BpgDoesNotFit: even QP 51 needs more than max_bytes.
        BpgError: as `encode`.
    """
    check_image(rgb, chroma)
    too_big: tuple[int, float] | None = None  # the largest QP known not to fit, with log2 of its bytes
    fitting: Encoded | None = None
    pixels = rgb.shape[0] * rgb.shape[1]
    target = math.log2(max(max_bytes, 1))
    while True:
        low = MIN_QP if too_big is None else too_big[0] + 1
        high = MAX_QP if fitting is None else fitting.qp - 1
        if low > high:
            break
        qp = min(max(_guess(target, too_big, fitting, pixels), low), high)
        data = encode(rgb, qp, chroma)
        if len(data) <= max_bytes:
            fitting = Encoded(data, qp)
        else:
            too_big = qp, math.log2(len(data))
            smallest = len(data)
    if fitting is None:
        raise BpgDoesNotFit(
            f"BPG cannot fit {rgb.shape[1]} x {rgb.shape[0]} pixels into {max_bytes} bytes: "
            f"QP {MAX_QP} needs {smallest}; allow more bytes or use a smaller image"
        )
    return fitting


def _guess(target: float, too_big: tuple[int, float] | None, fitting: Encoded | None, pixels: int) -> int:
    """The QP whose log2 size is `target` on the line through the bracket, or through one point at the typical slope."""
    if too_big is not None and fitting is not None:
        fitting_log2 = math.log2(len(fitting.data))
        slope = (fitting_log2 - too_big[1]) / (fitting.qp - too_big[0])
    else:
        slope = _LOG2_BYTES_PER_QP
    if too_big is not None:
        qp, log2_bytes = too_big
    elif fitting is not None:
        qp, log2_bytes = fitting.qp, math.log2(len(fitting.data))
    else:
        qp, log2_bytes = _TYPICAL_QP, math.log2(pixels * _TYPICAL_BITS_PER_PIXEL / 8)
    return math.ceil(qp + (target - log2_bytes) / slope)
