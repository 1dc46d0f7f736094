"""Source coding: codecs that write an image into at most so many bytes, the search for the rate, and the cache.

Nothing here knows a channel; `simulator.separation` brings the bytes over the air.
"""

from simulator.source.contract import DamagedFile, DoesNotFit, QuantisedCodec, SourceCodec
from simulator.source.ladder import LadderCodec
from simulator.source.search import Encoded, Ladder, finest_that_fits
from simulator.source.store import EncodeStore

__all__ = [
    "DamagedFile",
    "DoesNotFit",
    "EncodeStore",
    "Encoded",
    "Ladder",
    "LadderCodec",
    "QuantisedCodec",
    "SourceCodec",
    "finest_that_fits",
]
