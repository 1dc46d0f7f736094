"""Hands tasks to workers that may die or hang: assignment, retries, and when to give up."""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from simulator.errors import UserError
from simulator.sweep.executors.base import Answer, Event, Lost, Ready, Task

MAX_LOSSES = 3  # of a task: one that kills every worker is itself the cause
MAX_HANGS = 2
MAX_FAILED_STARTS = 5  # in a row

Handle = TypeVar("Handle", bound=Hashable)


class Place(Protocol[Handle]):
    """Where workers live.

    Attributes:
        depth: tasks that a worker is given at a time: 2 hide the latency of a distant one.
        hint: what to do when workers die.
    """

    depth: int
    hint: str

    def start(self) -> Handle:
        """Start one more worker; its first event is `Ready`."""
        ...

    def send(self, handle: Handle, task: Task) -> None:
        """Give a task to a worker; its events show whether it is alive."""
        ...

    def wait(self, seconds: float | None) -> Iterable[tuple[Handle, Event]]:
        """The next events of any workers; none if nothing happens for so long."""
        ...

    def stop(self, handle: Handle) -> None:
        """End a worker at once; no event of it comes any more."""
        ...


@dataclass
class _Job:
    task: Task
    losses: int = 0
    hangs: int = 0


@dataclass
class _Seat:
    """A worker: its tasks, of which it runs the first, and since when."""

    jobs: deque[_Job] = field(default_factory=deque)
    group: Hashable = None
    ready: bool = False
    since: float = 0.0


class Crew:
    """Supervises the workers of a place; used once."""

    def __init__(self, place: Place, workers: int, timeout_s: float | None, notify: Callable[[str], None]) -> None:
        """
        Args:
            place: where workers live.
            workers: how many.
            timeout_s: a task that takes longer is stopped and retried once; None waits without limit.
            notify: receives a one-line note whenever a task is retried.
        """
        self._place, self._workers, self._timeout_s, self._notify = place, workers, timeout_s, notify
        self._seats: dict[Any, _Seat] = {}
        self._failed_starts = 0
        self.retried = 0

    def run(self, tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield the result of every task when it arrives.

        Raises:
            UserError: a task killed every worker that ran it, or hung twice.
            Exception: what a worker raised.
        """
        backlog, left = Backlog(tasks), len(tasks)
        for _ in range(min(self._workers, left)):
            self._seats[self._place.start()] = _Seat()
        while left:
            for handle, event in self._place.wait(self._patience()):
                if isinstance(event, Lost):
                    self._lost(handle, event.cause, backlog)
                    continue
                seat = self._seats[handle]
                seat.since = time.monotonic()
                if isinstance(event, Ready):
                    seat.ready, self._failed_starts = True, 0
                elif not event.succeeded:
                    raise event.value
                else:
                    seat.jobs.popleft()
                    left -= 1
                self._hand_out(handle, seat, backlog)  # before yielding: the worker need not wait for the writer
                if isinstance(event, Answer):
                    yield event.value
            for handle in self._hung():
                self._give_up(handle, backlog)

    def _hand_out(self, handle: Any, seat: _Seat, backlog: "Backlog") -> None:
        # Near the end tasks stay here for the first free worker.
        depth = self._place.depth if len(backlog) > 2 * len(self._seats) else 1
        while len(seat.jobs) < depth and len(backlog):
            taken = {other.group for other in self._seats.values() if other is not seat and other.jobs}
            job, seat.group = backlog.take(seat.group, taken)
            seat.jobs.append(job)
            self._place.send(handle, job.task)

    def _patience(self) -> float | None:
        """Seconds until the next worker's time limit; None without a limit."""
        if self._timeout_s is None:
            return None
        ends = [seat.since + self._timeout_s for seat in self._seats.values() if seat.jobs]
        return max(0.0, min(ends) - time.monotonic()) if ends else None

    def _hung(self) -> list[Any]:
        if self._timeout_s is None:
            return []
        latest = time.monotonic() - self._timeout_s
        return [handle for handle, seat in self._seats.items() if seat.jobs and seat.since <= latest]

    def _lost(self, handle: Any, cause: str, backlog: "Backlog") -> None:
        seat = self._seats[handle]
        advice = f"finished rows are kept, the same command resumes: {self._place.hint}"
        if seat.jobs:
            first = seat.jobs[0]
            first.losses += 1
            if first.losses >= MAX_LOSSES:
                raise UserError(f"a worker process died ({cause}); {advice} ({first.losses} died at {first.task})")
        elif not seat.ready:
            self._failed_starts += 1
            if self._failed_starts >= MAX_FAILED_STARTS:
                raise UserError(
                    f"a worker process died ({cause}); {advice} ({self._failed_starts} died at their start)"
                )
        self._replace(handle, f"a worker process died ({cause})", backlog)

    def _give_up(self, handle: Any, backlog: "Backlog") -> None:
        """End a worker that takes too long."""
        job = self._seats[handle].jobs[0]
        job.hangs += 1
        self._place.stop(handle)
        if job.hangs >= MAX_HANGS:
            raise UserError(
                f"{job.task} did not end within {self._timeout_s:g} s, twice; finished rows are kept: "
                "give a longer --timeout, or leave this point out"
            )
        self._replace(handle, f"a task did not end within {self._timeout_s:g} s", backlog)

    def _replace(self, handle: Any, what: str, backlog: "Backlog") -> None:
        seat = self._seats.pop(handle)
        if seat.jobs:
            self.retried += 1
            self._notify(f"{what}; it is tried again: {seat.jobs[0].task}")
        backlog.put_back(seat.jobs)
        self._seats[self._place.start()] = _Seat()
        for other, idle in self._seats.items():  # idle workers
            if idle.ready and not idle.jobs:
                idle.since = time.monotonic()
                self._hand_out(other, idle, backlog)


class Backlog:
    """Unassigned tasks, handed out so that one worker gets all tasks of a group."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._queues: dict[Hashable, deque[_Job]] = defaultdict(deque)
        for task in tasks:
            self._queues[task.group].append(_Job(task))
        self._length = sum(map(len, self._queues.values()))

    def __len__(self) -> int:
        return self._length

    def take(self, group: Hashable, taken: set[Hashable]) -> tuple[_Job, Hashable]:
        """The next task of the group, else of one that is not taken, else of the longest; and its group."""
        if group not in self._queues:
            free = (other for other in self._queues if other not in taken)
            none = object()
            group = next(free, none)
            if group is none:
                group = max(self._queues, key=lambda other: len(self._queues[other]))
        queue = self._queues[group]
        job = queue.popleft()
        if not queue:
            del self._queues[group]
        self._length -= 1
        return job, group

    def put_back(self, jobs: Iterable[_Job]) -> None:
        """Take tasks back; they are the next ones of their groups."""
        for job in reversed(list(jobs)):
            self._queues[job.task.group].appendleft(job)
            self._length += 1
