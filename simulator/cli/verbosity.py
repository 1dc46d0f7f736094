"""How much the program says while it works: `-q`, `-v` and `--debug`, before or after the verb."""

import argparse
import logging
import sys

LOG = logging.getLogger("simulator")


def add_verbosity(parser: argparse.ArgumentParser) -> None:
    """Add the options to a parser and to those of its verbs."""
    _add(parser, False)
    _add_below(parser)


def _add_below(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                _add(one, argparse.SUPPRESS)
                _add_below(one)


def _add(parser: argparse.ArgumentParser, default: object) -> None:
    group = parser.add_argument_group("messages")
    for names, text in (
        (("-q", "--quiet"), "results and errors only: no progress, no notes"),
        (("-v", "--verbose"), "also say on stderr what is loaded, sent and stored"),
        (("--debug",), "show tracebacks"),
    ):
        free = [name for name in names if name not in parser._option_string_actions]
        if names[-1] in free:
            group.add_argument(*free, dest=names[-1][2:], action="store_true", default=default, help=text)


def set_verbosity(quiet: bool, verbose: bool) -> None:
    """Choose what the program's loggers let through, until the next call."""
    LOG.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    LOG.handlers = [_Stderr()]
    LOG.propagate = False


def is_quiet() -> bool:
    """Whether notes and progress are unwanted."""
    return not LOG.isEnabledFor(logging.WARNING)


class _Stderr(logging.Handler):
    """Writes to what `sys.stderr` is at the moment, so that a progress bar can move down for a line."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{record.relativeCreated / 1000:7.1f} s  {record.getMessage()}", file=sys.stderr)
