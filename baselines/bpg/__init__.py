"""BPG still-image codec: HEVC intra pictures (x265) in Bellard's container.

    data = encode(rgb, qp=32)           # uint8 [H, W, 3] -> bytes of a .bpg file
    rgb = decode(data)
    best = encode_to_size(rgb, 4096)    # best.data, best.qp

A file whose header is sound but whose payload was damaged usually decodes to garbage without an error: HEVC has
no checksum of its own. Whoever sends BPG over a channel must detect errors (CRC) before decoding.
"""

from simulator.baselines.bpg.codec import decode, encode, identity, read_qp
from simulator.baselines.bpg.container import BpgHeader, ColorSpace, PixelFormat, read_header
from simulator.baselines.bpg.errors import BpgDoesNotFit, BpgError, BpgFormatError, BpgUnsupported
from simulator.baselines.bpg.search import Encoded, encode_to_size

__all__ = [
    "BpgDoesNotFit",
    "BpgError",
    "BpgFormatError",
    "BpgHeader",
    "BpgUnsupported",
    "ColorSpace",
    "Encoded",
    "PixelFormat",
    "decode",
    "encode",
    "encode_to_size",
    "identity",
    "read_header",
    "read_qp",
]
