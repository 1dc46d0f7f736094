"""`sweep`: run a grid of schemes, channels, SNRs and bandwidth ratios over an image set."""

import argparse
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from simulator.cli import arguments

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 10


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "sweep",
        help="run a grid of schemes, channels, SNRs and bandwidth ratios",
        description="Send an image set over the air at every point of a grid; write numbers, figures and provenance. "
        "If interrupted, rerun the same command to resume.",
    )
    text = "Es/N0 in dB: a range FIRST:LAST[:STEP] with both ends, or a list"
    parser.add_argument("--snr", type=arguments.snr_grid, required=True, metavar="0:15", help=text)
    text = (
        "channel uses per source value (3 H W), without the channel's own pilots, in (0, 1/2]; several with commas "
        "(default: 1/16)"
    )
    parser.add_argument("--cbr", type=arguments.cbr_list, default=(Fraction(1, 16),), metavar="1/16", help=text)
    text = "scheme NAME[:OPTION...], several with commas (default: every built-in scheme)"
    _add_list(parser, "--scheme", (), text)
    _add_list(parser, "--channel", ("awgn",), "channel NAME[:OPTION...], several with commas (default: awgn)")
    _add_list(parser, "--metric", (), "further metric NAME[:OPTION...] or torch:FILE.py:CLASS, several with commas")
    arguments.add_images(parser)
    text = "channel draws per image (default: 1)"
    parser.add_argument("--realisations", type=arguments.positive_int, default=1, metavar="N", help=text)
    arguments.add_seed(parser)
    arguments.add_device(parser)
    arguments.add_precision(parser)
    arguments.add_lpips(parser)
    arguments.add_workers(parser)
    arguments.add_keep_images(parser, "none")
    text = "results folder; a sweep that it already has is resumed (default: sweep-results)"
    parser.add_argument("--out", type=arguments.path, default=Path("sweep-results"), metavar="DIR", help=text)
    parser.add_argument("--fresh", action="store_true", help="discard the rows of earlier sweeps in the results folder")
    arguments.add_json(parser)
    parser.set_defaults(run=run)


def _add_list(parser: argparse.ArgumentParser, option: str, default: tuple[str, ...], text: str) -> None:
    collect = arguments.ExtendUnique
    parser.add_argument(option, type=arguments.name_list, action=collect, default=default, metavar="NAME", help=text)


def run(args: argparse.Namespace) -> int:
    """Run the sweep and print its summary; 1 if a scheme broke in some rows."""
    from simulator.sweep.executors import single_threaded

    single_threaded()
    from simulator.analysis.outputs import FIGURES, SUMMARY, SUMMARY_AND_FIGURES
    from simulator.analysis.statistics import summarise
    from simulator.analysis.tables import print_table, summary_table, to_json
    from simulator.sweep import run_sweep
    from simulator.sweep.inputs import SweepConfig

    config = SweepConfig(
        snrs_db=args.snr,
        cbrs=args.cbr,
        schemes=args.scheme,
        channels=args.channel,
        images=args.images,
        crop=args.crop,
        metrics=args.metric,
        realisations=args.realisations,
        seed=args.seed,
        lpips=args.lpips,
        **arguments.execution(args),
        keep_images=args.keep_images,
    )
    with Monitor() as monitor:
        results = run_sweep(config, args.out, args.fresh, monitor.notify, monitor.progress, SUMMARY_AND_FIGURES)
    points = summarise(results.rows)
    if args.json:
        print(to_json(point.record() for point in points))
    else:
        print_table(summary_table(points, results.meta.get("directions")))
        drawn = any((args.out / FIGURES).glob("*-vs-*"))  # a single SNR and CBR make no curve
        figures = f"figures in {args.out / FIGURES}" if drawn else "no figures, because they need several SNRs or CBRs"
        print(f"{len(results.rows)} rows; numbers in {args.out / SUMMARY}, {figures}")
        if results.unplanned:
            print(
                f"{results.unplanned} rows of other sweeps are kept in this folder; rerun their commands to show them"
            )
    return int(results.faults > 0)


class Monitor:
    """Report the progress of a sweep on stderr: a bar with ETA on a terminal, occasional lines elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._bar: Progress | None = None
        self._told = time.monotonic()
        self._calls = 0
        self._first = (self._told, 0)  # time and number of the first rows

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def notify(self, message: str) -> None:
        """Print a note without disturbing the bar."""
        self._console.print(f"note: {message}", markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        """Show that `done` of `total` rows are finished."""
        now = time.monotonic()
        if self._bar is None and self._console.is_terminal:
            self._bar = _bar(self._console)
            self._bar.add_task("rows", total=total, completed=done, speed="")
            self._bar.start()
        self._calls += 1
        if self._calls <= 2:  # imports dominate the time until the first rows arrive
            self._first = (now, done)
        speed = (done - self._first[1]) / max(now - self._first[0], 1e-9)
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, speed=f"{speed:.1f} rows/s")
        elif now - self._told >= SECONDS_BETWEEN_LINES or done == total:
            self._told = now
            left = f", {speed:.2f} rows/s, {(total - done) / speed:.0f} s left" if speed and done < total else ""
            print(f"{done}/{total} rows{left}", file=sys.stderr, flush=True)


def _bar(console: object) -> "Progress":
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"))
    return Progress(*columns, TimeElapsedColumn(), TextColumn("ETA"), TimeRemainingColumn(), console=console)  # type: ignore[arg-type]
