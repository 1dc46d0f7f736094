"""Encoding to a budget, and the cache that makes it cheap."""

import errno
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from simulator.baselines import bpg
from simulator.baselines.bpg import BpgDoesNotFit, BpgError, codec, search
from simulator.errors import UserError
from simulator.source import EncodeStore


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def encodes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The QPs that x265 was asked for, as they come."""
    asked: list[int] = []
    original = codec.encode_uncached

    def counted(rgb: np.ndarray, qp: int, pixel_format: bpg.PixelFormat, finer: int) -> bytes:
        asked.append(qp)
        return original(rgb, qp, pixel_format, finer)

    monkeypatch.setattr(codec, "encode_uncached", counted)
    return asked


def photo(seed: int = 0, side: int = 64) -> np.ndarray:
    """Smooth random fields at several scales: sizes fall with QP as a photograph's do. uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side, 3))
    for step in (1, 2, 4, 8, 16, 32):
        field = rng.normal(0, 4 * step**0.5, (side // step + 1, side // step + 1, 3))
        image += np.kron(field, np.ones((step, step, 1)))[:side, :side]
    return np.clip(128 + image, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("seed", "chroma"), [(0, "444"), (1, "444"), (2, "420")])
def test_the_finest_quantiser_that_fits(seed: int, chroma: str) -> None:
    image = photo(seed)
    sizes = [len(bpg.encode(image, qp, chroma)) for qp in range(52)]
    for budget in (sizes[51], sizes[51] + 1, 300, 700, 1500, sizes[20], sizes[1] - 1, sizes[0], 10**6):
        found = bpg.encode_to_size(image, budget, chroma)
        assert found.data == bpg.encode(image, found.qp, chroma, found.finer)
        assert sizes[found.qp] <= len(found.data) <= budget
        assert found.qp == 0 or sizes[found.qp - 1] > budget


def test_without_filling_it_is_a_whole_qp() -> None:
    image = photo(3)
    for budget in (500, 900, 1700):
        found = bpg.encode_to_size(image, budget, fill=False)
        assert found.finer == 0
        assert len(bpg.encode(image, found.qp)) <= budget < len(bpg.encode(image, found.qp - 1))


def test_the_budget_is_filled() -> None:
    """A finer QP on a part of the picture: at whole QPs 5 % of a budget stay unused on average."""
    image = photo(7, side=192)
    unused: dict[str, list[float]] = {"whole": [], "filled": []}
    for budget in (3000, 3600, 4300):
        found = bpg.encode_to_size(image, budget)
        unused["filled"].append(1 - len(found.data) / budget)
        unused["whole"].append(1 - len(bpg.encode(image, found.qp)) / budget)
        assert bpg.decode(found.data).shape == image.shape
    assert min(unused["filled"]) >= 0
    assert np.mean(unused["filled"]) < 0.006 < np.mean(unused["whole"])


def test_a_finer_part_is_finer_where_it_says() -> None:
    image = photo(3, side=128)  # 4 rows of 4 groups of 32 samples
    plain, mixed = (bpg.decode(bpg.encode(image, 38, finer=finer)) for finer in (0, 8))
    error = {name: (one - image.astype(float)) ** 2 for name, one in (("plain", plain), ("mixed", mixed))}
    assert error["mixed"][:64].mean() < 0.95 * error["plain"][:64].mean()
    assert error["mixed"][72:].mean() == pytest.approx(error["plain"][72:].mean(), rel=0.05)


@pytest.mark.parametrize(("qp", "finer"), [(38, 5), (38, -1), (0, 1)])
def test_no_more_groups_can_be_finer_than_there_are(qp: int, finer: int) -> None:
    with pytest.raises(BpgError, match=f"0 to 4 can be finer than QP {qp}, not {finer}"):
        bpg.encode(photo(), qp, finer=finer)


def test_few_encodes_per_search(encodes: list[int]) -> None:
    counts = []
    for seed in range(4):
        for budget in (200, 500, 1200, 3000):
            before = len(encodes)
            bpg.encode_to_size(photo(10 * seed + budget), budget)
            counts.append(len(encodes) - before)
    assert np.mean(counts) <= 7
    assert max(counts) <= 11


def test_every_budget_of_a_sweep_shares_its_encodes(encodes: list[int]) -> None:
    image = photo()
    budgets = range(300, 3000, 180)
    first = [bpg.encode_to_size(image, budget) for budget in budgets]
    done = len(encodes)
    assert [bpg.encode_to_size(image, budget) for budget in budgets] == first
    assert len(encodes) == done


def test_a_budget_that_cannot_fit_is_explained() -> None:
    with pytest.raises(BpgDoesNotFit, match=r"64 x 64 pixels into 40 bytes \(QP 51: .* needs \d+ bytes") as caught:
        bpg.encode_to_size(photo(), 40)
    assert isinstance(caught.value, UserError)
    for budget in (0, -5):
        with pytest.raises(BpgDoesNotFit):
            bpg.encode_to_size(photo(), budget)


def test_bad_images_are_explained() -> None:
    with pytest.raises(BpgError, match="uint8 array"):
        bpg.encode_to_size([[1]], 100)  # type: ignore[arg-type]


def test_the_path_does_not_depend_on_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a picture whose sizes are not monotone could change with the history of the cache."""
    visited: list[int] = []
    original = search.encode

    def watched(rgb: np.ndarray, qp: int, chroma: str, finer: int) -> bytes:
        visited.append(100 * qp + finer)
        return original(rgb, qp, chroma, finer)

    monkeypatch.setattr(search, "encode", watched)
    bpg.encode_to_size(photo(), 1234)
    cold = visited.copy()
    visited.clear()
    bpg.encode_to_size(photo(), 2345)
    visited.clear()
    bpg.encode_to_size(photo(), 1234)
    assert visited == cold


def entries(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def test_entries_are_plain_bpg_files(cache: Path) -> None:
    data = bpg.encode(photo(), 40)
    (path,) = entries(cache)
    assert path.suffix == ".bpg"
    assert path.read_bytes() == data


def test_the_key_holds_pixels_shape_chroma_and_qp(encodes: list[int]) -> None:
    image = photo()
    other = image.copy()
    other[5, 5, 1] ^= 1
    for variant in (image, other, image.reshape(32, 128, 3)):
        bpg.encode(variant, 40)
    bpg.encode(image, 40, "420")
    bpg.encode(image, 41)
    bpg.encode(np.asfortranarray(image), 40)
    assert encodes == [40, 40, 40, 40, 41]


def test_another_codec_version_has_its_own_entries(encodes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    bpg.encode(photo(), 40)
    monkeypatch.setattr(codec, "encoder_identity", lambda: "x265 (build 999)")
    bpg.encode(photo(), 40)
    assert encodes == [40, 40]


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-3], lambda data: data[:-1] + b"\xff" * 2])
def test_damaged_entries_are_ignored_and_rewritten(
    damage: Callable[[bytes], bytes], cache: Path, encodes: list[int]
) -> None:
    data = bpg.encode(photo(), 40)
    (path,) = entries(cache)
    path.write_bytes(damage(data))
    assert bpg.encode(photo(), 40) == data
    assert entries(cache) == [path]
    assert path.read_bytes() == data
    assert encodes == [40, 40]


def test_a_full_disk_costs_only_time(cache: Path, encodes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    first = bpg.encode(photo(), 40)
    assert bpg.encode(photo(), 40) == first
    assert encodes == [40, 40]
    assert entries(cache) == []


def test_a_cache_that_is_no_folder_costs_only_time(cache: Path) -> None:
    cache.write_text("not a folder")
    assert bpg.decode(bpg.encode(photo(), 40)).shape == (64, 64, 3)


def _encode_all(_: int) -> list[bytes]:
    return [bpg.encode(photo(), qp) for qp in range(36, 44)]


def test_several_processes_share_the_cache(cache: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(_encode_all, range(2))
    assert results == [_encode_all(0)] * 2
    assert len(entries(cache)) == 8


@pytest.fixture
def unreadable(cache: Path) -> Iterator[None]:
    bpg.encode(photo(), 40)
    (path,) = entries(cache)
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()


@pytest.mark.usefixtures("unreadable")
def test_an_unreadable_entry_costs_only_time() -> None:
    assert EncodeStore(photo(), "bpg", "x").load("qp40") is None
    assert bpg.decode(bpg.encode(photo(), 40)).shape == (64, 64, 3)
