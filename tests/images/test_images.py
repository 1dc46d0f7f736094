"""Image sets: what each kind of file becomes, what is refused and how."""

import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simulator import images
from simulator.errors import UserError
from simulator.images import group_by_size, kodak, load_image, load_image_set, reading
from simulator.images.pixels import image_digest, pad_to_multiple, to_float


@pytest.fixture
def photo() -> np.ndarray:
    """uint8 [24, 20, 3]: no two rows or columns alike, so that a wrong rotation shows."""
    return np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def test_samples_ship_with_scikit_image_and_come_in_order() -> None:
    found = load_image_set("samples")
    assert [image.name for image in found] == ["astronaut", "chelsea", "coffee", "rocket", "motorcycle_left"]
    assert [image.size for image in found] == [(512, 512), (300, 451), (400, 600), (427, 640), (500, 741)]
    assert found[0].pixels.shape == (3, 512, 512)
    assert found[0].digest == image_digest(found[0].pixels)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif", "bmp", "ppm"])
def test_lossless_files_come_back_exactly(tmp_path: Path, photo: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"photo.{suffix}"
    Image.fromarray(photo).save(path, lossless=True)
    np.testing.assert_array_equal(load_image(path), photo)


def test_float_images_round_trip(photo: np.ndarray) -> None:
    named = images.NamedImage("photo", photo)
    assert float(named.pixels.max()) <= 1
    assert named.digest == image_digest(to_float(photo))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_scaled(tmp_path: Path, suffix: str) -> None:
    grey = np.linspace(0, 65535, 32 * 16).astype(np.uint16).reshape(32, 16)
    Image.fromarray(grey).save(tmp_path / f"grey.{suffix}")
    expected = np.round(grey.astype(float) / 257).astype(np.uint8)
    np.testing.assert_array_equal(load_image(tmp_path / f"grey.{suffix}"), np.stack([expected] * 3, axis=2))


def test_palette_grey_and_alpha(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).quantize(64).save(tmp_path / "palette.png")
    expected = np.array(Image.fromarray(photo).quantize(64).convert("RGB"))
    np.testing.assert_array_equal(load_image(tmp_path / "palette.png"), expected)
    Image.fromarray(photo[..., 0]).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(load_image(tmp_path / "grey.png")[..., 2], photo[..., 0])
    alpha = np.full(photo.shape[:2], 0, np.uint8)
    alpha[:12] = 255
    Image.fromarray(np.dstack([photo, alpha])).save(tmp_path / "alpha.png")
    composited = load_image(tmp_path / "alpha.png")
    np.testing.assert_array_equal(composited[:12], photo[:12])
    assert (composited[12:] == 255).all()


@pytest.mark.parametrize(("orientation", "turned"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(tmp_path: Path, photo: np.ndarray, orientation: int, turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(photo).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(load_image(tmp_path / "turned.png"), np.rot90(photo, turned))


def _refused(tmp_path: Path, name: str, match: str) -> None:
    with pytest.raises(UserError, match=match) as refusal:
        load_image_set(str(tmp_path))
    message = str(refusal.value)
    assert name in message
    assert "\n" not in message


def test_damaged_files_are_named(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0x40]) + whole[middle + 1 :]
    for name, data in [("cut.png", whole[:middle]), ("flip.png", flipped), ("text.png", b"hello"), ("no.png", b"")]:
        (tmp_path / name).write_bytes(data)
        _refused(tmp_path, name, "read|damaged")
        (tmp_path / name).unlink()


@pytest.mark.parametrize("length", [100, 400, 700])
def test_truncated_jpeg_is_named(tmp_path: Path, photo: np.ndarray, length: int) -> None:
    Image.fromarray(photo).save(tmp_path / "cut.jpg", quality=95)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:length])
    _refused(tmp_path, "cut.jpg", "read|damaged")


def test_refused_kinds_are_named(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(np.ones((20, 20), np.float32)).save(tmp_path / "float.tif")
    _refused(tmp_path, "float.tif", "pixel format F")
    (tmp_path / "float.tif").unlink()
    Image.fromarray(photo).convert("CMYK").save(tmp_path / "cmyk.jpg")
    _refused(tmp_path, "cmyk.jpg", "pixel format CMYK")
    (tmp_path / "cmyk.jpg").unlink()
    pages = [Image.fromarray(photo), Image.fromarray(photo)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    _refused(tmp_path, "pages.tif", "several pictures")
    (tmp_path / "pages.tif").unlink()
    Image.fromarray(photo[:8, :8]).save(tmp_path / "tiny.png")
    _refused(tmp_path, "tiny.png", "8x8 is too small")
    (tmp_path / "tiny.png").unlink()
    Image.fromarray(photo).save(tmp_path / "bomb.png")
    for limit in (300, 100):  # Pillow, which has it too, warns above its limit and raises above twice its limit
        monkeypatch.setattr(reading, "MAX_PIXELS", limit)
        _refused(tmp_path, "bomb.png", "megapixels")


def test_folders_and_globs_are_sorted_and_deterministic(tmp_path: Path, photo: np.ndarray) -> None:
    for name in ("b.png", "a.PNG", "c.webp"):
        Image.fromarray(photo).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "deep").mkdir()
    Image.fromarray(photo).save(tmp_path / "deep" / "b.png")
    assert [image.name for image in load_image_set(str(tmp_path))] == ["a", "b", "c"]
    assert [image.name for image in load_image_set(f"{tmp_path}/*.png")] == ["b"]
    assert [image.name for image in load_image_set(f"{tmp_path}/**/*.png")] == ["b.png", "deep/b.png"]
    assert [image.name for image in load_image_set(f"{tmp_path}/c.webp")] == ["c"]


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    for spec in (str(tmp_path), str(tmp_path / "missing"), str(tmp_path / "*.png"), "sampels", ""):
        with pytest.raises(UserError, match=r"^no image"):
            load_image_set(spec)


def test_crop_is_centred_and_never_pads(tmp_path: Path, photo: np.ndarray) -> None:
    Image.fromarray(photo).save(tmp_path / "a.png")
    np.testing.assert_array_equal(load_image_set(str(tmp_path), crop=16)[0].rgb, photo[4:20, 2:18])
    with pytest.raises(UserError, match="'a' is 20x24, smaller than --crop 21"):
        load_image_set(str(tmp_path), crop=21)
    with pytest.raises(UserError, match="too small"):
        load_image_set(str(tmp_path), crop=8)


def test_batches_hold_one_size_in_order() -> None:
    sizes = [(16, 20), (20, 16), (16, 20), (16, 20)]
    named = [images.NamedImage(str(i), np.zeros((*size, 3), np.uint8)) for i, size in enumerate(sizes)]
    assert [[image.name for image in batch] for batch in group_by_size(named, 2)] == [["0", "2"], ["3"], ["1"]]


def test_kodak_is_held_to_the_originals(kodak_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = load_image_set("kodak", crop=32)
    assert [image.name for image in found] == [f"kodim{i:02d}" for i in range(1, 25)]
    copy = tmp_path / "kodak"
    shutil.copytree(kodak_dir, copy)
    monkeypatch.setenv("KODAK_DIR", str(copy))
    shutil.copy(copy / "kodim01.png", copy / "kodim02.png")
    with pytest.raises(UserError, match=r"kodim02\.png: not the Kodak original"):
        load_image_set("kodak")
    (copy / "kodim01.png").unlink()
    with pytest.raises(UserError, match=r"no kodim01\.png"):
        load_image_set("kodak")


@pytest.fixture
def site(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stand-in for the official site: a folder served over HTTP, and a table of two pictures."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.delenv("KODAK_DIR", raising=False)
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    rows = ["name,sha256_file,sha256_rgb_pixels"]
    for name in ("one.png", "two.png"):
        Image.fromarray(photo).save(folder / name)
        file_hash = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        rows.append(f"{name},{file_hash},{hashlib.sha256(photo.tobytes()).hexdigest()}")
    (tmp_path / "kodak.csv").write_text("\n".join(rows))
    monkeypatch.setattr(kodak, "files", lambda package: tmp_path)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(kodak, "KODAK_SITE", f"http://127.0.0.1:{server.server_port}/")
    yield folder
    server.shutdown()
    server.server_close()


def test_download_is_verified_and_goes_on(site: Path, tmp_path: Path) -> None:
    whole = (site / "two.png").read_bytes()
    (site / "two.png").write_bytes(whole[:-1])
    with pytest.raises(UserError, match=r"two\.png .*checksum"):
        load_image_set("kodak")
    cache = tmp_path / "cache" / "kodak"
    assert [path.name for path in cache.iterdir()] == ["one.png"]
    (site / "two.png").write_bytes(whole)
    (site / "one.png").unlink()
    assert [image.name for image in load_image_set("kodak")] == ["one", "two"]


def test_no_network_is_one_line(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kodak, "KODAK_SITE", "http://127.0.0.1:9/")
    with pytest.raises(UserError, match=r"cannot download one\.png .*set KODAK_DIR") as refusal:
        load_image_set("kodak")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("size", "padded_size"), [((16, 16), (16, 16)), ((17, 31), (32, 32)), ((33, 64), (48, 64))])
def test_padding_repeats_the_border(size, padded_size):
    images = torch.rand(2, 3, *size)
    padded = pad_to_multiple(images, 16)
    assert padded.shape == (2, 3, *padded_size)
    assert torch.equal(padded[..., : size[0], : size[1]], images)
    assert torch.equal(padded[..., -1, -1], images[..., -1, -1])
