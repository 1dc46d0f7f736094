"""Reference tables of the website, generated from the program itself."""

import argparse
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.spec.options import Declaration


def table(heads: list[str], rows: list[list[str]], left: int) -> str:
    """A table whose first columns, `left` of them, are aligned left and the others right."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * left + "---:|" * (len(heads) - left)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def options(what: str) -> str:
    """Options of `KIND NAME`, one entry of the verb `list`, or a section for each entry of `KIND`."""
    from simulator.cli.list import FIND

    kind, _, name = what.partition(" ")
    found = FIND[kind]()
    if name:
        (one,) = (one for one in found if one.name == name)
        return _options(one)
    return "\n\n".join(
        f"### `{one.name}` {{ #{one.name} }}\n\n{_sentence(one.summary)}\n\n{_options(one)}" for one in found
    )


def _options(declared: "Declaration") -> str:
    rows = []
    for one in declared.record()["options"] or ():
        default = "" if one["default"] is None else f"`{one['default']}`"
        values = ", ".join(f"`{value}`" for value in one["values"]) if "values" in one else one["takes"]
        name = f"`{one['name']}`" + ", written without `=`" * one["bare"]
        rows.append([name, values, default, _cell(one["help"])])
    return table(["option", "values", "default", "meaning"], rows, 4) if rows else ""


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def commands() -> str:
    """Every verb of the command line with its arguments, read from the parser."""
    from simulator.__main__ import build_parser

    parser = build_parser()
    return "\n".join(_verb(parser, "python -m simulator", 2))


def _verb(parser: argparse.ArgumentParser, command: str, level: int, summary: str = "") -> Iterator[str]:
    children = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    hidden = ("help", "quiet", "verbose", "debug") if summary else ("help",)  # the same for every verb
    arguments = [action for action in parser._actions if action not in children and action.dest not in hidden]
    if summary:
        words = command.removeprefix("python -m simulator ")
        yield f"\n{'#' * level} `{words}` {{ #{words.replace(' ', '-')} }}\n"
        yield (parser.description or _sentence(summary)) + "\n"
        if not children:
            needed = [_spelling(action) for action in arguments if _needed(action)]
            yield "    " + " ".join([command, *needed, "[OPTIONS]"]) + "\n"
    if arguments:
        yield "| argument | meaning |\n|---|---|"
        for action in arguments:
            meaning = (action.help or "") % (vars(action) | {"prog": parser.prog})
            yield f"| {_names(action)} | {_cell(meaning)}{' (required)' if action.required else ''} |"
    if summary and parser.epilog:
        yield "\n```bash\n" + textwrap.dedent(parser.epilog.partition("\n")[2]) + "\n```\n"
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
