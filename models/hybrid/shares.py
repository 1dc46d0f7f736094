"""The base's share of the channel uses: a table measured on held-out training images, known to both ends."""

import json
import math
from functools import lru_cache
from importlib.resources import files
from typing import Any

ROBUST_SHARE = 0.5  # with a margin, which the table does not know


@lru_cache(maxsize=1)
def table() -> dict[str, Any]:
    """The table: `share` of each end, a row for each of `cbr` and a column for each of `snr_db`; and its origin."""
    found: dict[str, Any] = json.loads((files(__package__) / "shares.json").read_text(encoding="utf-8"))
    return found


def best_share(cbr: float, snr_db: float, faithful: bool) -> float:
    """The share at the nearest bandwidth ratio (by their quotient) and SNR that were measured."""
    found = table()
    row = min(range(len(found["cbr"])), key=lambda index: abs(math.log(found["cbr"][index] / cbr)))
    column = min(range(len(found["snr_db"])), key=lambda index: abs(found["snr_db"][index] - snr_db))
    return float(found["share"]["psnr" if faithful else "perception"][row][column])
