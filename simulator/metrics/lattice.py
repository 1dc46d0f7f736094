"""The lattice test: does a picture carry a regular pattern of a period of 2, 4, 8 or 16 pixels?

Networks that work on folded pixels or blocks, or whose loss sees the pixels at one phase only, can weave a fixed
pattern into what they show. It hardly moves PSNR or LPIPS and is plain to the eye. In the spectrum of the luminance it
stands as lines at multiples of 1/period, far above their surroundings; photographs have almost none.

The spectrum is Welch's: the mean over half-overlapping Hann-windowed segments of one size, so that the level of a
pattern does not depend on the size of the picture.

Source: Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio
Electroacoust. 15(2), 1967.
"""

import math
from collections.abc import Iterable
from functools import cache

import torch

PERIODS = (2, 4, 8, 16)
SEGMENT = 128  # pixels; lines of period 16 are 8 bins apart
LIMIT = 2.0  # a network's level over that of its sources
_LONGEST = PERIODS[-1]
_REACH = 3  # bins around a line that count as its surroundings
_NEAR = 1  # bins around a line into which the window spreads it
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601
_INVISIBLE = 0.05 / 255  # amplitude that a wave over the whole picture may have where the background is empty


def lattice_levels(image: torch.Tensor) -> dict[int, float]:
    """How far the strongest spectral line of each period stands above its surroundings.

    Args:
        image: float [3, H, W] in [0, 1], both sides at least `SEGMENT`.

    Returns:
        By period in pixels: power of the line over the median power of the bins around it. Near 1 without a pattern.
        Both powers include that of a wave of a twentieth of a grey level: a weaker line is invisible, even if its
        background is empty (a smooth reconstruction has hardly any at high frequencies).

    Raises:
        ValueError: the image is too small.
    """
    if min(image.shape[-2:]) < SEGMENT:
        height, width = image.shape[-2:]
        raise ValueError(f"a picture of {width}x{height} is too small; the lattice test needs {SEGMENT}x{SEGMENT}")
    weights = torch.tensor(_LUMINANCE, dtype=torch.float64, device=image.device)
    spectrum = _spectrum(torch.einsum("c,chw->hw", weights, image.double()))
    floor = _power(_INVISIBLE)
    levels = dict.fromkeys(PERIODS, 0.0)
    for period, row, column in _lines():
        around, apart = _surroundings(row, column)
        background = spectrum[around][apart].median() + floor
        levels[period] = max(levels[period], float((spectrum[row, column] + floor) / background))
    return levels


def lattice_excess(sources: Iterable[torch.Tensor], shown: Iterable[torch.Tensor]) -> dict[int, float]:
    """Mean level of reconstructions over the mean level of their sources, by period; a sound network keeps to `LIMIT`.

    Args:
        sources, shown: images as `lattice_levels` takes them.
    """
    means = []
    for images in (sources, shown):
        levels = [lattice_levels(image) for image in images]
        means.append({period: math.fsum(one[period] for one in levels) / len(levels) for period in PERIODS})
    return {period: means[1][period] / means[0][period] for period in PERIODS}


def _spectrum(luminance: torch.Tensor) -> torch.Tensor:
    """Welch's power spectrum of [H, W] -> [SEGMENT, SEGMENT], in units of the variance of white noise."""
    window = _window().to(luminance.device)
    step = SEGMENT // 2
    segments = luminance.unfold(0, SEGMENT, step).unfold(1, SEGMENT, step)  # [rows, columns, SEGMENT, SEGMENT]
    total = torch.zeros_like(window)
    for row in segments:  # one batch would take the memory of four pictures
        centred = row - row.mean(dim=(-2, -1), keepdim=True)
        total += torch.fft.fft2(centred * window).abs().square().sum(dim=0)
    return total / (segments.shape[0] * segments.shape[1]) / window.square().sum()


def _window() -> torch.Tensor:
    window = torch.hann_window(SEGMENT, dtype=torch.float64)
    return window[:, None] * window


def _power(amplitude: float) -> float:
    """Power of a wave of this amplitude in the spectrum."""
    window = _window()
    return float((amplitude / 2 * window.sum()).square() / window.square().sum())


@cache
def _lines() -> tuple[tuple[int, int, int], ...]:
    """(period, row, column) of every line in the spectrum; its period is that of the smallest lattice with the line."""
    step = SEGMENT // _LONGEST
    return tuple(
        (_LONGEST // math.gcd(row, column, _LONGEST), row * step, column * step)
        for row in range(_LONGEST)
        for column in range(_LONGEST)
        if row or column
    )


def _surroundings(row: int, column: int) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Index of the bins around a line, and which of them are apart from it."""
    offset = torch.arange(-_REACH, _REACH + 1)
    apart = (offset[:, None].abs() > _NEAR) | (offset.abs() > _NEAR)
    return ((row + offset)[:, None] % SEGMENT, (column + offset) % SEGMENT), apart
