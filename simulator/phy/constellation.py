"""Finite constellations for symbols of any scheme: the nearest point of a square QAM grid, and its posterior mean.

A transmitter with a digital modulator sends points of a grid and nothing else. The grid has the step that costs
Gaussian symbols of unit power the least squared error (Max, "Quantizing for minimum distortion", IRE Trans. Inf. Theory
6(1), 1960), and is amplified until points have unit power on average: both ends know its scale from the number of
points alone. Symbols of learned schemes are far from Gaussian, so they are spread first (`simulator.phy.spreading`). A
digital scheme has a grid of its own, of unit mean energy (TS 38.211, 5.1): its symbols are recognised and not
changed.
"""

from dataclasses import dataclass
from functools import cache
from math import erf, exp, isqrt, pi, sqrt

import numpy as np

from simulator.phy.kernels import for_chunks, kernel

POINTS = (4, 16, 64, 256, 1024, 4096)
_PROBE = 64  # symbols that suffice to distinguish almost every analog transmission from a digital one
_LARGEST_SCALE_DOWN = 0.8  # a digital scheme scales its symbols down when chance gives them more than unit power
NEGLIGIBLE = 1e-8  # probability relative to that of the levels so far: below what a float32 mean resolves
_TOLERANCE = 1e-4  # of a level: float32 symbols after a division
_BLOCK = 128  # symbols whose posteriors are summed side by side
_FLAT = 1000.0  # curve times the square of the grid's width, below which a sum over all levels is the fastest
_LARGEST_EXPONENT = 600.0  # what float64 likelihoods bear


@dataclass(frozen=True)
class Quantiser:
    """A uniform mid-rise quantiser of a zero-mean Gaussian real value of variance 1/2 (a quadrature of a unit symbol).

    Attributes:
        levels: how many values it has, even.
        step: between two of them, for the least squared error.
        distortion: E|x - q(x)|^2 / E|x|^2. As E[x q] = E[q^2] at the best step, q = (1 - distortion) x + d with
            E|d|^2 = distortion (1 - distortion) E|x|^2 (Bussgang's theorem).
    """

    levels: int
    step: float
    distortion: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Nearest levels of float32 values of any shape; a value midway between two takes the upper one."""
        step, top = np.float32(self.step), np.float32((self.levels - 1) / 2)
        cell = np.floor(values / step) + np.float32(0.5)
        return np.clip(cell, -top, top, out=cell) * step

    @property
    def amplification(self) -> float:
        """Factor after which the levels of Gaussian values have the power of these values."""
        return 1 / sqrt(1 - self.distortion)

    @property
    def amplitudes(self) -> np.ndarray:
        """All levels, ascending, float64 [levels]."""
        return (np.arange(self.levels) - (self.levels - 1) / 2) * self.step

    @property
    def log_prior(self) -> np.ndarray:
        """Logarithm of the probability of each level for Gaussian values, float64 [levels]."""
        levels = self.amplitudes
        edges = np.concatenate([[-np.inf], (levels[1:] + levels[:-1]) / 2, [np.inf]])
        return np.log(np.maximum(np.diff([0.5 * (1 + erf(edge)) for edge in edges]), 1e-300))


@cache
def gaussian_quantiser(levels: int) -> Quantiser:
    """The best uniform quantiser of `levels` values for Gaussian symbols."""
    from scipy.optimize import minimize_scalar  # loads slowly, and most links need none of it

    best = minimize_scalar(_distortion, bounds=(1e-4, 3.0), args=(levels,), method="bounded", options={"xatol": 1e-7})
    return Quantiser(levels, float(best.x) * sqrt(0.5), float(best.fun))


def _distortion(step: float, levels: int) -> float:
    """E|x - q(x)|^2 of x ~ N(0, 1) under a mid-rise quantiser, in closed form cell by cell of the positive half."""
    edges = [cell * step for cell in range(levels // 2)]
    total = 0.0
    for index, low in enumerate(edges):
        last = index == len(edges) - 1
        mass = (1.0 if last else erf((low + step) / sqrt(2))) - erf(low / sqrt(2))  # of both signs together
        density_low, density_high = _density(low), 0.0 if last else _density(low + step)
        first = 2 * (density_low - density_high)
        second = mass + 2 * (low * density_low - (0.0 if last else (low + step) * density_high))
        value = (index + 0.5) * step
        total += second - 2 * value * first + value**2 * mass
    return total


def _density(value: float) -> float:
    return exp(-(value**2) / 2) / sqrt(2 * pi)


def own_grid(symbols: np.ndarray, most_points: int) -> int:
    """Points of the unit-energy QAM grid of at most `most_points` on which all of complex64 [K] lie; 0 if on none.

    A common factor down to 0.8 is allowed for: schemes of unit energy on average scale one transmission down to
    unit power. Both ends of a digital scheme know their modulation, so that the receiver learns nothing from this.
    """
    if not len(symbols):
        return 0
    for points in (one for one in POINTS if one <= most_points):
        spacing = sqrt(6 / (points - 1))  # between neighbours on a quadrature; the innermost are half of it from 0
        parts = symbols.view(np.float32)
        for scale in (1.0, float(np.abs(parts).min()) / (spacing / 2)):
            probe = parts[: 2 * _PROBE]
            if _LARGEST_SCALE_DOWN <= scale <= 1.0 + _TOLERANCE and all(
                _lies_on(values, scale * spacing, points) for values in (probe, parts)
            ):
                return points
    return 0


def _lies_on(values: np.ndarray, spacing: float, points: int) -> bool:
    cell = values / np.float32(spacing) - np.float32(0.5)
    whole = np.round(cell)
    half = isqrt(points) // 2
    return bool(
        (np.abs(cell - whole) < _TOLERANCE * isqrt(points)).all() and whole.min() >= -half and whole.max() < half
    )


def nearest_points(symbols: np.ndarray, points: int) -> np.ndarray:
    """Nearest point of the grid of `points` for each of complex64 [K]."""
    return gaussian_quantiser(isqrt(points))(symbols.view(np.float32)).view(np.complex64)


def expected_error(snr: np.ndarray, points: int) -> np.ndarray:
    """E|x - m|^2 of Gaussian symbols x of unit power, m being the posterior mean of their points in noise.

    Args:
        snr: of channel uses that carry amplified points, |h|^2 / no, float64 of any shape.
        points: of the grid.

    Returns:
        float64 of the same shape, quantisation included; interpolated between steps of 0.5 dB.
    """
    grid_db, errors = _error_curve(points)
    return np.interp(10 * np.log10(np.maximum(snr, 1e-9)), grid_db, errors)


@cache
def _error_curve(points: int) -> tuple[np.ndarray, np.ndarray]:
    """SNRs in dB, and the error there, by Gauss-Hermite quadrature over the noise around every level."""
    quantiser = gaussian_quantiser(isqrt(points))
    nodes, weights = np.polynomial.hermite.hermgauss(32)  # of noise of variance 1/2 on a quadrature
    weights = np.exp(quantiser.log_prior)[:, None] * weights / sqrt(pi)
    grid_db, errors = np.arange(-40.0, 60.5, 0.5), []
    for snr_db in grid_db:
        variance = 10 ** (-snr_db / 10) / quantiser.amplification**2
        around = quantiser.amplitudes[:, None] + sqrt(variance) * nodes
        received = (around * (1 + 1j)).astype(np.complex64).ravel()  # the same on both quadratures
        noise = np.full(len(received), variance, np.float32)
        _, spread = posterior(received, np.ones_like(received), noise, points)
        errors.append(float((weights.ravel() * spread).sum()))
    return grid_db, np.array(errors) + quantiser.distortion


def posterior(
    received: np.ndarray, gain: np.ndarray, noise_variance: np.ndarray, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the point q that was sent, given y = h q + w and what quantising makes of Gaussian symbols.

    The exact sum over the constellation: sum_q q P(q) exp(-|y - h q|^2 / no) / sum_q P(q) exp(-|y - h q|^2 / no), and
    likewise of |q|^2; I and Q apart, as grid, prior and noise are separable. P(q) is the probability of the cell of q.
    Likelihoods of neighbouring levels form a geometric series whose ratio does, too: two exponentials a quadrature.

    Args:
        received, gain: complex64 [K].
        noise_variance: float32 [K], total complex variance of w, > 0.
        points: of the grid.

    Returns:
        complex64 [K] and float32 [K], the variance of both quadratures together.
    """
    quantiser = gaussian_quantiser(isqrt(points))
    prior, step = np.exp(quantiser.log_prior), quantiser.step
    mean = np.empty(len(received), dtype=np.complex64)
    variance = np.empty(len(received), dtype=np.float32)

    def work(start: int, stop: int) -> None:
        part = slice(start, stop)
        _posterior(received[part], gain[part], noise_variance[part], prior, step, mean[part], variance[part])

    for_chunks(work, len(received), 8192)
    return mean, variance


@kernel
def _posterior(received, gain, noise_variance, prior, step, mean, variance):
    """Each quadrature is u steps from the middle of the grid; level d has the likelihood exp(-curve (u - d)^2)."""
    count, middle = prior.size, (prior.size - 1) / 2
    where = np.empty(2 * _BLOCK, np.int64)
    likelihood, ratio, change = np.empty(2 * _BLOCK), np.empty(2 * _BLOCK), np.empty(2 * _BLOCK)
    total, first, second = np.empty(2 * _BLOCK), np.empty(2 * _BLOCK), np.empty(2 * _BLOCK)
    expected, spread = np.empty(2 * _BLOCK), np.empty(2 * _BLOCK)
    h, noise = np.complex64(np.nan), np.float32(np.nan)
    curve = base = 0.0
    to_steps = 0j
    for start in range(0, received.size, _BLOCK):
        length, scanned = min(_BLOCK, received.size - start), 0
        for j in range(2 * length):
            n = start + j // 2
            if gain[n] != h or noise_variance[n] != noise:  # most channels have long stretches of equal ones
                h, noise = gain[n], noise_variance[n]
                width = abs(np.complex128(h)) * step
                curve = width * width / noise
                base = np.exp(-curve)
                to_steps = np.conj(np.complex128(h)) * step / (width * width) if width > 0 else 0j
            turned = received[n] * to_steps
            u = turned.imag if j % 2 else turned.real
            if curve * count * count < _FLAT and (2 * abs(u) + middle) * middle * curve < _LARGEST_EXPONENT:
                where[scanned] = j
                likelihood[scanned] = np.exp(-(2 * u + middle) * middle * curve)  # times exp(curve u^2), as all are
                ratio[scanned], change[scanned] = np.exp((2 * u + count - 2) * curve), base * base
                total[scanned] = first[scanned] = second[scanned] = 0.0
                scanned += 1
            else:
                expected[j], spread[j] = _around(u, curve, base, prior)
        for level in range(count if scanned else 0):
            distance = level - middle
            for j in range(scanned):  # side by side in vector registers
                weight = likelihood[j] * prior[level]
                total[j] += weight
                first[j] += weight * distance
                second[j] += weight * distance * distance
                likelihood[j] *= ratio[j]
                ratio[j] *= change[j]
        for j in range(scanned):
            expected[where[j]] = first[j] / total[j]
            spread[where[j]] = max(second[j] / total[j] - (first[j] / total[j]) ** 2, 0.0)
        for j in range(length):
            mean[start + j] = complex(expected[2 * j], expected[2 * j + 1]) * step
            variance[start + j] = (spread[2 * j] + spread[2 * j + 1]) * step * step


@kernel
def _around(u, curve, base, prior):
    """Mean and variance in steps from the nearest level on, as far as levels matter, where that is not far."""
    count, middle = prior.size, (prior.size - 1) / 2
    here = int(min(max(np.floor(u + middle + 0.5), 0.0), count - 1.0))
    lean = np.exp(2 * (u - here + middle) * curve)
    total, first, second = prior[here], 0.0, 0.0  # of the distance from here
    for way in (-1, 1):
        likelihood = ratio = base * lean if way > 0 else base / lean
        level, distance = here + way, float(way)
        while 0 <= level < count:
            weight = prior[level] * likelihood
            if not weight > NEGLIGIBLE * total:  # or not a number, where no noise is left
                break
            total += weight
            first += weight * distance
            second += weight * distance * distance
            ratio *= base * base
            likelihood *= ratio
            level += way
            distance += way
    first /= total
    return first + here - middle, max(second / total - first * first, 0.0)
