"""`show`: print the numbers of a results folder."""

import argparse
from pathlib import Path

from simulator.cli.arguments import add_json


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("show", help="print the numbers of a results folder")
    parser.add_argument("results", type=Path, metavar="RESULTS", help="folder that a sweep wrote")
    parser.add_argument("--rows", action="store_true", help="one line per image and realisation instead of means")
    text = "how to print (default: table)"
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help=text)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the summary, or the rows."""
    from simulator import tables
    from simulator.statistics import summarise
    from simulator.store import load_results, public_record

    results = load_results(args.results)
    points = summarise(results.rows)
    form = "json" if args.json else args.format
    if form == "json":
        records = map(public_record, results.rows) if args.rows else (point.record() for point in points)
        print(tables.to_json(records))
    elif form == "csv":
        print(tables.rows_csv(results.rows) if args.rows else tables.summary_csv(points), end="")
    else:
        tables.print_table(tables.rows_table(results.rows) if args.rows else tables.summary_table(points))
        if len(results.rows) < results.planned:
            print(f"{len(results.rows)} of {results.planned} rows are there; the same sweep command goes on")
    return 0
