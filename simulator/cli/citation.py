"""`citation`: how to cite the paper and this program."""

import argparse

from simulator.cli.examples import add_examples


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    text = "print BibTeX entries of the paper and of this program"
    parser = subparsers.add_parser("citation", help=text, description=f"{text[0].upper()}{text[1:]}.")
    add_examples(parser, ("save both for a paper", "simulator citation > simulator.bib"))
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print both entries."""
    from simulator.citation import PAPER, PROGRAM

    print(f"% LRISC is the work of its authors:\n{PAPER}\n\n% numbers that this program measured:\n{PROGRAM}")
