"""`show`: print the numbers of a results folder."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from simulator.cli import arguments
from simulator.cli.arguments import add_json
from simulator.cli.examples import add_examples

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")

EXAMPLES = (
    ("means of every point", "simulator show sweep-results"),
    ("rows for a spreadsheet", "simulator show sweep-results --rows --format csv"),
    ("what the channel uses were spent on", "simulator show sweep-results --bill"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("show", help="print the numbers of a results folder")
    parser.add_argument("results", type=arguments.path, metavar="RESULTS", help="folder that a sweep wrote")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--rows", action="store_true", help="one line per image and realisation instead of means")
    text = "what the channel uses were spent on, per scheme, SNR and CBR, as shares"
    what.add_argument("--bill", action="store_true", help=text)
    text = "how to print (default: table)"
    parser.add_argument("--format", choices=("table", "csv", "json"), default="table", help=text)
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the summary, the rows, or the bill."""
    from simulator.analysis import tables
    from simulator.analysis.missing import missing_metrics
    from simulator.analysis.statistics import BILL_COLUMNS, Bill, Point, bills, summarise
    from simulator.results.rows import public_record
    from simulator.results.store import load_results

    results = load_results(args.results)
    form = "json" if args.json else args.format
    if args.rows:
        _print(form, results.rows, public_record, tables.rows_csv, tables.rows_table)
    elif args.bill:
        to_csv = partial(tables.table_csv, BILL_COLUMNS)
        _print(form, bills(results.rows), Bill.record, to_csv, tables.bills_table)
    else:
        table = partial(tables.summary_table, directions=results.meta.get("directions"))
        _print(form, summarise(results.rows), Point.record, tables.summary_csv, table)
    if form == "table":
        for missing in missing_metrics(results):
            print(f"missing: {missing}")
    if form == "table" and len(results.rows) < results.planned:
        print(f"{len(results.rows)} of {results.planned} rows are finished; rerun the same sweep command to resume")
    if form == "table" and results.unplanned:
        print(f"{results.unplanned} rows of other sweeps are kept in this folder; rerun their commands to show them")
    if form == "table" and results.faults:
        print(f"{results.faults} rows are faults, scored as outages (column 'fault' of --rows); a sweep retries them")


def _print(
    form: str,
    found: list[T],
    record: Callable[[T], dict[str, Any]],
    to_csv: Callable[[list[T]], str],
    to_table: Callable[[list[T]], "RenderableType"],
) -> None:
    from simulator.analysis import tables

    if form == "json":
        print(tables.to_json(map(record, found)))
    elif form == "csv":
        print(to_csv(found), end="")
    else:
        tables.print_table(to_table(found))
