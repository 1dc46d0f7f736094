"""How good a received image is."""

from simulator.metrics.backbones import LpipsUnavailable
from simulator.metrics.lpips import LpipsNet
from simulator.metrics.ms_ssim import MIN_SIDE as MS_SSIM_MIN_SIDE
from simulator.metrics.ms_ssim import ms_ssim
from simulator.metrics.quality import PSNR_CAP_DB, Metric, Metrics, load_metric, measure, measure_further, psnr_db

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
