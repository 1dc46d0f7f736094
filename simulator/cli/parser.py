"""The program's argument parser: errors in one line with a suggestion, and settings from a file."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from simulator.errors import UserError, did_you_mean, in_one_line
from simulator.surroundings import drop_output


class Parser(argparse.ArgumentParser):
    """Print errors in one line instead of the whole usage, and accept `--snr -5:5` as a value."""

    file_option: str | None = None  # the option that names a YAML file with values for the other options

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # argparse would read -5:5 or -5,0 as options; by default it accepts only plain negative numbers.
        self._negative_number_matcher = re.compile(r"-[\d.]")

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {in_one_line(message)} (see '{self.prog} --help')\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As argparse does, which ignores help that could not be written."""
        file = file or sys.stderr
        try:
            file.write(message)
            file.flush()
        except BrokenPipeError:
            drop_output(file)
        except OSError as error:
            drop_output(file)
            self.exit(2, f"error: {error.strerror}\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, after the file's values became defaults, and misspelt options were refused."""
        if args is not None:
            self._refuse_unknown(args)
            if self.file_option is not None:
                self._take_defaults(args)
        return super().parse_known_args(args, namespace)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is no choice, and suggest one."""
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            what = "no such verb" if isinstance(action, argparse._SubParsersAction) else "not allowed"
            raise argparse.ArgumentError(
                action, f"'{value}' is {what}; known: {', '.join(known)}{did_you_mean(str(value), known)}"
            )

    def _refuse_unknown(self, args: Sequence[str]) -> None:
        """argparse would name a required option first, even if the unknown one is that option misspelt."""
        for word in args:
            if word == "--" or (self._subparsers and not word.startswith("-")):
                return  # positional arguments, or those of a verb, whose own parser looks at them
            name = word.partition("=")[0]
            if name.startswith("--") and not any(one.startswith(name) for one in self._option_string_actions):
                known = [one for one in self._option_string_actions if one.startswith("--")]
                self.error(f"unknown option '{name}'{did_you_mean(name, known)}")

    def _take_defaults(self, args: Sequence[str]) -> None:
        """Make the values of the file that `file_option` names the defaults of this parser's options."""
        from simulator.cli.settings import read_settings

        asked = argparse.ArgumentParser(add_help=False)
        asked.error = self.error  # type: ignore[method-assign]
        asked.add_argument(self.file_option or "", dest="path")
        path = asked.parse_known_args([one for one in args if one != "--help"])[0].path
        if path is None:
            return
        try:
            read_settings(self, path)
        except UserError as error:
            self.error(str(error))
