"""This machine: its processes, or this one alone."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from simulator.surroundings import SAFE_PATH, quiet_matplotlib, variables
from simulator.sweep.executors.base import THREAD_VARIABLES, Event, Lost, Ready, Task, Work, attempt, single_threaded
from simulator.sweep.executors.crew import Crew

GUARD = " at its start, for which stderr gives the reason; a script must sweep under if __name__ == '__main__':"


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class InProcess:
    """Runs the tasks here, one after the other."""

    retried = 0

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task, group by group."""
        single_threaded()
        worker = make_worker()
        groups = {task.group: index for index, task in reversed(list(enumerate(tasks)))}
        yield from map(worker, sorted(tasks, key=lambda task: groups[task.group]))


class LocalProcesses:
    """Runs the tasks in processes of this machine; they end when this one does, even when it is killed."""

    def __init__(
        self, workers: int, timeout_s: float | None = None, notify: Callable[[str], None] = lambda note: None
    ) -> None:
        """
        Args:
            workers: how many processes.
            timeout_s: a task that takes longer is stopped and retried once; None waits without limit.
            notify: receives a one-line note whenever a task is retried.
        """
        self._workers, self._timeout_s, self._notify = workers, timeout_s, notify
        self.retried = 0

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task when it is done.

        Raises:
            UserError: processes die (out of memory, say) or hang at the same task again and again.
            Exception: what a worker raised.
        """
        processes = _Processes(make_worker)
        crew = Crew(processes, self._workers, self._timeout_s, self._notify)
        try:
            yield from crew.run(tasks)
        finally:
            self.retried += crew.retried
            processes.close()


class _Processes:
    """The place of the workers; a handle is our end of the pipe to one."""

    depth = 1  # a pipe holds less than a task: sending to a worker that computes would wait for it
    hint = "when memory ran out, give fewer --workers"

    def __init__(self, make_worker: Callable[[], Work]) -> None:
        self._make_worker = make_worker
        self._processes: dict[Connection, BaseProcess] = {}
        self._ready: set[Connection] = set()

    def start(self) -> Connection:
        # A fresh interpreter: forking a process in which torch or Numba have started threads can hang it.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, self._make_worker, SAFE_PATH in os.environ), daemon=True)
        with variables(dict.fromkeys((*THREAD_VARIABLES, SAFE_PATH), "1")), _interrupts_ignored():
            process.start()
        theirs.close()
        self._processes[ours] = process
        return ours

    def send(self, handle: Connection, task: Task) -> None:
        try:
            handle.send(task)
        except OSError:  # it is dead: `wait` returns its last events and its death
            return

    def wait(self, seconds: float | None) -> Iterator[tuple[Connection, Event]]:
        for one in wait(list(self._processes), seconds):
            assert isinstance(one, Connection)
            if one in self._processes:
                yield one, self._receive(one)

    def _receive(self, handle: Connection) -> Event:
        try:
            event: Event = handle.recv()
            self._ready |= {handle} if isinstance(event, Ready) else set()
            return event
        except (EOFError, OSError):
            process = self._processes[handle]
            process.join(timeout=5)
            code = process.exitcode
            self.stop(handle)
            if code is not None and code < 0:
                return Lost(f"killed by signal {-code}")
            return Lost(f"exit code {code}{'' if handle in self._ready else GUARD}")

    def stop(self, handle: Connection) -> None:
        process = self._processes.pop(handle)
        process.kill()
        process.join()
        handle.close()

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
        for handle in list(self._processes):
            self.stop(handle)


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


def _serve(connection: Connection, make_worker: Callable[[], Work], safe_path: bool) -> None:
    """Body of a worker process: answer tasks until the parent closes the connection or dies."""
    if not safe_path:  # processes that a scheme starts need the default
        os.environ.pop(SAFE_PATH, None)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    single_threaded()
    quiet_matplotlib()
    made = attempt(make_worker)
    connection.send(Ready() if made.succeeded else made)
    while made.succeeded:
        try:
            task = connection.recv()
        except EOFError:
            return
        connection.send(attempt(made.value, task))


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
