"""`plot`: draw the figures of one or more results folders."""

import argparse
import json
from pathlib import Path

from simulator.cli.arguments import add_json, note


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "plot",
        help="draw PSNR, MS-SSIM and LPIPS against SNR or CBR",
        description="Draw every metric of one or more results folders as PNG and PDF; several folders share figures.",
    )
    parser.add_argument("results", type=Path, nargs="+", metavar="RESULTS", help="folder that a sweep wrote")
    text = (
        "horizontal axis (default: cbr if there are several CBRs at a single SNR, else snr); cbr-data leaves out what "
    )
    text += "the channel spends on pilots, guard and prefix"
    parser.add_argument("--x", choices=("snr", "cbr", "cbr-data"), help=text)
    text = "folder for the figures (default: RESULTS/figures, or ./figures for several RESULTS)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=text)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Draw, and print what was written."""
    from simulator.analysis.plots import draw
    from simulator.results.store import explained, load_results
    from simulator.results.written import written_in

    results = [load_results(folder) for folder in args.results]
    folder = args.out or (args.results[0] / "figures" if len(args.results) == 1 else Path("figures"))
    with explained(folder), written_in(args.results[0], note) as written:
        paths = [str(path) for path in draw(results, folder, args.x, written.write)]
    print(json.dumps(paths, indent=2) if args.json else "\n".join(paths))
    return 0
