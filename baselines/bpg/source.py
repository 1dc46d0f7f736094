"""BPG as a source codec."""

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.codec import decode, read_qp, version
from simulator.baselines.bpg.search import encode_to_size
from simulator.source import QuantisedCodec


class BpgCodec(QuantisedCodec):
    """The finest BPG file that fits."""

    name = "BPG"

    def __init__(self, chroma: str = "444", fill: bool = True) -> None:
        """chroma: "444" or "420"; fill: as for `encode_to_size`."""
        self._chroma, self._fill = chroma, fill

    def version(self) -> str:
        """Names x265's build and our own part."""
        return version()

    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """As `SourceCodec.encode`."""
        return encode_to_size(rgb, max_bytes, self._chroma, fill=self._fill).data

    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """As `SourceCodec.decode`; the file has its own size."""
        return decode(data)

    def qp(self, data: bytes) -> int:
        """As `QuantisedCodec.qp`; where parts of the picture have a finer one, that of the rest."""
        return read_qp(data)
