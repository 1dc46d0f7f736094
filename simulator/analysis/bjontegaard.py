"""Bjontegaard delta of rate: the mean gap between two curves of quality over rate."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Curve = Sequence[float] | npt.NDArray[np.float64]


def bd_rate(rate_anchor: Curve, quality_anchor: Curve, rate_test: Curve, quality_test: Curve) -> float:
    """Bjontegaard delta of rate (BD-rate) in percent: negative if the test needs less rate for the same quality.

    The mean of log rate, test - anchor, over the common range of quality. Sorted by quality, a curve that turns would
    look like a different one, so both must rise steadily with the rate, or both fall (as LPIPS does).

    Args:
        rate_anchor, rate_test: positive rates (bits, channel uses, CBR), at least two different ones each.
        quality_anchor, quality_test: quality at these rates, in dB, say.

    Source: Bjontegaard, VCEG-M33, with the piecewise cubic interpolation of JCTVC-H0030 instead of one cubic.

    Raises:
        ValueError: the curves do not overlap in quality, or do not change steadily with the rate in the same direction.
    """
    from scipy.interpolate import PchipInterpolator

    if (direction := _direction(rate_anchor, quality_anchor)) == 0 or direction != _direction(rate_test, quality_test):
        raise ValueError("quality does not change steadily with rate, in the same direction in both curves")
    curves = []
    for rate, quality in ((rate_anchor, quality_anchor), (rate_test, quality_test)):
        order = np.argsort(quality)
        curves.append(PchipInterpolator(np.asarray(quality)[order], np.log(np.asarray(rate)[order])))
    low, high = max(curve.x[0] for curve in curves), min(curve.x[-1] for curve in curves)
    if not low < high:
        raise ValueError("the ranges of quality do not overlap")
    first, second = (float(curve.integrate(low, high)) for curve in curves)
    return 100 * float(np.expm1((second - first) / (high - low)))


def _direction(rate: Curve, quality: Curve) -> int:
    """1 if quality rises strictly along strictly rising rates, -1 if it falls strictly, else 0."""
    order = np.argsort(rate, kind="stable")
    steps = np.diff(np.asarray(quality, dtype=np.float64)[order])
    if len(steps) == 0 or not (np.diff(np.asarray(rate, dtype=np.float64)[order]) > 0).all():
        return 0
    return int((steps > 0).all()) - int((steps < 0).all())
