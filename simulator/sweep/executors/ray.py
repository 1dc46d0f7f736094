"""A Ray cluster: an existing one, or one on this machine for the duration of a sweep.

Every worker is an actor with its own core and share of a GPU, so that networks are loaded once per actor. Tasks
and results travel through Ray; the driver alone writes. Ray never restarts actors: one that died, hung or was on a
lost node is replaced here, and its tasks are retried, as with processes of this machine.
"""

import itertools
import logging
import os
import pickle
import re
import site
import socket
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import UserError
from simulator.sweep.executors.base import Answer, Event, Lost, Ready, Task, Work, attempt, single_threaded
from simulator.sweep.executors.crew import Crew
from simulator.version import __version__

SECONDS_UNTIL_COMPLAINT = 30
SECONDS_TO_ANSWER = 10
HOME = str(Path(__file__).absolute().parents[3])  # what this package was found in
IS_CHECKOUT = HOME not in {*site.getsitepackages(), site.getusersitepackages()}


class RayCluster:
    """Runs the tasks in actors of a Ray cluster."""

    def __init__(
        self,
        workers: int | None = None,
        address: str | None = None,
        gpus_per_worker: float = 0.0,
        timeout_s: float | None = None,
        notify: Callable[[str], None] = lambda note: None,
    ) -> None:
        """
        Args:
            workers: how many actors; None is as many as the cluster has room for.
            address: of a running cluster, as `ray.init` takes it; None starts one on this machine.
            gpus_per_worker: share of a GPU that each actor reserves.
            timeout_s: a task that takes longer is stopped and retried once; None waits without limit.
            notify: receives a one-line note whenever a task is retried, or when the cluster has no room.

        Raises:
            UserError: Ray is not installed.
        """
        _quiet_ray()
        self._workers, self._address, self._gpus = workers, address, gpus_per_worker
        self._timeout_s, self._notify = timeout_s, notify
        self.retried = 0

    def run(self, make_worker: Callable[[], Work], tasks: Sequence[Task]) -> Generator[Any, None, None]:
        """Yield `worker(task)` for every task when it is done.

        Raises:
            UserError: no such cluster, one of another version, or actors die or hang at the same task again and again.
            Exception: what a worker raised.
        """
        with _connected(self._address, self._workers):
            workers = self._workers or _room(self._gpus)
            actors = _Actors(make_worker, self._gpus, self._notify)
            crew = Crew(actors, workers, self._timeout_s, self._notify)
            try:
                yield from crew.run(tasks)
            finally:
                self.retried += crew.retried
                actors.close()


def _quiet_ray() -> Any:
    """Import Ray without its reports home and its banners.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_worker_niceness", "0")  # else the workers of our own cluster run at low priority
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # else Ray warns that this default will change
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".")  # else it repeats our notes about lost workers on stdout
    try:
        import ray
    except ImportError:
        text = "Ray is not installed; run: pip install -e '.[ray]' in a checkout, or use --executor local"
        raise UserError(text) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    return ray


@contextmanager
def _connected(address: str | None, workers: int | None) -> Iterator[None]:
    """A connection to a cluster; one that was started here ends with it, and leaves no files."""
    ray = _quiet_ray()
    if ray.is_initialized():  # by a program that uses this one as a library
        yield
        return
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:
        try:
            if address is None:
                _start_here(workers, folder)
            else:
                _knock(address)
                ray.init(address, job_config=_job(), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
            what_to_do = "start one with 'ray start --head', or leave the address out"
            raise UserError(f"no Ray cluster at '{address or 'this machine'}' ({reason}); {what_to_do}") from None
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """Refuse a host and port that do not answer, which Ray itself would retry for minutes.

    Raises:
        ConnectionError: no cluster answers.
    """
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS_TO_ANSWER).close()
        except (OSError, OverflowError) as error:
            raise ConnectionError(getattr(error, "strerror", None) or str(error)) from None


def _start_here(workers: int | None, folder: str) -> None:
    """Start a cluster on this machine."""
    ray = _quiet_ray()
    options = {"num_cpus": workers, "include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    for last in (False, True):
        try:
            ray.init("local", _temp_dir=folder, job_config=_job(), **options)
            return
        except Exception as error:  # of exactly this type, after 30 s on a busy machine
            ray.shutdown()
            if last or "timed out" not in str(error):
                raise RuntimeError(str(error)) from error


def _job() -> Any:
    """The configuration of a job whose workers do not look for modules in the driver's current folder.

    Ray would put that folder first on their module path, so that a folder `numpy` in it breaks Ray itself before the
    actor begins. It does not do so for jobs that come through its client. They need only the folder of this package,
    unless it is one of installed packages, where they look anyway.
    """
    from ray.job_config import JobConfig

    return JobConfig(_client_job=True, _py_driver_sys_path=[HOME] if IS_CHECKOUT else [])


def _module_path() -> list[str]:
    """The driver's module path, without relative parts."""
    return [os.path.abspath(one) for one in sys.path]


def _room(gpus_per_worker: float) -> int:
    """How many workers the cluster can hold."""
    resources = _quiet_ray().cluster_resources()
    room = resources.get("CPU", 0.0)
    if gpus_per_worker:
        room = min(room, resources.get("GPU", 0.0) / gpus_per_worker)
    return max(1, int(room))


@dataclass
class _Waiting:
    """The meaning of a reference: an answer of this actor, or the end of its start."""

    handle: int
    start: bool = False


class _Actors:
    """The place of the workers; a handle is a number."""

    depth = 2  # the next task is queued when one ends
    hint = "see 'ray status' and the logs of the node; when memory ran out, give fewer --workers"

    def __init__(self, make_worker: Callable[[], Work], gpus: float, notify: Callable[[str], None]) -> None:
        ray = _quiet_ray()
        # Bytes, so that nothing heavy is imported before the actor has said that it wants one thread.
        self._parcel = ray.put(pickle.dumps(make_worker))
        self._new = ray.remote(_Actor).options(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0).remote
        self._notify, self._complained = notify, False
        self._actors: dict[int, Any] = {}
        self._waiting: dict[Any, _Waiting] = {}
        self._numbers = itertools.count()

    def start(self) -> int:
        handle = next(self._numbers)
        self._actors[handle] = actor = self._new()
        self._waiting[actor.prepare.remote(self._parcel, __version__, _module_path())] = _Waiting(handle, start=True)
        return handle

    def send(self, handle: int, task: Task) -> None:
        self._waiting[self._actors[handle].work.remote(task)] = _Waiting(handle)

    def wait(self, seconds: float | None) -> Iterator[tuple[int, Event]]:
        ray = _quiet_ray()
        if seconds is None and not self._complained and all(one.start for one in self._waiting.values()):
            seconds = SECONDS_UNTIL_COMPLAINT
        done, _ = ray.wait(list(self._waiting), timeout=seconds)
        if not done and all(one.start for one in self._waiting.values()) and not self._complained:
            self._complained = True
            self._notify(f"waiting for {len(self._actors)} workers to start; the Ray cluster has {_free()} free")
        for reference in done:
            if (waiting := self._waiting.pop(reference, None)) is not None:
                yield waiting.handle, self._receive(reference, waiting)

    def _receive(self, reference: Any, waiting: _Waiting) -> Event:
        ray = _quiet_ray()
        try:
            answer: Answer = ray.get(reference)
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:  # actor, node or object lost, out of memory
            self.stop(waiting.handle)
            return Lost(_cause(error))
        return Ready() if waiting.start and answer.succeeded else answer

    def stop(self, handle: int) -> None:
        _quiet_ray().kill(self._actors.pop(handle))
        self._waiting = {ref: one for ref, one in self._waiting.items() if one.handle != handle}

    def close(self) -> None:
        for handle in list(self._actors):
            self.stop(handle)


def _free() -> str:
    free = _quiet_ray().available_resources()
    return f"{free.get('CPU', 0):g} cores and {free.get('GPU', 0):g} GPUs"


def _cause(error: Exception) -> str:
    """Ray's reason for losing an actor, in a few words."""
    node = re.search(r"^\s*ip: (\S+)", str(error), re.MULTILINE)
    reason = re.search(r"Worker exit type: (\w+)", str(error))
    what = reason[1] if reason else str(error).partition("\n")[0].strip().rstrip(".")
    return what + (f" on {node[1]}" if node else "")


class _Actor:
    """One worker in a separate process."""

    def prepare(self, parcel: bytes, version: str, path: Sequence[str]) -> Answer:
        """Make the worker; it looks for modules where its node does, then where the driver does (`path`)."""
        own = [one for one in sys.path if not (IS_CHECKOUT and one == HOME)]
        sys.path[:] = dict.fromkeys((*own, *path))
        single_threaded()
        return attempt(self._prepare, parcel, version)

    def _prepare(self, parcel: bytes, version: str) -> None:
        if version != __version__:
            raise UserError(f"a node of the Ray cluster runs version {__version__}, not {version}; install the same")
        self._work: Work = pickle.loads(parcel)()

    def work(self, task: Task) -> Answer:
        """Do a task."""
        return attempt(self._work, task)
