"""The BPG file header: what is written is read, and nothing but BpgError comes of bad bytes."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.baselines.bpg import BpgError, BpgFormatError, BpgHeader, ColorSpace, PixelFormat, read_header
from simulator.baselines.bpg.bitstream import UE7_LIMIT, write_ue7
from simulator.baselines.bpg.container import read_file, write_file

BLOCKS = st.lists(st.tuples(st.integers(0, UE7_LIMIT), st.binary(max_size=8)), max_size=3)


def extension_data(blocks: list[tuple[int, bytes]]) -> bytes:
    return b"".join(write_ue7(tag) + write_ue7(len(data)) + data for tag, data in blocks)


@st.composite
def headers(draw: st.DrawFn) -> BpgHeader:
    pixel_format = draw(st.sampled_from(PixelFormat))
    is_grey = pixel_format is PixelFormat.GREY
    alpha = draw(st.sampled_from(["none", "straight", "premultiplied"] + ["cmyk"] * (not is_grey)))
    return BpgHeader(
        width=draw(st.integers(1, UE7_LIMIT)),
        height=draw(st.integers(1, UE7_LIMIT)),
        pixel_format=pixel_format,
        color_space=ColorSpace.BT601 if is_grey else draw(st.sampled_from(ColorSpace)),
        bit_depth=draw(st.integers(8, 14)),
        limited_range=draw(st.booleans()),
        has_alpha=alpha != "none",
        is_cmyk=alpha == "cmyk",
        premultiplied_alpha=alpha == "premultiplied",
        is_animation=draw(st.booleans()),
        extension=draw(st.none() | BLOCKS.map(extension_data)),
    )


@given(headers(), st.binary(max_size=20))
def test_round_trip(header: BpgHeader, payload: bytes) -> None:
    file = read_file(write_file(header, payload))
    assert file.header == header
    assert file.payload == payload


@given(headers(), st.data())
def test_a_truncated_header_is_refused(header: BpgHeader, data: st.DataObject) -> None:
    written = write_file(header, b"")
    with pytest.raises(BpgFormatError):
        read_header(written[: data.draw(st.integers(0, len(written) - 1))])


@given(st.binary(max_size=40), st.booleans())
def test_random_bytes_raise_nothing_but_bpg_errors(data: bytes, magic: bool) -> None:
    with contextlib.suppress(BpgError):
        read_header(b"BPG\xfb" + data if magic else data)


def test_bytes_of_a_plain_header() -> None:
    """As bpgenc -f 420 writes them for 3200 x 2528 pixels."""
    written = write_file(BpgHeader(3200, 2528, PixelFormat.YUV420), b"")
    assert written.hex() == "425047fb20009900936000"


def test_a_stated_data_length_ends_the_payload() -> None:
    data = b"BPG\xfb\x60\x00" + b"\x10\x10" + b"\x03" + b"abc" + b"trailing"
    assert read_file(data).payload == b"abc"
    with pytest.raises(BpgFormatError, match="1 bytes of picture data"):
        read_file(data[:11])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a BPG file"),
        (b"\x89PNG\r\n\x1a\n", "not a BPG file"),
        (b"BPG\xfb\x60", "truncated"),
        (b"BPG\xfb\xc0\x00\x10\x10\x00", "pixel format 6 is reserved"),
        (b"BPG\xfb\x60\x50\x10\x10\x00", "color space 5 is reserved"),
        (b"BPG\xfb\x67\x00\x10\x10\x00", "bit depth 15"),
        (b"BPG\xfb\x00\x10\x10\x10\x00", "greyscale"),
        (b"BPG\xfb\x60\x00\x00\x10\x00", "0 x 16"),
        (b"BPG\xfb\x60\x00\x80\x10\x10\x00", "leading zero"),
        (b"BPG\xfb\x60\x08\x10\x10\x00\x02\x01\x05", "extension data are missing"),
    ],
)
def test_refusals_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(BpgFormatError, match=reason):
        read_header(data)
