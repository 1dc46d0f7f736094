"""The kernel distance of two sets is what its definition and torch-fidelity say, and no more biased than they claim."""

import itertools
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from simulator.images import load_image_set
from simulator.metrics.kid import cut_patches, kernel_distance
from simulator.metrics.torchvision import import_with_torchvision

NEEDS_REFERENCE = pytest.mark.skipif(find_spec("torch_fidelity") is None, reason="torch-fidelity is not installed")


def _features(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(count, 6)) * [1, 2, 1, 1, 0.5, 1] + 0.5 + shift).astype(np.float32)


def _plain(first: np.ndarray, second: np.ndarray, pictures: tuple[np.ndarray, np.ndarray] | None = None) -> float:
    """The formula with loops in Python's own numbers."""

    def mean(one: np.ndarray, other: np.ndarray, pairs: list[tuple[int, int]]) -> float:
        products = (sum(float(a) * float(b) for a, b in zip(one[i], other[j], strict=True)) for i, j in pairs)
        return sum((product / one.shape[1] + 1) ** 3 for product in products) / len(pairs)

    def pairs(one: int, other: int) -> list[tuple[int, int]]:
        sizes = len(first), len(second)
        every = itertools.product(range(sizes[one]), range(sizes[other]))
        if pictures is None:
            return [(i, j) for i, j in every if one != other or i != j]
        return [(i, j) for i, j in every if pictures[one][i] != pictures[other][j]]

    within = mean(first, first, pairs(0, 0)) + mean(second, second, pairs(1, 1))
    return within - 2 * mean(first, second, pairs(0, 1))


def test_it_is_the_plain_formula() -> None:
    first, second = _features(9, 1), _features(12, 2, shift=0.3)
    assert kernel_distance(first, second).mean == pytest.approx(_plain(first, second), rel=1e-12)
    pictures = np.repeat([0, 1, 2], 3), np.repeat([0, 1, 2], 4)
    assert kernel_distance(first, second, pictures).mean == pytest.approx(_plain(first, second, pictures), rel=1e-12)
    assert kernel_distance(first, second).spread is None


@NEEDS_REFERENCE
def test_whole_sets_are_torch_fidelitys() -> None:
    reference = import_with_torchvision("torch_fidelity.metric_kid")
    first, second = _features(90, 3), _features(90, 4, shift=0.2)
    pair = (torch.from_numpy(one).double() for one in (first, second))
    expected = reference.kid_features_to_metric(*pair, kid_subsets=2, kid_subset_size=90, verbose=False)
    found = kernel_distance(first, second)
    assert found.mean == pytest.approx(expected[reference.KEY_METRIC_KID_MEAN], rel=1e-9)


@NEEDS_REFERENCE
def test_subsets_are_those_of_torch_fidelity_but_for_their_draws() -> None:
    reference = import_with_torchvision("torch_fidelity.metric_kid")
    first, second = _features(150, 5), _features(150, 6, shift=0.3)
    pair = (torch.from_numpy(one).double() for one in (first, second))
    expected = reference.kid_features_to_metric(*pair, kid_subsets=600, kid_subset_size=40, verbose=False)
    found = kernel_distance(first, second, subsets=600, size=40)
    assert found.spread is not None
    standard_error = found.spread * (2 / 600) ** 0.5
    assert abs(found.mean - expected[reference.KEY_METRIC_KID_MEAN]) < 4 * standard_error
    assert found.spread == pytest.approx(expected[reference.KEY_METRIC_KID_STD], rel=0.15)
    assert abs(found.mean - kernel_distance(first, second).mean) < 4 * standard_error


def test_a_result_repeats_exactly_and_touches_no_global_generator() -> None:
    first, second = _features(60, 7), _features(80, 8)
    np.random.seed(1)  # noqa: NPY002 - the generator that must stay as it is
    once = kernel_distance(first, second, subsets=5, size=30)
    drawn = np.random.random()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert drawn == np.random.random()  # noqa: NPY002
    assert once == kernel_distance(first, second, subsets=5, size=30)
    assert once != kernel_distance(first, second, subsets=6, size=30)


def test_two_halves_of_one_set_are_0_apart_on_average() -> None:
    found = [kernel_distance(*np.split(_features(60, 100 + seed), 2)).mean for seed in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / 300**0.5
    biased = np.mean([_diagonal(_features(60, 100 + seed)) for seed in range(300)])
    assert biased > 20 * np.std(found) / 300**0.5  # what pairs of a feature with itself would add


def _diagonal(features: np.ndarray) -> float:
    """Kernel of a feature with itself over that with others, of both halves, by the weight that it would have."""
    kernel = (features.astype(float) @ features.T / features.shape[1] + 1) ** 3
    own, count = np.diag(kernel).mean(), len(features)
    return 2 / 30 * (own - (kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


def test_sets_of_the_same_pictures_are_not_biased_towards_each_other() -> None:
    """Received patches resemble their own sources; counting these pairs makes the distance too small."""
    generator = np.random.default_rng(9)
    source, shown = (0.0, 2.0), (-0.3, 0.8**2 * 2 + 0.1**2)  # means and variances of `_received`
    truth = _closed_form(*source, *source) + _closed_form(*shown, *shown) - 2 * _closed_form(*source, *shown)
    draws = [_received(generator, 8) for _ in range(500)]
    apart = np.array([kernel_distance(*draw[:2], (draw[2], draw[2])).mean for draw in draws])
    together = np.array([kernel_distance(*draw[:2]).mean for draw in draws])
    standard_error = apart.std() / len(draws) ** 0.5
    assert abs(apart.mean() - truth) < 4 * standard_error
    assert together.mean() < truth - 20 * standard_error
    same, _, pictures = draws[0]
    assert kernel_distance(same, same, (pictures, pictures)).mean == pytest.approx(0, abs=1e-12)
    assert kernel_distance(same, same).mean < -0.1


def _closed_form(mean: float, variance: float, other_mean: float, other_variance: float, dimensions: int = 6) -> float:
    """E (x.y / D + 1)^3 of independent normal x and y, whose components have these means and variances.

    Given x, x.y is normal with the mean m = other_mean * sum(x) and the variance v = other_variance * |x|^2.
    """
    total, spread, squares = dimensions * mean, dimensions * variance, dimensions * (variance + mean**2)
    mixed = dimensions * (mean**3 + 3 * mean * variance) + dimensions * (dimensions - 1) * mean * (mean**2 + variance)
    first = other_mean * total
    second = other_mean**2 * (spread + total**2) + other_variance * squares
    third = other_mean**3 * (total**3 + 3 * total * spread) + 3 * other_mean * other_variance * mixed
    return third / dimensions**3 + 3 * second / dimensions**2 + 3 * first / dimensions + 1


def _received(generator: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four patches of each picture, with something in common, and what was received of them: smoother and darker."""
    pictures = np.repeat(np.arange(count), 4)
    source = generator.normal(size=(count, 6))[pictures] + generator.normal(size=(4 * count, 6))
    return source, 0.8 * source - 0.3 + 0.1 * generator.normal(size=source.shape), pictures


def test_it_grows_with_blur_and_with_noise() -> None:
    images = [one.rgb for one in load_image_set("samples", crop=256)]
    pictures = np.repeat(np.arange(len(images)), 5)
    generator = np.random.default_rng(10)

    def statistics(shown) -> np.ndarray:
        return np.array([_statistics(patch) for image in shown for patch in cut_patches(image, 128)])

    def distance(change) -> float:
        changed = [change(image) for image in images]
        return kernel_distance(statistics(images), statistics(changed), (pictures, pictures)).mean

    def blur(radius: float):
        return lambda image: np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))

    def noise(scale: float):
        return lambda image: (image + generator.normal(scale=scale, size=image.shape)).clip(0, 255).astype(np.uint8)

    for change in (blur, noise):
        found = [distance(change(strength)) for strength in (1, 3, 8)]
        assert 0 < found[0] < found[1] < found[2]
    assert distance(lambda image: image) == pytest.approx(0, abs=1e-12)


def _statistics(patch: np.ndarray) -> np.ndarray:
    """Contrast, and the energy of differences at two distances: what blur and noise change."""
    grey = patch.astype(float).mean(axis=2) / 255
    return np.array([grey.std(), *(20 * np.abs(grey[:, step:] - grey[:, :-step]).mean() for step in (1, 4))])


def test_patches_are_tiles_and_tiles_shifted_by_half() -> None:
    rgb = np.random.default_rng(11).integers(0, 256, (512, 768, 3), dtype=np.uint8)
    patches = cut_patches(rgb)
    assert patches.shape == (8, 256, 256, 3)  # 6 and 2
    assert np.array_equal(patches[5], rgb[256:512, 512:768])
    assert np.array_equal(patches[7], rgb[128:384, 384:640])
    assert len(cut_patches(rgb[:256, :256])) == 1
    assert len(cut_patches(rgb[:511, :384])) == 1 + 1  # the rest of the right and lower edge belongs to no tile
    with pytest.raises(ValueError, match="no patch of 256x256"):
        cut_patches(rgb[:255])


def test_what_cannot_be_compared_is_refused() -> None:
    features = _features(4, 12)
    with pytest.raises(ValueError, match="two features"):
        kernel_distance(features[:1], features)
    with pytest.raises(ValueError, match="two pictures"):
        kernel_distance(features, features, (np.zeros(4), np.zeros(4)))
