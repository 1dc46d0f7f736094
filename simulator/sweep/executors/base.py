"""The common part of all executors: tasks and workers, and how results and errors pass between processes."""

import os
import pickle
import sys
import traceback
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Task(Protocol):
    """A unit of work; its text describes it in a few words."""

    @property
    def group(self) -> Hashable:
        """What the tasks of a group have in common: they profit from running in one process, one after the other."""
        ...


Work = Callable[[Any], Any]


class Executor(Protocol):
    """Runs tasks somewhere.

    Attributes:
        retried: number of tasks retried in all finished runs, because their worker was lost or took too long.
    """

    retried: int

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task, in any order."""
        ...


@dataclass(frozen=True)
class Ready:
    """A worker has loaded what it needs."""


@dataclass(frozen=True)
class Answer:
    """The outcome of a task, or of the attempt to make a worker: its result, or the exception that it raised."""

    succeeded: bool
    value: Any


@dataclass(frozen=True)
class Lost:
    """A worker is gone, with the tasks that it had."""

    cause: str


Event = Ready | Answer | Lost


def attempt(action: Callable[..., Any], *arguments: Any) -> Answer:
    """Call it and return its outcome in a form that can be sent to another process."""
    try:
        return Answer(True, action(*arguments))
    except Exception as error:
        return Answer(False, _portable(error))


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, in a form that can be sent to another process."""
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(text)
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(text)


def single_threaded() -> None:
    """Let this process, and those it starts, compute with one thread each."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    if torch := sys.modules.get("torch"):  # too late for variables
        torch.set_num_threads(1)
