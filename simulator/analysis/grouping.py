"""Rows by point of the grid, and by image within a point."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from simulator.results.rows import Row

Identity = tuple[str, str, float, float]  # of a point: scheme, channel, SNR in dB, CBR


def group_by_point(rows: Iterable[Row]) -> dict[Identity, list[Row]]:
    """The rows of each point of the grid, in the order in which points first appear."""
    groups: dict[Identity, list[Row]] = {}
    for row in rows:
        groups.setdefault((row.scheme, row.channel, row.snr_db, row.cbr_target), []).append(row)
    return groups


def image_means(rows: Iterable[Row], value: Callable[[Row], float | None]) -> dict[str, float]:
    """Mean over realisations of `value`, by image; images without any value are left out."""
    rows = list(rows)
    return ByImage(rows).means([value(row) for row in rows])


def mean(values: npt.ArrayLike) -> float:
    """Mean in double precision."""
    return float(np.mean(np.asarray(values, dtype=np.float64)))


class ByImage:
    """Sorts the rows of a point by image once, so that many columns can be averaged over realisations.

    Attributes:
        names: of the images, in the order in which they first appear.
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        places: dict[str, int] = {}
        codes = np.array([places.setdefault(row.image, len(places)) for row in rows], dtype=np.int64)
        self.names = list(places)
        self._order = np.argsort(codes, kind="stable")
        self._counts = np.bincount(codes, minlength=len(places))

    def means(self, values: Sequence[float | None]) -> dict[str, float]:
        """Mean of a column, one value per row, by image; None is no value, and an image without any is left out."""
        column = np.array(values, dtype=np.float64)[self._order]  # None becomes NaN
        if len(set(self._counts)) == 1 and not np.isnan(column).any():
            averages = column.reshape(len(self.names), -1).mean(axis=1)
            return dict(zip(self.names, averages.tolist(), strict=True))
        parts = np.split(column, np.cumsum(self._counts)[:-1])
        known = {name: part[~np.isnan(part)] for name, part in zip(self.names, parts, strict=True)}
        return {name: mean(part) for name, part in known.items() if len(part)}
