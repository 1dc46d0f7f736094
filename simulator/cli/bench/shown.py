"""How `bench` prints a table."""

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulator.analysis.fitting import FittedTable


def show_table(title: str, table: "FittedTable", note: str = "") -> None:
    """Print a table in the width of the terminal, between a title and a note."""
    from shutil import get_terminal_size

    from simulator.analysis.tables import print_table

    width = get_terminal_size().columns
    print(textwrap.fill(title, width))
    print_table(table)
    if note:
        print(textwrap.fill(note, width))
