"""Bits and bytes shared by the BPG container and HEVC parameter sets.

u(n), ue(v): H.265 clause 9.2; ue7(n): BPG specification section 2; NAL units: H.265 clause 7.4.2 and annex B.
"""

import re
from collections.abc import Iterator

from simulator.baselines.bpg.errors import BpgFormatError

VPS, SPS, PPS = 32, 33, 34  # NAL unit types, H.265 table 7-1
IDR_W_RADL, IDR_N_LP = 19, 20
START_CODE = b"\x00\x00\x01"

UE7_LIMIT = 2**30 - 1  # what libbpg accepts; keeps hostile lengths far from any overflow
_MAX_GOLOMB_ZEROS = 31
_START_CODE = re.compile(START_CODE)
_EMULATION = re.compile(rb"\x00\x00(?=[\x00-\x03])")


class BitReader:
    """Reads big-endian bit fields; running past the end raises BpgFormatError."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def u(self, bits: int) -> int:
        """Unsigned integer of a fixed number of bits."""
        if bits > self._left:
            raise BpgFormatError("BPG file is malformed: a header ends in the middle of a field")
        self._left -= bits
        return (self._value >> self._left) & ((1 << bits) - 1)

    def ue(self) -> int:
        """Unsigned 0-th order Exp-Golomb code."""
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > _MAX_GOLOMB_ZEROS:
                raise BpgFormatError("BPG file is malformed: an Exp-Golomb code exceeds 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)

    def flag(self) -> bool:
        return self.u(1) == 1


class BitWriter:
    """Writes big-endian bit fields."""

    def __init__(self) -> None:
        self._value = 0
        self._bits = 0

    def u(self, bits: int, value: int) -> None:
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{value} does not fit {bits} bits")
        self._value = self._value << bits | value
        self._bits += bits

    def ue(self, value: int) -> None:
        length = (value + 1).bit_length()
        self.u(2 * length - 1, value + 1)

    def zero_padded(self) -> bytes:
        """The bytes so far, filled up with zero bits (BPG trailing_bits)."""
        padding = -self._bits % 8
        return (self._value << padding).to_bytes((self._bits + padding) // 8, "big")

    def rbsp(self) -> bytes:
        """The bytes so far, closed by rbsp_trailing_bits (a one, then zeros)."""
        self.u(1, 1)
        return self.zero_padded()


def write_ue7(value: int) -> bytes:
    """Shortest ue7 code of 0 <= value <= UE7_LIMIT."""
    if not 0 <= value <= UE7_LIMIT:
        raise ValueError(f"ue7 codes 0..{UE7_LIMIT}, not {value}")
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def read_ue7(data: bytes, position: int) -> tuple[int, int]:
    """Reads a ue7 code at `position`; returns (value, position after it)."""
    value = 0
    start = position
    while True:
        if position >= len(data):
            raise BpgFormatError("BPG file is truncated: it ends inside the header")
        byte = data[position]
        if position == start and byte == 0x80:
            raise BpgFormatError("BPG file is malformed: a length has a leading zero group")
        position += 1
        value = value << 7 | byte & 0x7F
        if value > UE7_LIMIT:
            raise BpgFormatError(f"BPG file is malformed: a length exceeds {UE7_LIMIT}")
        if byte < 0x80:
            return value, position


def split_nal_units(annexb: bytes) -> Iterator[bytes]:
    """NAL units of a byte stream that starts with a start code, without start codes and trailing zeros."""
    starts = [match.end() for match in _START_CODE.finditer(annexb)]
    ends = [start - 3 for start in starts[1:]] + [len(annexb)]
    for start, end in zip(starts, ends, strict=True):
        nal = annexb[start:end].rstrip(b"\x00")
        if nal:
            yield nal


def nal_type(nal: bytes) -> int:
    return nal[0] >> 1 & 0x3F


def layer_id(nal: bytes) -> int:
    return (nal[0] & 1) << 5 | nal[1] >> 3


def escape(rbsp: bytes) -> bytes:
    """Inserts emulation-prevention bytes (H.265 clause 7.4.2)."""
    return _EMULATION.sub(b"\x00\x00\x03", rbsp)


def unescape(nal: bytes) -> bytes:
    """Removes emulation-prevention bytes."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")


def still_picture_nal_units(payload: bytes) -> list[bytes]:
    """PPS and slice NAL units of the first picture in hevc_data, whose first start code is left out.

    Raises:
        BpgFormatError: a foreign VPS or SPS, or no intra picture at all.
    """
    units: list[bytes] = []
    slices = 0
    for nal in split_nal_units(START_CODE + payload):
        if len(nal) < 3 or layer_id(nal) > 0:
            continue
        kind = nal_type(nal)
        if kind in (VPS, SPS):
            raise BpgFormatError("BPG file is malformed: its payload carries its own HEVC sequence parameters")
        if kind in (IDR_W_RADL, IDR_N_LP):
            is_first_slice = bool(nal[2] & 0x80)
            if is_first_slice and slices:
                break
            slices += 1
            units.append(nal)
        elif kind == PPS:
            units.append(nal)
    if not slices:
        raise BpgFormatError("BPG file is malformed: its payload holds no HEVC intra picture")
    return units
