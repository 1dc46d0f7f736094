"""`completion`: print a script with which a shell completes verbs, options and names."""

import argparse
from collections.abc import Iterable, Iterator, Mapping

from simulator.cli import arguments
from simulator.cli.examples import add_examples

SHELLS = ("bash", "zsh", "fish")
COMMANDS = ("wis", "wireless-image-simulator")  # `python -m simulator` belongs to python's own completion

EXAMPLES = (
    ("bash", "simulator completion bash > ~/.local/share/bash-completion/completions/wis"),
    ("zsh, in a folder of $fpath", "simulator completion zsh > ~/.zfunc/_wis"),
    ("fish", "simulator completion fish > ~/.config/fish/completions/wis.fish"),
)

# Functions that offer every word after the last comma of what is typed.
BASH_LIST = """
_wis_complete_{kind}() {{
  local before=""
  [[ "$1" == *,* ]] && before="${{1%,*}},"
  compgen -P "$before" -W "{words}" -- "${{1##*,}}"
  {files}
}}"""
FISH_LIST = """
function __wis_complete_{kind}
  set -l before (string match -r '.*,' -- (commandline -ct))
  for name in {words}
    echo "$before$name"
  end
  {files}
end"""


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "completion",
        help="print a script that completes verbs, options and names in a shell",
        description="Print a script that completes verbs, options, files and the names of schemes, channels, metrics "
        "and experiments, for the commands wis and wireless-image-simulator. Print it again after installing further "
        "schemes.",
    )
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the script."""
    print(script(args.shell))


def script(shell: str) -> str:
    """The script for one shell, with the names that are installed now."""
    import shtab

    from simulator.__main__ import build_parser

    parser = build_parser()
    parser.prog = COMMANDS[0]
    names = _names()
    for action in _actions(parser):
        _complete(action, names)
    return _for_both(shtab.complete(parser, shell), shell)


def _names() -> dict[str, tuple[str, ...]]:
    """What can be written for an option or argument, by its `dest`."""
    from simulator.experiments.names import experiment_names
    from simulator.spec.plugins import CHANNELS, METRICS, SCHEMES, plugin_names

    schemes = tuple(plugin_names(SCHEMES))
    return {
        "scheme": schemes,
        "reference": schemes,
        "channel": tuple(plugin_names(CHANNELS)),
        "metric": tuple(plugin_names(METRICS)),
        "images": ("samples", "kodak"),
        "experiments": (*experiment_names(), "all"),
        "device": ("cpu", "cuda", "mps"),
    }


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every option and argument of a parser and of its verbs, which shtab describes by their short help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for said in action._get_subactions():
                action.choices[said.dest].description = said.help
            for one in action.choices.values():
                yield from _actions(one)
        else:
            yield action


def _complete(action: argparse.Action, names: Mapping[str, Iterable[str]]) -> None:
    """Give an action the attribute from which shtab writes its completion."""
    import shtab

    if action.dest in names and action.nargs != 0:
        action.complete = _list(action.dest, names[action.dest])  # type: ignore[attr-defined]
    elif action.type is arguments.path or action.dest in ("config", "image"):
        folders = action.metavar in ("DIR", "RESULTS")
        action.complete = shtab.DIRECTORY if folders else shtab.FILE  # type: ignore[attr-defined]


def _list(kind: str, names: Iterable[str]) -> dict[str, object]:
    """Completion of one name, and of a further one after each comma."""
    words = " ".join(names)
    files = kind == "images"
    return {
        "bash": f"_wis_complete_{kind}",
        "zsh": f"_sequence compadd - {words}",
        "fish": f"(__wis_complete_{kind})",
        "preamble": {
            "bash": BASH_LIST.format(kind=kind, words=words, files='compgen -f -- "$1"' if files else ""),
            "fish": FISH_LIST.format(
                kind=kind, words=words, files="__fish_complete_path (commandline -ct)" if files else ""
            ),
        },
    }


def _for_both(text: str, shell: str) -> str:
    """Make the script for the first of `COMMANDS` serve the second too."""
    short, long = COMMANDS
    if shell == "bash":
        return f"{text.rstrip()}\ncomplete -o bashdefault -F _shtab_{short} {long}"
    if shell == "zsh":
        return text.replace(f"#compdef {short}", f"#compdef {short} {long}", 1)
    return f"{text.rstrip()}\ncomplete -c {long} -w {short}"
