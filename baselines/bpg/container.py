"""The BPG file header (BPG specification 0.9.5, section 3)."""

from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from simulator.baselines.bpg.bitstream import UE7_LIMIT, read_ue7, write_ue7
from simulator.baselines.bpg.errors import BpgFormatError

MAGIC = b"BPG\xfb"

_Member = TypeVar("_Member", bound=IntEnum)


class PixelFormat(IntEnum):
    """Chroma sampling; the offsets are (horizontal, vertical) chroma positions in luma samples."""

    GREY = 0
    YUV420 = 1  # (0.5, 0.5), as in JPEG
    YUV422 = 2  # (0.5, 0)
    YUV444 = 3
    YUV420_VIDEO = 4  # (0, 0.5), as in MPEG-2
    YUV422_VIDEO = 5  # (0, 0)

    @property
    def chroma_format_idc(self) -> int:
        """The HEVC name of the sampling: 0 grey, 1 4:2:0, 2 4:2:2, 3 4:4:4."""
        return self - 3 if self > self.YUV444 else int(self)


class ColorSpace(IntEnum):
    BT601 = 0
    RGB = 1  # planes in the order G, B, R
    YCGCO = 2
    BT709 = 3
    BT2020 = 4  # non-constant luminance


@dataclass(frozen=True)
class BpgHeader:
    """What a BPG file says about its picture before any pixel is decoded."""

    width: int
    height: int
    pixel_format: PixelFormat = PixelFormat.YUV444
    color_space: ColorSpace = ColorSpace.BT601
    bit_depth: int = 8  # 8..14
    limited_range: bool = False
    has_alpha: bool = False  # an extra plane: opacity, or the W plane of CMYK
    is_cmyk: bool = False
    premultiplied_alpha: bool = False
    is_animation: bool = False
    extension: bytes | None = None  # EXIF, ICC, XMP ... (tag, length, data)*; checked, never interpreted


@dataclass(frozen=True)
class BpgFile:
    header: BpgHeader
    payload: bytes  # hevc_header_and_data()


def read_header(data: bytes) -> BpgHeader:
    """Parses the header of a BPG file.

    Raises:
        BpgFormatError: the bytes are not a BPG file, or the header is truncated or malformed.
    """
    return read_file(data).header


def read_file(data: bytes) -> BpgFile:
    """Splits a BPG file into header and HEVC payload; raises BpgFormatError as read_header does."""
    if data[:4] != MAGIC:
        raise BpgFormatError("not a BPG file: it does not start with the bytes 'BPG' 0xFB")
    if len(data) < 6:
        raise BpgFormatError("BPG file is truncated: it ends inside the header")
    first, second = data[4], data[5]
    alpha1, alpha2 = bool(first & 0x10), bool(second & 0x04)
    pixel_format = _member(PixelFormat, first >> 5, "pixel format")
    color_space = _member(ColorSpace, second >> 4, "color space")
    bit_depth = 8 + (first & 0x0F)
    is_cmyk = alpha2 and not alpha1
    if bit_depth > 14:
        raise BpgFormatError(f"BPG file is malformed: bit depth {bit_depth}, expected 8..14")
    if pixel_format is PixelFormat.GREY and (color_space is not ColorSpace.BT601 or is_cmyk):
        raise BpgFormatError("BPG file is malformed: a greyscale picture must have color space 0 and no W plane")

    width, position = read_ue7(data, 6)
    height, position = read_ue7(data, position)
    if width == 0 or height == 0:
        raise BpgFormatError(f"BPG file is malformed: picture of {width} x {height} pixels")
    length, position = read_ue7(data, position)
    extension = None
    if second & 0x08:
        extension_length, position = read_ue7(data, position)
        extension = _slice(data, position, extension_length, "extension data")
        position += extension_length
        _check_extension(extension)
    # A length of zero means: up to the end of the file. This is what bpgenc writes.
    payload = _slice(data, position, length or len(data) - position, "picture data")
    header = BpgHeader(
        width=width,
        height=height,
        pixel_format=pixel_format,
        color_space=color_space,
        bit_depth=bit_depth,
        limited_range=bool(second & 0x02),
        has_alpha=alpha1 or alpha2,
        is_cmyk=is_cmyk,
        premultiplied_alpha=alpha1 and alpha2,
        is_animation=bool(second & 0x01),
        extension=extension,
    )
    return BpgFile(header, payload)


def write_file(header: BpgHeader, payload: bytes) -> bytes:
    """A BPG file with `payload` (hevc_header_and_data) up to its end; the inverse of read_file."""
    if not (1 <= header.width <= UE7_LIMIT and 1 <= header.height <= UE7_LIMIT):
        raise ValueError(f"a BPG picture cannot be {header.width} x {header.height}")
    alpha1 = header.has_alpha and not header.is_cmyk
    alpha2 = header.is_cmyk or header.premultiplied_alpha
    has_extension = header.extension is not None
    flags = bytes(
        [
            header.pixel_format << 5 | alpha1 << 4 | header.bit_depth - 8,
            header.color_space << 4
            | has_extension << 3
            | alpha2 << 2
            | header.limited_range << 1
            | header.is_animation,
        ]
    )
    lengths = write_ue7(header.width) + write_ue7(header.height) + write_ue7(0)
    extension = b""
    if header.extension is not None:
        extension = write_ue7(len(header.extension)) + header.extension
    return MAGIC + flags + lengths + extension + payload


def _member(kind: type[_Member], value: int, what: str) -> _Member:
    try:
        return kind(value)
    except ValueError:
        raise BpgFormatError(f"BPG file is malformed: {what} {value} is reserved") from None


def _slice(data: bytes, start: int, length: int, what: str) -> bytes:
    if start + length > len(data):
        missing = start + length - len(data)
        raise BpgFormatError(f"BPG file is truncated: {missing} bytes of {what} are missing")
    return data[start : start + length]


def _check_extension(extension: bytes) -> None:
    position = 0
    while position < len(extension):
        _tag, position = read_ue7(extension, position)
        length, position = read_ue7(extension, position)
        _slice(extension, position, length, "extension data")
        position += length
