"""Metrics that results, or some of their images, should have but lack, and what to do about each."""

from collections.abc import Mapping
from typing import Any

from simulator.analysis.grouping import group_by_point, image_means
from simulator.analysis.scales import scale_of
from simulator.analysis.statistics import metric_names, value_of
from simulator.results.store import Results


def unmeasured(meta: Mapping[str, Any]) -> list[str]:
    """Names of the metrics that a sweep, by the description of its results, wanted and could not measure."""
    wanted = meta.get("config", {}).get("lpips", "none") != "none"
    return ["LPIPS"] if wanted and meta.get("lpips", {}).get("net") == "none" else []


def missing_metrics(results: Results) -> list[str]:
    """One line for each built-in metric that was asked for and is in no row, and each metric that some images lack."""
    rows, found = results.rows, []
    if rows and unmeasured(results.meta):
        found.append(
            "no LPIPS: its backbone could not be downloaded. With a connection to a package index, or a folder of "
            "backbones in LPIPS_BACKBONE_DIR, rerun the same sweep; it computes the rows again"
        )
    if rows and all(row.ms_ssim is None for row in rows):
        found.append("no MS-SSIM: it needs images with sides of at least 161 pixels; crop less, or not at all")
    for metric in (one for one in metric_names(rows) if any(value_of(one)(row) is None for row in rows)):
        groups = group_by_point(rows).values()
        counts = [(len(image_means(group, value_of(metric))), len({row.image for row in group})) for group in groups]
        if partly := [(number, of) for number, of in counts if 0 < number < of]:
            number, of = min(partly)
            name = scale_of(metric, results.meta.get("directions")).label
            found.append(f"no {name} for {of - number} of {of} images: its means leave them out")
    return found
