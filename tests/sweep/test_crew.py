"""Who gets which task, and what becomes of the tasks of workers that die: with workers that are make-believe."""

from collections import Counter, deque
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UserError
from simulator.sweep.executors.base import Answer, Lost, Ready
from simulator.sweep.executors.crew import MAX_FAILED_STARTS, Crew


@dataclass(frozen=True)
class Job:
    group: int
    number: int


class Stage:
    """Workers that answer one task at a time, in turn, and die whenever `fate` says so."""

    hint = "try less"

    def __init__(self, fate=(), depth=2, stillborn=False):
        self.fate, self.depth, self.stillborn = deque(fate), depth, stillborn
        self.tasks, self.unready, self.most, self.started = {}, set(), 0, 0

    def start(self):
        self.started += 1
        self.tasks[self.started] = deque()
        self.unready.add(self.started)
        return self.started

    def send(self, handle, task):
        assert handle not in self.unready, "it cannot take tasks yet"
        self.tasks[handle].append(task)
        self.most = max(self.most, len(self.tasks[handle]))

    def wait(self, seconds):
        for handle in list(self.tasks):
            if handle in self.unready:
                self.unready.discard(handle)
                yield handle, self._lost(handle) if self.stillborn else Ready()
            elif self.tasks[handle]:
                dies = self.fate and self.fate.popleft()
                yield handle, self._lost(handle) if dies else Answer(True, self.tasks[handle].popleft())

    def _lost(self, handle):
        del self.tasks[handle]
        return Lost("exit code 1")

    def stop(self, handle):
        del self.tasks[handle]


JOBS = [Job(group, number) for number in range(6) for group in range(5)]


def run(stage, workers=3, jobs=JOBS):
    crew = Crew(stage, workers, None, lambda note: None)
    return crew, list(crew.run(jobs))


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 8), st.integers(1, 3))
def test_every_task_is_answered_once_whoever_dies(fate, workers, depth):
    stage = Stage(fate, depth)
    try:
        crew, answers = run(stage, workers)
    except UserError as error:
        assert "3 died at Job" in str(error)  # noqa: PT017
        assert sum(fate) >= 3
        return
    assert Counter(answers) == Counter(JOBS)
    assert stage.most <= depth  # the others wait here: what is under way is bounded
    assert crew.retried == stage.started - min(workers, len(JOBS))


def test_groups_stay_together_while_there_are_enough():
    stage = Stage(depth=1)
    crew = Crew(stage, 5, None, print)
    for _ in crew.run(JOBS):
        for handle, tasks in stage.tasks.items():
            assert all(task.group == handle - 1 for task in tasks)


def test_a_task_that_kills_three_workers_is_given_up():
    with pytest.raises(UserError, match=r"exit code 1\); finished rows are kept.*try less \(3 died at Job"):
        run(Stage([True] * 3, depth=1), workers=1)


def test_workers_that_never_start_are_given_up():
    stage = Stage(stillborn=True)
    with pytest.raises(UserError, match="5 died at their start"):
        run(stage)
    assert stage.started == MAX_FAILED_STARTS + 2  # three at first, and one for each loss but the last


def test_there_are_no_more_workers_than_tasks():
    stage = Stage()
    run(stage, workers=8, jobs=JOBS[:3])
    assert stage.started == 3
