"""`bench sweep` and `bench scale`: the cost of parallel work and of large results folders."""

import argparse
import os
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from simulator.cli import arguments
from simulator.cli.bench.shown import show_table


def add_targets(targets: argparse._SubParsersAction) -> None:
    """Add the two targets."""
    sweep = targets.add_parser("sweep", help="rows per second on one worker, on several, and on a local Ray cluster")
    arguments.add_images(sweep)
    text = "take the first N images only (default: all)"
    sweep.add_argument("--limit", type=arguments.positive_int, metavar="N", help=text)
    text = "scheme to run (default: bpg-ldpc)"
    sweep.add_argument("--scheme", default="bpg-ldpc", metavar="NAME", help=text)
    text = "Es/N0 in dB, as `sweep` takes it (default: 0:15)"
    sweep.add_argument(
        "--snr", type=arguments.snr_grid, default=tuple(map(float, range(16))), help=text, metavar="0:15"
    )
    text = "number of workers in the parallel runs (default: 2)"
    sweep.add_argument("--workers", type=arguments.positive_int, default=2, metavar="N", help=text)
    text = "runs of each kind, in turn (default: 3)"
    sweep.add_argument("--repeats", type=arguments.positive_int, default=3, metavar="N", help=text)
    sweep.add_argument("--no-ray", action="store_true", help="leave Ray out")
    arguments.add_lpips(sweep)
    arguments.add_json(sweep)
    sweep.set_defaults(run=_sweep)

    scale = targets.add_parser("scale", help="store size, rows per second and time to resume at many rows")
    text = "numbers of rows, separated by commas (default: 1e4,1e5,1e6)"
    scale.add_argument("--rows", type=_counts, default=(10_000, 100_000, 1_000_000), metavar="N,...", help=text)
    arguments.add_json(scale)
    scale.set_defaults(run=_scale)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(int(arguments.positive_float(part)) for part in text.split(","))


def _sweep(args: argparse.Namespace) -> None:
    from simulator.sweep.executors import single_threaded

    single_threaded()
    from rich.console import Console

    from simulator.bench.sweep import efficiency, measure_speeds
    from simulator.sweep.inputs import SweepConfig

    config = SweepConfig(
        snrs_db=args.snr,
        cbrs=(Fraction(1, 16),),
        schemes=(args.scheme,),
        images=args.images,
        crop=args.crop,
        limit=args.limit,
        lpips=args.lpips,
    )
    executors = ("local",) if args.no_ray else ("local", "ray")
    with Console(stderr=True).status("") as status:
        speeds = measure_speeds(config, args.workers, executors, args.repeats, status.update)
    records = [asdict(one) | {"efficiency": share} for one, share in zip(speeds, efficiency(speeds), strict=True)]
    _print(args.json, records, f"{args.scheme}, median of {args.repeats}")


def _scale(args: argparse.Namespace) -> None:
    import tempfile

    from rich.console import Console

    from simulator.bench.store import measure_growth

    records = []
    with Console(stderr=True).status("") as status:
        for rows in args.rows:
            status.update(f"{rows} rows")
            with tempfile.TemporaryDirectory() as folder:
                records.append(asdict(measure_growth(rows, Path(folder))))
    _print(args.json, records, "a scheme that computes nothing")


def _print(as_json: bool, records: list[dict], title: str) -> None:
    """Print one line per record, and the load of the machine."""
    import json

    from simulator.analysis.fitting import Column, FittedTable

    load = os.getloadavg()[0]
    if as_json:
        print(json.dumps({"load": load, "runs": records}))
        return
    table = FittedTable([Column(name.replace("_", " "), is_name=name == "executor") for name in records[0]])
    for record in records:
        table.add(*(f"{value:,.4g}" if isinstance(value, float) else f"{value}" for value in record.values()))
    show_table(f"{title}; load {load:.1f}", table)
