"""The numbers of a report, as the page reads them: columns, made of the same statistics as every other output."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from simulator.analysis.comparison import differences
from simulator.analysis.curves import make_curves
from simulator.analysis.drawings import Curve
from simulator.analysis.grouping import group_by_point, image_means
from simulator.analysis.looks import PLOTLY_SYMBOLS
from simulator.analysis.missing import missing_metrics
from simulator.analysis.scales import Scale, scale_of
from simulator.analysis.statistics import LEDGER_ITEMS, METRICS, Bill, Point, bills, further_names, value_of
from simulator.analysis.words import BACKBONES, cbr_label
from simulator.errors import UserError
from simulator.results.rows import Row
from simulator.results.store import Results

Value = Callable[[Row], float | None]  # of a metric


@dataclass(frozen=True)
class Series:
    """One scheme of one results folder: the unit that a report switches on and off.

    Attributes:
        name: unique in the report; the scheme's own unless several folders have it.
        curve: its look and its points.
        rows: its rows, under that name.
    """

    name: str
    curve: Curve
    rows: list[Row]


@dataclass(frozen=True)
class Axes:
    """What the columns of a report count through: a value is stored as its place in one of these."""

    series: list[str]
    channels: list[str]
    snrs: list[float]
    cbrs: list[float]
    images: list[str]

    def place(self, row: Row | Point | Bill) -> tuple[int, int, int, int]:
        """Places of series, channel, CBR and SNR of a row, a point or a bill."""
        series = self.series.index(row.scheme)
        return series, self.channels.index(row.channel), self.cbrs.index(row.cbr_target), self.snrs.index(row.snr_db)


def check_comparable(results: Sequence[Results]) -> list[str]:
    """Refuse results that cannot share a report.

    Returns:
        Notes for the reader, one line each.

    Raises:
        UserError: a folder without finished rows, or two different images of one name.
    """
    digests: dict[str, tuple[str, str]] = {}
    for one in results:
        if not one.rows:
            raise UserError(f"nothing to report: '{one.folder}' holds no finished rows; run the sweep first")
        for image in one.meta.get("images", ()):
            where, digest = digests.setdefault(image["name"], (str(one.folder), image["sha256"]))
            if digest != image["sha256"]:
                raise UserError(
                    f"image '{image['name']}' is another picture in '{one.folder}' than in '{where}'; "
                    "report on them one by one"
                )
    notes = [f"'{one.name}' has {missing}" for one in results for missing in missing_metrics(one)]
    if len({frozenset(row.image for row in one.rows) for one in results}) > 1:
        notes.append("the results are of different sets of images: compare curves with care; differences are paired")
    measured = [one.meta["lpips"] for one in results if one.meta.get("lpips", {}).get("net", "none") != "none"]
    if len({lpips.get("fingerprint") for lpips in measured}) > 1:
        notes.append("the results have LPIPS of different networks: their LPIPS must not be compared")
    notes += [
        f"'{one.name}' has {one.faults} rows of schemes that broke: they are scored as outages"
        for one in results
        if one.faults
    ]
    notes += [
        f"'{one.name}' is unfinished: {len(one.rows)} of {one.planned} rows are finished"
        for one in results
        if len(one.rows) < one.planned
    ]
    return notes


def make_series(results: Sequence[Results]) -> list[Series]:
    """One per scheme and results folder, in the order and with the look of the figures."""
    origins = [(one, scheme) for one in results for scheme in dict.fromkeys(row.scheme for row in one.rows)]
    counts = Counter(scheme for _, scheme in origins)
    taken: Counter[str] = Counter()
    series = []
    for (one, scheme), curve in zip(origins, make_curves(results), strict=True):
        name = scheme if counts[scheme] == 1 else f"{scheme}, {one.name}"
        taken[name] += 1
        label = curve.label
        if taken[name] > 1:  # folders of one name in different places
            name, label = f"{name} ({taken[name]})", f"{label} ({taken[name]})"
        rows = [replace(row, scheme=name) for row in one.rows if row.scheme == scheme]
        points = [replace(point, scheme=name) for point in curve.points]
        series.append(Series(name, replace(curve, label=label, points=points), rows))
    return series


def axes_of(series: Sequence[Series]) -> Axes:
    """Every value that occurs: channels and images as they first come, numbers in order."""
    rows = [row for one in series for row in one.rows]
    return Axes(
        series=[one.name for one in series],
        channels=list(dict.fromkeys(row.channel for row in rows)),
        snrs=sorted({row.snr_db for row in rows}),
        cbrs=sorted({row.cbr_target for row in rows}),
        images=list(dict.fromkeys(row.image for row in rows)),
    )


def numbers(results: Sequence[Results], series: Sequence[Series], axes: Axes) -> dict[str, Any]:
    """Everything that the page shows but pictures and provenance, JSON-serialisable."""
    rows = [row for one in series for row in one.rows]
    further = {f"further_{index}": name for index, name in enumerate(_further(series))}
    values = {name: value_of(further.get(name, name)) for name in (*METRICS, *further)}
    directions = {name: up for one in results for name, up in one.meta.get("directions", {}).items()}
    nets = sorted({one.meta.get("lpips", {}).get("net", "none") for one in results} - {"none"})
    return {
        "series": [
            {"name": one.name, "label": one.curve.label, "bound": one.curve.bound, "colour": one.curve.colour}
            | {"symbol": PLOTLY_SYMBOLS.get(one.curve.marker, "circle"), "plain": not one.curve.marker}
            for one in series
        ],
        "channels": axes.channels,
        "snrs": axes.snrs,
        "cbrs": [{"value": cbr, "label": cbr_label(cbr)} for cbr in axes.cbrs],
        "images": axes.images,
        "metrics": [name for name, value in values.items() if any(value(row) is not None for row in rows)],
        "further": {key: _words(scale_of(name, directions)) for key, name in further.items()},
        "lpips": ", ".join(BACKBONES.get(net, net) for net in nets),
        "realisations": len({row.realisation for row in rows}),
        "points": _points(series, axes, further),
        "bill": _bill(series, axes),
        "differences": [_differences(rows, name, axes, further) for name in axes.series],
        "table": _table(rows, axes, values),
    }


def _columns(names: Sequence[str], records: Iterable[Sequence[Any]]) -> dict[str, list[Any]]:
    """Records as columns, which compress and read faster than a mapping each."""
    columns = list(zip(*records, strict=True)) or [()] * len(names)
    return {name: list(column) for name, column in zip(names, columns, strict=True)}


_PLACE = ("series", "channel", "cbr", "snr")


def _rounded(value: Any, digits: int = 6) -> Any:
    return None if value is None else round(value, digits)


def _digits(column: str) -> int:
    return 4 if column.startswith("psnr_db") else 6


def _words(scale: Scale) -> dict[str, Any]:
    return {"name": scale.label, "digits": scale.digits, "better": scale.better}


def _further(series: Sequence[Series]) -> list[str]:
    return further_names(point for one in series for point in one.curve.points)


def _points(series: Sequence[Series], axes: Axes, further: dict[str, str]) -> dict[str, list[Any]]:
    """The points of all curves, as `summary.csv` has them."""
    columns = {
        f"{name}{suffix}": f"{further.get(name, name)}{suffix}"
        for name in (*METRICS, *further, "outage_rate")
        for suffix in ("", "_lo", "_hi")
    } | {"billed": "cbr", "images": "images"}
    records = []
    for point in (point for one in series for point in one.curve.points):
        record = point.record()
        records.append(
            (*axes.place(point), *(_rounded(record.get(own), _digits(name)) for name, own in columns.items()))
        )
    return _columns((*_PLACE, *columns), records)


def _bill(series: Sequence[Series], axes: Axes) -> dict[str, list[Any]]:
    """Mean channel uses per source value by item: the items of a bar sum to the billed CBR."""
    records = []
    for one in series:
        for bill in bills(one.rows):
            records.append((*axes.place(bill), *(_rounded(bill.cbr * share, 8) for share in bill.shares.values())))
    return _columns((*_PLACE, *LEDGER_ITEMS), records)


def _differences(rows: list[Row], reference: str, axes: Axes, further: dict[str, str]) -> dict[str, list[Any]]:
    """Every series minus a reference; an SNR of null is the mean over all SNRs that both have."""
    try:
        found = differences(rows, reference)
    except UserError:  # it shares no point with the others
        found = []
    names = (*_PLACE, "metric", "mean", "low", "high", "percent", "images")
    keys = {name: key for key, name in further.items()}
    records = []
    for one in found:
        ends = (one.estimate.mean, one.estimate.low, one.estimate.high)
        bounds = (_rounded(value, _digits(one.metric)) for value in ends)
        snr = None if one.snr_db is None else axes.snrs.index(one.snr_db)
        place = (axes.series.index(one.scheme), axes.channels.index(one.channel), axes.cbrs.index(one.cbr_target), snr)
        records.append((*place, keys.get(one.metric, one.metric), *bounds, _rounded(one.percent, 2), one.images))
    return _columns(names, records)


def _table(rows: list[Row], axes: Axes, values: dict[str, Value]) -> dict[str, list[Any]]:
    """One line per image and point: means over realisations."""
    image_at = {image: index for index, image in enumerate(axes.images)}
    records = []
    for group in group_by_point(rows).values():
        place = axes.place(group[0])
        means = [image_means(group, value) for value in values.values()]
        billed, lost = image_means(group, attrgetter("cbr")), image_means(group, lambda row: float(row.outage))
        for image, rate in lost.items():
            quality = (_rounded(one.get(image), _digits(name)) for name, one in zip(values, means, strict=True))
            records.append((*place, image_at[image], *quality, _rounded(billed[image]), _rounded(rate)))
    return _columns((*_PLACE, "image", *values, "billed", "outage_rate"), records)
