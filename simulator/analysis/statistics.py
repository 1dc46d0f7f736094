"""What many rows say together: means with bootstrap intervals over images, bills, differences, Bjontegaard deltas."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from simulator.analysis.grouping import ByImage, Identity, group_by_point, mean
from simulator.randomness import derive_key
from simulator.results.rows import LEDGER_ITEMS, METRICS, SUMMARY_COLUMNS, Row, further_metrics

CONFIDENCE = 0.95
RESAMPLES = 4000
CHUNK = 2**20  # numbers that resampling holds at a time
BILL_COLUMNS = ("scheme", "channel", "snr_db", "cbr_target", "cbr", *LEDGER_ITEMS)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval; the bounds are None for a single image, which gives no spread.

    Attributes:
        images: number of images that have a value; None where that is not known, as of a summary that was read.
    """

    mean: float
    low: float | None
    high: float | None
    images: int | None = None


@dataclass(frozen=True)
class Point:
    """One point of a curve: all images and realisations of (scheme, channel, SNR, CBR).

    Attributes:
        metrics: by name (`psnr_db`, `ms_ssim`, `lpips`, then further ones); None if no image has the metric.
        outage_rate, outage_rate_lo, outage_rate_hi: fraction of trips after which nothing could be decoded, and its
            95 % interval.
        cbr, cbr_data, cbr_payload: mean channel uses per source value: billed in full, without what the channel spends
            on pilots, guard bands and prefixes, and for payload only.
        encode_s, decode_s: mean seconds per image; None for a bound.
    """

    scheme: str
    channel: str
    snr_db: float
    cbr_target: float
    images: int
    realisations: int
    metrics: dict[str, Estimate | None]
    outage_rate: float
    outage_rate_lo: float
    outage_rate_hi: float
    cbr: float
    cbr_data: float
    cbr_payload: float
    encode_s: float | None
    decode_s: float | None

    def record(self) -> dict[str, str | float | int | None]:
        """The point as a flat record with the public columns of `summary.csv`."""
        measured: dict[str, str | float | int | None] = {}
        for name in (*METRICS, *further_names([self])):
            one = self.metrics[name]
            mean, low, high = (None, None, None) if one is None else (one.mean, one.low, one.high)
            measured |= {name: mean, f"{name}_lo": low, f"{name}_hi": high}
        return {
            name: measured[name] if name in measured else getattr(self, name) for name in SUMMARY_COLUMNS
        } | measured


def summarise(rows: Iterable[Row]) -> list[Point]:
    """One point per (scheme, channel, SNR, CBR), in the order in which they first appear."""
    groups = group_by_point(rows)
    names = metric_names(row for group in groups.values() for row in group)
    return [_point(identity, group, names) for identity, group in groups.items()]


def metric_names(rows: Iterable[Row]) -> tuple[str, ...]:
    """Names of all metrics of some rows: the built-in ones, then further ones as they first appear."""
    return (*METRICS, *dict.fromkeys(name for row in rows for name in further_metrics(row)))


def further_names(points: Iterable[Point]) -> list[str]:
    """Names of the further metrics."""
    return list(dict.fromkeys(name for point in points for name in point.metrics if name not in METRICS))


def value_of(metric: str) -> Callable[[Row], float | None]:
    """How to read a metric, built-in or further, off a row."""
    return attrgetter(metric) if metric in METRICS else lambda row: further_metrics(row).get(metric)


def _point(identity: Identity, rows: list[Row], names: Sequence[str]) -> Point:
    by_image = ByImage(rows)
    estimates = {}
    for metric in names:
        means = by_image.means(list(map(value_of(metric), rows)))
        # Keyed, so that a point's interval does not depend on which other points there are.
        key = derive_key("bootstrap", *identity, metric)
        estimates[metric] = bootstrap_mean(list(means.values()), key) if means else None
    rate, low, high = outage_interval(rows, by_image)
    cbr = np.array([row.cbr for row in rows])
    return Point(
        *identity,
        images=len(by_image.names),
        realisations=len({row.realisation for row in rows}),
        metrics=estimates,
        outage_rate=rate,
        outage_rate_lo=low,
        outage_rate_hi=high,
        cbr=mean(cbr),
        cbr_data=mean(cbr * _data_shares(rows)),
        cbr_payload=mean([row.cbr_payload for row in rows]),
        encode_s=_mean_seconds([row.encode_s for row in rows]),
        decode_s=_mean_seconds([row.decode_s for row in rows]),
    )


def _data_shares(rows: Sequence[Row]) -> npt.NDArray[np.float64]:
    """What part of each row's bill the budget limits: all but pilots, guard bands and prefixes."""
    items = attrgetter(*LEDGER_ITEMS)
    total = np.array([items(row) for row in rows], dtype=np.float64).sum(axis=1)
    pilots = np.array([row.pilots for row in rows], dtype=np.float64)
    return np.divide(total - pilots, total, out=np.ones_like(total), where=total > 0)


def outage_interval(rows: Sequence[Row], by_image: ByImage | None = None) -> tuple[float, float, float]:
    """Outage rate of images x realisations, and its 95 % interval.

    Trips of one image fail together if the image is the cause (its file does not fit), and independently if the
    channel is. So Wilson's interval, which holds for rare outages too, is taken over as many independent trips as the
    spread between images leaves: their number over the design effect, the variance of the images' rates over what it
    would be if all trips were independent. Images must have equally many realisations for this to be exact.

    Args:
        rows: of one point.
        by_image: the same rows, if they are sorted by image already.

    Sources: Wilson, "Probable inference", JASA 22, 1927; Kish, "Survey Sampling", 1965.
    """
    lost = [float(row.outage) for row in rows]
    rates = list((by_image or ByImage(rows)).means(lost).values())
    rate, trips = mean(lost), len(rows)
    effect = 1.0
    if len(rates) > 1 and 0 < rate < 1:
        between = float(np.var(rates, ddof=1)) / len(rates)
        effect = max(1.0, between / (rate * (1 - rate) / trips))
    return rate, *wilson_interval(rate, trips / effect)


def wilson_interval(rate: float, trials: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a rate that was observed in so many independent trials."""
    z2 = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) ** 2 / trials
    middle = (rate + z2 / 2) / (1 + z2)
    half = (z2 * rate * (1 - rate) + z2**2 / 4) ** 0.5 / (1 + z2)
    return max(0.0, middle - half) if rate else 0.0, min(1.0, middle + half) if rate < 1 else 1.0


def _mean_seconds(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None


@dataclass(frozen=True)
class Bill:
    """What the channel uses of (scheme, channel, SNR, CBR) were spent on, all images and realisations together.

    Attributes:
        cbr: mean channel uses per source value, billed in full.
        shares: fraction of all channel uses by item, in the ledger's order; they sum to 1.
    """

    scheme: str
    channel: str
    snr_db: float
    cbr_target: float
    cbr: float
    shares: dict[str, float]

    def record(self) -> dict[str, str | float]:
        """The bill as a flat record with the public columns of `bill.csv`."""
        return {name: getattr(self, name) for name in BILL_COLUMNS[:5]} | self.shares


def bills(rows: Iterable[Row]) -> list[Bill]:
    """One bill per (scheme, channel, SNR, CBR), in the order in which they first appear."""
    found = []
    for identity, group in group_by_point(rows).items():
        uses = {item: sum(getattr(row, item) for row in group) for item in LEDGER_ITEMS}
        total = sum(uses.values()) or 1
        found.append(Bill(*identity, mean([row.cbr for row in group]), {k: n / total for k, n in uses.items()}))
    return found


def bootstrap_mean(values: Sequence[float], key: int) -> Estimate:
    """Mean and expanded percentile-bootstrap interval over images.

    The plain percentile interval is too short for few images: 8 normal values are covered by 88 % of them. Quantiles
    further out make up for the variance's factor (n - 1) / n and for Student's t.

    Args:
        values: one number per image, at least one.
        key: seed of the resampling.

    Source: Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69(4), 2015.
    """
    from scipy.special import ndtr, stdtrit

    sample = np.asarray(values, dtype=np.float64)
    if len(sample) < 2:
        return Estimate(mean(sample), None, None, len(sample))
    generator = np.random.Generator(np.random.PCG64(key))
    rows = max(1, CHUNK // len(sample))  # the generator gives the same numbers in chunks, and a mean sees one row
    sizes = [(min(rows, RESAMPLES - start), len(sample)) for start in range(0, RESAMPLES, rows)]
    means = np.concatenate([sample[generator.integers(len(sample), size=size)].mean(axis=1) for size in sizes])
    degrees = len(sample) - 1
    tail = ndtr(np.sqrt(len(sample) / degrees) * stdtrit(degrees, (1 - CONFIDENCE) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return Estimate(mean(sample), float(low), float(high), len(sample))


def paired_difference(first: dict[str, float], second: dict[str, float], key: int = 0) -> Estimate:
    """Mean of first - second with its interval, over the images that both have.

    The same images are drawn for both, so what is common to them (hard and easy images) cancels: two schemes can
    differ significantly although their own intervals overlap.

    Args:
        first, second: one number per image, as `image_means` gives.
        key: seed of the resampling.

    Raises:
        ValueError: no image in common.
    """
    common = [image for image in first if image in second]
    if not common:
        raise ValueError("no image in common")
    return bootstrap_mean([first[image] - second[image] for image in common], key)
