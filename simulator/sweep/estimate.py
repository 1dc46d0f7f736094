"""Estimates of a sweep: its rows, and time and disk space from a few trial rows. It writes nothing."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from simulator.devices import resolve_precision
from simulator.results.gallery import Gallery, Keeper
from simulator.results.store import load_results
from simulator.results.trouble import check_folder
from simulator.results.written import DATABASE
from simulator.sweep.executors import cores
from simulator.sweep.inputs import Inputs, SweepConfig, load_inputs
from simulator.sweep.plan import PlannedRow, plan, tasks
from simulator.sweep.run import choose_executor
from simulator.sweep.trials import Worker

ROW_BYTES, DATABASE_BYTES = 400, 60_000  # in results.sqlite; `simulator bench scale` measures them
TRIALS = 5  # rows of each scheme and channel
ENOUGH_S = 20.0  # of trials of one scheme and channel; two are sent in any case


@dataclass(frozen=True)
class Part:
    """What one scheme takes on one channel.

    Attributes:
        rows, finished: in the plan, and of them already in the results folder, with the pictures to keep.
        seconds_per_row: of one process, on average over the images; None where nothing is missing.
        seconds: of one process, for the missing rows.
        megabytes: of the missing rows and their pictures.
    """

    scheme: str
    channel: str
    rows: int
    finished: int
    seconds_per_row: float | None
    seconds: float
    megabytes: float


@dataclass(frozen=True)
class Estimate:
    """What a sweep takes.

    Attributes:
        parts: by scheme and channel.
        workers: processes that share the work.
        start_s: seconds until a worker has loaded everything.
        seconds: until the rows are there.
        megabytes: of database and pictures, without figures.
    """

    parts: list[Part]
    workers: int
    start_s: float
    seconds: float
    megabytes: float

    def record(self) -> dict[str, Any]:
        """All of it, JSON-serialisable."""
        totals = {name: sum(getattr(one, name) for one in self.parts) for name in ("rows", "finished")}
        return totals | asdict(self)


def estimate_sweep(
    config: SweepConfig, folder: Path, fresh: bool = False, notify: Callable[[str], None] = lambda note: None
) -> Estimate:
    """Plan a sweep and send a few of its missing rows in this process.

    Of every scheme and channel a few rows from the lowest to the highest SNR are sent. Seconds and pictures count in
    proportion to the pixels of an image.

    Args:
        config, folder, fresh, notify: as `simulator.sweep.run_sweep` takes them.

    Raises:
        UserError: bad configuration, or an unusable folder.
    """
    check_folder(folder)
    config = replace(config, precision=resolve_precision(config.precision, config.device))
    choose_executor(config, 1, notify)
    inputs = load_inputs(config, notify)
    planned = plan(config, inputs)
    stored = (folder / DATABASE).is_file() and not fresh
    there = load_results(folder, [row.key for row in planned]).rows if stored else []
    without_picture = Keeper(Gallery(folder), config.keep_images).lacking(there, config.realisations)
    finished = {row.key for row in there if row.fault is None} - without_picture
    begin = time.perf_counter()
    worker = Worker(config.device, inputs.lpips, config.precision, tuple(inputs.metrics))
    start_s, parts = time.perf_counter() - begin, []
    for scheme in inputs.schemes:
        for channel in inputs.channels:
            rows = [row for row in planned if (row.scheme, row.channel) == (scheme, channel)]
            missing = [row for row in rows if row.key not in finished]
            notify(f"trying {scheme} over {channel}")
            loading, seconds, picture_bytes = _try(config, inputs, worker, missing)
            start_s += loading
            kept = _pictures(config, missing) * picture_bytes + len(missing) * ROW_BYTES
            each = seconds / len(missing) if missing else None
            parts.append(Part(scheme, channel, len(rows), len(rows) - len(missing), each, seconds, kept / 1e6))
    missing_rows = sum(one.rows - one.finished for one in parts)
    workers = max(1, min(config.workers or cores(), missing_rows))
    seconds = start_s + sum(one.seconds for one in parts) / workers if missing_rows else 0.0
    megabytes = sum(one.megabytes for one in parts) + DATABASE_BYTES / 1e6
    return Estimate(parts, workers, start_s, seconds, megabytes)


def _try(
    config: SweepConfig, inputs: Inputs, worker: Worker, missing: Sequence[PlannedRow]
) -> tuple[float, float, float]:
    """Seconds to load a scheme, seconds of all missing rows, and bytes of one picture on average."""
    if not missing:
        return 0.0, 0.0, 0.0
    by_snr = sorted(missing, key=lambda row: row.snr_db)
    chosen = [by_snr[index * len(by_snr) // TRIALS] for index in range(TRIALS)][: len(by_snr)]
    each, begin = [], time.perf_counter()
    for row in chosen:
        seconds, picture = _send(config, inputs, worker, row)
        each.append((seconds / _pixels(row), picture / _pixels(row)))
        if time.perf_counter() - begin > ENOUGH_S and len(each) > 1:
            break
    # The median, because code is compiled when it is first needed; the first row loads everything.
    per_pixel = median(seconds for seconds, _ in each[1:] or each)
    pixels = sum(map(_pixels, missing))
    picture_bytes = median(size for _, size in each) * pixels / len(missing)
    return max(each[0][0] - per_pixel, 0.0) * _pixels(chosen[0]), per_pixel * pixels, picture_bytes


def _pixels(row: PlannedRow) -> int:
    return row.image.size[0] * row.image.size[1]


def _send(config: SweepConfig, inputs: Inputs, worker: Worker, row: PlannedRow) -> tuple[float, int]:
    """Seconds and bytes of the picture of one row."""
    begin = time.perf_counter()
    (task,) = tasks(config, inputs, [row])
    (outcome,) = worker(task)
    return time.perf_counter() - begin, len(outcome.picture or b"")


def _pictures(config: SweepConfig, missing: Sequence[PlannedRow]) -> int:
    """How many pictures are kept."""
    if config.keep_images == "all":
        return len(missing)
    if config.keep_images == "best":
        return len({(row.scheme, row.channel, row.cbr, row.snr_db, row.image.name) for row in missing})
    return 0
