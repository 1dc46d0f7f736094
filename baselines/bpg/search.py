"""The finest quantiser whose file fits a budget."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.codec import MAX_QP, MIN_QP, check_image, encode
from simulator.baselines.bpg.errors import BpgDoesNotFit
from simulator.source import DoesNotFit, Ladder, finest_that_fits

# Levels count from the coarsest QP up. Photographs take half a bit per pixel at QP 34; six QPs double the step of the
# quantiser and halve the file.
_LADDER = Ladder(0, MAX_QP - MIN_QP, MAX_QP - 34, log2_bytes_per_level=0.17)


@dataclass(frozen=True)
class Encoded:
    data: bytes  # a BPG file
    qp: int


def encode_to_size(rgb: npt.NDArray[np.uint8], max_bytes: int, chroma: str = "444") -> Encoded:
    """Encodes with the smallest QP whose file has at most max_bytes bytes (`simulator.source.search`).

    rgb, chroma: as for `encode`.
    Raises:
        BpgDoesNotFit: even QP 51 needs more than max_bytes.
        BpgError: as `encode`.
    """
    check_image(rgb, chroma)
    height, width = rgb.shape[:2]
    try:
        found = finest_that_fits(lambda level: encode(rgb, MAX_QP - level, chroma), max_bytes, height * width, _LADDER)
    except DoesNotFit as error:
        cannot = f"BPG cannot fit {width} x {height} pixels into {max_bytes} bytes (QP {MAX_QP}: {error})"
        raise BpgDoesNotFit(f"{cannot}; allow more bytes or use a smaller image") from error
    return Encoded(found.data, MAX_QP - found.level)
