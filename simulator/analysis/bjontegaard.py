"""Bjontegaard deltas: the mean gap between two curves of quality over rate."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Curve = Sequence[float] | npt.NDArray[np.float64]


def bd_quality(rate_anchor: Curve, quality_anchor: Curve, rate_test: Curve, quality_test: Curve) -> float:
    """Bjontegaard delta of quality (BD-PSNR): mean of test - anchor over the common range of log rate.

    Args:
        rate_anchor, rate_test: rates (bits, channel uses, CBR), positive, at least two different ones each.
        quality_anchor, quality_test: quality at these rates, in dB, say.

    Source: Bjontegaard, VCEG-M33, with the piecewise cubic interpolation of JCTVC-H0030 instead of one cubic.

    Raises:
        ValueError: the curves do not overlap, or are no functions of the rate.
    """
    return _mean_gap(np.log(rate_anchor), quality_anchor, np.log(rate_test), quality_test)


def bd_rate(rate_anchor: Curve, quality_anchor: Curve, rate_test: Curve, quality_test: Curve) -> float:
    """Bjontegaard delta of rate (BD-rate) in percent: negative if the test needs less rate for the same quality.

    Args and errors as for `bd_quality`; a ValueError also unless quality rises strictly with the rate in both curves,
    or falls strictly in both (as LPIPS does): sorted by quality, a curve that turns would look like a different one.
    """
    if (direction := _direction(rate_anchor, quality_anchor)) == 0 or direction != _direction(rate_test, quality_test):
        raise ValueError("quality does not change steadily with rate, the same way in both curves")
    gap = _mean_gap(quality_anchor, np.log(rate_anchor), quality_test, np.log(rate_test))
    return 100 * float(np.expm1(gap))


def _direction(rate: Curve, quality: Curve) -> int:
    """1 if quality rises strictly along strictly rising rates, -1 if it falls strictly, else 0."""
    order = np.argsort(rate, kind="stable")
    steps = np.diff(np.asarray(quality, dtype=np.float64)[order])
    if not (np.diff(np.asarray(rate, dtype=np.float64)[order]) > 0).all():
        return 0
    return int((steps > 0).all()) - int((steps < 0).all())


def _mean_gap(x_first: Curve, y_first: Curve, x_second: Curve, y_second: Curve) -> float:
    """Mean of y_second(x) - y_first(x) over the overlap of the two ranges of x, both interpolated by PCHIP."""
    from scipy.interpolate import PchipInterpolator

    curves = []
    for x, y in ((x_first, y_first), (x_second, y_second)):
        order = np.argsort(x, kind="stable")
        abscissa = np.asarray(x, dtype=np.float64)[order]
        if len(abscissa) < 2 or not (np.diff(abscissa) > 0).all() or not np.isfinite(abscissa).all():
            raise ValueError("a curve needs at least two points with different finite abscissas")
        curves.append((abscissa, PchipInterpolator(abscissa, np.asarray(y, dtype=np.float64)[order])))
    low = max(abscissa[0] for abscissa, _ in curves)
    high = min(abscissa[-1] for abscissa, _ in curves)
    if not low < high:
        raise ValueError("the curves do not overlap")
    first, second = (float(curve.integrate(low, high)) for _, curve in curves)
    return (second - first) / (high - low)
