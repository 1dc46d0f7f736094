"""HEVC parameter sets as BPG stores them (BPG specification section 3; H.265 clauses 7.3.2 and E.2).

A BPG file keeps only the fields of the sequence parameter set (SPS) that vary between encoders. `SpsFields.of_sps`
extracts them from an encoder's SPS, `parameter_sets` rebuilds a standard VPS and SPS for an unmodified decoder.
"""

from dataclasses import dataclass

from simulator.baselines.bpg.bitstream import SPS, VPS, BitReader, BitWriter, escape, unescape
from simulator.baselines.bpg.errors import BpgFormatError, BpgUnsupported

_MAX_FIELDS_BYTES = 64  # the longest legal header needs 27
_LEVEL_8_5 = 255
_RANGE_EXTENSIONS_PROFILE = 4
# Bits of the 9 SPS range extension flags, first flag highest.
_EXTENDED_PRECISION, _CABAC_BYPASS_ALIGNMENT = 1 << 4, 1 << 0


@dataclass(frozen=True)
class PcmFields:
    bit_depth_luma_minus1: int
    bit_depth_chroma_minus1: int
    log2_min_size_minus3: int
    log2_diff_max_min_size: int
    loop_filter_disabled: bool


@dataclass(frozen=True)
class SpsFields:
    """The part of the SPS that BPG carries. `range_flags`: the nine SPS range extension flags, None if absent."""

    log2_min_cb_minus3: int
    log2_diff_max_min_cb: int
    log2_min_tb_minus2: int
    log2_diff_max_min_tb: int
    max_transform_hierarchy_depth_intra: int
    sample_adaptive_offset: bool
    pcm: PcmFields | None
    strong_intra_smoothing: bool
    range_flags: int | None

    @property
    def min_coding_block(self) -> int:
        """Side of the smallest coding block in luma samples; picture sizes are padded to its multiples."""
        return 8 << self.log2_min_cb_minus3

    @property
    def coding_tree_block(self) -> int:
        """Side of the coding tree block in luma samples."""
        return self.min_coding_block << self.log2_diff_max_min_cb

    @classmethod
    def of_bpg(cls, data: bytes) -> "SpsFields":
        """Parses the body of a BPG hevc_header.

        Raises:
            BpgFormatError: truncated or outside H.265's limits.
            BpgUnsupported: an SPS extension that BPG forbids.
        """
        if len(data) > _MAX_FIELDS_BYTES:
            raise BpgFormatError(f"BPG file is malformed: HEVC header of {len(data)} bytes")
        bits = BitReader(data)
        fields = cls(
            log2_min_cb_minus3=bits.ue(),
            log2_diff_max_min_cb=bits.ue(),
            log2_min_tb_minus2=bits.ue(),
            log2_diff_max_min_tb=bits.ue(),
            max_transform_hierarchy_depth_intra=bits.ue(),
            sample_adaptive_offset=bits.flag(),
            pcm=_read_pcm(bits),
            strong_intra_smoothing=bits.flag(),
            range_flags=_read_range_flags(bits),
        )
        fields._check()
        return fields

    @classmethod
    def of_sps(cls, sps: bytes) -> "SpsFields":
        """Extracts the fields from an encoder's SPS NAL unit.

        Raises:
            BpgUnsupported: the SPS has a field that BPG cannot carry.
        """
        bits = BitReader(unescape(sps))
        bits.u(16 + 4)  # NAL unit header, sps_video_parameter_set_id
        _require(bits.u(3) == 0, "temporal sub-layers")
        bits.u(1 + 88 + 8)  # sps_temporal_id_nesting_flag, general profile, general_level_idc
        _require(bits.ue() == 0, "an SPS identifier other than 0")
        if bits.ue() == 3:
            _require(not bits.flag(), "separate colour planes")
        bits.ue(), bits.ue()  # picture width and height
        if bits.flag():  # conformance window
            _require(all(bits.ue() == 0 for _ in range(4)), "a conformance window")
        bits.ue(), bits.ue()  # bit depths
        bits.ue()  # log2_max_pic_order_cnt_lsb_minus4
        bits.u(1)  # sps_sub_layer_ordering_info_present_flag
        bits.ue(), bits.ue(), bits.ue()
        block_sizes = bits.ue(), bits.ue(), bits.ue(), bits.ue()
        bits.ue()  # max_transform_hierarchy_depth_inter
        depth_intra = bits.ue()
        _require(not bits.flag(), "scaling lists")
        bits.u(1)  # amp_enabled_flag
        sample_adaptive_offset = bits.flag()
        pcm = _read_pcm(bits)
        _require(bits.ue() == 0, "reference picture sets")
        _require(not bits.flag(), "long-term reference pictures")
        bits.u(1)  # sps_temporal_mvp_enabled_flag
        strong_intra_smoothing = bits.flag()
        if bits.flag():
            _skip_vui(bits)
        range_flags = _read_range_flags(bits)
        return cls(*block_sizes, depth_intra, sample_adaptive_offset, pcm, strong_intra_smoothing, range_flags)

    def write_bpg(self) -> bytes:
        """The body of a BPG hevc_header; the inverse of `of_bpg`."""
        bits = BitWriter()
        self._write_block_sizes(bits)
        bits.ue(self.max_transform_hierarchy_depth_intra)
        bits.u(1, self.sample_adaptive_offset)
        self._write_pcm(bits)
        bits.u(1, self.strong_intra_smoothing)
        self._write_range_flags(bits)
        return bits.zero_padded()

    def write_sps(self, width: int, height: int, chroma_format_idc: int, bit_depth: int) -> bytes:
        """A standard SPS NAL unit for a still picture; width and height in luma samples before padding."""
        bits = BitWriter()
        bits.u(4, 0)  # sps_video_parameter_set_id
        bits.u(3, 0)  # sps_max_sub_layers_minus1
        bits.u(1, 1)  # sps_temporal_id_nesting_flag
        _write_profile(bits)
        bits.ue(0)  # sps_seq_parameter_set_id
        bits.ue(chroma_format_idc)
        if chroma_format_idc == 3:
            bits.u(1, 0)  # separate_colour_plane_flag
        bits.ue(_round_up(width, self.min_coding_block))
        bits.ue(_round_up(height, self.min_coding_block))
        bits.u(1, 0)  # conformance_window_flag: the BPG header crops, at any odd size
        bits.ue(bit_depth - 8)
        bits.ue(bit_depth - 8)
        bits.ue(4)  # log2_max_pic_order_cnt_lsb_minus4, as libbpg assumes
        bits.u(1, 1)  # sps_sub_layer_ordering_info_present_flag
        for _ in range(3):
            bits.ue(0)  # one picture in the buffer, no reordering, no latency limit
        self._write_block_sizes(bits)
        bits.ue(self.max_transform_hierarchy_depth_intra)  # for inter blocks, of which there are none
        bits.ue(self.max_transform_hierarchy_depth_intra)
        bits.u(1, 0)  # scaling_list_enabled_flag
        bits.u(1, 1)  # amp_enabled_flag
        bits.u(1, self.sample_adaptive_offset)
        self._write_pcm(bits)
        bits.ue(0)  # num_short_term_ref_pic_sets
        bits.u(1, 0)  # long_term_ref_pics_present_flag
        bits.u(1, 1)  # sps_temporal_mvp_enabled_flag
        bits.u(1, self.strong_intra_smoothing)
        bits.u(1, 0)  # vui_parameters_present_flag
        self._write_range_flags(bits)
        return _nal(SPS, bits)

    def _write_block_sizes(self, bits: BitWriter) -> None:
        bits.ue(self.log2_min_cb_minus3)
        bits.ue(self.log2_diff_max_min_cb)
        bits.ue(self.log2_min_tb_minus2)
        bits.ue(self.log2_diff_max_min_tb)

    def _write_pcm(self, bits: BitWriter) -> None:
        bits.u(1, self.pcm is not None)
        if self.pcm is not None:
            bits.u(4, self.pcm.bit_depth_luma_minus1)
            bits.u(4, self.pcm.bit_depth_chroma_minus1)
            bits.ue(self.pcm.log2_min_size_minus3)
            bits.ue(self.pcm.log2_diff_max_min_size)
            bits.u(1, self.pcm.loop_filter_disabled)

    def _write_range_flags(self, bits: BitWriter) -> None:
        bits.u(1, self.range_flags is not None)
        if self.range_flags is not None:
            bits.u(8, 0x80)  # sps_range_extension_flag, no other extension
            bits.u(9, self.range_flags)

    def _check(self) -> None:
        """H.265 clause 7.4.3.2 limits that keep the rebuilt SPS and the padded size sane."""
        log2_min_cb = 3 + self.log2_min_cb_minus3
        log2_ctb = log2_min_cb + self.log2_diff_max_min_cb
        log2_min_tb = 2 + self.log2_min_tb_minus2
        log2_max_tb = log2_min_tb + self.log2_diff_max_min_tb
        if not 4 <= log2_ctb <= 6 or not log2_min_tb < log2_min_cb or log2_max_tb > min(log2_ctb, 5):
            raise BpgFormatError("BPG file is malformed: coding or transform block sizes outside HEVC's limits")
        if self.max_transform_hierarchy_depth_intra > log2_ctb - log2_min_tb:
            raise BpgFormatError("BPG file is malformed: transform hierarchy deeper than its block sizes allow")
        if self.range_flags is not None and self.range_flags & (_EXTENDED_PRECISION | _CABAC_BYPASS_ALIGNMENT):
            raise BpgUnsupported("BPG file uses extended precision or CABAC bypass alignment, which BPG forbids")


def parameter_sets(
    fields: SpsFields, width: int, height: int, chroma_format_idc: int, bit_depth: int
) -> tuple[bytes, bytes]:
    """VPS and SPS NAL units (without start codes) of a still picture of width x height luma samples."""
    return _write_vps(), fields.write_sps(width, height, chroma_format_idc, bit_depth)


def _read_pcm(bits: BitReader) -> PcmFields | None:
    if not bits.flag():
        return None
    return PcmFields(bits.u(4), bits.u(4), bits.ue(), bits.ue(), bits.flag())


def _read_range_flags(bits: BitReader) -> int | None:
    if not bits.flag():
        return None
    has_range_flags = bits.flag()
    if bits.u(7):
        raise BpgUnsupported("BPG file uses an HEVC extension other than the range extensions")
    return bits.u(9) if has_range_flags else None


def _skip_vui(bits: BitReader) -> None:
    """Reads over vui_parameters(); BPG describes colour in its own header."""
    if bits.flag() and bits.u(8) == 255:  # aspect_ratio_idc EXTENDED_SAR
        bits.u(32)
    if bits.flag():
        bits.u(1)  # overscan_appropriate_flag
    if bits.flag():  # video_signal_type_present_flag
        bits.u(4)
        if bits.flag():
            bits.u(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.ue(), bits.ue()
    bits.u(3)
    _require(not bits.flag(), "a default display window")
    if bits.flag():  # vui_timing_info_present_flag
        bits.u(64)
        if bits.flag():
            bits.ue()
        _require(not bits.flag(), "HRD parameters")
    if bits.flag():  # bitstream_restriction_flag
        bits.u(3)
        for _ in range(5):
            bits.ue()


def _write_vps() -> bytes:
    bits = BitWriter()
    bits.u(4, 0)  # vps_video_parameter_set_id
    bits.u(2, 3)  # vps_base_layer_internal_flag, vps_base_layer_available_flag
    bits.u(6, 0)  # vps_max_layers_minus1
    bits.u(3, 0)  # vps_max_sub_layers_minus1
    bits.u(1, 1)  # vps_temporal_id_nesting_flag
    bits.u(16, 0xFFFF)
    _write_profile(bits)
    bits.u(1, 1)  # vps_sub_layer_ordering_info_present_flag
    for _ in range(3):
        bits.ue(0)
    bits.u(6, 0)  # vps_max_layer_id
    bits.ue(0)  # vps_num_layer_sets_minus1
    bits.u(2, 0)  # no timing info, no extension
    return _nal(VPS, bits)


def _write_profile(bits: BitWriter) -> None:
    """profile_tier_level() for Main 4:4:4 16 Still Picture, level 8.5 (BPG specification section 3.3)."""
    bits.u(8, _RANGE_EXTENSIONS_PROFILE)
    bits.u(32, 1 << (31 - _RANGE_EXTENSIONS_PROFILE))
    bits.u(4, 0b1011)  # progressive, not interlaced, non-packed, frames only
    bits.u(9, 0b000000110)  # no limit on depth or chroma; intra only, one picture only
    bits.u(35, 0)
    bits.u(8, _LEVEL_8_5)


def _nal(kind: int, bits: BitWriter) -> bytes:
    return bytes([kind << 1, 1]) + escape(bits.rbsp())


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def _require(condition: bool, feature: str) -> None:
    if not condition:
        raise BpgUnsupported(f"the HEVC encoder used {feature}, which BPG cannot carry")
