"""Reference tables of the website, generated from the program itself."""

import argparse
from collections.abc import Iterator


def commands() -> str:
    """Every verb of the command line with its arguments, out of the parser itself."""
    from simulator.__main__ import build_parser

    parser = build_parser()
    return "\n".join(_verb(parser, "python -m simulator", 2))


def _verb(parser: argparse.ArgumentParser, command: str, level: int, summary: str = "") -> Iterator[str]:
    children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    arguments = [action for action in parser._actions if action not in children and action.dest != "help"]
    if summary:
        words = command.removeprefix("python -m simulator ")
        yield f"\n{'#' * level} `{words}` {{ #{words.replace(' ', '-')} }}\n"
        yield (parser.description or summary[0].upper() + summary[1:] + ".") + "\n"
        if not children:
            needed = [_spelling(action) for action in arguments if _needed(action)]
            yield "    " + " ".join([command, *needed, "[OPTIONS]"]) + "\n"
    if arguments:
        yield "| argument | meaning |\n|---|---|"
        for action in arguments:
            meaning = (action.help or "") % (vars(action) | {"prog": parser.prog})
            yield f"| {_names(action)} | {_cell(meaning)}{' (required)' if action.required else ''} |"
    for child in children:
        summaries = {choice.dest: choice.help for choice in child._choices_actions}
        for name, one in child.choices.items():
            yield from _verb(one, f"{command} {name}", level + bool(summary), summaries[name] or name)


def _needed(action: argparse.Action) -> bool:
    return action.required or (not action.option_strings and action.nargs not in ("?", "*"))


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    choices = ",".join(map(str, action.choices or ()))
    value = action.metavar or (f"{{{choices}}}" if choices else action.dest.upper())
    name = value if isinstance(value, str) else " ".join(value)
    return f"{name} ..." if action.nargs in ("+", "*") else name


def _spelling(action: argparse.Action) -> str:
    return " ".join(filter(None, [*action.option_strings[-1:], _value(action)]))


def _names(action: argparse.Action) -> str:
    spelt = [f"{name} {_value(action)}".strip() for name in action.option_strings] or [_value(action)]
    return "<br>".join(f"`{one}`" for one in spelt)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
