"""`codec-ldpc:FILE.py:CLASS[:OPTION...]`: an image codec in a Python file behind the digital link, and its bound.

The class derives from `simulator.source.SourceCodec` or `LadderCodec` and is made from those options that are not the
link's. The fingerprint covers the file and what it imports, as for `torch:FILE.py:CLASS`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from simulator.codecs.files import load_class
from simulator.codecs.held import own_parts
from simulator.codecs.project import Project
from simulator.codecs.symbol import explained
from simulator.errors import SchemeError, UserError
from simulator.separation import LINK_OPTIONS, CodecCapacity, DigitalChain, declare_pair
from simulator.source import SourceCodec
from simulator.spec.options import declares

_CHAIN, _BOUND = declare_pair("codec", "an image codec in a Python file", form="FILE.py:CLASS[:OPTION...]")


@declares(_CHAIN)
def chain(*options: str) -> DigitalChain:
    """The chain of the codec that a file holds; entry point of the group `simulator.schemes`.

    Raises:
        UserError: no such file or class, a class that is no source codec, or options that it does not take.
    """
    own = tuple(one for one in options if not _is_links(one))
    codec = _load("codec-ldpc", own)
    chosen = _CHAIN.read([one for one in options if _is_links(one)])
    made = DigitalChain(codec, _CHAIN.spell(chosen, ":".join(("codec-ldpc", *own))), chosen)
    made.late_imports = codec.project.late  # type: ignore[attr-defined]
    return made


@declares(_BOUND)
def bound(*options: str) -> CodecCapacity:
    """The bound of the codec that a file holds; entry point of the group `simulator.schemes`.

    Raises:
        UserError: as `chain` does.
    """
    codec = _load("codec-capacity", options)
    made = CodecCapacity(codec, ":".join(("codec-capacity", *options)))
    made.late_imports = codec.project.late  # type: ignore[attr-defined]
    return made


def _is_links(option: str) -> bool:
    key, equals, _ = option.partition("=")
    return key in LINK_OPTIONS if equals else LINK_OPTIONS["mcs"].read(option) is not None


class OwnCodec(SourceCodec):
    """A user's codec: its project can be imported, and its errors take one line."""

    def __init__(self, codec: SourceCodec, spec: str, project: Project, version: str) -> None:
        """version: of all that changes results; the codec's own cache goes by it too."""
        self.name = codec.name
        self.project = project
        self._codec, self._spec, self._version = codec, spec, version
        codec.version = lambda: version  # type: ignore[method-assign]
        codec.can_be_kept = lambda: not project.late  # type: ignore[attr-defined]

    def version(self) -> str:
        """Of the file, what it imports, its weights, and what the codec says itself."""
        return self._version

    def encode(self, rgb: npt.NDArray[np.uint8], max_bytes: int) -> bytes:
        """As `SourceCodec.encode`. Raises SchemeError where the codec raises anything but DoesNotFit."""
        with self.project.entered(), explained(f"{self._spec}: encode failed", SchemeError):
            return self._codec.encode(rgb, max_bytes)

    def decode(self, data: bytes, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        """As `SourceCodec.decode`. Raises SchemeError where the codec raises anything but DamagedFile."""
        with self.project.entered(), explained(f"{self._spec}: decode failed", SchemeError):
            return self._codec.decode(data, size)


def _load(name: str, options: Sequence[str]) -> OwnCodec:
    made, digest, project = load_class(name, tuple(options), lambda chosen: "source codec")
    spec = ":".join((name, *options))
    if not isinstance(getattr(made, "name", None), str):
        raise UserError(f"'{options[0]}': {options[1]} has no name; give it a class attribute such as name = 'Mine'")
    with explained(f"{spec}: it cannot be distinguished from others of its class"), project.entered(telling=True):
        parts = [digest, *own_parts(made), str(made.version())]
    return OwnCodec(made, spec, project, "-".join(parts))
