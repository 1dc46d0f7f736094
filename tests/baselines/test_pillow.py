"""JPEG, JPEG 2000, WebP and AVIF: what is sent is the file less its header, within the bytes allowed."""

import io
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from simulator.baselines.pillow import Avif, Jpeg, Jpeg2000, PillowCodec, WebP
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.images.pixels import to_uint8
from simulator.link import load_scheme, transmit
from simulator.metrics import psnr_db
from simulator.source import DamagedFile, DoesNotFit
from simulator.source.template import level_of, restore

CODECS = [Jpeg, Jpeg2000, WebP, Avif]
HEADER_BYTES = {Jpeg: 170, Jpeg2000: 120, WebP: 12, Avif: 240}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "pillow-cache"))


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """uint8 [120, 144, 3], natural."""
    return to_uint8(load_image_set("samples", crop=144)[0].pixels)[:120]


@pytest.mark.parametrize("kind", CODECS)
def test_what_is_sent_is_the_file_less_the_header_that_both_ends_know(kind: type[PillowCodec], photo) -> None:
    codec = kind()
    sent = codec.encode(photo, 2500)
    level = level_of(sent)
    assert level is not None
    file = codec.write(photo, level)
    assert restore(sent, codec._template((120, 144), level)) == file
    assert len(sent) <= 2500
    assert len(file) - (len(sent) - 4) >= HEADER_BYTES[kind]
    with Image.open(io.BytesIO(file)) as plain:
        assert np.array_equal(codec.decode(sent, (120, 144)), np.array(plain.convert("RGB")))
    assert psnr_db(photo, codec.decode(sent, (120, 144))) > 22


@pytest.mark.parametrize("kind", CODECS)
def test_more_bytes_give_a_better_image_and_too_few_give_none(kind: type[PillowCodec], photo) -> None:
    codec = kind()
    files = [codec.encode(photo, budget) for budget in (1800, 3600, 7200)]
    quality = [psnr_db(photo, codec.decode(file, (120, 144))) for file in files]
    assert quality == sorted(quality)
    assert quality[2] > quality[0] + 4
    with pytest.raises(DoesNotFit, match=r"needs \d+ bytes, 4 are allowed"):
        codec.encode(photo, 4)


@pytest.mark.parametrize("kind", CODECS)
def test_truncated_and_foreign_bytes_are_damaged_files(kind: type[PillowCodec], photo) -> None:
    codec = kind()
    sent = codec.encode(photo, 2500)
    for data in (b"", b"abc", b"\xff" * 300, b"\0\x05\0\0" + b"\xff" * 300, sent[:2] + b"\0\0" + sent[4:]):
        with pytest.raises(DamagedFile):
            codec.decode(data, (120, 144))
    for data in (sent[:4], sent[:40], sent[:-50], sent[:60] + bytes(90) + sent[150:]):  # some decode, to garbage
        with suppress(DamagedFile):
            assert codec.decode(data, (120, 144)).shape == (120, 144, 3)
    level = codec.ladders[0].typical
    with pytest.raises(DamagedFile, match="144x100 pixels, not 144x120"):
        codec.decode(level.to_bytes(2, "big") + b"\0\0" + codec.write(photo[:100], level), (120, 144))


def test_jpeg_takes_the_better_chroma_sampling_at_the_rate(photo) -> None:
    for budget in (1500, 6000):
        error = {}
        for chroma in ("best", "444", "420"):
            codec = Jpeg(chroma)
            error[chroma] = -psnr_db(photo, codec.decode(codec.encode(photo, budget), (120, 144)))
        assert error["best"] == min(error["444"], error["420"])


def test_pillow_without_a_format_is_explained_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    with pytest.raises(UserError, match="this Pillow was built without AVIF; install another") as refusal:
        load_scheme("avif-ldpc")
    assert "\n" not in str(refusal.value)
    assert load_scheme("webp-capacity").name == "webp-capacity"


@pytest.mark.parametrize("name", ["jpeg", "jpeg2000", "webp", "avif"])
def test_the_chain_stays_below_its_bound(name: str, photo, tmp_path: Path) -> None:
    image = load_image_set("samples", crop=96)[0].pixels[None]
    quality = {}
    for kind in ("ldpc", "capacity"):
        trip = transmit(load_scheme(f"{name}-{kind}"), image, Fraction(1, 6), load_channel("awgn"), 12.0)
        assert trip.decoded.outage == [False]
        quality[kind] = psnr_db(to_uint8(image[0]), to_uint8(trip.decoded.images[0]))
    assert 20 < quality["ldpc"] < quality["capacity"] < quality["ldpc"] + 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "level", "published_bpp", "published_db", "gain_db"),
    [(Jpeg, 128 + 10, 0.316295, 26.655672, 0.0), (Jpeg2000, 5 * 256, 0.499803, 31.693025, 0.5)],
)
def test_rate_and_distortion_on_kodak(kodak_dir: Path, kind, level, published_bpp, published_db, gain_db) -> None:
    """Means over 24 images against the tables of tensorflow/compression (results/image_compression/kodak).

    JPEG at quality 10 and 4:2:0 has the same error in fewer bits, because its Huffman tables are the image's own.
    JPEG 2000 has a smaller error in the same bits by the irreversible transform, which is not OpenJPEG's default.
    """
    codec, points = kind(), []
    for path in sorted(kodak_dir.glob("kodim*.png")):
        rgb = np.array(Image.open(path).convert("RGB"))
        file = codec.write(rgb, level)
        points.append((8 * len(file) / (rgb.size / 3), psnr_db(rgb, codec.read(file, rgb.shape[:2]))))
    bpp, quality = np.mean(points, axis=0)
    assert len(points) == 24
    assert published_bpp - 0.07 < bpp < published_bpp
    assert quality == pytest.approx(published_db + gain_db, abs=0.05)
