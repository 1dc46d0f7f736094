"""`python -m simulator`: one module per verb, errors in one line."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Files in the current folder must not shadow modules; this package's parent folder comes last.
    sys.path[0:1] = []
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from importlib import import_module
from importlib.metadata import entry_points

from simulator.cli.examples import add_examples
from simulator.cli.parser import Parser
from simulator.cli.verbosity import add_verbosity, set_verbosity
from simulator.errors import SchemeError, UserError, explain, in_one_line, is_the_machines, kind_and_text
from simulator.surroundings import UNSUPPORTED, drop_output, own_settings
from simulator.version import __version__

# In the order of the help text. Each module has `configure(subparsers)`; none imports anything heavy.
# Further ones are found by entry point: the group `simulator.verbs` names such modules.
VERBS = (
    "sweep",
    "transmit",
    "list",
    "app",
    "reproduce",
    "plot",
    "report",
    "show",
    "compare",
    "kid",
    "check",
    "bench",
    "train",
    "data",
    "weights",
    "citation",
    "completion",
)


def build_parser() -> Parser:
    """Assemble the command line from the verbs."""
    parser = Parser(prog="simulator", description="Simulate wireless image transmission and compare schemes fairly.")
    parser.add_argument("--version", action="version", version=__version__)
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb in VERBS:
        import_module(f"simulator.cli.{verb}").configure(subparsers)
    for point in sorted(entry_points(group="simulator.verbs"), key=lambda point: point.name):
        try:
            point.load().configure(subparsers)
        except Exception as error:  # another package's verb may fail in any way; the other verbs still work
            print(f"warning: verb '{point.name}' is left out: {explain(error, ImportError)}", file=sys.stderr)
    add_verbosity(parser)
    add_examples(
        parser,
        ("send five photographs through four schemes at 0 to 15 dB", "simulator sweep --snr 0:15"),
        ("send one picture", "simulator transmit photo.jpg --scheme lrisc --snr 5 --out got.png"),
        ("every scheme with its options", "simulator list schemes"),
    )
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code: 0 done, 1 done with faults, 2 bad input, 130 interrupted."""
    if sys.platform == "win32":
        print(f"error: {UNSUPPORTED}", file=sys.stderr)
        return 2
    own_settings()
    args = build_parser().parse_args(sys.argv[1:] if argv is None else argv)
    set_verbosity(args.quiet, args.verbose)
    try:
        code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except (UserError, SchemeError) as error:
        if args.debug:
            raise
        print(f"error: {in_one_line(str(error))}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if args.debug or (error.name or "").startswith("simulator"):  # a missing module of this program is a bug
            raise
        print(f"error: {in_one_line(str(error))}; install what the program needs: pip install -e .", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished work is kept, rerun the same command to resume", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader closed the pipe, as `head` does
        drop_output(sys.stdout)
        return 0
    except OSError as error:
        if args.debug:
            raise
        drop_output(sys.stdout)
        where = f" '{error.filename}'" if error.filename else ""
        print(f"error: {in_one_line(f'{error.strerror or error}{where}')}", file=sys.stderr)
        return 2
    except Exception as error:
        if args.debug or not is_the_machines(error) or (getattr(error, "name", None) or "").startswith("simulator"):
            raise
        print(f"error: {in_one_line(kind_and_text(error))}; finished work is kept", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
