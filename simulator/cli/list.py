"""`list`: print the available schemes, channels, metrics, image sets and experiments with their options."""

import argparse
import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simulator.cli.arguments import add_json
from simulator.cli.costs import print_costs_of_all
from simulator.cli.examples import add_examples
from simulator.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from simulator.spec.options import Declaration

KINDS = ("schemes", "channels", "metrics", "images", "experiments")
WIDEST = 110
MANY = 12  # values of one option that an overview shows in part

EXAMPLES = (
    ("what a sweep can run, with options", "simulator list schemes"),
    ("one of them, with every value of its options", "simulator list schemes bpg-ldpc"),
    ("weights, multiply-accumulates and memory", "simulator list schemes --cost"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("list", help="show schemes, channels, metrics, images and experiments with options")
    parser.add_argument("kind", nargs="?", choices=KINDS, metavar="KIND", help=f"{', '.join(KINDS)} (default: all)")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these, with every value of their options")
    text = "of schemes: measure weights, multiply-accumulates, memory and time of each (a minute)"
    parser.add_argument("--cost", action="store_true", help=text)
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the requested lists."""
    if args.cost:
        if args.kind != "schemes" or args.names:
            raise UserError("--cost measures all schemes; write 'list schemes --cost', or 'bench cost --scheme NAME'")
        print_costs_of_all(args.json)
        return
    found = {kind: FIND[kind]() for kind in ((args.kind,) if args.kind else KINDS)}
    if args.names:
        found = {args.kind: _only(args.kind, args.names, found[args.kind])}
    if args.json:
        print(json.dumps({kind: [one.record() for one in declared] for kind, declared in found.items()}, indent=2))
        return
    for number, (kind, declared) in enumerate(found.items()):
        if len(found) > 1:
            print("\n" * bool(number) + kind.upper())
        for line in _lines(declared, in_full=bool(args.names)):
            print(line)


def _only(kind: str, names: Sequence[str], declared: "Sequence[Declaration]") -> "list[Declaration]":
    known = {one.name: one for one in declared}
    for name in names:
        if name not in known:
            raise UserError(f"no '{name}' among the {kind}; 'list {kind}' shows them{did_you_mean(name, known)}")
    return [known[name] for name in dict.fromkeys(names)]


def _plugins(group: str) -> "list[Declaration]":
    from simulator.spec.plugins import declarations

    return declarations(group)


def _channels() -> "list[Declaration]":
    from simulator.channels.radio.options import RADIO
    from simulator.spec.options import Declaration

    shared = Declaration("any of these", "with a non-ideal transmitter and receiver", RADIO)
    return [*_plugins("simulator.channels"), shared]


def _metrics() -> "list[Declaration]":
    from simulator.metrics.quality import BUILT_IN

    return [*BUILT_IN, *_plugins("simulator.metrics")]


def _images() -> "list[Declaration]":
    from simulator.images.sets import SETS

    return list(SETS)


def _experiments() -> "list[Declaration]":
    from simulator.experiments.names import experiment_names
    from simulator.experiments.read import read_experiment
    from simulator.spec.options import Declaration

    return [Declaration(name, read_experiment(name).title) for name in experiment_names()]


FIND: "dict[str, Callable[[], list[Declaration]]]" = {
    "schemes": lambda: _plugins("simulator.schemes"),
    "channels": _channels,
    "metrics": _metrics,
    "images": _images,
    "experiments": _experiments,
}


def _lines(declared: "list[Declaration]", in_full: bool) -> Iterator[str]:
    """One line per entry and one per option; entries that share all options show them once.

    Args:
        declared: the entries.
        in_full: whether to show every value of an option that takes one of `MANY`.
    """
    names = [f"{one.name}:{one.form}" if one.form else one.name for one in declared]
    column = max([14, *(len(name) + 2 for name in names if len(name) < 24)])
    for one, name, after in zip(declared, names, [*declared[1:], None], strict=True):
        head = f"{name:{column}}" if len(name) < column else f"{name}  "
        yield from textwrap.wrap(head + one.summary, _width(), subsequent_indent=" " * column, break_on_hyphens=False)
        if after is None or after.options != one.options:
            for option in one.record()["options"] or ():
                yield from _option(option, in_full)


def _option(option: dict[str, Any], in_full: bool) -> list[str]:
    key = option["name"].upper() if option["bare"] else f"{option['name']}="
    values = list(option.get("values", ()))
    if len(values) > MANY and not in_full:
        values[2:-1] = [f"... {len(values)} in all ..."]
    takes = ", ".join(values).replace("..., ", "... ").replace(", ...", " ...") if values else option["takes"]
    default = "" if option["default"] is None else f"; default {_number(option['default'])}"
    text = f"{option['help']} [{takes}{default}]"
    return textwrap.wrap(text, _width(), initial_indent=f"    {key:17} ", subsequent_indent=" " * 22)


def _width() -> int:
    """Characters of a line: those of the terminal, if it is narrower than our lines."""
    return min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
