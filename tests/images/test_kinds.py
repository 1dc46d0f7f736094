"""Pictures that few programs write, made by hand: decoded as their standards mean them, or refused in one line."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from simulator.errors import UserError
from simulator.images import load_image

RAMP = np.arange(256).reshape(16, 16)


def png(depth: int, colour: int, rows: list[bytes], *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 16, 16, depth, colour, 0, 0, 0)
    content = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in [*content, (b"IEND", b"")])


def tiff(bits: int, photometric: int, data: bytes, sample_format: int = 1) -> bytes:
    short = {256: 16, 257: 16, 258: bits, 259: 1, 262: photometric, 277: 1, 278: 16, 339: sample_format}
    entries = {tag: struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in short.items()}
    entries |= {tag: struct.pack("<HHII", tag, 4, 1, value) for tag, value in {273: 8, 279: len(data)}.items()}
    directory = b"".join(entries[tag] for tag in sorted(entries))
    start = b"II*\0" + struct.pack("<I", 8 + len(data)) + data
    return start + struct.pack("<H", len(entries)) + directory + bytes(4)


def bmp(bits: int, masks: tuple[int, ...], data: bytes) -> bytes:
    fields = b"".join(struct.pack("<I", mask) for mask in masks)
    size = 56 if len(masks) == 4 else 40  # with four masks, those of BITMAPV3HEADER
    header = struct.pack("<IiiHHIIiiII", size, 16, 16, 1, bits, 3, len(data), 0, 0, 0, 0) + fields
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(data), 0, 0, 14 + len(header)) + header + data


def packed(values: np.ndarray, bits: int) -> list[bytes]:
    """Each row's samples without gaps, the most significant bit first."""
    rows = ["".join(f"{value:0{bits}b}" for value in row) for row in values.tolist()]
    return [int(row, 2).to_bytes(len(row) // 8, "big") for row in rows]


def samples(bits: int) -> np.ndarray:
    """16 x 16 levels that use the whole range of so many bits."""
    return RAMP % 2**bits if bits < 8 else RAMP * (2**bits - 1) // 255


def grey(path: Path, data: bytes) -> np.ndarray:
    path.write_bytes(data)
    rgb = load_image(path)
    assert (rgb == rgb[..., :1]).all()
    return rgb[..., 0].astype(int)


def scaled(values: np.ndarray, bits: int) -> np.ndarray:
    return np.round(values / (2**bits - 1) * 255).astype(int)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 12, 16])
def test_grey_tiff_of_every_depth(tmp_path, bits, photometric):
    values = samples(bits)
    data = values.astype("<u2").tobytes() if bits == 16 else b"".join(packed(values, bits))
    expected = scaled(values, bits) if photometric else 255 - scaled(values, bits)
    if (bits, photometric) == (12, 0):
        with pytest.raises(UserError, match="of an unsupported kind"):
            grey(tmp_path / "a.tif", tiff(bits, photometric, data))
    else:
        np.testing.assert_array_equal(grey(tmp_path / "a.tif", tiff(bits, photometric, data)), expected)


@pytest.mark.parametrize(("bits", "sample_format"), [(8, 2), (16, 2), (16, 3), (10, 1), (14, 1)])
def test_other_samples_are_refused(tmp_path, bits, sample_format):
    data = b"".join(packed(samples(bits), bits))
    with pytest.raises(UserError, match=r"a\.tif: "):
        grey(tmp_path / "a.tif", tiff(bits, 1, data, sample_format))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_level_of_a_grey_png_is_white(tmp_path, bits):
    values = samples(bits)
    clear = int(values[3, 1])
    expected = np.where(values == clear, 255, scaled(values, bits))
    data = png(bits, 0, packed(values, bits), (b"tRNS", struct.pack(">H", clear)))
    np.testing.assert_array_equal(grey(tmp_path / "a.png", data), expected)


def test_a_transparent_colour_of_sixteen_bits_is_refused(tmp_path):
    rows = packed(np.repeat(samples(16), 3, axis=1), 16)
    with pytest.raises(UserError, match="transparent colour of 16 bits"):
        grey(tmp_path / "a.png", png(16, 2, rows, (b"tRNS", struct.pack(">HHH", 257, 257, 257))))


def test_sixteen_bit_alpha_is_composited_on_white(tmp_path):
    pairs = np.stack([samples(16), np.full((16, 16), 32768)], axis=-1).reshape(16, 32)
    found = grey(tmp_path / "a.png", png(16, 4, packed(pairs, 16)))
    assert np.abs(found - (samples(16) / 257 + 255) / 2).max() <= 1


@pytest.mark.parametrize("top", [15, 255, 1000, 4095, 65535])
def test_pgm_of_every_depth(tmp_path, top):
    values = RAMP * top // 255
    data = values.astype(">u2" if top > 255 else "u1").tobytes()
    found = grey(tmp_path / "a.pgm", b"P5 16 16 %d\n" % top + data)
    assert np.abs(found - values / top * 255).max() <= 0.51


@pytest.mark.parametrize("masks", [(0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)])
def test_colour_masks_are_decoded_as_meant(tmp_path, masks):
    values = (RAMP * 257).astype("<u2")
    (tmp_path / "a.bmp").write_bytes(bmp(16, masks, values.tobytes()))
    found = load_image(tmp_path / "a.bmp")[::-1]
    shifts = [(mask & -mask).bit_length() - 1 for mask in masks]
    meant = [((values & mask) >> by) * 255 / (mask >> by) for mask, by in zip(masks, shifts, strict=True)]
    assert np.abs(found - np.stack(meant, axis=-1)).max() < 1


@pytest.mark.parametrize("masks", [(0x1F, 0x7E0, 0xF800), (0xF00, 0xF0, 0xF)])
def test_other_colour_masks_are_refused(tmp_path, masks):
    (tmp_path / "a.bmp").write_bytes(bmp(16, masks, bytes(512)))
    with pytest.raises(UserError, match=r"a\.bmp: .*Unsupported BMP bitfields layout"):
        load_image(tmp_path / "a.bmp")


BGRA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


@pytest.mark.parametrize(("alpha", "meant"), [(0, "opaque"), (255, "opaque"), (128, "half")])
def test_alpha_of_a_bmp_that_is_zero_everywhere_is_unused(tmp_path, alpha, meant):
    pixels = np.dstack([RAMP, RAMP, RAMP, np.full((16, 16), alpha)]).astype(np.uint8)
    (tmp_path / "a.bmp").write_bytes(bmp(32, BGRA, pixels.tobytes()))
    found = load_image(tmp_path / "a.bmp")[::-1, :, 0].astype(int)
    assert np.abs(found - (RAMP if meant == "opaque" else (RAMP * 128 + 255 * 127) / 255)).max() <= 1


def test_one_opaque_pixel_of_a_bmp_says_that_the_others_are_transparent(tmp_path):
    pixels = np.dstack([RAMP, RAMP, RAMP, RAMP == 7]).astype(np.uint8) * np.array([1, 1, 1, 255], np.uint8)
    (tmp_path / "a.bmp").write_bytes(bmp(32, BGRA, pixels.tobytes()))
    found = load_image(tmp_path / "a.bmp")[::-1, :, 0]
    assert found[0, 7] == 7
    assert (found == 255).sum() == 255


def test_a_tga_whose_alpha_is_zero_everywhere_is_opaque(tmp_path):
    pixels = np.dstack([RAMP, RAMP, RAMP, np.zeros((16, 16))]).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.tga")
    assert (load_image(tmp_path / "a.tga")[..., 1] == RAMP).all()


@pytest.mark.parametrize("size", [40, 56])
@pytest.mark.parametrize("bit", [0, 1, None])
def test_the_alpha_bit_of_a_sixteen_bit_bmp_counts_where_a_mask_names_it(tmp_path, size, bit):
    marked = np.zeros((16, 16), bool) if bit == 0 else np.ones((16, 16), bool) if bit else RAMP % 2 == 1
    values = ((RAMP >> 3) * 0x421 | marked * 0x8000).astype("<u2")
    masks = (0x7C00, 0x3E0, 0x1F, 0x8000)[: 4 if size == 56 else 3]
    (tmp_path / "a.bmp").write_bytes(bmp(16, masks, values.tobytes()))
    found = load_image(tmp_path / "a.bmp")[::-1, :, 0].astype(int)
    shown = np.where(marked, RAMP >> 3, 31) if bit is None and size == 56 else RAMP >> 3
    assert np.abs(found - shown * 255 / 31).max() < 1


BROKEN_BLOCKS = (b"II*\0\xff\xff\xff\xff rest", b"XXXXXXXX", b"MM\0*\0\0\0\x08\xff\xff")


@pytest.mark.parametrize("block", BROKEN_BLOCKS)
def test_a_broken_exif_block_costs_no_picture(tmp_path, block, recwarn):
    file = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint8)).save(file, "JPEG", quality=100, exif=b"Exif\0\0" + block)
    assert np.abs(grey(tmp_path / "a.jpg", file.getvalue()) - RAMP).max() <= 2
    assert not recwarn.list


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png: not a regular file"):
        load_image(tmp_path / "pipe.png")


def colour_tiff(path: Path, pixels: np.ndarray, photometric: int = 2, planar: int = 1, **tags: int) -> Path:
    """A TIFF without compression: [16, 16, C] of uint8 or uint16, in rows or in planes; `tags` as t338=1."""
    count, bits = pixels.shape[2], pixels.itemsize * 8
    planes = [pixels[:, :, one] for one in range(count)] if planar == 2 else [pixels]
    parts = [np.ascontiguousarray(one).astype(f"<u{pixels.itemsize}").tobytes() for one in planes]
    start = 8 + sum(map(len, parts))
    offsets = [8 + sum(map(len, parts[:index])) for index in range(len(parts))]
    values = {258: ("H", [bits] * count), 273: ("I", offsets), 279: ("I", [*map(len, parts)])}
    short = {256: 16, 257: 16, 259: 1, 262: photometric, 277: count, 278: 16, 284: planar}
    values |= {tag: ("H", [value]) for tag, value in short.items()}
    values |= {int(tag[1:]): ("H", [value]) for tag, value in tags.items()}
    directory, beyond = b"", b""
    for tag, (kind, numbers) in sorted(values.items()):
        content = struct.pack(f"<{len(numbers)}{kind}", *numbers)
        if len(content) > 4:
            content, place = b"", start + 6 + 12 * len(values) + len(beyond)
            beyond += struct.pack(f"<{len(numbers)}{kind}", *numbers)
            content = struct.pack("<I", place)
        directory += struct.pack("<HHI", tag, 3 if kind == "H" else 4, len(numbers)) + content.ljust(4, b"\0")
    whole = b"II*\0" + struct.pack("<I", start) + b"".join(parts) + struct.pack("<H", len(values)) + directory
    path.write_bytes(whole + bytes(4) + beyond)
    return path


COLOURS = np.dstack([RAMP, RAMP.T, 255 - RAMP]).astype(np.uint8)
OPAQUE = np.dstack([COLOURS, np.full((16, 16), 255)]).astype(np.uint8)


@pytest.mark.parametrize("planar", [1, 2])
def test_colour_tiffs_in_rows_and_in_planes(tmp_path, planar):
    assert (load_image(colour_tiff(tmp_path / "a.tif", COLOURS, planar=planar)) == COLOURS).all()
    assert (load_image(colour_tiff(tmp_path / "b.tif", OPAQUE, planar=planar, t338=2)) == COLOURS).all()
    deep = colour_tiff(tmp_path / "c.tif", COLOURS.astype(np.uint16) * 257, planar=planar)
    if planar == 1:
        assert (load_image(deep) == COLOURS).all()
        return
    with pytest.raises(UserError, match=r"c\.tif: its channels lie in separate planes"):
        load_image(deep)


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({}, "does not say whether its last sample is alpha"),
        ({"t338": 2, "t254": 1}, "holds a raw photograph and a preview"),
        ({"t338": 2, "t50706": 1}, "holds a raw photograph and a preview"),
    ],
)
def test_tiffs_whose_meaning_would_be_guessed_are_refused(tmp_path, tags, words):
    with pytest.raises(UserError, match=rf"a\.tif: {words}"):
        load_image(colour_tiff(tmp_path / "a.tif", OPAQUE, **tags))


@pytest.mark.parametrize("setting", ["LOAD_TRUNCATED_IMAGES", "MAX_IMAGE_PIXELS"])
def test_settings_of_pillow_that_others_chose_count_for_nothing(tmp_path, monkeypatch, setting):
    """Notebooks often set the first, with which half a photograph is read as a whole one."""
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 80).convert("RGB").save(path)
    half = tmp_path / "half.jpg"
    half.write_bytes(path.read_bytes()[:900])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    if setting == "MAX_IMAGE_PIXELS":
        assert load_image(path).shape == (64, 64, 3)
    else:
        with pytest.raises(UserError, match=r"half\.jpg: cannot be read as an image"):
            load_image(half)
    assert (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS) == (True, 100)
