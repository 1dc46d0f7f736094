"""Measuring the Es/N0 that each MCS needs: from waterfalls to the table that `simulator.phy.mcs` reads."""

import json
import platform
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np

from simulator.phy.mcs import Mcs
from simulator.phy.waterfall import Waterfall, measure_waterfall

THRESHOLD_BLERS = (1e-2, 1e-3)


THRESHOLD_INFO_BITS = (256, 1024, 4096, 8448)


def measure_thresholds(table: Iterable[Mcs], sample_bits: float) -> Iterator[tuple[Mcs, int, Waterfall]]:
    """Measure the waterfall of every MCS at every length of `THRESHOLD_INFO_BITS`; yields as it goes.

    ``sample_bits`` sets the effort: info bits simulated at the deepest point, at most 20000 code blocks.
    """
    for mcs in table:
        for info_bits in THRESHOLD_INFO_BITS:
            blocks = min(20000, max(100, int(sample_bits / info_bits)))
            yield mcs, info_bits, measure_waterfall(mcs, info_bits, blocks)


def threshold_table(measured: Iterable[tuple[Mcs, int, Waterfall]]) -> dict[str, Any]:
    """Gather measurements into the table that `simulator.phy.mcs.thresholds` reads."""
    snr: dict[str, list[list[float]]] = {}
    error: dict[str, list[list[float]]] = {}
    for mcs, _, waterfall in measured:
        snr.setdefault(mcs.name, []).append([round(waterfall.snr_db(b), 3) for b in THRESHOLD_BLERS])
        error.setdefault(mcs.name, []).append([round(waterfall.standard_error_db(b), 3) for b in THRESHOLD_BLERS])
    return {
        "origin": {
            "command": "python -m simulator bench mcs --write simulator/phy/data/thresholds.json",
            "decoder": "layered offset-min-sum, offset 0.5, 20 iterations",
            "channel": "AWGN, Es/N0 in dB per complex symbol, one code block, random info bits",
            "estimate": "maximum-likelihood fit of BLER = Q((snr - middle) / width)",
            "numba": numba.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
        },
        "bler": list(THRESHOLD_BLERS),
        "info_bits": list(THRESHOLD_INFO_BITS),
        "snr_db": snr,
        "standard_error_db": error,
    }


def format_table(table: dict[str, Any]) -> str:
    """The table as JSON with one line per MCS, so that a new measurement reads as a diff."""
    entries = []
    for key, value in table.items():
        if key in ("snr_db", "standard_error_db"):
            lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(rows)}" for name, rows in value.items())
            entries.append(f'  "{key}": {{\n{lines}\n  }}')
        else:
            entries.append(f'  "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(entries) + "\n}\n"
