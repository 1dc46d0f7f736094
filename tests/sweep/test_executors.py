"""Tasks reach workers in good order, and processes end when they should."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from simulator.errors import UserError
from simulator.sweep.executors import InProcess, LocalProcesses


@dataclass(frozen=True)
class Job:
    group: int
    number: int


class Once:
    """Does what happens to a worker once: it dies or hangs at the third job, but only the first that meets it."""

    def __init__(self, folder, number):
        self.mark, self.reporter, self.number = folder / "met", Reporter(), number

    def __call__(self, job):
        if job == Job(0, 2) and not self.mark.exists():
            self.mark.touch()
            job = Job(0, self.number)
        return self.reporter(job)


class Reporter:
    """Answers (task, process); does badly what a task with a bad number asks for."""

    def __init__(self, startup=""):
        if startup == "raises":
            raise UserError("cannot start")

    def __call__(self, job):
        time.sleep(0.02)
        if job.number == -1:
            raise ZeroDivisionError("a bug")
        if job.number == -2:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.number == -3:
            time.sleep(3600)
        return job, os.getpid(), os.environ["OMP_NUM_THREADS"]


JOBS = [Job(group, number) for number in range(8) for group in range(3)]


def test_in_process_goes_group_by_group():
    answers = list(InProcess().run(Reporter, JOBS))
    assert [job for job, *_ in answers] == sorted(JOBS, key=lambda job: job.group)


@pytest.mark.usefixtures("quick_start")
def test_processes_answer_every_task_with_one_thread_each():
    answers = list(LocalProcesses(2).run(Reporter, JOBS))
    assert sorted(job.number * 3 + job.group for job, *_ in answers) == list(range(24))
    assert len({process for _, process, _ in answers} - {os.getpid()}) == 2
    assert {threads for *_, threads in answers} == {"1"}
    # Two processes, three groups: whoever is free first takes the third, and only its tail may be shared.
    alone = [group for group in range(3) if len({process for job, process, _ in answers if job.group == group}) == 1]
    assert len(alone) >= 2


@pytest.mark.usefixtures("quick_start")
@pytest.mark.parametrize(
    ("make_worker", "job", "error", "message"),
    [
        (partial(Reporter, "raises"), Job(0, 0), UserError, "cannot start"),
        (Reporter, Job(0, -1), ZeroDivisionError, "a bug"),
        (Reporter, Job(0, -2), UserError, r"a worker process died \(killed by signal 9\); finished rows are kept"),
    ],
)
def test_what_goes_wrong_in_a_process_arrives(make_worker, job, error, message):
    with pytest.raises(error, match=message):
        list(LocalProcesses(1).run(make_worker, [job]))


@pytest.mark.usefixtures("quick_start")
@pytest.mark.parametrize(
    ("number", "what"),
    [(-2, "a worker process died (killed by signal 9); it"), (-3, "a task did not end within 2 s; it")],
)
def test_a_task_whose_worker_dies_or_hangs_is_tried_again_and_counted(tmp_path, number, what):
    notes = []
    executor = LocalProcesses(2, timeout_s=2, notify=notes.append)
    answers = list(executor.run(partial(Once, tmp_path, number), JOBS))
    assert sorted(job.number * 3 + job.group for job, *_ in answers) == list(range(24))
    assert executor.retried == 1
    assert notes == [f"{what} is tried again: {Job(0, 2)}"]


@pytest.mark.usefixtures("quick_start")
def test_a_task_that_hangs_twice_ends_the_run(tmp_path):
    executor = LocalProcesses(2, timeout_s=1)
    with pytest.raises(UserError, match=r"number=-3\) did not end within 1 s, twice; finished rows are kept"):
        list(executor.run(Reporter, [Job(0, -3)]))
    assert executor.retried == 1


@pytest.mark.usefixtures("quick_start")
def test_traceback_of_the_process_is_kept():
    with pytest.raises(ZeroDivisionError) as caught:
        list(LocalProcesses(1).run(Reporter, [Job(0, -1)]))
    assert any("in __call__" in note for note in caught.value.__notes__)


@pytest.mark.usefixtures("quick_start")
def test_processes_end_with_the_consumer():
    arriving = LocalProcesses(2).run(Reporter, JOBS)
    _, process, _ = next(arriving)
    arriving.close()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


ORPHANS = """
import sys
sys.path.insert(0, {folder!r})
from simulator.sweep.executors import LocalProcesses
from tests.sweep.test_executors import Job, Reporter
if __name__ == "__main__":
    for _, process, _ in LocalProcesses(1).run(Reporter, [Job(0, n) for n in range(10_000)]):
        print(process, flush=True)
"""


def test_a_process_ends_when_the_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS.format(folder=str(Path(__file__).parents[2])))
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as parent:
        process = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while _running(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _running(process)


def _running(process):
    """Whether a process computes still; one that ended and waits for init to notice does not."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_script_without_a_guard_is_told_so(tmp_path):
    """Its worker processes run the whole script again and end at their start."""
    script = tmp_path / "script.py"
    script.write_text(
        "from simulator.sweep.executors import LocalProcesses, crew\n"
        "crew.MAX_FAILED_STARTS = 1\n"
        "class Job:\n    group = 0\n"
        "def work(): return print\n"
        "try:\n    list(LocalProcesses(1).run(work, [Job()]))\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n    raise SystemExit(1)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert "exit code 1 at its start" in done.stdout
    assert "if __name__ == '__main__':" in done.stdout
