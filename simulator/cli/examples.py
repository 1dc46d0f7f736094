"""Examples at the end of a verb's --help."""

import argparse


def add_examples(parser: argparse.ArgumentParser, *examples: tuple[str, str]) -> None:
    """Show (what it does, command) pairs below the options, unwrapped."""
    lines = [f"  # {text}\n  python -m {command}" for text, command in examples]
    parser.epilog = "\n".join(("examples:", *lines))
    parser.formatter_class = _Formatter


class _Formatter(argparse.HelpFormatter):
    """Wraps the description, but not the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith("examples:") else super()._fill_text(text, width, indent)
