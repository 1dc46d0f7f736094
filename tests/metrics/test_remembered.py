"""Features of reference images are computed once, and never taken for those of another image."""

import copy
from pathlib import Path

import pytest
import torch

from simulator.images import load_image_set
from simulator.metrics import LpipsNet, load_metric, remembered
from simulator.metrics.remembered import Remembered


def features(image: torch.Tensor) -> list[torch.Tensor]:
    """Features that no two images of these tests share."""
    return [image * 2, image.sum()]


@pytest.fixture
def counted() -> tuple[Remembered, list[torch.Tensor]]:
    """`features` with a memory of two images, and the images that it was computed for."""
    calls: list[torch.Tensor] = []

    def compute(image: torch.Tensor) -> list[torch.Tensor]:
        calls.append(image)
        return features(image)

    return Remembered(compute, images=2), calls


def is_right(memory: Remembered, image: torch.Tensor) -> bool:
    return all(map(torch.equal, memory(image), features(image)))


def test_the_latest_images_are_not_computed_again(counted) -> None:
    memory, calls = counted
    first, second, third = torch.rand(3, 3, 20, 30)
    assert all(is_right(memory, one) for one in (first, second, first.clone(), second, third, second))
    assert len(calls) == 3
    assert is_right(memory, first)  # dropped, because the other two came later
    assert len(calls) == 4


def test_another_image_of_the_same_size_is_not_taken_for_it(counted) -> None:
    memory, calls = counted
    image = torch.rand(3, 20, 30)
    close = image.clone()
    close[2, 19, 29] = torch.nextafter(close[2, 19, 29], torch.tensor(2.0))  # the same 8-bit pixels
    others = [image, close, image.reshape(3, 30, 20), image.double()]
    assert all(is_right(memory, one) for one in others)
    assert len(calls) == len(others)


def test_an_image_that_changed_in_place_is_computed_again(counted) -> None:
    memory, calls = counted
    image = torch.rand(3, 20, 30)
    assert is_right(memory, image)
    image[0, 5, 5] += 0.25
    assert is_right(memory, image)
    image[0, 5, 5] -= 0.25
    assert is_right(memory, image)
    assert len(calls) > 1


def test_memory_is_bounded(counted, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, calls = counted
    image = torch.rand(3, 20, 30)
    monkeypatch.setattr(remembered, "MOST_BYTES", image.nbytes // 2)
    assert is_right(memory, image)
    assert is_right(memory, image)
    assert len(calls) == 2


@pytest.mark.parametrize("spec", ["lpips:alex", "lpips:shifted", "lpips:squeeze"])
def test_a_metric_gives_the_numbers_of_a_fresh_one(lpips_backbone_dir: Path, spec: str) -> None:
    first, second = (one.pixels for one in load_image_set("samples", crop=67)[:2])
    changed = first.clone()
    kept, pairs = load_metric(spec), [(first, second), (first, changed), (second, first), (changed, second)]
    for reference, shown in (*pairs, *pairs):
        assert kept.measure(reference, shown) == load_metric(spec).measure(reference, shown)
        changed[:, ::2] *= 0.9


def test_lpips_is_the_packages_to_the_last_bit(lpips_backbone_dir: Path) -> None:
    first, second = (one.pixels for one in load_image_set("samples", crop=100)[:2])
    for name in ("alex", "squeeze"):
        net = LpipsNet(name)
        with torch.inference_mode():
            expected = float(net.batch_distance(first[None] * 2 - 1, second[None] * 2 - 1))
        assert net.distance(first, second) == net.distance(first, second) == expected


def test_a_copy_computes_for_itself() -> None:
    of_reference = Remembered(lambda image: [image * 2])
    image = torch.rand(3, 4, 4)
    first = of_reference(image)
    again = copy.deepcopy(of_reference)(image)
    assert torch.equal(first[0], again[0])
    assert again[0] is not first[0]
