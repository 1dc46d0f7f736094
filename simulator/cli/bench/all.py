"""`bench all`: every benchmark in one run and one table."""

import argparse
import json

from simulator.cli import arguments
from simulator.cli.bench.shown import show_table


def add_target(targets: argparse._SubParsersAction) -> None:
    """Add the target."""
    parser = targets.add_parser("all", help="one table of ratios, measured in one run (minutes)")
    text = "ldpc, demapper, schemes, cost, workers, store, or a part that a scheme adds, such as lrisc (default: all)"
    parser.add_argument("--part", type=arguments.name_list, default=(), metavar="NAME,...", help=text)
    parser.add_argument("--quick", action="store_true", help="small sizes that only show that everything runs")
    text = "write benchmarks.md and benchmarks.json there, such as results/benchmarks"
    parser.add_argument("--out", type=arguments.path, metavar="DIR", help=text)
    arguments.add_json(parser)
    parser.set_defaults(run=_all)


def _all(args: argparse.Namespace) -> None:
    from rich.console import Console

    from simulator.bench.table import Figure, choose_parts, record, run_parts, write

    choose_parts(args.part)
    progress = Console(stderr=True)
    with progress.status("") as status:

        def report(text: str) -> None:
            status.update(text)
            if not progress.is_terminal:
                progress.print(text, markup=False, highlight=False)

        figures: list[Figure] = list(run_parts(args.part, args.quick, report))
    measured = record(figures, args.quick)
    if args.out:
        for path in write(measured, args.out):
            progress.print(f"wrote {path}", markup=False, highlight=False)
    if args.json:
        print(json.dumps(measured))
    else:
        _print(figures, measured["load"])


def _print(figures: list, load: float) -> None:
    from simulator.analysis.fitting import Column, FittedTable
    from simulator.bench.table import number

    columns = [Column("what", is_name=True), Column("value"), Column("unit", on_left=True)]
    table = FittedTable([*columns, Column("against", is_name=True), Column("value"), Column("ratio")])
    for one in figures:
        other = "" if one.other is None else number(one.other)
        ratio = "" if one.ratio is None else f"{one.ratio:.2f}"
        table.add(one.what, number(one.value), one.unit, one.against, other, ratio)
    note = "a ratio above 1 favours the left; the files of --out and --json have the notes"
    show_table(f"load {load:.1f}", table, note)
