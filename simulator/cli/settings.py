"""Options of a verb from a YAML file: `snr: 0:15` is `--snr 0:15`."""

import argparse
from typing import Any

from simulator.disk import user_path
from simulator.errors import UserError, did_you_mean

UNSET = ("help", "config")


def read_settings(parser: argparse.ArgumentParser, path: str) -> None:
    """Make the values of a YAML file the defaults of a parser's options, so that the command line overrides them.

    Keys are the options' long names without dashes in front; a list means its entries separated by commas.

    Raises:
        UserError: no such file, an unknown key, or a value that the option does not take.
    """
    from simulator.spec.configuration import read_configuration

    options = {
        name[2:]: action
        for name, action in parser._option_string_actions.items()
        if name.startswith("--") and action.dest not in UNSET
    }
    for key, value in read_configuration(user_path(path)).items():
        action = options.get(str(key).replace("_", "-"))
        if action is None:
            raise UserError(
                f"unknown key '{key}' in '{path}'; known: {', '.join(options)}{did_you_mean(str(key), options)}"
            )
        action.default = _default(action, value, f"'{path}': {key}")
        action.required = False


def _default(action: argparse.Action, value: Any, where: str) -> Any:
    """The value as the option's parser returns it."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UserError(f"{where} is {value!r}; write true or false")
        return value
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    if value is None or isinstance(value, dict | bool):
        raise UserError(f"{where} is {value!r}; write it as on the command line")
    if action.choices is not None and text not in action.choices:
        raise UserError(f"{where} is {text!r}; known: {', '.join(action.choices)}{did_you_mean(text, action.choices)}")
    try:
        return action.type(text) if callable(action.type) else text
    except (argparse.ArgumentTypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from None
