"""Codecs that encode at a level of quality: the search for the rate, the cache and short headers come with them."""

from abc import abstractmethod
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from simulator.source.contract import DamagedFile, DoesNotFit, SourceCodec
from simulator.source.search import Ladder, finest_that_fits
from simulator.source.store import EncodeStore
from simulator.source.template import Template, dummies, level_of, restore, strip, template


class LadderCodec(SourceCodec):
    """A codec with integer levels of quality; derive from it.

    What is sent is the file without the header that the receiver can write (`template.py`).

    Attributes:
        suffix: of its files, and name of its folder in the cache.
        ladders: the levels, at most 65535. Of several ladders, such as one for each chroma sampling, the encoder takes
            the file with the least squared error.
    """

    suffix: str
    ladders: tuple[Ladder, ...]

    @abstractmethod
    def write(self, rgb: npt.NDArray[np.uint8], level: int) -> bytes:
        """The file of uint8 [H, W, 3] at a level; a finer level makes a longer file."""

    @abstractmethod
    def read(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The image uint8 [H, W, 3] of a file; `size` is what (H, W) must be. Raises DamagedFile if it is not one."""

    def can_be_kept(self) -> bool:
        """Whether `version()` covers all that decides a file, so that the cache may have it."""
        return True

    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """As `SourceCodec.encode`; without the header that the receiver knows."""
        height, width = rgb.shape[:2]
        store = EncodeStore(rgb, self.suffix, self.version())

        def encode_level(level: int) -> bytes:
            return strip(self._write(store, rgb, level), level, self._template((height, width), level))

        found, short = [], []
        for ladder in self.ladders:
            try:
                found.append(finest_that_fits(encode_level, max_bytes, height * width, ladder).data)
            except DoesNotFit as error:
                short.append(error)
        if not found:
            raise short[0]
        if len(found) == 1:
            return found[0]
        return min(found, key=lambda data: _squared_error(rgb, self.decode(data, (height, width))))

    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """As `SourceCodec.decode`."""
        level = level_of(data)
        if level is None or not any(one.coarsest <= level <= one.finest for one in self.ladders):
            raise DamagedFile(f"{self.name}: no level of quality is {level}")
        return self.read(restore(data, self._template(size, level)), size)

    def _write(self, store: EncodeStore, rgb: npt.NDArray[np.uint8], level: int) -> bytes:
        return store.get(f"level{level}", lambda: self.write(rgb, level), self.can_be_kept)

    def _template(self, size: tuple[int, int], level: int) -> Template:
        return _cached_template(self, self.version(), size, level)

    def _make_template(self, size: tuple[int, int], level: int) -> Template:
        files = [self._write(EncodeStore(one, self.suffix, self.version()), one, level) for one in dummies(size)]
        return template(files[0], files[1])


@lru_cache(maxsize=512)
def _cached_template(codec: LadderCodec, version: str, size: tuple[int, int], level: int) -> Template:
    return codec._make_template(size, level)


def _squared_error(rgb: npt.NDArray[np.uint8], shown: npt.NDArray[np.uint8]) -> float:
    return float(np.square(rgb.astype(np.float64) - shown).mean())
