"""How a results folder grows: rows a second, bytes, and what it costs to resume, for a scheme that computes nothing."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np

from simulator.analysis.statistics import summarise
from simulator.analysis.tables import summary_csv
from simulator.channels import load_channel
from simulator.images import NamedImage
from simulator.link import Scheme
from simulator.results.rows import Row
from simulator.results.store import DATABASE, Store
from simulator.sweep import PlannedRow, plan
from simulator.sweep.inputs import Inputs, SweepConfig

IMAGES, SNRS = 25, 20  # per realisation: 500 rows


class Nothing:
    """What a scheme is to a plan; it is never run."""

    name = "nothing"

    def fingerprint(self) -> str:
        """Always the same."""
        return "0"


@dataclass(frozen=True)
class Growth:
    """What a store of so many rows costs.

    Attributes:
        rows: how many.
        rows_per_second: written, one transaction each, as a sweep of one image per unit of work does.
        megabytes: size of the database, in 10^6 bytes.
        plan_s: seconds until a resumed sweep knows what is missing: keys of the grid, stored plan, finished rows.
        plan_cpu_s: processor seconds of the same, which a busy machine does not change.
        summary_s: seconds to read all rows and make the summary of them, which ends every sweep.
    """

    rows: int
    rows_per_second: float
    megabytes: float
    plan_s: float
    plan_cpu_s: float
    summary_s: float


def measure_growth(rows: int, folder: Path) -> Growth:
    """Fill a new results folder with about `rows` rows and time what a sweep does with them."""
    config, inputs = grid(rows)
    planned = plan(config, inputs)
    with Store(folder) as store:
        store.set_plan([row.key for row in planned], {})
        start = time.perf_counter()
        for row in synthetic_rows(planned):
            store.add([row])
        writing = time.perf_counter() - start
    start, processor = time.perf_counter(), time.process_time()
    planned = plan(config, inputs)
    with Store(folder) as store:
        store.set_plan([row.key for row in planned], {})
        finished = store.finished()
        missing = [row for row in planned if row.key not in finished]
        planning, processor = time.perf_counter() - start, time.process_time() - processor
        assert not missing
        start = time.perf_counter()
        summary_csv(summarise(store.results().rows))
        summarising = time.perf_counter() - start
    size = sum(path.stat().st_size for path in folder.glob(DATABASE + "*"))
    return Growth(len(planned), len(planned) / writing, size / 1e6, planning, processor, summarising)


def grid(rows: int) -> tuple[SweepConfig, Inputs]:
    """A grid of about `rows` rows: 25 images, 20 SNRs, as many realisations as it takes."""
    draw = np.random.default_rng(0)
    images = [NamedImage(f"image{index:02}", draw.integers(0, 256, (16, 16, 3), np.uint8)) for index in range(IMAGES)]
    config = SweepConfig(
        snrs_db=tuple(map(float, range(SNRS))),
        cbrs=(Fraction(1, 16),),
        schemes=("nothing",),
        realisations=max(1, round(rows / (IMAGES * SNRS))),
        lpips="none",
    )
    return config, Inputs({"nothing": cast(Scheme, Nothing())}, {"awgn": load_channel("awgn")}, images, "none", "none")


def synthetic_rows(planned: Sequence[PlannedRow]) -> Iterator[Row]:
    """A row for each planned one, with numbers as long as real ones."""
    draw = np.random.default_rng(1)
    for row in planned:
        noise = draw.random(4)
        yield Row(
            key=row.key,
            scheme=row.scheme,
            channel=row.channel,
            snr_db=row.snr_db,
            cbr_target=float(row.cbr),
            image=row.image.name,
            realisation=row.realisation,
            snr_db_realised=row.snr_db + float(noise[0]),
            psnr_db=30 + float(noise[1]),
            ms_ssim=float(noise[2]),
            lpips=float(noise[3]),
            outage=False,
            cbr=float(row.cbr),
            cbr_payload=float(row.cbr) * 0.9,
            payload=66_000,
            side_information=0,
            header=100,
            crc=3_000,
            padding=4_628,
            pilots=0,
            encode_s=0.1 + float(noise[0]) / 10,
            decode_s=0.2 + float(noise[1]) / 10,
        )
