"""`sweep`: run a grid of schemes, channels, SNRs and bandwidth ratios over an image set."""

import argparse
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli import arguments
from simulator.cli.examples import add_examples
from simulator.cli.monitor import Monitor

if TYPE_CHECKING:
    from simulator.sweep.inputs import SweepConfig

EXAMPLES = (
    ("the default schemes at 0 to 15 dB", "simulator sweep --snr 0:15"),
    (
        "two schemes on Kodak at three CBRs",
        "simulator sweep --snr 0:15:5 --cbr 1/48,1/24,1/16 --scheme lrisc,deepjscc --images kodak",
    ),
    (
        "your own pictures over fading, with the received ones",
        "simulator sweep --snr 10 --images photos --channel rayleigh --keep-images all",
    ),
    ("how many rows, how long and how large", "simulator sweep --snr 0:15 --images kodak --dry-run"),
    ("settings from a file: lines like 'snr: 0:15'", "simulator sweep --config grid.yaml --out run"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "sweep",
        help="run a grid of schemes, channels, SNRs and bandwidth ratios",
        description="Send an image set over the air at every point of a grid; write numbers, figures and provenance. "
        "If interrupted, rerun the same command to resume.",
    )
    text = "Es/N0 in dB: a range FIRST:LAST[:STEP] with both ends, or a list"
    parser.file_option = "--config"
    config = "YAML file with values for these options, such as 'snr: 0:15' and 'scheme: [lrisc, deepjscc]'; options on "
    config += "the command line override it"
    parser.add_argument("--config", metavar="FILE", help=config)
    parser.add_argument("--snr", type=arguments.snr_grid, required=True, metavar="0:15", help=text)
    text = (
        "channel uses per source value (3 H W), without the channel's own pilots, in (0, 1/2]; several with commas "
        "(default: 1/16)"
    )
    parser.add_argument("--cbr", type=arguments.cbr_list, default=(Fraction(1, 16),), metavar="1/16", help=text)
    text = "scheme NAME[:OPTION...], several with commas (default: bpg-ldpc, deepjscc, lrisc, bpg-capacity)"
    arguments.add_list(parser, "--scheme", text)
    text = "channel NAME[:OPTION...], several with commas (default: awgn)"
    arguments.add_list(parser, "--channel", text, ("awgn",))
    text = "further metric NAME[:OPTION...] or torch:FILE.py:CLASS, several with commas"
    arguments.add_list(parser, "--metric", text)
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
    text = "send a few rows only to tell how many rows are missing, and what time and disk space they take"
    parser.add_argument("--dry-run", action="store_true", help=text)
    arguments.add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the sweep and print its summary; 1 if a scheme broke in some rows."""
    from simulator.sweep.executors import single_threaded

    single_threaded()
    from simulator.analysis.missing import missing_metrics
    from simulator.analysis.outputs import FIGURES, SUMMARY, SUMMARY_AND_FIGURES
    from simulator.analysis.statistics import summarise
    from simulator.analysis.tables import print_table, summary_table, to_json
    from simulator.results.seal import proven
    from simulator.sweep import run_sweep

    config = _config(args)
    if args.dry_run:
        _dry_run(args, config)
        return 0
    with Monitor() as monitor:
        results = run_sweep(config, args.out, args.fresh, monitor.notify, monitor.progress, SUMMARY_AND_FIGURES)
    points = summarise(results.rows)
    if args.json:
        print(to_json(point.record() for point in points))
    else:
        print_table(summary_table(points, results.meta.get("directions")))
        figures = f"figures in {args.out / FIGURES}"
        if max(len(config.cbrs), len({point.snr_db for point in points})) < 2:  # which makes no curve
            figures = "no figures, because they need several SNRs or CBRs"
        elif not any(name.startswith(f"{FIGURES}/") for name in proven(args.out)):
            figures = "no figures could be drawn"
        print(f"{len(results.rows)} rows; numbers in {args.out / SUMMARY}, {figures}")
        for missing in missing_metrics(results):
            print(f"missing: {missing}")
        if results.unplanned:
            print(
                f"{results.unplanned} rows of other sweeps are kept in this folder; rerun their commands to show them"
            )
    return int(results.faults > 0)


def _config(args: argparse.Namespace) -> "SweepConfig":
    from simulator.sweep.inputs import SweepConfig

    return SweepConfig(
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


def _dry_run(args: argparse.Namespace, config: "SweepConfig") -> None:
    """Print what the sweep would take."""
    import json

    from simulator.analysis.fitting import Column, FittedTable
    from simulator.analysis.tables import print_table
    from simulator.progress import duration
    from simulator.sweep.estimate import estimate_sweep

    with Monitor() as monitor:
        found = estimate_sweep(config, args.out, args.fresh, monitor.notify)
    record = found.record()
    if args.json:
        print(json.dumps(record, indent=2))
        return
    names = [Column(head, is_name=True) for head in ("scheme", "channel")]
    table = FittedTable([*names, *map(Column, ("rows", "finished", "s per row", "time", "MB"))])
    for one in found.parts:
        each = "-" if one.seconds_per_row is None else f"{one.seconds_per_row:.2f}"
        cells = (each, duration(one.seconds / found.workers), f"{one.megabytes:.1f}")
        table.add(one.scheme, one.channel, str(one.rows), str(one.finished), *cells)
    print_table(table)
    rows = f"{record['rows']} rows, {record['finished']} of them finished"
    takes = f"about {duration(found.seconds)} with {found.workers} workers, {found.megabytes:.1f} MB without figures"
    print(f"{rows}; the rest takes {takes}; nothing was written to '{args.out}'")
