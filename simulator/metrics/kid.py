"""KID, the kernel inception distance of two SETS of pictures, and the patches on which it is computed.

Sources: Binkowski et al., "Demystifying MMD GANs", ICLR 2018 (the kernel, the subsets); Gretton et al., "A kernel
two-sample test", JMLR 13, 2012, eq. (3) and (4) (the estimators); Mentzer et al., "High-fidelity generative image
compression", NeurIPS 2020 (the patches).
"""

from dataclasses import dataclass

import numpy as np

from simulator.randomness import derive_key

PATCH = 256  # pixels
SUBSETS, SUBSET_SIZE = 100, 1000  # those of torch-fidelity


@dataclass(frozen=True)
class KernelDistance:
    """The squared maximum mean discrepancy of two sets.

    Attributes:
        mean: over the subsets; unbiased, so that it may be slightly below 0 for sets that are alike.
        spread: standard deviation over the subsets, which overlap: no interval of the distance. None where each set was
            used as a whole.
    """

    mean: float
    spread: float | None


def cut_patches(rgb: np.ndarray, side: int = PATCH) -> np.ndarray:
    """The square patches of a picture: side by side, and once more shifted by half a patch in both directions.

    Args:
        rgb: [H, W, C].
        side: of a patch in pixels, at most H and W.

    Returns:
        [N, side, side, C]; what is left at the right and at the bottom belongs to no patch.
    """
    height, width = rgb.shape[:2]
    if side > min(height, width):
        raise ValueError(f"a picture of {width}x{height} has no patch of {side}x{side}")
    corners = [
        (top, left)
        for start in (0, side // 2)
        for top in range(start, height - side + 1, side)
        for left in range(start, width - side + 1, side)
    ]
    return np.stack([rgb[top : top + side, left : left + side] for top, left in corners])


def kernel_distance(
    first: np.ndarray,
    second: np.ndarray,
    pictures: tuple[np.ndarray, np.ndarray] | None = None,
    subsets: int = SUBSETS,
    size: int = SUBSET_SIZE,
) -> KernelDistance:
    """Unbiased MMD^2 of two sets of features with the kernel (x.y / D + 1)^3.

    Sets of at most `size` are compared as a whole. Of larger ones `size` are drawn at random, `subsets` times, so that
    memory stays bounded. The draws depend on the sizes alone: another run repeats them, and so does another scheme.

    Args:
        first, second: features [N, D] and [M, D].
        pictures: of which picture each feature is, [N] and [M], if both sets show the same pictures. Two features of
            one picture are not independent, so these pairs are left out of all three means. Without it, every pair
            counts but that of a feature with itself, which is what torch-fidelity computes.
        subsets, size: how many to draw, and how large.

    Raises:
        ValueError: fewer than two features in a set, or all are of one picture.
    """
    if min(len(first), len(second)) < 2:
        raise ValueError("a kernel distance needs two features or more in each set")
    # Without pictures, the first set's features have numbers of their own, and so have the second's.
    own = np.arange(len(first)), -1 - np.arange(len(second))
    numbers = own if pictures is None else pictures
    if max(len(first), len(second)) <= size:
        return KernelDistance(_squared_mmd(first, second, *numbers), None)
    generator = np.random.default_rng(derive_key("kernel distance", len(first), len(second), subsets, size))
    found = []
    for _ in range(subsets):
        one, other = (generator.choice(len(of), min(size, len(of)), replace=False) for of in (first, second))
        found.append(_squared_mmd(first[one], second[other], numbers[0][one], numbers[1][other]))
    return KernelDistance(float(np.mean(found)), float(np.std(found)))


def _squared_mmd(first: np.ndarray, second: np.ndarray, of_first: np.ndarray, of_second: np.ndarray) -> float:
    """MMD^2 of features [N, D] and [M, D], over the pairs whose numbers, [N] and [M], differ."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    within = _mean_kernel(first, first, of_first, of_first) + _mean_kernel(second, second, of_second, of_second)
    return within - 2 * _mean_kernel(first, second, of_first, of_second)


def _mean_kernel(first: np.ndarray, second: np.ndarray, of_first: np.ndarray, of_second: np.ndarray) -> float:
    kernel = (first @ second.T / first.shape[1] + 1) ** 3
    apart = of_first[:, None] != of_second
    if not apart.any():
        raise ValueError("a kernel distance needs features of two pictures or more")
    return float(kernel.mean(where=apart))
