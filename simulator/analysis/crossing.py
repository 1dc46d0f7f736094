"""The bandwidth that a scheme needs for another's quality: where their curves over CBR cross."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from simulator.analysis.comparison import cells_with, curve_over_cbr
from simulator.analysis.scales import scale_of
from simulator.analysis.statistics import metric_names
from simulator.results.rows import Row

CROSSING_COLUMNS = ("scheme", "reference", "channel", "snr_db", "metric", "reference_cbr", "relation", "cbr", "share")


@dataclass(frozen=True)
class Crossing:
    """What a scheme needs for the quality that the reference has at one of its CBRs. CBRs are billed ones.

    Attributes:
        reference_cbr: of the reference.
        relation: "=" where the scheme's curve crosses that quality at `cbr`; "<" where its lowest measured CBR, which
            `cbr` is then, is already better; ">" where its highest is not good enough.
        share: cbr over reference_cbr.
    """

    scheme: str
    reference: str
    channel: str
    snr_db: float
    metric: str
    reference_cbr: float
    relation: str
    cbr: float

    @property
    def share(self) -> float:
        """cbr over reference_cbr; a bound of it where `relation` is not "="."""
        return self.cbr / self.reference_cbr

    def record(self) -> dict[str, Any]:
        """A flat record with the public columns of `crossings.csv`."""
        return {**asdict(self), "share": self.share}


def crossings(
    rows: Iterable[Row],
    reference: str,
    metrics: Sequence[str] = (),
    directions: Mapping[str, bool] | None = None,
) -> list[Crossing]:
    """For every scheme, channel, SNR, metric and CBR of the reference: the CBR of equal quality.

    Between measured CBRs, quality is linear in log CBR.

    Args and errors as for `simulator.analysis.comparison.bd_rates`.
    """
    rows = list(rows)
    cells = cells_with(rows, reference)
    found = []
    for scheme, channel, snr_db in dict.fromkeys(cell[:3] for cell in cells):
        for metric in metrics or metric_names(rows) if scheme != reference else ():
            theirs, ours = (
                sorted(curve_over_cbr(cells, (one, channel, snr_db), metric)) for one in (reference, scheme)
            )
            if len(theirs) > 1 and len(ours) > 1:
                where = (scheme, reference, channel, snr_db, metric)
                improves = scale_of(metric, directions).improves
                found += [Crossing(*where, cbr, *crossing(ours, quality, improves)) for cbr, quality in theirs]
    return found


def crossing(
    curve: Sequence[tuple[float, float]], quality: float, improves: Callable[[float], bool]
) -> tuple[str, float]:
    """Where a curve of (CBR, quality) over rising CBRs first reaches a quality.

    Args:
        improves: whether a difference of quality is one for the better.

    Returns:
        (relation, CBR) as a `Crossing` has them.
    """
    if not improves(quality - curve[0][1]):
        return "=" if curve[0][1] == quality else "<", curve[0][0]
    for (low, before), (high, after) in pairwise(curve):
        if not improves(quality - after):
            part = (quality - before) / (after - before)
            return "=", math.exp(math.log(low) + part * math.log(high / low))
    return ">", curve[-1][0]
