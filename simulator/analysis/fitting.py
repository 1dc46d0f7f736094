"""Tables for a terminal of any width: names wrap, numbers stay whole, and notes below say what was left out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from simulator.errors import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

NARROW_NAME, NARROWEST_NAME = 22, 14  # characters
SEPARATOR = 2  # spaces between two columns


@dataclass(eq=False)
class Column:
    """One column of a table.

    Attributes:
        head: shown above it.
        cells: text of each row.
        is_name: the text may wrap, at colons if it has some; it stands on the left, and is never left out.
        on_left: text that does not wrap and is not a number.
    """

    head: str
    cells: list[str] = field(default_factory=list)
    is_name: bool = False
    on_left: bool = False

    @cached_property
    def width(self) -> int:
        """Characters of the longest line; asked once the cells are complete."""
        return max(len(line) for cell in (self.head, *self.cells) for line in cell.split("\n"))


class FittedTable:
    """A table that Rich prints in the width of its console.

    It is narrowed only as far as needed. A column that says the same in every row becomes a note, heads and names wrap,
    and columns are left out: first those that are named as spare, then from the right.
    """

    def __init__(self, columns: Sequence[Column], spare: Sequence[str] = ()) -> None:
        """columns: in order, empty; spare: heads of columns that are left out first, the first of them first."""
        self._columns, self._spare = list(columns), tuple(spare)

    def add(self, *cells: str) -> None:
        """Add a row; cells are shown unchanged: brackets are not markup, and a line break is a visible `\\n`."""
        for column, cell in zip(self._columns, cells, strict=True):
            column.cells.append(visible(cell))

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich import box
        from rich.table import Table
        from rich.text import Text

        columns, notes = fit(self._columns, options.max_width, self._spare)
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for one in columns:
            table.add_column(Text(one.head), justify="left" if one.is_name or one.on_left else "right", no_wrap=True)
        for cells in zip(*(one.cells for one in columns), strict=True):
            table.add_row(*map(Text, cells))
        yield table
        yield from map(Text, notes)


def fit(columns: Sequence[Column], width: int, spare: Sequence[str] = ()) -> tuple[list[Column], list[str]]:
    """Narrow a table to `width` characters.

    Returns:
        The columns that are shown, and what to print below: what every row has in common, and what was left out.
    """
    shown, notes = list(columns), []
    if _excess(shown, width) > 0 and len(shown[0].cells) > 1:
        same = [one for one in shown[1:] if len(set(one.cells)) == 1]
        shown = [one for one in shown if one not in same]
        notes += _in_common(same)
    if _excess(shown, width) > 0:
        shown = [replace(one, head="\n".join(one.head.rsplit(" ", 1))) for one in shown]
    shown = _with_wrapped_names(shown, width, NARROW_NAME)
    left_out = []
    for head in spare:
        if _excess(shown, width) > 0:
            left_out += [one for one in shown if _one_line(one.head) == head]
            shown = [one for one in shown if one not in left_out]
    shown = _with_wrapped_names(shown, width, NARROWEST_NAME)
    while _excess(shown, width) > 0 and (candidates := [one for one in shown if not one.is_name]):
        left_out.append(candidates[-1])
        shown.remove(candidates[-1])
    if left_out:
        heads = ", ".join(_one_line(one.head) for one in left_out)
        notes.append(f"no room for {heads}; use a wider terminal or --json")
    return shown, notes


def _with_wrapped_names(columns: Sequence[Column], width: int, narrowest: int) -> list[Column]:
    """Wrap the widest names until the table fits, or all have at most `narrowest` characters."""
    shown = list(columns)
    while (excess := _excess(shown, width)) > 0:
        names = sorted((one.width, index) for index, one in enumerate(shown) if one.is_name)
        widest, index = names[-1]
        if widest <= narrowest:
            break
        next_width = max(narrowest, names[-2][0] if len(names) > 1 else 0)
        shown[index] = _wrapped(shown[index], widest - max(1, min(excess, widest - next_width)))
    return shown


def _excess(columns: Sequence[Column], width: int) -> int:
    """Characters by which a table is too wide; Rich adds one at each end."""
    return sum(one.width + SEPARATOR for one in columns) - width


def _in_common(columns: Sequence[Column]) -> list[str]:
    said = [f"{one.head} {one.cells[0]}" for one in columns if one.cells[0]]
    empty = [one.head for one in columns if not one.cells[0]]
    notes = (f"in every row: {', '.join(said)}" * bool(said), f"empty in every row: {', '.join(empty)}" * bool(empty))
    return [note for note in notes if note]


def _wrapped(column: Column, width: int) -> Column:
    """The column with lines of at most `width` characters; names break after a colon where they can."""
    return replace(column, cells=[_wrap(_one_line(cell, ""), width) for cell in column.cells])


def _wrap(name: str, width: int) -> str:
    lines = [""]
    for part in re.findall(r"[^:]*:|[^:]+$", name):
        if len(lines[-1]) + len(part) > width:
            lines.append("")
        while len(part) > width:
            lines[-1], part = part[:width], part[width:]
            lines.append("")
        lines[-1] += part
    return "\n".join(line for line in lines if line)


def _one_line(text: str, joint: str = " ") -> str:
    return text.replace("\n", joint)
