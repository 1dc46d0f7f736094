"""Ways to break things: processes that are killed, disks that are full or read-only, clocks that go back."""

import os
import signal
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from simulator.analysis import outputs
from simulator.results.rows import Row
from simulator.sweep.inputs import SweepConfig


class Forked:
    """A copy of this process that runs a function and ends; what it tells comes through a pipe, a byte at a time."""

    def __init__(self, work: Callable[[Callable[[], None]], object]) -> None:
        """work: is given a function `tell`."""
        self._told, told = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.setpgid(0, 0)
                os.close(self._told)
                work(lambda: os.write(told, b"."))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        with suppress(OSError):  # the copy did so itself, or is gone
            os.setpgid(self.pid, self.pid)
        os.close(told)

    def wait_for(self, messages: int) -> int:
        """Wait until it told so often; returns how often it did before it ended."""
        count = 0
        while count < messages and os.read(self._told, 1):
            count += 1
        return count

    def kill(self) -> int:
        """End it and its children by SIGKILL, whatever they do; returns its exit code, negative for a signal."""
        os.killpg(self.pid, signal.SIGKILL)
        while os.read(self._told, 4096):  # until the last of them is gone
            pass
        return self.join()

    def join(self) -> int:
        """Wait for its end; returns its exit code, negative for a signal."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._told)
        return code


@pytest.fixture
def config(toys: None, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> SweepConfig:
    """A sweep of 48 rows that takes a moment, without figures."""
    monkeypatch.setattr(outputs, "draw", lambda results, folder, write: [])
    return SweepConfig(
        snrs_db=(0.0, 2.0, 4.0, 5.0),
        schemes=("toy", "toy-cliff", "toy-bound"),
        images=str(photographs),
        lpips="none",
    )


@pytest.fixture
def small_disk() -> Iterator[Callable[[str], Path]]:
    """Makes a file system of a given size in memory, where the machine lets us."""
    made: list[Path] = []

    def make(size: str) -> Path:
        folder = Path(f"/tmp/small-disk-{os.getpid()}-{len(made)}")
        folder.mkdir()
        made.append(folder)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("only root may mount a small file system here")
        return folder

    yield make
    for folder in made:
        if folder.is_mount():
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def remount(folder: Path, option: str) -> None:
    """Change a mounted file system: read-only ("ro"), writable ("rw"), or larger ("size=2m")."""
    subprocess.run(["mount", "-o", f"remount,{option}", str(folder)], check=True)


def without_times(rows: list[Row]) -> list[dict[str, object]]:
    """The rows but for how long they took, which no two runs share."""
    from dataclasses import asdict

    return [asdict(row) | {"encode_s": None, "decode_s": None} for row in rows]


def quietly(*_: object) -> None:
    """Take no note."""
