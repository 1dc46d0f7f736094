"""`reproduce`: run the experiments behind the figures, and draw the figures."""

import argparse
from dataclasses import replace
from pathlib import Path

from simulator.cli import arguments
from simulator.cli.examples import add_examples
from simulator.cli.monitor import Monitor

EXAMPLES = (
    ("the paper's three figures", "simulator reproduce figure4 figure5 figure6"),
    ("a first look at one, on five photographs", "simulator reproduce figure4 --images samples --out try"),
    ("redraw without running", "simulator reproduce figure4 --figures"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "reproduce",
        help="run the experiments behind the paper's figures",
        description="Run experiments and write OUT/NAME/ for each: numbers, comparisons, figures, provenance. "
        "If interrupted, rerun the same command to resume.",
    )
    text = "figure4, figure5, figure6 or another file of experiments/ by name, a path to FILE.yaml, or all"
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help=text)
    text = "parent folder of the experiments' results (default: results)"
    parser.add_argument("--out", type=arguments.path, metavar="DIR", help=text)
    text = "image set in place of the experiment's: samples, kodak, or a file, folder or glob"
    parser.add_argument("--images", metavar="SET", help=text)
    text = "take the first N images only"
    parser.add_argument("--limit", type=arguments.positive_int, metavar="N", help=text)
    arguments.add_device(parser)
    arguments.add_precision(parser)
    arguments.add_workers(parser)
    arguments.add_keep_images(parser, None)
    parser.add_argument("--fresh", action="store_true", help="discard the rows of earlier runs")
    text = "only redraw the curves of earlier runs, from their database or summary.csv"
    parser.add_argument("--figures", action="store_true", help=text)
    arguments.add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run one experiment after the other; all are read and checked before the first starts."""
    import json

    from simulator.errors import UserError
    from simulator.sweep.executors import single_threaded

    single_threaded()
    from simulator.analysis.statistics import summarise
    from simulator.analysis.tables import print_table, summary_table
    from simulator.experiments.read import choose_experiments, scaled_down
    from simulator.experiments.run import check_experiment, redraw, run_experiment

    if args.out is None and (args.images or args.limit):
        raise UserError("a smaller version must not replace the full results; name another folder with --out DIR")
    if args.figures:
        paths = [
            str(p)
            for one in choose_experiments(args.experiments)
            for p in redraw(one, (args.out or Path("results")) / one.name, arguments.note)
        ]
        print(json.dumps(paths, indent=2) if args.json else "\n".join(paths))
        return 0
    summaries, chosen, faults = {}, {}, 0
    for experiment in choose_experiments(args.experiments):
        small = scaled_down(experiment, args.images, args.limit)
        keep = args.keep_images or small.grid.keep_images
        grid = replace(small.grid, keep_images=keep, **arguments.execution(args))
        chosen[(args.out or Path("results")) / experiment.name] = replace(small, grid=grid)
    for folder, experiment in chosen.items():
        check_experiment(experiment, folder)
    for folder, experiment in chosen.items():
        with Monitor() as monitor:
            monitor.notify(f"{experiment.name}: {experiment.title}")
            results = run_experiment(experiment, folder, args.fresh, monitor.notify, monitor.progress)
        points, faults = summarise(results.rows), faults + results.faults
        summaries[experiment.name] = [point.record() for point in points]
        if not args.json:
            print_table(summary_table(points, results.meta.get("directions")))
            print(f"{experiment.name}: {len(results.rows)} rows; tables and figures in {folder}")
    if args.json:
        print(json.dumps(summaries, indent=2))
    return int(faults > 0)
