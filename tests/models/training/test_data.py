"""Training data: what is read, what is refused, and that order depends on (seed, step) alone."""

import io
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from simulator.errors import UserError
from simulator.images import load_image
from simulator.models.training.data import ImageStore, load_images, training_batch, validation_batch


def encoded(seed: int, kind: str, size: tuple[int, int] = (24, 20)) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue()


def add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


@pytest.fixture
def store() -> ImageStore:
    images = [np.full((20 + i, 30, 3), i, np.uint8) for i in range(10)]
    return ImageStore(images, [f"{i:064x}" for i in range(10)])


def test_reads_folders_and_shards_by_content(tmp_path):
    (tmp_path / "folder" / "deeper").mkdir(parents=True)
    (tmp_path / "folder" / "a.png").write_bytes(encoded(0, "PNG"))
    (tmp_path / "folder" / "deeper" / "b.jpg").write_bytes(encoded(1, "WEBP"))  # the name lies
    (tmp_path / "folder" / "notes.txt").write_text("no image")
    with tarfile.open(tmp_path / "shard.tar", "w") as shard:
        add(shard, "c.webp", encoded(2, "JPEG"))
        add(shard, "../../outside.png", encoded(3, "PNG"))
        add(shard, "readme.md", b"no image")
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        shard.addfile(link)
    with zipfile.ZipFile(tmp_path / "shard.zip", "w") as packed:
        packed.writestr("d.png", encoded(4, "PNG"))
    sources = [tmp_path / "folder", tmp_path / "shard.tar", tmp_path / "shard.zip"]
    store = load_images(sources)
    assert len(store) == 5
    assert {image.shape for image in store.images} == {(24, 20, 3)}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "shard.tar", "shard.zip"]
    assert load_images(sources[::-1]).fingerprint() == store.fingerprint()
    assert len(load_images(sources, limit=3)) == 3


def test_suffixes_of_shards_may_be_capitals(tmp_path):
    with zipfile.ZipFile(tmp_path / "S.ZIP", "w") as packed:
        packed.writestr("a.PNG", encoded(0, "PNG"))
    with tarfile.open(tmp_path / "S.Tar", "w") as shard:
        add(shard, "b.png", encoded(1, "PNG"))
    assert len(load_images([tmp_path])) == len(load_images([tmp_path / "S.ZIP", tmp_path / "S.Tar"])) == 2


def test_hidden_files_of_a_folder_are_passed_over(tmp_path):
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(encoded(index, "PNG"))
        (tmp_path / f"._{index}.png").write_bytes(b"what macOS leaves beside files")
    assert len(load_images([tmp_path])) == 2


def test_pixels_are_those_of_the_file(tmp_path):
    for index in range(2):
        (tmp_path / f"{index}.png").write_bytes(encoded(index, "PNG"))
    store = load_images([tmp_path])
    expected = np.random.default_rng(1).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    assert np.array_equal(store.images[1], expected)


def test_training_reads_what_a_sweep_reads_and_cmyk_and_animations_too(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 256, (24, 20, 4), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    upright = picture.convert("RGB").transpose(Image.Transpose.ROTATE_270)
    turned = Image.Exif()
    turned[274] = 6
    picture.save(tmp_path / "alpha.png")
    picture.convert("RGB").save(tmp_path / "turned.png", exif=turned)
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
    for name in ("alpha.png", "turned.png", "sixteen.png"):
        (tmp_path / "set").mkdir(exist_ok=True)
        (tmp_path / "set" / name).write_bytes((tmp_path / name).read_bytes())
    picture.convert("CMYK").save(tmp_path / "set" / "z-cmyk.jpg")
    picture.save(tmp_path / "set" / "z-moving.webp", save_all=True, append_images=[Image.fromarray(pixels[::-1])])
    found = load_images([tmp_path / "set"]).images
    for name, image in zip(("alpha.png", "sixteen.png", "turned.png"), found, strict=False):
        assert np.array_equal(image, load_image(tmp_path / name)), name
    assert np.array_equal(found[2], np.asarray(upright))
    with Image.open(tmp_path / "set" / "z-cmyk.jpg") as cmyk:
        assert np.array_equal(found[3], np.asarray(cmyk.convert("RGB")))
    assert len(found) == 5


def test_bad_sources_are_explained(tmp_path):
    with pytest.raises(UserError, match="no training data"):
        load_images([tmp_path / "nowhere"])
    with pytest.raises(UserError, match="found 0 images"):
        load_images([tmp_path])
    (tmp_path / "broken.tar").write_bytes(b"not a tar")
    with pytest.raises(UserError, match="tar shard"):
        load_images([tmp_path])
    (tmp_path / "broken.tar").unlink()
    (tmp_path / "broken.png").write_bytes(encoded(0, "PNG")[:100])
    with pytest.raises(UserError, match=r"broken\.png"):
        load_images([tmp_path])


def test_twins_are_kept_once(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded(0, "PNG"))
    (tmp_path / "c.png").write_bytes(encoded(1, "PNG"))
    assert len(load_images([tmp_path])) == 2


def test_split_is_disjoint_complete_and_stable():
    digests = [f"{index:064x}" for index in range(256)]
    store = ImageStore([np.zeros((16, 16, 3), np.uint8)] * 256, digests)
    training, held_out = store.split()
    assert len(held_out) == 4
    assert sorted(training.digests + held_out.digests) == digests
    _, fewer = ImageStore(store.images[:100], digests[:100]).split()
    assert set(fewer.digests) <= set(held_out.digests)
    _, least = ImageStore(store.images[1:5], digests[1:5]).split()
    assert len(least) == 1


def test_batches_depend_on_seed_and_step_alone(store):
    late_first = training_batch(store, 0, 7, 4, 16)
    for step in range(7):
        training_batch(store, 0, step, 4, 16)
    assert torch.equal(training_batch(store, 0, 7, 4, 16), late_first)
    assert not torch.equal(training_batch(store, 1, 7, 4, 16), late_first)
    assert late_first.shape == (4, 3, 16, 16)
    assert late_first.dtype == torch.float32


@pytest.mark.parametrize("world", [1, 2])
def test_every_image_once_per_epoch(store, world):
    steps = 10 // (5 * world)
    batches = [training_batch(store, 3, step, 5, 16, rank, world) for step in range(steps) for rank in range(world)]
    seen = sorted(int(255 * image[0, 0, 0] + 0.5) for batch in batches for image in batch)
    assert seen == list(range(10))


def test_crops_are_pieces_of_the_image_flipped_or_not():
    image = np.arange(20 * 30 * 3, dtype=np.int64).reshape(20, 30, 3).astype(np.uint8)
    store = ImageStore([image], ["0" * 64])
    windows = np.lib.stride_tricks.sliding_window_view(image, (16, 16, 3)).reshape(-1, 16, 16, 3)
    flips = 0
    for step in range(20):
        crop = (training_batch(store, 0, step, 1, 16)[0] * 255).round().byte().permute(1, 2, 0).numpy()
        plain = (windows == crop).all(axis=(1, 2, 3)).any()
        mirrored = (windows == crop[:, ::-1]).all(axis=(1, 2, 3)).any()
        assert plain or mirrored
        flips += not plain
    assert 0 < flips < 20


def test_validation_takes_centres(store):
    batch = validation_batch(store, 4, 16)
    assert batch.shape == (4, 3, 16, 16)
    with pytest.raises(UserError, match="100 pixels"):
        validation_batch(store, 4, 100)
