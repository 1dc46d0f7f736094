"""How much of its workers a sweep gets to use: rows a second against the number of processes, and on Ray."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.sweep import ROWS_ONLY, run_sweep
from simulator.sweep.inputs import SweepConfig

FOR_EVER_S = 1e6  # a time-out makes even a single worker a process, which begins with empty caches as the others do


@dataclass(frozen=True)
class Speed:
    """Rows a second of one way to run a sweep.

    Attributes:
        executor, workers: where it ran.
        rows_per_second: from the moment at which every worker had its first rows, median over the repeats.
        start_s: seconds until the first row, median: imports, networks, and Ray's own start.
    """

    executor: str
    workers: int
    rows_per_second: float
    start_s: float


def measure_speeds(
    config: SweepConfig, workers: int, executors: tuple[str, ...], repeats: int, notify: Callable[[str], None]
) -> list[Speed]:
    """Run a sweep on one worker and on several, in turn, so that a changing load of the machine affects all equally.

    Args:
        config: what to sweep; its executor and workers are replaced.
        workers: how many are several.
        executors: "local" or both "local" and "ray".
        repeats: how often each way is run, into a new folder each time.
        notify: receives the name of each run.

    Raises:
        UserError: what `run_sweep` raises.
    """
    ways = [("local", 1), *((executor, workers) for executor in executors)]
    times: dict[tuple[str, int], list[tuple[float, float]]] = {way: [] for way in ways}
    notify("once before, to fill the cache of BPG files")
    _timed(replace(config, executor="local", workers=workers))
    for turn in range(repeats):
        for executor, count in ways:
            notify(f"{executor}, {count} workers, {turn + 1} of {repeats}")
            times[executor, count].append(_timed(replace(config, executor=executor, workers=count)))
    return [Speed(*way, *map(statistics.median, zip(*found, strict=True))) for way, found in times.items()]


def efficiency(speeds: list[Speed]) -> Iterator[float]:
    """Rows a second over those of one local worker times the number of workers, for each."""
    (single,) = (one for one in speeds if (one.executor, one.workers) == ("local", 1))
    return (one.rows_per_second / (single.rows_per_second * one.workers) for one in speeds)


def _timed(config: SweepConfig) -> tuple[float, float]:
    """Rows a second, and seconds until the first row."""
    arrived = arrivals(replace(config, timeout_s=FOR_EVER_S))
    begin, end = arrived[min(2 * (config.workers or 1), len(arrived) - 2)], arrived[-1]
    return (end[1] - begin[1]) / (end[0] - begin[0]), arrived[1][0] - arrived[0][0]


def arrivals(config: SweepConfig) -> list[tuple[float, int]]:
    """Run a sweep into nowhere: when (seconds of a clock) how many rows were there, from its start (no row) on."""
    arrived: list[tuple[float, int]] = []

    def note(done: int, total: int) -> None:
        arrived.append((time.perf_counter(), done))

    with tempfile.TemporaryDirectory() as folder:
        run_sweep(config, Path(folder), False, lambda text: None, note, ROWS_ONLY)
    return arrived
