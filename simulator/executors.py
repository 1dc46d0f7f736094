"""Where the grid runs: in this process, or in processes of this machine.

An executor gets a way to make a worker (run once per process: it loads what is expensive) and tasks, and yields results
as they come, in any order. Parallelism comes from processes alone: every worker computes with one thread, so that
sums are formed in the same order, and results are the same bits, however many workers there are.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from simulator.errors import UserError

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Task(Protocol):
    """A unit of work; tasks of one group profit from running in one process, one after the other."""

    @property
    def group(self) -> Hashable:
        """What the tasks of a group have in common."""
        ...


Work = Callable[[Any], Any]


class Executor(Protocol):
    """Runs tasks somewhere."""

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task, in any order."""
        ...


def single_threaded() -> None:
    """Let this process, and those it starts, compute with one thread each."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    if torch := sys.modules.get("torch"):  # too late for variables
        torch.set_num_threads(1)


class InProcess:
    """Runs the tasks here, one after the other."""

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task, group by group."""
        single_threaded()
        worker = make_worker()
        for queue in list(_by_group(tasks).values()):
            yield from map(worker, queue)


@dataclass
class _Process:
    process: BaseProcess
    connection: Connection
    group: Hashable = None


class LocalProcesses:
    """Runs the tasks in processes of this machine; they end when this one does, even when it is killed."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task, as they come.

        Raises:
            UserError: a process died (out of memory, say).
            Exception: what a worker raised.
        """
        queues = _by_group(tasks)
        crew: list[_Process] = []
        try:
            with _interrupts_ignored():
                crew += [_start(make_worker) for _ in range(min(self.workers, len(tasks)))]
            idle = deque(crew)
            for _ in range(len(tasks)):
                while idle and queues:
                    _hand_out(idle.popleft(), crew, queues)
                member, result = _receive(crew)
                idle.append(member)
                yield result
        finally:
            _dismiss(crew)


def _by_group(tasks: Iterable[Task]) -> dict[Hashable, deque[Task]]:
    queues: dict[Hashable, deque[Task]] = defaultdict(deque)
    for task in tasks:
        queues[task.group].append(task)
    return queues


def _hand_out(member: _Process, crew: list[_Process], queues: dict[Hashable, deque[Task]]) -> None:
    """Send the next task of the member's own group, else of a group that nobody is at, else of the longest."""
    if member.group not in queues:
        taken = {other.group for other in crew if other is not member}
        free = (group for group in queues if group not in taken)
        member.group = next(free, None) or max(queues, key=lambda group: len(queues[group]))
    queue = queues[member.group]
    task = queue.popleft()
    if not queue:
        del queues[member.group]
    try:
        member.connection.send(task)
    except OSError:
        _receive([member])  # raises what the process had to say before it ended
        raise UserError(_death(member)) from None


def _receive(crew: list[_Process]) -> tuple[_Process, Any]:
    """Wait for the next result of any member."""
    members = {member.connection: member for member in crew}
    member = members[wait(list(members))[0]]  # type: ignore[index]
    try:
        succeeded, result = member.connection.recv()
    except (EOFError, OSError):
        raise UserError(_death(member)) from None
    if not succeeded:
        raise result
    return member, result


def _death(member: _Process) -> str:
    member.process.join(timeout=5)
    code = member.process.exitcode
    cause = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    hint = "when memory ran out, give fewer --workers"
    return f"a worker process died ({cause}); finished rows are kept, the same command resumes: {hint}"


def _start(make_worker: Callable[[], Work]) -> _Process:
    # A fresh interpreter: forking a process in which torch or Numba have started threads can hang it.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make_worker), daemon=True)
    environment = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    try:
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
        process.start()
    finally:
        for name, value in environment.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    theirs.close()
    return _Process(process, ours)


def _dismiss(crew: list[_Process]) -> None:
    for member in crew:
        member.process.kill()
    for member in crew:
        member.process.join()
        member.connection.close()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes started inside ignore Ctrl-C from their first instruction on: the parent decides what it means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, make_worker: Callable[[], Work]) -> None:
    """Body of a worker process: answer tasks until the parent closes the connection or dies."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    try:
        single_threaded()
        worker = make_worker()
    except Exception as error:
        connection.send((False, _portable(error)))
        return
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, worker(task))
        except Exception as error:
            answer = (False, _portable(error))
        connection.send(answer)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, in a form that can cross a process border."""
    text = "".join(traceback.format_exception(error))
    try:
        error.add_note(text)
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(text)
