"""`plot`: draw figures of one or more results folders."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.cli import arguments
from simulator.cli.examples import add_examples
from simulator.errors import UserError

if TYPE_CHECKING:
    from simulator.analysis.drawings import Source

# Copied from simulator.analysis, which imports NumPy.
DIMENSIONS = ("channel", "snr", "cbr", "results")
ROLES = ("lines", "panels", "figures")
FORMATS = ("png", "pdf", "svg")
EXAMPLES = (
    ("every metric against SNR", "simulator plot results/figure4"),
    ("PSNR at three CBRs on one axis", "simulator plot run --y psnr --cbr 1/48,1/24,1/16 --by cbr"),
    ("LPIPS against CBR at two SNRs", "simulator plot run --x cbr --y lpips --snr 0,10 --by snr"),
    ("two folders on one axis, a line style for each channel", "simulator plot awgn fading --y psnr --by channel"),
    ("one curve a scheme, its points by SNR", "simulator plot run --x psnr --y lpips"),
    ("one curve through all values of gamma", "simulator plot run --x psnr --y lpips --along gamma --snr 10"),
    ("for a talk", "simulator plot run --format svg --style slides --label lrisc=Ours"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "plot",
        help="draw metrics and costs against SNR, CBR or each other",
        description="Draw figures of one or more results folders; several folders share figures. A folder without a "
        "database is drawn from its summary.csv.",
    )
    add_examples(parser, *EXAMPLES)
    parser.add_argument("results", type=arguments.path, nargs="+", metavar="RESULTS", help="folder that a sweep wrote")
    text = "horizontal axis: snr, cbr, cbr-data (without pilots, guard and prefix), or any metric or cost column "
    text += "(default: cbr if there are several CBRs at a single SNR, else snr)"
    parser.add_argument("--x", metavar="COLUMN", help=text)
    text = "vertical axes, several with commas: psnr, ms-ssim, lpips, a further metric, outage, cbr, cbr-payload, "
    text += "encode-s, decode-s (default: every metric)"
    parser.add_argument("--y", type=arguments.name_list, default=(), metavar="COLUMN", help=text)
    for name in ("scheme", "channel"):
        arguments.add_list(parser, f"--{name}", f"draw only these {name}s, several with commas")
    parser.add_argument("--snr", type=arguments.snr_grid, default=(), metavar="DB", help="draw only these SNRs")
    parser.add_argument("--cbr", type=arguments.cbr_list, default=(), metavar="R", help="draw only these CBRs")
    text = "how to show several values of channel, snr, cbr or results: as lines (line styles, the default), as panels "
    text += "side by side, or as figures (one file each); repeat for several"
    parser.add_argument("--by", type=role, action="append", default=[], metavar="DIMENSION[=ROLE]", help=text)
    text = (
        "with a metric on the horizontal axis, what each curve connects: snr, cbr, or a scheme's option such as gamma"
    )
    parser.add_argument("--along", metavar="WHAT", help=text)
    text = "name of a scheme in the legend; repeat for several"
    parser.add_argument("--label", action="append", default=[], metavar="SPEC=TEXT", help=text)
    text = f"file formats with commas: {', '.join(FORMATS)} (default: png,pdf)"
    parser.add_argument("--format", type=formats, default=FORMATS[:2], metavar="KIND", help=text)
    text = "paper (3.5 inches a panel), ieee (one IEEE column, Times) or slides (large type) (default: paper)"
    parser.add_argument("--style", choices=("paper", "ieee", "slides"), default="paper", help=text)
    text = "95 %% intervals as bands, thin bars or none (default: bands for up to two curves, else bars)"
    parser.add_argument("--intervals", choices=("auto", "bands", "bars", "none"), default="auto", help=text)
    text = "folder for the figures (default: RESULTS/figures, or ./figures for several RESULTS)"
    parser.add_argument("--out", type=arguments.path, metavar="DIR", help=text)
    arguments.add_json(parser)
    parser.set_defaults(run=run)


def role(text: str) -> tuple[str, str]:
    """Parse `channel` or `channel=panels`."""
    name, _, what = text.partition("=")
    what = what or ROLES[0]
    if name not in DIMENSIONS or what not in ROLES:
        raise argparse.ArgumentTypeError(
            f"'{text}' is not DIMENSION[=ROLE] with a dimension of {', '.join(DIMENSIONS)} and a role of "
            f"{', '.join(ROLES)}"
        )
    return name, what


def formats(text: str) -> tuple[str, ...]:
    """Parse file formats separated by commas."""
    names = arguments.name_list(text)
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"'{name}' is not a figure format; known: {', '.join(FORMATS)}")
    return names


def run(args: argparse.Namespace) -> None:
    """Draw, and print what was written."""
    from simulator.analysis.drawings import Choice
    from simulator.analysis.plots import draw
    from simulator.analysis.sources import load_sources
    from simulator.results.trouble import explained
    from simulator.results.written import written_in

    sources = load_sources(args.results)
    folder = args.out or (args.results[0] / "figures" if len(args.results) == 1 else Path("figures"))
    choice = Choice(
        x=args.x,
        y=args.y,
        schemes=args.scheme,
        channels=args.channel,
        snrs_db=args.snr,
        cbrs=tuple(map(float, args.cbr)),
        by=dict(args.by),
        along=args.along,
        labels=dict(_label(text, sources) for text in args.label),
    )
    with explained(folder), written_in(args.results[0], arguments.note) as written:
        drawn = draw(sources, folder, choice, args.format, args.style, args.intervals, written.write)
        paths = [str(path) for path in drawn]
    if not paths:
        raise UserError("nothing to draw: no curve has two points with both columns; sweep several SNRs or CBRs")
    print(json.dumps(paths, indent=2) if args.json else "\n".join(paths))


def _label(text: str, sources: "Sequence[Source]") -> tuple[str, str]:
    """Split at the `=` after a scheme of the results; options contain `=` too."""
    names = dict.fromkeys(point.scheme for source in sources for point in source.points)
    found = [name for name in names if text.startswith(f"{name}=") and len(text) > len(name) + 1]
    if not found:
        raise UserError(f"--label '{text}' is not SPEC=TEXT with a scheme of the results: {', '.join(names)}")
    name = max(found, key=len)
    return name, text[len(name) + 1 :]
