"""The codec as a whole: pixels through files and back, and every kind of file that the reference encoder writes."""

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import av.logging
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.baselines import bpg
from simulator.baselines.bpg import BpgError, BpgHeader, BpgUnsupported, ColorSpace, PixelFormat, picture
from simulator.baselines.bpg.codec import MAX_PIXELS, bpg_payload
from simulator.baselines.bpg.colour import planes_to_rgb, rgb_to_planes
from simulator.baselines.bpg.container import read_file, write_file

GOLDEN = Path(__file__).parents[1] / "golden" / "bpg.json"
LUMA_WEIGHTS = {
    ColorSpace.BT601: (0.299, 0.114),
    ColorSpace.BT709: (0.2126, 0.0722),
    ColorSpace.BT2020: (0.2627, 0.0593),
}


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


def photo(height: int = 64, width: int = 96) -> np.ndarray:
    """A smooth colourful picture with an edge and a little texture, uint8 [H, W, 3]."""
    y, x = np.mgrid[0:height, 0:width] / 16.0
    channels = [np.sin(x + 0.7), np.cos(y - 0.3 * x), np.sin(0.5 * x * y)]
    image = 128 + 80 * np.stack(channels, -1) + 20 * (x > y)[..., None]
    noise = np.random.default_rng(1).normal(0, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2)))


@pytest.mark.parametrize("chroma", ["444", "420"])
def test_finer_quantisers_cost_more_and_give_more(chroma: str) -> None:
    image = photo()
    files = {qp: bpg.encode(image, qp, chroma) for qp in (10, 22, 34, 46)}
    sizes = [len(file) for file in files.values()]
    quality = [psnr(bpg.decode(file), image) for file in files.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert quality == sorted(quality, reverse=True)
    assert quality[0] > (46 if chroma == "444" else 36)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.sampled_from(["444", "420"]), st.integers(0, 51))
def test_any_size_comes_back(height: int, width: int, chroma: str, qp: int) -> None:
    image = photo(height, width)
    file = bpg.encode(image, qp, chroma)
    assert bpg.decode(file).shape == image.shape
    header = bpg.read_header(file)
    assert (header.height, header.width, header.bit_depth) == (height, width, 8)


@pytest.mark.parametrize("shape", [(1, 1), (8, 8), (9, 17), (1, 40), (33, 2)])
def test_small_and_odd_pictures_keep_their_pixels(shape: tuple[int, int]) -> None:
    """Flat colour survives padding, subsampling and cropping at every size; 4:2:0 interpolation must not ring."""
    image = np.full((*shape, 3), (200, 90, 40), np.uint8)
    for chroma in ("444", "420"):
        assert np.abs(bpg.decode(bpg.encode(image, 4, chroma)).astype(int) - image).max() <= 2


def test_encoding_is_deterministic_and_speaks_the_container() -> None:
    image = photo()
    first = bpg.encode(image, 30)
    assert first == bpg.codec.encode_uncached(image, 30, PixelFormat.YUV444)
    assert first.startswith(b"BPG\xfb\x60\x00" + bytes([96, 64, 0]))


def test_x265_knows_every_option() -> None:
    """It ignores misspelt ones, with nothing but a warning."""
    level = av.logging.get_level()
    av.logging.set_level(av.logging.WARNING)
    try:
        with av.logging.Capture() as messages:
            picture.encode_picture([np.zeros((64, 64), np.uint8)], 0, 30)
    finally:
        av.logging.set_level(level)
    assert messages == []


def test_file_of_the_reference_encoder() -> None:
    golden = json.loads(GOLDEN.read_text())
    image = bpg.decode(base64.b64decode(golden["file_base64"]))
    assert np.array_equal(image, np.broadcast_to(golden["rgb"], (golden["height"], golden["width"], 3)))


# Planes that an ideal encoder would hand to HEVC, in floating point.


def ycc_values(image: np.ndarray, color_space: ColorSpace, limited: bool) -> list[np.ndarray]:
    r, g, b = image.astype(float).transpose(2, 0, 1)
    y_gain, c_gain, black = (219 / 255, 224 / 255, 16) if limited else (1, 1, 0)
    if color_space is ColorSpace.RGB:
        return [black + y_gain * channel for channel in (g, b, r)]
    if color_space is ColorSpace.YCGCO:
        cg, co = (2 * g - r - b) / 4, (r - b) / 2
        return [black + y_gain * (r + 2 * g + b) / 4, 128 + y_gain * cg, 128 + y_gain * co]
    k_r, k_b = LUMA_WEIGHTS[color_space]
    y = k_r * r + (1 - k_r - k_b) * g + k_b * b
    cb, cr = (b - y) / (2 - 2 * k_b), (r - y) / (2 - 2 * k_r)
    return [black + y_gain * y, 128 + c_gain * cb, 128 + c_gain * cr]


def rounded(values: list[np.ndarray]) -> list[np.ndarray]:
    return [np.clip(np.floor(value + 0.5), 0, 255).astype(np.uint8) for value in values]


def file_of(planes: list[np.ndarray], header: BpgHeader, qp: int = 2) -> bytes:
    return write_file(header, bpg_payload(picture.encode_picture(planes, header.pixel_format.chroma_format_idc, qp)))


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("color_space", list(ColorSpace))
def test_every_colour_space_and_range(color_space: ColorSpace, limited: bool) -> None:
    image = photo()
    header = BpgHeader(96, 64, PixelFormat.YUV444, color_space, limited_range=limited)
    assert psnr(bpg.decode(file_of(rounded(ycc_values(image, color_space, limited)), header)), image) > 46


def test_grey() -> None:
    grey = photo()[..., 1]
    for limited in (False, True):
        planes = [np.floor(16 + grey.astype(float) * 219 / 255 + 0.5).astype(np.uint8)] if limited else [grey]
        decoded = bpg.decode(file_of(planes, BpgHeader(96, 64, PixelFormat.GREY, limited_range=limited)))
        assert np.array_equal(decoded[..., 0], decoded[..., 2])
        assert psnr(decoded[..., 0], grey) > 48


@pytest.mark.parametrize("pixel_format", list(PixelFormat)[1:])
def test_chroma_lies_where_the_format_says(pixel_format: PixelFormat) -> None:
    """A linear chroma ramp, sampled at the format's chroma positions, comes back as the same ramp."""
    height, width = 64, 96
    y, x = np.mgrid[0:height, 0:width].astype(float)

    def ramp(y: np.ndarray, x: np.ndarray) -> np.ndarray:
        return np.floor(70 + 0.6 * x + 0.8 * y + 0.5)

    centred_x = 0 if pixel_format in (PixelFormat.YUV420_VIDEO, PixelFormat.YUV422_VIDEO) else 0.5
    halve_x = pixel_format is not PixelFormat.YUV444
    halve_y = pixel_format.chroma_format_idc == 1
    positions_y = y[:: 2 if halve_y else 1, :: 2 if halve_x else 1] + (0.5 if halve_y else 0)
    positions_x = x[:: 2 if halve_y else 1, :: 2 if halve_x else 1] + (centred_x if halve_x else 0)
    chroma = ramp(positions_y, positions_x).astype(np.uint8)
    luma = np.full((height, width), 128, np.uint8)
    # The RGB colour space shows planes as they are: G, B, R.
    header = BpgHeader(width, height, pixel_format, ColorSpace.RGB)
    decoded = bpg.decode(file_of([luma, chroma, chroma], header, qp=0)).astype(float)
    inner = (slice(8, -8), slice(8, -8))  # edges repeat samples
    assert np.abs(decoded[..., 2] - ramp(y, x))[inner].max() <= 2
    assert abs((decoded[..., 2] - ramp(y, x))[inner].mean()) < 0.1


def test_lossless_rgb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(picture._X265_PARAMETERS, "lossless", 1)
    image = photo()
    planes = [image[..., channel] for channel in (1, 2, 0)]
    assert np.array_equal(bpg.decode(file_of(planes, BpgHeader(96, 64, color_space=ColorSpace.RGB))), image)


@pytest.mark.parametrize(
    "options", [{"ctu": 16}, {"ctu": 32, "min-cu-size": 16}, {"sao": 0}, {"strong-intra-smoothing": 0}]
)
def test_other_encoder_settings_travel_in_the_header(options: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    plain = bpg.decode(file_of(rgb_to_planes(photo(), PixelFormat.YUV444), BpgHeader(96, 64), qp=20))
    for name, value in options.items():
        monkeypatch.setitem(picture._X265_PARAMETERS, name, value)
    other = file_of(rgb_to_planes(photo(), PixelFormat.YUV444), BpgHeader(96, 64), qp=20)
    assert psnr(bpg.decode(other), photo()) > psnr(plain, photo()) - 1


def test_metadata_is_skipped() -> None:
    file = read_file(bpg.encode(photo(), 30))
    icc = bytes([2, 5]) + b"icc\0\1"
    header = BpgHeader(96, 64, extension=icc)
    assert np.array_equal(
        bpg.decode(write_file(header, file.payload)), bpg.decode(write_file(file.header, file.payload))
    )


@pytest.mark.parametrize(
    ("header", "feature"),
    [
        (BpgHeader(16, 16, has_alpha=True), "an alpha plane"),
        (BpgHeader(16, 16, has_alpha=True, is_cmyk=True), "CMYK"),
        (BpgHeader(16, 16, is_animation=True), "animation"),
        (BpgHeader(16, 16, bit_depth=10), "10 bits per sample"),
        (BpgHeader(2**14, 2**13), f"limit of {MAX_PIXELS} pixels"),
        (BpgHeader(2**29, 1), "a side"),
    ],
)
def test_features_left_out_are_named(header: BpgHeader, feature: str) -> None:
    with pytest.raises(BpgUnsupported, match=feature):
        bpg.decode(write_file(header, read_file(bpg.encode(photo(16, 16), 40)).payload))


def test_a_huge_picture_in_a_few_bytes_is_refused_before_decoding() -> None:
    payload = read_file(bpg.encode(photo(), 40)).payload
    with pytest.raises(BpgError, match="8192 x 8192 pixels need more data"):
        bpg.decode(write_file(BpgHeader(2**13, 2**13), payload))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_raises_nothing_but_bpg_errors(data: st.DataObject) -> None:
    file = bytearray(bpg.encode(photo(), 30))
    for position in data.draw(st.lists(st.integers(9, len(file) - 1), max_size=4)):
        file[position] ^= data.draw(st.integers(1, 255))
    length = data.draw(st.integers(0, len(file)) | st.just(len(file)))
    with contextlib.suppress(BpgError):
        assert bpg.decode(bytes(file[:length])).shape == (64, 96, 3)


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_random_payloads_raise_nothing_but_bpg_errors(payload: bytes) -> None:
    sound = read_file(bpg.encode(photo(16, 16), 40)).payload
    for data in (payload, sound[:4] + payload, sound[:20] + payload):
        with contextlib.suppress(BpgError):
            bpg.decode(write_file(BpgHeader(16, 16), data))


@pytest.mark.parametrize(
    ("image", "qp", "chroma", "reason"),
    [
        (np.zeros((16, 16), np.uint8), 30, "444", "shape"),
        (np.zeros((16, 16, 3), np.float32), 30, "444", "uint8"),
        (np.zeros((0, 16, 3), np.uint8), 30, "444", "shape"),
        (np.zeros((16, 16, 3), np.uint8), 52, "444", "QP"),
        (np.zeros((16, 16, 3), np.uint8), -1, "444", "QP"),
        (np.zeros((16, 16, 3), np.uint8), 29.5, "444", "whole number"),
        (np.zeros((16, 16, 3), np.uint8), 30, "422", "chroma"),
        (np.broadcast_to(np.uint8(0), (2**14, 2**13, 3)), 30, "444", "limit"),
    ],
)
def test_bad_arguments_are_explained(image: np.ndarray, qp: int, chroma: str, reason: str) -> None:
    with pytest.raises(BpgError, match=reason):
        bpg.encode(image, qp, chroma)


def test_bt601_round_trip_is_as_good_as_8_bits_allow() -> None:
    """Every value is rounded to the nearest; rounding Y, Cb and Cr costs 51-53 dB, the way back adds nothing."""
    image = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
    planes = rgb_to_planes(image, PixelFormat.YUV444)
    for plane, exact in zip(planes, ycc_values(image, ColorSpace.BT601, limited=False), strict=True):
        assert np.abs(plane - np.minimum(exact, 255)).max() < 0.5 + 1e-4
    assert psnr(planes_to_rgb(planes, BpgHeader(128, 128)), image) > 51


@pytest.mark.slow
def test_rate_and_distortion_on_kodak(kodak_dir: Path) -> None:
    """Three images at 0.25 bit per pixel. All 24 then have 30.76 dB; the reference encoder at 4:4:4, 30.8 dB."""
    from PIL import Image

    values = []
    for name, qp in (("kodim04", 34), ("kodim12", 32), ("kodim20", 33)):  # the next finer one takes more
        image = np.asarray(Image.open(kodak_dir / f"{name}.png").convert("RGB"))
        pair = [bpg.encode(image, qp), bpg.encode(image, qp - 1)]
        rates = [np.log(8 * len(data) / (image.size / 3)) for data in pair]
        assert rates[0] < np.log(0.25) < rates[1]
        values.append(np.interp(np.log(0.25), rates, [psnr(bpg.decode(data), image) for data in pair]))
    assert np.mean(values) == pytest.approx(33.949, abs=0.1)


@pytest.mark.parametrize("chroma", ["444", "420"])
@pytest.mark.parametrize("size", [(16, 5000), (24, 5000), (8, 9000), (5000, 16), (3, 30000), (31, 6000)])
def test_long_thin_pictures_come_back(size: tuple[int, int], chroma: str) -> None:
    height, width = size
    grey = np.linspace(20, 230, height * width).reshape(height, width).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    shown = bpg.decode(bpg.encode(rgb, 20, chroma))
    assert shown.shape == rgb.shape
    assert np.abs(shown.astype(int) - rgb).mean() < 2
