"""`app`: the playground, a page in the browser that sends one picture at a time."""

import argparse

from simulator.cli.arguments import add_device, add_list, add_precision, whole_number
from simulator.cli.examples import add_examples

PORT = 7860

EXAMPLES = (
    ("open the playground", "simulator app"),
    ("offer your own scheme too", "simulator app --scheme torch:codec.py:Codec"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "app",
        help="open the playground: send pictures from the browser",
        description="Serve a page on 127.0.0.1: drop in a picture, choose scheme, SNR, CBR and channel, and see the "
        "received picture and its cost. Pictures stay on this machine. Needs pip install -e '.[app]'.",
    )
    port = whole_number(1, "a TCP port: a whole number from 1 to 65535", below=2**16)
    parser.add_argument("--port", type=port, default=PORT, metavar="N", help=f"TCP port (default: {PORT})")
    parser.add_argument("--no-browser", action="store_true", help="do not open the page in a browser")
    text = "scheme to offer in addition to the installed ones, such as torch:codec.py:Codec or lrisc:weights=FOLDER"
    add_list(parser, "--scheme", text)
    add_device(parser)
    add_precision(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Serve until interrupted."""
    from simulator.app.server import serve

    serve(args.port, args.scheme, args.device, args.precision, browser=not args.no_browser)
