"""How a sweep shows its progress: its pace, a bar in a terminal, and one in a notebook."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from simulator.errors import visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

Notify = Callable[[str], None]
Tell = Callable[[int, int], None]

FIRST_GROUP = 0.25  # of the wait for the first rows: later rows within this time count as first rows


class Pace:
    """Rows per second and the time left, for rows that take from milliseconds to minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._clock = clock
        self._start: tuple[float, int] | None = None  # time and rows done
        self._first: tuple[float, int] | None = None  # when the first rows were there, one of each worker
        self._wait = 0.0  # seconds for them
        self._last = (0.0, 0)
        self._total = 0

    def update(self, done: int, total: int) -> None:
        """`done` of `total` rows are finished, some of them perhaps by earlier runs."""
        now, self._total = self._clock(), total
        self._last = (now, done)
        if self._start is None:
            self._start = self._last
        elif self._first is None:
            self._first, self._wait = self._last, now - self._start[0]
        elif now <= self._start[0] + (1 + FIRST_GROUP) * self._wait:
            self._first = self._last

    @property
    def rows_per_second(self) -> float | None:
        """None until rows have come after the first ones, whose time is mostly that of imports."""
        if self._start is None or self._first is None or self._last == self._first:
            return None
        # The first rows take seconds of imports. That matters for many short rows, which soon show the true pace;
        # for long ones, which arrive in groups, the start is all that is known for a while.
        (since, before), (now, done) = self._start, self._last
        if now - self._first[0] >= self._wait:
            since, before = self._first
        return (done - before) / (now - since) if now > since and done > before else None

    @property
    def seconds_left(self) -> float | None:
        """Counts down between two updates; None until the pace is known."""
        if (speed := self.rows_per_second) is None:
            return None
        then, done = self._last
        return max((self._total - done) / speed - (self._clock() - then), 0.0)


def duration(seconds: float) -> str:
    """Seconds for people: `40 s`, `3 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def rows_bar(console: "Console", pace: Pace, what: str = "row") -> "Progress":
    """A bar for rows or something else, with the time that is left at this pace; its task is number 0."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TimeElapsedColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """Rich's own forgets rows that are older than 30 seconds."""

        def render(self, task: Task) -> Text:
            speed, left = pace.rows_per_second, pace.seconds_left
            if speed is None or left is None:
                return Text("ETA -")
            rate = f"{speed:.1f} {what}s/s" if speed >= 1 else f"{1 / speed:.1f} s/{what}"
            return Text(f"{rate}, ETA {duration(left)}")

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeElapsedColumn(), Left())
    bar = Progress(*columns, console=console, disable=not console.is_terminal, expand=True)
    bar.add_task(what, total=None)
    return bar


@contextmanager
def shown_progress(wanted: bool, what: str = "row") -> Iterator[tuple[Notify, Tell]]:
    """Functions that take notes, and (rows done, rows planned): a bar in a notebook or a terminal, else nothing.

    Args:
        wanted: False shows nothing.
        what: one of the things that are counted.
    """
    if not wanted:
        yield (lambda note: None), (lambda done, total: None)
    elif _in_notebook():
        yield _notebook_bar(what)
    else:
        with _terminal_bar(what) as functions:
            yield functions


def _in_notebook() -> bool:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and shell.__class__.__name__ == "ZMQInteractiveShell"


def _notebook_bar(what: str) -> tuple[Notify, Tell]:
    from IPython.display import HTML, display

    handle: list[Any] = []

    def tell(done: int, total: int) -> None:
        bar = HTML(f'<progress value="{done}" max="{total}"></progress> {done} of {total} {what}s')
        if handle:
            handle[0].update(bar)
        else:
            handle.append(display(bar, display_id=True))

    return (lambda note: print(visible(f"note: {note}"))), tell


@contextmanager
def _terminal_bar(what: str) -> Iterator[tuple[Notify, Tell]]:
    from rich.console import Console

    console, pace = Console(stderr=True), Pace()
    with rows_bar(console, pace, what) as bar:

        def tell(done: int, total: int) -> None:
            pace.update(done, total)
            bar.update(bar.task_ids[0], completed=done, total=total)

        yield (
            (lambda note: console.print(visible(f"note: {note}"), markup=False, highlight=False, soft_wrap=True)),
            tell,
        )
