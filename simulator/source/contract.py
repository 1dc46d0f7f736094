"""The contract of an image codec that is sent over a digital link."""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt

from simulator.errors import UserError


class DoesNotFit(UserError):
    """Even the coarsest file of an image needs more bytes than are allowed."""


class DamagedFile(UserError):
    """The bytes are no file of the codec, or a damaged one."""


class SourceCodec(ABC):
    """An image codec; derive from it.

    Attributes:
        name: of the format, for readers, such as "JPEG 2000".
    """

    name: str

    @abstractmethod
    def version(self) -> str:
        """Identify everything besides the pixels that decides the bytes and the decoded image: library, settings."""

    @abstractmethod
    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """The best file of uint8 [H, W, 3] with at most `max_bytes` bytes; not empty.

        Raises:
            DoesNotFit: no file is that short.
        """

    @abstractmethod
    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """The image uint8 [H, W, 3] of a file; the receiver knows its size (H, W) for free.

        Raises:
            DamagedFile: `data` is no file of this codec.
        """


class QuantisedCodec(SourceCodec):
    """A codec whose files say how coarsely they were quantised."""

    @abstractmethod
    def qp(self, data: bytes) -> int:
        """The quantisation parameter of a file, as HEVC counts: six more double the step.

        Raises:
            DamagedFile: `data` is no file of this codec.
        """
