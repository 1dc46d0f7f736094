"""The QP of an HEVC intra picture, from the heads of its PPS and first slice (H.265 clauses 7.3.2.3 and 7.3.6.1)."""

from collections.abc import Sequence

from simulator.baselines.bpg.bitstream import PPS, BitReader, nal_type, unescape
from simulator.baselines.bpg.errors import BpgFormatError

_HEAD = 64  # bytes; the fields up to the QP need 20 at most
_NAL_HEADER, _BASE_QP = 16, 26


def picture_qp(units: Sequence[bytes], sample_adaptive_offset: bool, chroma_format_idc: int) -> int:
    """Read the QP with which the first slice of a picture begins.

    Args:
        units: PPS and slices, as `still_picture_nal_units` returns them.
        sample_adaptive_offset: what the SPS says of it.
        chroma_format_idc: likewise.

    Raises:
        BpgFormatError: a header is missing or damaged.
    """
    sets = [nal for nal in units if nal_type(nal) == PPS]
    slices = [nal for nal in units if nal_type(nal) != PPS]
    if not sets or not slices:
        raise BpgFormatError("BPG file is malformed: its payload lacks a picture parameter set or a slice")
    pps, head = _fields(sets[0]), _fields(slices[0])
    pps.ue(), pps.ue()  # identifiers
    pps.u(1)  # dependent_slice_segments_enabled_flag
    output_flag, extra_bits = pps.flag(), pps.u(3)
    pps.u(2)  # sign_data_hiding_enabled_flag, cabac_init_present_flag
    pps.ue(), pps.ue()  # reference pictures
    qp = _BASE_QP + _signed(pps)
    head.u(2)  # first_slice_segment_in_pic_flag, no_output_of_prior_pics_flag
    head.ue()  # identifier of the PPS
    head.u(extra_bits)
    head.ue()  # slice_type
    head.u(output_flag)
    head.u(sample_adaptive_offset * (2 if chroma_format_idc else 1))  # whether luma and chroma are offset
    return qp + _signed(head)


def _fields(nal: bytes) -> BitReader:
    """What follows the header of a NAL unit."""
    bits = BitReader(unescape(nal[:_HEAD]))
    bits.u(_NAL_HEADER)
    return bits


def _signed(bits: BitReader) -> int:
    """Signed 0-th order Exp-Golomb code."""
    code = bits.ue()
    return (code + 1) // 2 if code % 2 else -(code // 2)
