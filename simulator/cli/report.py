"""`report`: write one HTML page with all results of a sweep."""

import argparse
import json
from pathlib import Path

from simulator.cli import arguments
from simulator.cli.arguments import add_json, note, positive_number
from simulator.cli.examples import add_examples

MAX_MB = 10.0

EXAMPLES = (
    ("one page of one sweep", "simulator report sweep-results"),
    ("two folders, with room for more pictures", "simulator report awgn fading --out fading.html --max-mb 25"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "report",
        help="write an interactive HTML page to view, send and archive",
        description="Write one HTML file with curves, paired differences, pictures, the bill and provenance of one or "
        "more results folders. It works offline and loads nothing.",
    )
    parser.add_argument("results", type=arguments.path, nargs="+", metavar="RESULTS", help="folder that a sweep wrote")
    text = "the file to write (default: report.html)"
    parser.add_argument("--out", type=arguments.path, default=Path("report.html"), metavar="FILE", help=text)
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: a summary of the simulation)")
    text = f"size limit; pictures are chosen and compressed to fit (default: {MAX_MB:g})"
    parser.add_argument(
        "--max-mb",
        type=positive_number("a size; write megabytes such as 10", below=10_000),
        default=MAX_MB,
        metavar="N",
        help=text,
    )
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write the report and print its path."""
    from simulator.report.page import write_report
    from simulator.results.store import load_results
    from simulator.results.written import written_in

    results = [load_results(folder) for folder in args.results]
    notes: list[str] = []
    with written_in(args.results[0], notes.append) as written:
        size = write_report(results, args.out, args.title, args.max_mb, notes.append, written.write)
    for one in notes:
        note(one)
    if args.json:
        print(json.dumps({"path": str(args.out), "bytes": size, "notes": notes}, indent=2))
    else:
        print(f"{args.out}: {size / 1e6:.1f} MB; open it in a browser")
