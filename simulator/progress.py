"""How a sweep in a script or notebook shows that it goes on."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Notify = Callable[[str], None]
Tell = Callable[[int, int], None]


@contextmanager
def shown_progress(wanted: bool) -> Iterator[tuple[Notify, Tell]]:
    """Functions that take notes, and (rows done, rows planned): a bar in a notebook or a terminal, else nothing."""
    if not wanted:
        yield (lambda note: None), (lambda done, total: None)
    elif _in_notebook():
        yield _notebook_bar()
    else:
        with _terminal_bar() as functions:
            yield functions


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"


def _notebook_bar() -> tuple[Notify, Tell]:
    from IPython.display import HTML, display

    handle: list[Any] = []

    def tell(done: int, total: int) -> None:
        bar = HTML(f'<progress value="{done}" max="{total}"></progress> {done} of {total} rows')
        if handle:
            handle[0].update(bar)
        else:
            handle.append(display(bar, display_id=True))

    return (lambda note: print(f"note: {note}")), tell


@contextmanager
def _terminal_bar() -> Iterator[tuple[Notify, Tell]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("rows", total=None)
        yield (
            lambda note: console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
