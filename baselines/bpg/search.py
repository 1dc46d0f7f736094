"""The finest quantiser whose file fits a budget."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.codec import MAX_QP, MIN_QP, check_image, encode
from simulator.baselines.bpg.errors import BpgDoesNotFit
from simulator.baselines.bpg.picture import GROUP
from simulator.source import DoesNotFit, Ladder, finest_that_fits

_STEPS = 64  # between two QPs: about 0.2 % in size each
_TOLERANCE = 0.004  # of the budget stays unused rather than costs another encode


@dataclass(frozen=True)
class Encoded:
    """A BPG file, its QP, and how many quantisation groups at the top of the picture have one less."""

    data: bytes
    qp: int
    finer: int = 0


def encode_to_size(rgb: npt.NDArray[np.uint8], max_bytes: int, chroma: str = "444", *, fill: bool = True) -> Encoded:
    """Encodes with the smallest QP whose file has at most max_bytes bytes, and fills what is left.

    The next finer QP on a part of the picture takes the file to within 0.4 % of max_bytes, where the picture has
    enough quantisation groups (`simulator.source.search`).

    rgb, chroma: as for `encode`.
    fill: False leaves the rest of max_bytes empty.
    Raises:
        BpgDoesNotFit: even QP 51 needs more than max_bytes.
        BpgError: as `encode`.
    """
    check_image(rgb, chroma)
    height, width = rgb.shape[:2]
    shares, steps = _shares(rgb), _STEPS if fill else 1

    def setting(level: int) -> tuple[int, int]:
        """QP and finer groups; levels count from the coarsest QP up."""
        qps, step = divmod(level, steps)
        return MAX_QP - qps, int(np.searchsorted(shares, step / steps, side="right")) if step else 0

    def encode_level(level: int) -> bytes:
        qp, finer = setting(level)
        return encode(rgb, qp, chroma, finer)

    # Photographs take half a bit per pixel at QP 34; six QPs double the step of the quantiser and halve the file.
    ladder = Ladder(
        *(0, steps * (MAX_QP - MIN_QP), steps * (MAX_QP - 34)),
        log2_bytes_per_level=0.17 / steps,
        stride=steps,
        tolerance=_TOLERANCE if fill else 0.0,
    )
    try:
        found = finest_that_fits(encode_level, max_bytes, height * width, ladder)
    except DoesNotFit as error:
        cannot = f"BPG cannot fit {width} x {height} pixels into {max_bytes} bytes (QP {MAX_QP}: {error})"
        raise BpgDoesNotFit(f"{cannot}; allow more bytes or use a smaller image") from error
    return Encoded(found.data, *setting(found.level))


def _shares(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """The share of the bits that the quantisation groups up to each one take, guessed from gradients: [groups]."""
    grey = rgb.mean(2)
    change = np.abs(np.diff(grey, axis=0, prepend=grey[:1])) + np.abs(np.diff(grey, axis=1, prepend=grey[:, :1]))
    rows, columns = (range(0, side, GROUP) for side in grey.shape)
    sums = np.add.reduceat(np.add.reduceat(change, rows, axis=0), columns, axis=1).ravel() + 1
    return sums.cumsum() / sums.sum()
