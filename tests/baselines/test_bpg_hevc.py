"""HEVC parameter sets: what a BPG file leaves out is rebuilt so that a standard decoder finds everything in place."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.baselines.bpg import BpgFormatError, BpgHeader, BpgUnsupported, ColorSpace, PixelFormat, decode
from simulator.baselines.bpg.bitstream import (
    PPS,
    SPS,
    START_CODE,
    VPS,
    BitWriter,
    escape,
    nal_type,
    still_picture_nal_units,
    write_ue7,
)
from simulator.baselines.bpg.container import write_file
from simulator.baselines.bpg.hevc import PcmFields, SpsFields, parameter_sets

PLAIN = SpsFields(0, 1, 0, 2, 0, False, None, False, None)  # blocks 8..16, transforms 4..16
PCM = st.builds(PcmFields, st.integers(0, 7), st.integers(0, 7), st.integers(0, 2), st.integers(0, 2), st.booleans())


@st.composite
def sps_fields(draw: st.DrawFn) -> SpsFields:
    log2_min_cb = draw(st.integers(3, 6))
    log2_ctb = draw(st.integers(max(log2_min_cb, 4), 6))
    log2_min_tb = draw(st.integers(2, min(log2_min_cb - 1, 5)))
    log2_max_tb = draw(st.integers(log2_min_tb, min(log2_ctb, 5)))
    range_flags = draw(st.none() | st.integers(0, 2**9 - 1).map(lambda flags: flags & 0b111101110))
    return SpsFields(
        log2_min_cb - 3,
        log2_ctb - log2_min_cb,
        log2_min_tb - 2,
        log2_max_tb - log2_min_tb,
        draw(st.integers(0, log2_ctb - log2_min_tb)),
        draw(st.booleans()),
        draw(st.none() | PCM),
        draw(st.booleans()),
        range_flags,
    )


@given(sps_fields())
def test_bpg_fields_round_trip(fields: SpsFields) -> None:
    assert SpsFields.of_bpg(fields.write_bpg()) == fields


@given(sps_fields(), st.integers(1, 2**15), st.integers(1, 2**15), st.integers(0, 3))
def test_extraction_inverts_reconstruction(fields: SpsFields, width: int, height: int, chroma_format_idc: int) -> None:
    vps, sps = parameter_sets(fields, width, height, chroma_format_idc, 8)
    assert (nal_type(vps), nal_type(sps)) == (VPS, SPS)
    assert SpsFields.of_sps(sps) == fields


@given(st.binary(max_size=80))
def test_random_fields_raise_nothing_but_bpg_errors(data: bytes) -> None:
    try:
        fields = SpsFields.of_bpg(data)
    except (BpgFormatError, BpgUnsupported):
        return
    assert SpsFields.of_bpg(fields.write_bpg()) == fields


@pytest.mark.parametrize("extension", [1 << 4, 1 << 0])
def test_extensions_that_bpg_forbids_are_named(extension: int) -> None:
    with pytest.raises(BpgUnsupported, match="extended precision or CABAC bypass alignment"):
        SpsFields.of_bpg(replace(PLAIN, range_flags=extension).write_bpg())


def test_impossible_block_sizes_are_refused() -> None:
    for broken in (
        replace(PLAIN, log2_diff_max_min_cb=4),
        replace(PLAIN, log2_min_tb_minus2=1),
        replace(PLAIN, log2_diff_max_min_tb=3),
        replace(PLAIN, max_transform_hierarchy_depth_intra=3),
    ):
        with pytest.raises(BpgFormatError):
            SpsFields.of_bpg(broken.write_bpg())


def test_only_the_first_picture_of_layer_zero_is_kept() -> None:
    pps, first, more, foreign, sei = b"\x44\x01\xc1", b"\x26\x01\xaf", b"\x26\x01\x2f", b"\x26\x09\xaf", b"\x4e\x01\x05"
    payload = START_CODE.join([pps, sei, first, foreign, more, first])
    assert still_picture_nal_units(payload) == [pps, first, more]


@pytest.mark.parametrize("payload", [b"", b"\x44\x01\xc1", b"\x44", b"\x42\x01\x01\0\0\1\x26\x01\xaf", b"\0" * 20])
def test_payloads_without_a_picture_or_with_their_own_sequence_are_refused(payload: bytes) -> None:
    with pytest.raises(BpgFormatError):
        still_picture_nal_units(payload)


def picture_parameter_set(cross_component_prediction: bool) -> bytes:
    """PPS without loop filters, with the range extension of H.265 clause 7.3.2.3.2."""
    bits = BitWriter()
    bits.u(2, 0b11)  # PPS 0 of SPS 0
    bits.u(7, 0)
    bits.ue(0), bits.ue(0)  # reference indices
    bits.ue(0)  # QP 26
    bits.u(3, 0)
    bits.ue(0), bits.ue(0)  # chroma QP offsets
    bits.u(7, 0)
    bits.u(3, 0b101)  # deblocking disabled
    bits.u(2, 0)
    bits.ue(0)
    bits.u(1, 0)
    bits.u(9, 0b1_1000_0000)  # pps_range_extension_flag
    bits.u(1, cross_component_prediction)
    bits.u(1, 0)
    bits.ue(0), bits.ue(0)  # SAO offset scales
    return bytes([PPS << 1, 1]) + escape(bits.rbsp())


def jctvc_like_planes(slice_data: str, cross_component_prediction: bool, range_flags: int | None) -> np.ndarray:
    """Decodes a 16 x 16 picture of one intra block whose residual is `slice_data`; int planes Y, Cb, Cr minus 128."""
    header = BitWriter()
    header.u(2, 0b10)  # first slice
    header.ue(0)
    header.ue(2)  # I slice
    header.ue(40)  # QP 26 - 20
    picture = bytes([19 << 1, 1]) + escape(header.rbsp() + bytes.fromhex(slice_data))
    fields = replace(PLAIN, range_flags=range_flags).write_bpg()
    payload = write_ue7(len(fields)) + fields + picture_parameter_set(cross_component_prediction) + START_CODE + picture
    file = write_file(BpgHeader(16, 16, PixelFormat.YUV444, ColorSpace.RGB), payload)
    return decode(file)[..., [1, 2, 0]].transpose(2, 0, 1).astype(int) - 128  # G, B, R are Y, Cb, Cr


# Slice data found by trying random bytes until both chroma residuals were multiples of the luma residual, whatever
# follows the data. Only cross-component prediction (H.265 clause 7.3.8.12, equation 8-305) makes such pictures from
# one block whose predictor is flat.
@pytest.mark.parametrize(
    ("slice_data", "scales"),
    [
        ("f8c9c4aeff7fa16db465c359", (-2, -1)),
        ("c158469935f1b42b35d14227", (8, 1)),
        ("fe92b3747421aaf1b6dc593fd80c0e5b4ebc511d", (2, 8)),
    ],
)
@pytest.mark.parametrize("range_flags", [None, 0b111000010])
def test_cross_component_prediction(slice_data: str, scales: tuple[int, int], range_flags: int | None) -> None:
    y, cb, cr = jctvc_like_planes(slice_data, True, range_flags)
    assert np.ptp(y) >= 20
    assert np.array_equal(cb, scales[0] * y >> 3)
    assert np.array_equal(cr, scales[1] * y >> 3)
    without = jctvc_like_planes(slice_data, False, range_flags)
    assert not np.array_equal(without[1:], [cb, cr])


def test_range_extensions_of_the_sequence_reach_the_decoder() -> None:
    """Persistent Rice adaptation, which lossless JCTVC files use, changes how large coefficients parse."""
    slice_data = "debe095ba5b56f9b88ee67865c5475228c211d967e741cdc8966734cd53032b80e8bd9c1c811d92b"
    with_flag = jctvc_like_planes(slice_data, True, 0b000000010)
    assert not np.array_equal(with_flag, jctvc_like_planes(slice_data, True, 0))
    assert np.array_equal(jctvc_like_planes(slice_data, True, 0), jctvc_like_planes(slice_data, True, None))
