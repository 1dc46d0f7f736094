"""An image codec: 8 x 8 DCT of each colour, one quantiser step for all coefficients, zlib."""

import zlib

import numpy as np
from scipy.fft import dctn, idctn

from simulator.source import DamagedFile, Ladder, LadderCodec


class Dct(LadderCodec):
    name, suffix = "DCT + zlib", "dct"
    ladders = (Ladder(coarsest=0, finest=60, typical=20, log2_bytes_per_level=0.1),)

    def version(self):
        return zlib.ZLIB_RUNTIME_VERSION

    def write(self, rgb, level):
        height, width = rgb.shape[:2]
        padded = np.pad(rgb, ((0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        blocks = padded.reshape(len(padded) // 8, 8, -1, 8, 3) - 128.0
        levels = np.rint(dctn(blocks, axes=(1, 3), norm="ortho") / _step(level))
        by_frequency = levels.transpose(1, 3, 4, 0, 2).astype("<i2").tobytes()
        return bytes([level]) + zlib.compress(by_frequency, 9)

    def read(self, data, size):
        rows, columns = (-(-side // 8) for side in size)
        try:
            levels = np.frombuffer(zlib.decompress(data[1:]), "<i2").reshape(8, 8, 3, rows, columns)
        except (zlib.error, ValueError) as error:
            raise DamagedFile(str(error)) from error
        blocks = idctn(levels.transpose(3, 0, 4, 1, 2) * _step(data[0]), axes=(1, 3), norm="ortho") + 128
        return blocks.reshape(8 * rows, 8 * columns, 3)[: size[0], : size[1]].round().clip(0, 255).astype(np.uint8)


def _step(level):
    return 512 * 2 ** (-level / 8)
