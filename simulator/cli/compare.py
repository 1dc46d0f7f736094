"""`compare`: compare every scheme of a results folder with one of them, image by image."""

import argparse
import json

from simulator.cli import arguments
from simulator.cli.arguments import add_json
from simulator.cli.examples import add_examples

EXAMPLES = (
    ("every scheme against bpg-ldpc", "simulator compare sweep-results --reference bpg-ldpc"),
    ("LPIPS only", "simulator compare sweep-results --reference deepjscc --metric lpips"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "compare",
        help="paired differences with 95 %% intervals, and BD-rates",
        description="Compare every scheme with a reference on the same images: the mean difference at each SNR and CBR "
        "with its 95 % bootstrap interval, its mean over SNRs, and the BD-rate where there are several CBRs.",
    )
    parser.add_argument("results", type=arguments.path, metavar="RESULTS", help="folder that a sweep wrote")
    parser.add_argument("--reference", required=True, metavar="SCHEME", help="the scheme that is subtracted")
    text = "column of a metric to compare, such as lpips or lpips_shifted; may be repeated (default: all)"
    parser.add_argument("--metric", metavar="COLUMN", action="append", default=[], help=text)
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the differences, and the BD-rates or why there are none."""
    from simulator.analysis import tables
    from simulator.analysis.comparison import bd_rates, differences
    from simulator.analysis.statistics import metric_names
    from simulator.errors import UserError
    from simulator.results.store import load_results

    results = load_results(args.results)
    rows, directions = results.rows, results.meta.get("directions")
    if unknown := set(args.metric) - set(metric_names(rows)):
        raise UserError(f"no metric '{min(unknown)}' in '{args.results}'; it has: {', '.join(metric_names(rows))}")
    found, deltas = (
        differences(rows, args.reference, args.metric),
        bd_rates(rows, args.reference, args.metric, directions),
    )
    if args.json:
        records = {"differences": [one.record() for one in found], "bd_rate": [one.record() for one in deltas]}
        print(json.dumps(records, indent=2))
        return
    tables.print_table(tables.differences_table(found, directions))
    if deltas:
        tables.print_table(tables.bd_rates_table(deltas))
    if note := tables.bd_rates_note(deltas):
        print(note)
