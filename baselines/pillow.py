"""JPEG, JPEG 2000, WebP and AVIF as source codecs, by Pillow.

Settings are the strongest in squared error that stay fast. Each was compared on Kodak images at about 0.5 bits per
pixel: Huffman tables of the image's own (JPEG; progressive scans make such short files longer), the 9/7 wavelet with
the irreversible colour transform (JPEG 2000, +0.6 dB over OpenJPEG's default), method 6 (WebP), tune=psnr at speed 6
(AVIF, +0.2 dB over libavif's default tuning; speed 4 is worth 0.2 dB more and takes five times as long).
"""

import io
import struct
from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, features

from simulator.errors import UserError
from simulator.images.reading import quiet_decoding
from simulator.source import DamagedFile, Ladder, LadderCodec

_BROKEN = (OSError, RuntimeError, SyntaxError, ValueError, EOFError, IndexError, TypeError, OverflowError, struct.error)


class PillowCodec(LadderCodec):
    """A format that Pillow writes; derive from it.

    Attributes:
        feature: what Pillow calls the library behind it.
    """

    feature: str

    def __init__(self) -> None:
        """Raises UserError if this Pillow lacks the format."""
        if not features.check(self.feature):
            raise UserError(f"this Pillow was built without {self.name}; install another: pip install -U pillow")

    @abstractmethod
    def options(self, level: int) -> dict[str, Any]:
        """What `PIL.Image.save` is given at a level."""

    def version(self) -> str:
        """Pillow's version, the library's, and the settings at the finest level."""
        probe = self.options(self.ladders[0].finest)
        return f"Pillow {Image.__version__} {self.feature} {features.version(self.feature)} {probe} {self.ladders}"

    def write(self, rgb: npt.NDArray[np.uint8], level: int) -> bytes:
        """As `LadderCodec.write`."""
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, **self.options(level))
        return file.getvalue()

    def read(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """As `LadderCodec.read`."""
        kind = self.options(self.ladders[0].finest)["format"]
        try:
            with quiet_decoding(), Image.open(io.BytesIO(data), formats=[kind]) as image:
                if image.size != size[::-1]:
                    raise DamagedFile(f"{self.name}: {image.size[0]}x{image.size[1]} pixels, not {size[1]}x{size[0]}")
                return np.array(image.convert("RGB"))
        except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise DamagedFile(f"{self.name}: the file does not decode ({error})") from error


class Jpeg(PillowCodec):
    """Baseline JPEG with optimised Huffman tables; 4:4:4 or 4:2:0, whichever has the smaller error at the rate."""

    name, suffix, feature = "JPEG", "jpg", "jpg"
    _SAMPLINGS = ("444", "420")
    _QUALITIES = 128  # levels a sampling: a level is a quality of libjpeg plus this for 4:2:0

    def __init__(self, chroma: str = "best") -> None:
        """chroma: "best", "444" or "420"."""
        super().__init__()
        places = [self._QUALITIES * place for place, one in enumerate(self._SAMPLINGS) if chroma in ("best", one)]
        self.ladders = tuple(Ladder(base + 1, base + 100, base + 22, 0.05) for base in places)

    def options(self, level: int) -> dict[str, Any]:
        """As `PillowCodec.options`."""
        sampling, quality = divmod(level, self._QUALITIES)
        return {"format": "JPEG", "quality": quality, "subsampling": 2 * sampling, "optimize": True}


class Jpeg2000(PillowCodec):
    """JPEG 2000 code streams; a level is a compression ratio."""

    name, suffix, feature = "JPEG 2000", "j2k", "jpg_2000"
    _STEPS = 256  # levels an octave of bits per pixel, from 2^-6 on
    ladders = (Ladder(0, 9 * _STEPS, 5 * _STEPS, 1 / _STEPS, tolerance=0.003),)

    def options(self, level: int) -> dict[str, Any]:
        """As `PillowCodec.options`."""
        ratio = 24 / 2 ** (level / self._STEPS - 6)
        rate = {"quality_mode": "rates", "quality_layers": [ratio]}
        return {"format": "JPEG2000", "no_jp2": True, "irreversible": True, "mct": 1, **rate}


class WebP(PillowCodec):
    """Lossy WebP; a level is an eighth of libwebp's quality."""

    name, suffix, feature = "WebP", "webp", "webp"
    ladders = (Ladder(0, 800, 160, 0.004, stride=8, tolerance=0.003),)

    def options(self, level: int) -> dict[str, Any]:
        """As `PillowCodec.options`."""
        return {"format": "WEBP", "quality": level / 8, "method": 6}


class Avif(PillowCodec):
    """AVIF by libaom; a level is one of its 64 quantisers."""

    name, suffix, feature = "AVIF", "avif", "avif"
    ladders = (Ladder(0, 63, 15, 0.11),)

    def __init__(self, chroma: str = "444") -> None:
        """chroma: "444" or "420"."""
        super().__init__()
        self._sampling = {"444": "4:4:4", "420": "4:2:0"}[chroma]

    def options(self, level: int) -> dict[str, Any]:
        """As `PillowCodec.options`."""
        quality = {"quality": round(level * 100 / 63), "subsampling": self._sampling}
        return {"format": "AVIF", **quality, "speed": 6, "max_threads": 1, "advanced": {"tune": "psnr"}}
