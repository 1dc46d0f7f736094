"""BPG files from pixels and back."""

import operator

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.bitstream import (
    IDR_N_LP,
    IDR_W_RADL,
    PPS,
    SPS,
    START_CODE,
    nal_type,
    read_ue7,
    split_nal_units,
    still_picture_nal_units,
    write_ue7,
)
from simulator.baselines.bpg.colour import Planes, planes_to_rgb, rgb_to_planes
from simulator.baselines.bpg.container import BpgHeader, PixelFormat, read_file, write_file
from simulator.baselines.bpg.errors import BpgError, BpgFormatError, BpgUnsupported
from simulator.baselines.bpg.hevc import SpsFields, parameter_sets
from simulator.baselines.bpg.picture import (
    decode_picture,
    encode_picture,
    encoder_identity,
    finer_identity,
    padded_size,
    quantisation_groups,
)
from simulator.baselines.bpg.quantiser import picture_qp
from simulator.source import EncodeStore

MIN_QP, MAX_QP = 0, 51
MAX_PIXELS = 2**26  # 8192 x 8192; a header may claim far more than its file can hold
MAX_SIDE = 2**15

_CHROMA = {"444": PixelFormat.YUV444, "420": PixelFormat.YUV420}
_REVISION = 1  # of our own part of the encoder (colour conversion, padding): keeps a new version off old cached files


def encode(rgb: npt.NDArray[np.uint8], qp: int, chroma: str = "444", finer: int = 0) -> bytes:
    """Encodes an image as a BPG file, or finds it in the cache on disk.

    Args:
        rgb: uint8 [H, W, 3], any size up to MAX_PIXELS.
        qp: HEVC quantisation parameter, 0 (finest) .. 51; the step doubles every 6.
        chroma: "444", or "420" with half the chroma samples per axis.
        finer: this many quantisation groups (`groups`) at the top of the picture have qp - 1.

    Raises:
        BpgError: arguments outside these limits, or x265 failed.
    """
    qp = _checked_qp(qp)
    pixel_format = check_image(rgb, chroma)
    if not 0 <= finer <= (groups(*rgb.shape[:2]) if qp else 0):
        raise BpgError(f"of the picture's groups, 0 to {groups(*rgb.shape[:2])} can be finer than QP {qp}, not {finer}")
    store = EncodeStore(rgb, "bpg", f"{chroma} {version() if finer else identity()}")
    level = f"qp{qp:02d}" + (f"finer{finer}" if finer else "")
    return store.get(level, lambda: encode_uncached(rgb, qp, pixel_format, finer))


def identity() -> str:
    """Names what decides the bytes of `encode` at whole QPs: x265's build and our own part."""
    return f"{encoder_identity()} revision {_REVISION}"


def version() -> str:
    """Names what decides the bytes of `encode` with any `finer`, and so of `encode_to_size`."""
    return f"{identity()} {finer_identity()}"


def groups(height: int, width: int) -> int:
    """How many quantisation groups an image has: areas that can have a QP of their own."""
    rows, columns, _ = padded_size(height, width)
    return quantisation_groups(rows, columns)


def encode_uncached(rgb: npt.NDArray[np.uint8], qp: int, pixel_format: PixelFormat, finer: int = 0) -> bytes:
    """As `encode`, without the cache and the checks."""
    height, width = rgb.shape[:2]
    rows, columns, block = padded_size(height, width)
    planes: Planes = []
    for plane in rgb_to_planes(rgb, pixel_format):
        halved = pixel_format is PixelFormat.YUV420 and bool(planes)
        target = (rows // 2, columns // 2) if halved else (rows, columns)
        planes.append(np.pad(plane, [(0, target[axis] - plane.shape[axis]) for axis in (0, 1)], mode="edge"))
    stream = encode_picture(planes, pixel_format.chroma_format_idc, qp, block, finer)
    return write_file(BpgHeader(width, height, pixel_format), bpg_payload(stream))


def bpg_payload(stream: bytes) -> bytes:
    """hevc_header_and_data() of an HEVC byte stream with one intra picture.

    Drops everything that is neither PPS nor slice; raises BpgUnsupported where the SPS goes beyond BPG.
    """
    units = list(split_nal_units(stream))
    fields = SpsFields.of_sps(next(nal for nal in units if nal_type(nal) == SPS)).write_bpg()
    kept = [nal for nal in units if nal_type(nal) in (PPS, IDR_W_RADL, IDR_N_LP)]
    return write_ue7(len(fields)) + fields + START_CODE.join(kept)


def decode(data: bytes) -> npt.NDArray[np.uint8]:
    """Decodes a BPG file to uint8 [H, W, 3] RGB; grey becomes three equal channels.

    Reads what the reference encoder `bpgenc` (x265 or JCTVC) writes at 8 bits: grey, 4:2:0, 4:2:2 and 4:4:4,
    in YCbCr, RGB or YCgCo, full or limited range. Metadata is skipped.

    A damaged payload usually decodes to garbage without an error: protect the bytes with a CRC where they may break.

    Raises:
        BpgFormatError: not a BPG file, truncated, malformed, or its payload does not decode.
        BpgUnsupported: alpha, CMYK, animation, more than 8 bits, or more than MAX_PIXELS pixels.
    """
    header, fields, units = _open(data)
    chroma = header.pixel_format.chroma_format_idc
    sets = parameter_sets(fields, header.width, header.height, chroma, header.bit_depth)
    planes = decode_picture([*sets, *units], chroma, header.height, header.width)
    return planes_to_rgb(planes, header)


def read_qp(data: bytes) -> int:
    """The QP of a BPG file's picture, without decoding it; where parts have a finer one (`encode`), that of the rest.

    Raises:
        BpgFormatError, BpgUnsupported: as `decode`.
    """
    header, fields, units = _open(data)
    return picture_qp(units, fields.sample_adaptive_offset, header.pixel_format.chroma_format_idc)


def _open(data: bytes) -> tuple[BpgHeader, SpsFields, list[bytes]]:
    """Header, fields of the SPS, and NAL units of a file's picture."""
    file = read_file(data)
    header = file.header
    _check_supported(header)
    length, position = read_ue7(file.payload, 0)
    if length > len(file.payload) - position:
        raise BpgFormatError("BPG file is truncated: it ends inside the HEVC header")
    fields = SpsFields.of_bpg(file.payload[position : position + length])
    units = still_picture_nal_units(file.payload[position + length :])
    _check_length(units, header, fields)
    return header, fields, units


def _check_supported(header: BpgHeader) -> None:
    unsupported = {
        "CMYK": header.is_cmyk,
        "an alpha plane": header.has_alpha,
        "animation": header.is_animation,
        f"{header.bit_depth} bits per sample (only 8)": header.bit_depth != 8,
    }
    for feature, present in unsupported.items():
        if present:
            raise BpgUnsupported(f"BPG file uses {feature}, which this decoder leaves out; convert it with bpgdec")
    if _too_large(header.height, header.width):
        raise BpgUnsupported(f"BPG picture of {header.width} x {header.height} exceeds {_LIMITS}")


def _check_length(units: list[bytes], header: BpgHeader, fields: SpsFields) -> None:
    """A few bytes cannot be a huge picture: each intra coding tree block spends at least a bit on its mode."""
    side = fields.coding_tree_block
    blocks = -(-header.width // side) * -(-header.height // side)
    if 8 * sum(map(len, units)) < blocks:
        raise BpgFormatError(
            f"BPG file is damaged: {header.width} x {header.height} pixels need more data than it holds"
        )


_LIMITS = f"the limit of {MAX_PIXELS} pixels and {MAX_SIDE} a side"


def _too_large(height: int, width: int) -> bool:
    return height * width > MAX_PIXELS or max(height, width) > MAX_SIDE


def check_image(rgb: npt.NDArray[np.uint8], chroma: str) -> PixelFormat:
    """The pixel format for `encode`'s arguments; raises BpgError when they are not as it says."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
        kind = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise BpgError(f"BPG encodes a uint8 array of shape (H, W, 3), got {kind}")
    if _too_large(*rgb.shape[:2]):
        raise BpgError(f"image of {rgb.shape[1]} x {rgb.shape[0]} exceeds {_LIMITS}")
    if chroma not in _CHROMA:
        raise BpgError(f"chroma must be one of {', '.join(_CHROMA)}, got '{chroma}'")
    return _CHROMA[chroma]


def _checked_qp(qp: int) -> int:
    try:
        value = operator.index(qp)
    except TypeError:
        raise BpgError(f"QP must be a whole number, got {qp!r}") from None
    if not MIN_QP <= value <= MAX_QP:
        raise BpgError(f"QP must lie in {MIN_QP}..{MAX_QP}, got {value}")
    return value
