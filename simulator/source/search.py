"""The finest quality whose file fits a budget, in few encodes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from simulator.source.contract import DoesNotFit


@dataclass(frozen=True)
class Encoded:
    """A file and the level of quality at which it was written."""

    data: bytes
    level: int


@dataclass(frozen=True)
class Ladder:
    """The levels of quality of a codec, and what is known about their sizes in advance; it only saves encodes.

    Attributes:
        coarsest, finest: first and last level; sizes grow with the level, close to exponentially.
        typical: level at which a photograph takes `typical_bits_per_pixel`.
        typical_bits_per_pixel: size of a file of level `typical`.
        log2_bytes_per_level: slope of log2(bytes).
    """

    coarsest: int
    finest: int
    typical: int
    log2_bytes_per_level: float
    typical_bits_per_pixel: float = 0.5


def finest_that_fits(encode: Callable[[int], bytes], max_bytes: int, pixels: int, ladder: Ladder) -> Encoded:
    """Encode at the finest level whose file has at most `max_bytes` bytes.

    The search interpolates log2(bytes) between a level that is too big and one that fits: 3 to 5 encodes. Its path
    depends on nothing but the arguments, so a cache behind `encode` never changes the result.

    Args:
        encode: returns the file at a level.
        max_bytes: the budget.
        pixels: of the image, for the first guess.
        ladder: the levels.

    Raises:
        DoesNotFit: the coarsest level needs more.
    """
    fits: Encoded | None = None
    too_big: tuple[int, int] | None = None  # the coarsest level known not to fit, and its bytes
    while True:
        low = ladder.coarsest if fits is None else fits.level + 1
        high = ladder.finest if too_big is None else too_big[0] - 1
        if low > high:
            break
        level = min(max(_guess(max_bytes, fits, too_big, pixels, ladder), low), high)
        data = encode(level)
        if len(data) <= max_bytes:
            fits = Encoded(data, level)
        else:
            too_big = level, len(data)
    if fits is None:
        needed = too_big[1] if too_big else 0
        raise DoesNotFit(f"the coarsest file needs {needed} bytes, {max(max_bytes, 0)} are allowed")
    return fits


def _guess(max_bytes: int, fits: Encoded | None, too_big: tuple[int, int] | None, pixels: int, ladder: Ladder) -> int:
    """The level that meets the budget on the line through the bracket, or through one point at the typical slope."""
    slope = ladder.log2_bytes_per_level
    if too_big is not None and fits is not None:
        slope = (math.log2(too_big[1]) - math.log2(len(fits.data))) / (too_big[0] - fits.level)
    if too_big is not None:
        level, log2_bytes = too_big[0], math.log2(too_big[1])
    elif fits is not None:
        level, log2_bytes = fits.level, math.log2(len(fits.data))
    else:
        level, log2_bytes = ladder.typical, math.log2(pixels * ladder.typical_bits_per_pixel / 8)
    return math.floor(level + (math.log2(max(max_bytes, 1)) - log2_bytes) / slope)
