"""PSNR, MS-SSIM, LPIPS and users' own metrics of 8-bit-rounded RGB images, one image at a time."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from simulator.errors import UserError
from simulator.images.pixels import to_float, to_uint8
from simulator.metrics.backbones import MIN_SIDE as LPIPS_MIN_SIDE
from simulator.metrics.lpips import LpipsNet
from simulator.metrics.ms_ssim import MIN_SIDE as MS_SSIM_MIN_SIDE
from simulator.metrics.ms_ssim import ms_ssim
from simulator.spec.options import Declaration
from simulator.spec.plugins import load_plugin

# Identical images have no finite PSNR; a cap keeps means finite. A single grey level off in one sample of a
# 768x512 image would have 108.8 dB, so the cap merges only what is practically lossless.
PSNR_CAP_DB = 100.0
BUILT_IN = (
    Declaration("psnr_db", f"PSNR of 8-bit RGB in dB, at most {PSNR_CAP_DB:g}; always measured"),
    Declaration("ms_ssim", f"MS-SSIM; always measured where both sides have {MS_SSIM_MIN_SIDE} pixels or more"),
    Declaration("--lpips", "LPIPS of alex, vgg or squeeze; measured unless none is chosen or it is unavailable"),
)


@dataclass(frozen=True)
class Metrics:
    """Quality of one reconstruction.

    Attributes:
        psnr_db: over all RGB samples, at most `PSNR_CAP_DB`.
        ms_ssim: in [0, 1], higher is better; None if a side is below `MS_SSIM_MIN_SIDE`.
        lpips: lower is better; None without a network or if a side is below `LPIPS_MIN_SIDE`.
    """

    psnr_db: float
    ms_ssim: float | None
    lpips: float | None


class Metric(Protocol):
    """A metric in addition to the built-in ones; results have its values in a column of its name."""

    name: str
    higher_is_better: bool

    def fingerprint(self) -> str:
        """Identify everything besides the specification that changes values (weights, versions)."""
        ...

    def measure(self, reference: torch.Tensor, shown: torch.Tensor) -> float | None:
        """Compare float32 images [3, H, W] in [0, 1], rounded to 8 bits; None where the metric does not exist."""
        ...


def load_metric(spec: str) -> Metric:
    """Build the metric named `name[:option[:option...]]` (entry point group `simulator.metrics`).

    Raises:
        UserError: no such metric, an option it does not know, a name that cannot be a column's, or no direction.
    """
    metric = load_plugin("simulator.metrics", "metric", spec)
    name = getattr(metric, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", name):
        raise UserError(f"metric '{spec}' is called {name!r}; a name is small letters, digits and _, a letter first")
    if not isinstance(getattr(metric, "higher_is_better", None), bool):
        raise UserError(
            f"metric '{spec}' does not say which direction is better; set higher_is_better to True or False"
        )
    return metric


def measure_further(metrics: Sequence[Metric], reference: torch.Tensor, shown: torch.Tensor) -> dict[str, float]:
    """Values of the metrics of float images [3, H, W] by name, without undefined ones.

    Raises:
        UserError: a metric failed, or gave no finite number.
    """
    first, second = to_float(to_uint8(reference)), to_float(to_uint8(shown))
    found = {}
    for metric in metrics:
        try:
            value = metric.measure(first, second)
            found[metric.name] = None if value is None else float(value)
        except Exception as error:
            raise UserError(f"metric '{metric.name}' failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(found[metric.name] or 0):
            raise UserError(f"metric '{metric.name}' gave {value}; it must give a finite number or None")
    return {name: value for name, value in found.items() if value is not None}


def measure(reference: torch.Tensor, reconstruction: torch.Tensor, lpips_net: LpipsNet | None = None) -> Metrics:
    """Compare float images [3, H, W] in [0, 1], both rounded to 8 bits first, as a viewer would see them."""
    if reference.shape != reconstruction.shape:
        raise ValueError(f"shapes differ: {tuple(reference.shape)} and {tuple(reconstruction.shape)}")
    first, second = to_uint8(reference), to_uint8(reconstruction)
    side = min(first.shape[:2])
    similarity = ms_ssim(first, second) if side >= MS_SSIM_MIN_SIDE else None
    distance = None
    if lpips_net is not None and side >= LPIPS_MIN_SIDE:
        distance = lpips_net.distance(to_float(first), to_float(second))
    return Metrics(psnr_db(first, second), similarity, distance)


def psnr_db(first: np.ndarray, second: np.ndarray) -> float:
    """PSNR of uint8 images [H, W, 3]: 10 log10(255^2 / MSE), MSE over all samples, at most `PSNR_CAP_DB`."""
    difference = first.astype(np.int32) - second.astype(np.int32)
    squared_error = int(np.square(difference).sum(dtype=np.int64))
    if squared_error == 0:
        return PSNR_CAP_DB
    return min(10 * math.log10(255**2 * difference.size / squared_error), PSNR_CAP_DB)
