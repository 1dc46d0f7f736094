"""Progress of a sweep on stderr: a bar with the time left on a terminal, occasional lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from simulator.cli.verbosity import is_quiet
from simulator.errors import visible
from simulator.progress import Pace, duration, rows_bar

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS_BETWEEN_LINES = 10


class Monitor:
    """Report notes and progress, unless -q is given; a context manager that ends the bar."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)
        self._pace = Pace()
        self._bar: Progress | None = None
        self._told = time.monotonic()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def notify(self, message: str) -> None:
        """Print a note without disturbing the bar."""
        if not is_quiet():
            self._console.print(visible(f"note: {message}"), markup=False, highlight=False, soft_wrap=True)

    def progress(self, done: int, total: int) -> None:
        """Show that `done` of `total` rows are finished."""
        self._pace.update(done, total)
        if is_quiet():
            return
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = rows_bar(self._console, self._pace)
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=done, total=total)
        elif time.monotonic() - self._told >= SECONDS_BETWEEN_LINES or done == total:
            self._told = time.monotonic()
            left = self._pace.seconds_left if done < total else None
            end = "" if left is None else f", {duration(left)} left"
            print(f"{done}/{total} rows{end}", file=sys.stderr, flush=True)
