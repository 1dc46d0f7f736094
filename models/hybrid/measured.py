"""Makes the table of shares: `python -m simulator.models.hybrid.measured FOLDER [FOLDER]` (docs/hybrid.md).

The folders hold sweeps of `lrisc-hybrid:share=S` (with `--metric dists`) and `lrisc-hybrid:share=S:gamma=0` over AWGN
on images that no network was trained on. The PSNR end takes the share with the highest PSNR; the perception end the one
with the lowest product of LPIPS and DISTS.
"""

import csv
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from simulator.disk import json_text, write_file
from simulator.errors import UserError
from simulator.models.hybrid.scheme import HybridScheme
from simulator.results.provenance import read_provenance

TABLE = Path(__file__).with_name("shares.json")


def shares(rows: Iterable[Mapping[str, str]]) -> dict[str, Any]:
    """The best shares of rows of `summary.csv`, as `simulator.models.hybrid.shares.table` returns them.

    Rows of other schemes, channels and options are passed over.

    Raises:
        UserError: an end has not the same shares at every point, or no DISTS was measured.
    """
    scores: dict[tuple[str, float, float], dict[float, float]] = {}
    for row in rows:
        name, *options = row["scheme"].split(":")
        given = {one.partition("=")[0]: one.partition("=")[2] for one in options}
        if name != HybridScheme.declaration.name or row["channel"] != "awgn" or given.keys() - {"gamma"} != {"share"}:
            continue
        if (end := {None: "perception", "0": "psnr"}.get(given.get("gamma"))) is None:
            continue
        if end == "perception" and not row.get("dists"):
            raise UserError("the sweep measured no DISTS; add --metric dists")
        score = float(row["psnr_db"]) if end == "psnr" else -math.log(float(row["lpips"]) * float(row["dists"]))
        scores.setdefault((end, float(row["cbr_target"]), float(row["snr_db"])), {})[float(given["share"])] = score
    cbrs, snrs = sorted({cbr for _, cbr, _ in scores}), sorted({snr for _, _, snr in scores})
    tried = set().union(*scores.values())
    best: dict[str, list[list[float]]] = {}
    for end in ("psnr", "perception"):
        for cbr, snr in product(cbrs, snrs):
            if lacking := sorted(tried - scores.get((end, cbr, snr), {}).keys()):
                raise UserError(f"the sweep has no share={lacking[0]:g} of the {end} end at CBR {cbr:g}, {snr:g} dB")
        best[end] = [[max(found := scores[end, c, s], key=lambda one: found[one]) for s in snrs] for c in cbrs]
    return {"cbr": cbrs, "snr_db": snrs, "share": best}


def main(folders: Sequence[Path]) -> None:
    """Read sweeps and write the table that ships."""
    rows: list[dict[str, str]] = []
    for folder in folders:
        with (folder / "summary.csv").open(encoding="utf-8") as file:
            rows += csv.DictReader(file)
    origin = {"commands": [" ".join(read_provenance(folder)["command"]) for folder in folders]}
    write_file(TABLE, json_text({"origin": origin, **shares(rows)}).encode(), "choose another checkout")


if __name__ == "__main__":
    main([Path(folder) for folder in sys.argv[1:]])
