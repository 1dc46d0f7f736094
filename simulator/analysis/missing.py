"""Metrics that results should have but lack, and what to do about each."""

from collections.abc import Mapping
from typing import Any

from simulator.results.store import Results


def unmeasured(meta: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a sweep, by the description of its results, wanted and could not measure."""
    wanted = meta.get("config", {}).get("lpips", "none") != "none"
    return ["LPIPS"] if wanted and meta.get("lpips", {}).get("net") == "none" else []


def missing_metrics(results: Results) -> list[str]:
    """One line for each built-in metric that was asked for and is in no row; empty if there is none."""
    rows, found = results.rows, []
    if rows and unmeasured(results.meta):
        found.append(
            "no LPIPS: its backbone could not be downloaded. With a connection to a package index, or a folder of "
            "backbones in LPIPS_BACKBONE_DIR, rerun the same sweep; it computes the rows again"
        )
    if rows and all(row.ms_ssim is None for row in rows):
        found.append("no MS-SSIM: it needs images with sides of at least 161 pixels; crop less, or not at all")
    return found
