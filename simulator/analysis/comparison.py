"""Every scheme against a reference: paired differences over images, and Bjontegaard deltas of rate."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from simulator.analysis.bjontegaard import bd_rate
from simulator.analysis.grouping import Identity, group_by_point, image_means
from simulator.analysis.scales import scale_of
from simulator.analysis.statistics import Estimate, metric_names, paired_difference, value_of
from simulator.errors import UserError
from simulator.randomness import derive_key
from simulator.results.rows import Row

DIFFERENCE_COLUMNS = (
    *("scheme", "reference", "channel", "snr_db", "cbr_target", "metric", "images"),
    *("difference", "difference_lo", "difference_hi", "percent"),
)
BD_RATE_COLUMNS = ("scheme", "reference", "channel", "snr_db", "metric", "bd_rate_percent")


@dataclass(frozen=True)
class Difference:
    """Scheme minus reference at one point of the grid.

    Attributes:
        snr_db: None is the mean over all SNRs that both have.
        estimate: mean over images of the paired difference, with its interval.
        percent: the difference over the reference's mean; None where that is 0 or means nothing, as of decibels.
    """

    scheme: str
    reference: str
    channel: str
    snr_db: float | None
    cbr_target: float
    metric: str
    images: int
    estimate: Estimate
    percent: float | None

    def record(self) -> dict[str, Any]:
        """A flat record with the public columns of `differences.csv`."""
        one = self.estimate
        bounds = {"difference": one.mean, "difference_lo": one.low, "difference_hi": one.high}
        return {name: bounds[name] if name in bounds else getattr(self, name) for name in DIFFERENCE_COLUMNS}


@dataclass(frozen=True)
class BdRate:
    """How much more rate (billed CBR) a scheme needs for the reference's quality, in percent.

    Attributes:
        bd_rate_percent: None where there is none.
        reason: why there is none; empty where there is one.
    """

    scheme: str
    reference: str
    channel: str
    snr_db: float
    metric: str
    bd_rate_percent: float | None
    reason: str = ""

    def record(self) -> dict[str, Any]:
        """A flat record with the public columns of `bd_rate.csv`, and the reason."""
        return asdict(self)


def differences(rows: Iterable[Row], reference: str, metrics: Sequence[str] = ()) -> list[Difference]:
    """Compare every scheme with the reference wherever both have rows.

    One entry per (scheme, channel, CBR, SNR, metric), and one for the mean over SNRs where there are several.

    Args:
        rows: of all schemes.
        reference: name of a scheme.
        metrics: names of their columns; empty takes all that there are.

    Raises:
        UserError: the results lack the reference, or nothing can be compared with it.
    """
    rows = list(rows)
    cells, metrics = cells_with(rows, reference), metrics or metric_names(rows)
    found = []
    for scheme, channel, cbr in dict.fromkeys((scheme, channel, cbr) for scheme, channel, _, cbr in cells):
        snrs = dict.fromkeys(snr for _, _, snr, _ in cells)
        both = ((scheme, channel, cbr), (reference, channel, cbr))
        shared = [snr for snr in snrs if all((one, channel, snr, cbr) in cells for one, channel, cbr in both)]
        for chosen in [[snr] for snr in shared] + ([shared] if len(shared) > 1 else []):
            for metric in metrics if scheme != reference else ():
                first, second = (_means(cells, one, chosen, metric) for one in both)
                if first.keys() & second.keys():
                    snr_db = chosen[0] if len(chosen) == 1 else None
                    found.append(_difference((scheme, reference, channel, snr_db, cbr, metric), first, second))
    if not found:
        raise UserError(
            f"nothing to compare with '{reference}': no other scheme has {' or '.join(metrics)} "
            "of the same images at the same channel, SNR and CBR"
        )
    return found


def _difference(
    where: tuple[str, str, str, float | None, float, str], first: dict[str, float], second: dict[str, float]
) -> Difference:
    estimate = paired_difference(first, second, derive_key("difference", *map(str, where)))
    base = [second[image] for image in first if image in second]
    percent = None if not scale_of(where[-1]).ratio or not any(base) else 100 * estimate.mean * len(base) / sum(base)
    return Difference(*where, len(base), estimate, percent)


def bd_rates(
    rows: Iterable[Row],
    reference: str,
    metrics: Sequence[str] = (),
    directions: Mapping[str, bool] | None = None,
) -> list[BdRate]:
    """BD-rate of every scheme against the reference, per channel, SNR and metric, where both have several CBRs.

    Args:
        rows, reference, metrics: as for `differences`.
        directions: of metrics that the program does not know, by name: whether higher is better.

    Raises:
        UserError: the results lack the reference.
    """
    rows = list(rows)
    cells, metrics = cells_with(rows, reference), metrics or metric_names(rows)
    found = []
    for scheme, channel, snr in dict.fromkeys(cell[:3] for cell in cells):
        for metric in metrics if scheme != reference else ():
            anchor, test = (curve_over_cbr(cells, (one, channel, snr), metric) for one in (reference, scheme))
            if len(anchor) > 1 and len(test) > 1:
                percent, reason = _bd_rate(anchor, test, scale_of(metric, directions).improves)
                found.append(BdRate(scheme, reference, channel, snr, metric, percent, reason))
    return found


def _bd_rate(
    anchor: list[tuple[float, float]], test: list[tuple[float, float]], improves: Callable[[float], bool]
) -> tuple[float | None, str]:
    """The BD-rate of two curves of (rate, quality), or why there is none."""
    for curve, whose in ((sorted(anchor), "the reference's"), (sorted(test), "the scheme's")):
        if not all(improves(after - before) for (_, before), (_, after) in pairwise(curve)):
            return None, f"{whose} quality does not improve with every step of CBR"
    try:
        return bd_rate(*zip(*anchor, strict=True), *zip(*test, strict=True)), ""
    except ValueError as error:
        return None, str(error)


def cells_with(rows: Iterable[Row], reference: str) -> dict[Identity, list[Row]]:
    """Rows by point. Raises UserError where they lack the reference."""
    cells = group_by_point(rows)
    schemes = dict.fromkeys(cell[0] for cell in cells)
    if reference not in schemes:
        raise UserError(f"no rows of '{reference}' to compare with; the results have: {', '.join(schemes) or 'none'}")
    return cells


def _means(
    cells: dict[Identity, list[Row]], where: tuple[str, str, float], snrs: Sequence[float], metric: str
) -> dict[str, float]:
    """Per image the mean over SNRs, of the images that have all of them; `where` is (scheme, channel, CBR)."""
    scheme, channel, cbr = where
    per_snr = [image_means(cells[scheme, channel, snr, cbr], value_of(metric)) for snr in snrs]
    complete = [image for image in per_snr[0] if all(image in means for means in per_snr)]
    return {image: float(np.mean([means[image] for means in per_snr])) for image in complete}


def curve_over_cbr(
    cells: dict[Identity, list[Row]], where: tuple[str, str, float], metric: str
) -> list[tuple[float, float]]:
    """(billed CBR, quality) per CBR, means over images; a point that sent nothing has no place on a curve over CBR."""
    own = [(rows, image_means(rows, value_of(metric))) for cell, rows in cells.items() if cell[:3] == where]
    return [
        (float(np.mean([row.cbr for row in rows])), float(np.mean(list(quality.values()))))
        for rows, quality in own
        if quality and any(row.cbr for row in rows)
    ]
