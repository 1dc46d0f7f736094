"""Between RGB and the planes that HEVC codes.

Arithmetic is integer, so every machine gets the same planes and the same pixels; the decoder's side is written after
libbpg's `bpgdec`, but was not compared with its pixels. Colour matrices: ITU-R BT.601, BT.709, BT.2020 (non-constant
luminance), H.265 table E.5.
"""

import numpy as np
import numpy.typing as npt

from simulator.baselines.bpg.container import BpgHeader, ColorSpace, PixelFormat

Planes = list[npt.NDArray[np.uint8]]  # one [H, W] array per component; subsampled chroma is [ceil(H/2), ceil(W/2)]

_LUMA_WEIGHTS = {  # K_R, K_B
    ColorSpace.BT601: (0.299, 0.114),
    ColorSpace.BT709: (0.2126, 0.0722),
    ColorSpace.BT2020: (0.2627, 0.0593),
}
_FRACTION_BITS = 22
_ONE = 1 << _FRACTION_BITS
_HALF = _ONE >> 1
_STRIP_ROWS = 128  # bounds the memory of int64 intermediates

# Lanczos factor-of-two filters as in libbpg; taps reach from sample i - 3 to i + 4 and sum to 64.
_CENTRED = ((2, -6, 18, 57, -10, 4, -1, 0), (-1, 4, -10, 57, 18, -6, 2, 0))
_COSITED = ((0, 0, 0, 64, 0, 0, 0, 0), (-1, 4, -11, 40, 40, -11, 4, -1))
_DECIMATE = (2, -4, -8, 17, 57, 57, 17, -8, -4, 2)  # from sample 2i - 4 to 2i + 5, sum 128


def rgb_to_planes(rgb: npt.NDArray[np.uint8], pixel_format: PixelFormat) -> Planes:
    """Full-range BT.601 YCbCr planes of uint8 [H, W, 3] RGB.

    pixel_format: YUV444, or YUV420 with chroma centred between luma samples.
    """
    y, cb, cr = np.empty((3, *rgb.shape[:2]), np.uint8)
    k_r, k_b = _LUMA_WEIGHTS[ColorSpace.BT601]
    k_g = 1 - k_r - k_b
    luma = _fixed(k_r, k_g, k_b)
    blue = _fixed(-0.5 * k_r / (1 - k_b), -0.5 * k_g / (1 - k_b), 0.5)
    red = _fixed(0.5, -0.5 * k_g / (1 - k_r), -0.5 * k_b / (1 - k_r))
    for rows in _strips(rgb.shape[0]):
        r, g, b = np.moveaxis(rgb[rows].astype(np.int64), 2, 0)
        for plane, (c_r, c_g, c_b), centre in ((y, luma, 0), (cb, blue, 128), (cr, red, 128)):
            value = (c_r * r + c_g * g + c_b * b + _HALF >> _FRACTION_BITS) + centre
            plane[rows] = np.clip(value, 0, 255)
    if pixel_format is PixelFormat.YUV444:
        return [y, cb, cr]
    if pixel_format is PixelFormat.YUV420:
        return [y, _decimate(cb), _decimate(cr)]
    raise ValueError(f"cannot write {pixel_format.name}")


def planes_to_rgb(planes: Planes, header: BpgHeader) -> npt.NDArray[np.uint8]:
    """uint8 [H, W, 3] RGB of decoded 8-bit planes, which are cropped to the size in `header`.

    Chroma is interpolated first, then colours are converted; each step rounds once, halves upwards.
    """
    planes = [_crop(plane, header, index) for index, plane in enumerate(planes)]
    if header.pixel_format is not PixelFormat.GREY:
        planes = [planes[0], *(_interpolate_chroma(plane, header) for plane in planes[1:])]
    rgb = np.empty((header.height, header.width, 3), np.uint8)
    for rows in _strips(header.height):
        strip = [plane[rows].astype(np.int64) for plane in planes]
        for channel, value in enumerate(_strip_to_rgb(strip, header)):
            rgb[rows, :, channel] = np.clip(value + _HALF >> _FRACTION_BITS, 0, 255)
    return rgb


def _strip_to_rgb(planes: list[np.ndarray], header: BpgHeader) -> list[np.ndarray]:
    """R, G, B with _FRACTION_BITS fractional bits."""
    luma_gain, chroma_gain, black = (255 / 219, 255 / 224, 16) if header.limited_range else (1.0, 1.0, 0)
    (c_luma,) = _fixed(luma_gain)
    if header.pixel_format is PixelFormat.GREY:
        return [c_luma * (planes[0] - black)] * 3
    if header.color_space is ColorSpace.RGB:
        g, b, r = (c_luma * (plane - black) for plane in planes)
        return [r, g, b]
    y = c_luma * (planes[0] - black)
    first, second = planes[1] - 128, planes[2] - 128
    if header.color_space is ColorSpace.YCGCO:
        # As in libbpg, chroma takes luma's gain; H.265 would give it 255/224.
        cg, co = c_luma * first, c_luma * second
        return [y - cg + co, y + cg, y - cg - co]
    k_r, k_b = _LUMA_WEIGHTS[header.color_space]
    k_g = 1 - k_r - k_b
    r_cr, g_cb, g_cr, b_cb = _fixed(
        2 * (1 - k_r) * chroma_gain,
        2 * k_b * (1 - k_b) / k_g * chroma_gain,
        2 * k_r * (1 - k_r) / k_g * chroma_gain,
        2 * (1 - k_b) * chroma_gain,
    )
    return [y + r_cr * second, y - g_cb * first - g_cr * second, y + b_cb * first]


def _interpolate_chroma(plane: npt.NDArray[np.uint8], header: BpgHeader) -> npt.NDArray[np.uint8]:
    samples, scale_bits = plane.astype(np.int32), 0
    if header.pixel_format.chroma_format_idc == 1:
        samples, scale_bits = _double(samples, _CENTRED, header.height), 6
    if header.pixel_format.chroma_format_idc in (1, 2):
        cosited = header.pixel_format in (PixelFormat.YUV420_VIDEO, PixelFormat.YUV422_VIDEO)
        samples = _double(samples.T, _COSITED if cosited else _CENTRED, header.width).T
        scale_bits += 6
    if scale_bits == 0:
        return plane
    return np.clip(samples + (1 << scale_bits - 1) >> scale_bits, 0, 255).astype(np.uint8)


def _double(samples: np.ndarray, filters: tuple[tuple[int, ...], ...], length: int) -> np.ndarray:
    """Interpolates axis 0 by two and keeps `length` samples; the result is scaled by 64."""
    count = len(samples)
    padded = np.pad(samples, ((3, 4), (0, 0)), mode="edge")
    out = np.empty((2 * count, *samples.shape[1:]), np.int32)
    for phase, taps in enumerate(filters):
        out[phase::2] = _filter(padded, taps, count, 1)
    return out[:length]


def _decimate(plane: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Halves both axes; output samples lie between their two source samples."""
    samples = plane.astype(np.int32)
    for _ in range(2):
        count = (len(samples) + 1) // 2
        padded = np.pad(samples, ((4, 6), (0, 0)), mode="edge")
        samples = _filter(padded, _DECIMATE, count, 2).T
    return np.clip(samples + (1 << 13) >> 14, 0, 255).astype(np.uint8)


def _filter(padded: np.ndarray, taps: tuple[int, ...], count: int, step: int) -> np.ndarray:
    out = np.zeros((count, *padded.shape[1:]), np.int32)
    for start, tap in enumerate(taps):
        out += tap * padded[start : start + step * count : step]
    return out


def _crop(plane: npt.NDArray[np.uint8], header: BpgHeader, index: int) -> npt.NDArray[np.uint8]:
    halve_rows = index > 0 and header.pixel_format.chroma_format_idc == 1
    halve_columns = index > 0 and header.pixel_format.chroma_format_idc in (1, 2)
    height = (header.height + 1) // 2 if halve_rows else header.height
    width = (header.width + 1) // 2 if halve_columns else header.width
    return plane[:height, :width]


def _fixed(*coefficients: float) -> tuple[int, ...]:
    return tuple(round(value * _ONE) for value in coefficients)


def _strips(height: int) -> list[slice]:
    return [slice(start, start + _STRIP_ROWS) for start in range(0, height, _STRIP_ROWS)]
