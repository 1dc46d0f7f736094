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
    """The levels of quality of a codec, and what is known about their sizes in advance.

    Attributes:
        coarsest, finest: first and last level, multiples of `stride`; bytes grow with the level, about exponentially.
        typical: level at which a photograph takes `typical_bits_per_pixel`. This and the slope only save encodes.
        log2_bytes_per_level: slope of log2(bytes).
        typical_bits_per_pixel: size of a file of level `typical`.
        stride: multiples of it are tried first. All budgets share them, so that a cache is hit more often.
        tolerance: share of the budget that may stay unused; a search that leaves less ends.
    """

    coarsest: int
    finest: int
    typical: int
    log2_bytes_per_level: float
    typical_bits_per_pixel: float = 0.5
    stride: int = 1
    tolerance: float = 0.0


def finest_that_fits(encode: Callable[[int], bytes], max_bytes: int, pixels: int, ladder: Ladder) -> Encoded:
    """Encode at the finest level whose file has at most `max_bytes` bytes, or at one within the ladder's tolerance.

    The search interpolates log2(bytes) between a level that is too big and one that fits: 3 to 5 encodes, and 1 to 3
    below the stride. Its path depends on nothing but the arguments, so a cache behind `encode` never changes results.

    Args:
        encode: returns the file at a level.
        max_bytes: the budget.
        pixels: of the image, for the first guess.
        ladder: the levels.

    Raises:
        DoesNotFit: the coarsest level needs more.
    """
    bracket = _Bracket(max_bytes, pixels, ladder)
    for stride in sorted({ladder.stride, 1}, reverse=True):
        while (level := bracket.next(stride)) is not None:
            bracket.narrow(Encoded(encode(level), level))
    if bracket.fits is None:
        needed = bracket.too_big[1] if bracket.too_big else 0
        raise DoesNotFit(f"the coarsest file needs {needed} bytes, {max(max_bytes, 0)} are allowed")
    return bracket.fits


class _Bracket:
    """State of a search: the finest level that fits and the coarsest that does not, with its bytes."""

    def __init__(self, max_bytes: int, pixels: int, ladder: Ladder) -> None:
        self.fits: Encoded | None = None
        self.too_big: tuple[int, int] | None = None
        self._max_bytes, self._pixels, self._ladder = max_bytes, pixels, ladder

    def narrow(self, encoded: Encoded) -> None:
        """Take in the file of a level inside the bracket."""
        if len(encoded.data) <= self._max_bytes:
            self.fits = encoded
        else:
            self.too_big = encoded.level, len(encoded.data)

    def next(self, stride: int) -> int | None:
        """The multiple of `stride` to try next; None if the search is over."""
        ladder = self._ladder
        if self.fits and len(self.fits.data) >= (1 - ladder.tolerance) * self._max_bytes and ladder.tolerance:
            return None
        low = ladder.coarsest // stride if self.fits is None else self.fits.level // stride + 1
        high = ladder.finest // stride if self.too_big is None else -(-self.too_big[0] // stride) - 1
        if low > high:
            return None
        return min(max(math.floor(self._guess() / stride), low), high) * stride

    def _guess(self) -> float:
        """The level that meets the budget on the line through the bracket, or through a point at the typical slope."""
        ladder, slope = self._ladder, self._ladder.log2_bytes_per_level
        if self.too_big is not None and self.fits is not None:
            bits = math.log2(self.too_big[1]) - math.log2(len(self.fits.data))
            slope = bits / (self.too_big[0] - self.fits.level)
        if self.too_big is not None:
            level, log2_bytes = self.too_big[0], math.log2(self.too_big[1])
        elif self.fits is not None:
            level, log2_bytes = self.fits.level, math.log2(len(self.fits.data))
        else:
            level, log2_bytes = ladder.typical, math.log2(self._pixels * ladder.typical_bits_per_pixel / 8)
        aim = max(self._max_bytes, 1) * (1 - ladder.tolerance / 2)  # the middle of what ends the search
        return level + (math.log2(aim) - log2_bytes) / slope
