"""How good a received image is."""

from simulator.metrics.quality import (
    MS_SSIM_MIN_SIDE,
    PSNR_CAP_DB,
    LpipsNet,
    LpipsUnavailable,
    Metric,
    Metrics,
    load_metric,
    measure,
    measure_further,
    ms_ssim,
    psnr_db,
)

__all__ = [
    "MS_SSIM_MIN_SIDE",
    "PSNR_CAP_DB",
    "LpipsNet",
    "LpipsUnavailable",
    "Metric",
    "Metrics",
    "load_metric",
    "measure",
    "measure_further",
    "ms_ssim",
    "psnr_db",
]
