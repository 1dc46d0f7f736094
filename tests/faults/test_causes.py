"""Trouble with file systems, memory and systems is reported with the cause that the system gave."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from simulator.__main__ import main
from simulator.errors import UserError
from simulator.images.reading import load_image
from simulator.models.pretrained import build_network
from simulator.models.training.data import load_images
from simulator.results.store import Store, load_results
from tests.faults.conftest import Forked
from tests.rows import row

CHECKOUT = Path(__file__).parents[2]
ROWS = [row(image) for image in "abc"]
STORE = """
import sys
from pathlib import Path
from simulator.errors import UserError
from simulator.results.store import Store, load_results
from tests.rows import row
folder, rows = Path(sys.argv[1]), [row(image) for image in "abc"]
try:
    if sys.argv[2:] != ["read"]:
        with Store(folder) as store:
            store.set_plan([one.key for one in rows], {})
            store.add(rows[1:])
            print(*store._connection.execute("PRAGMA journal_mode").fetchone())
    print(len(load_results(folder).rows))
except UserError as error:
    print(error)
"""


def use(folder: Path, fault: str, *arguments: str) -> list[str]:
    """What a process prints that uses a results folder on a file system with a fault."""
    if shutil.which("cc") is None or sys.platform != "linux":
        pytest.skip("a C compiler and Linux are needed")
    library = folder.parent / "faulty-disk.so"
    source = Path(__file__).with_name("faulty_disk.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    settings = {"LD_PRELOAD": str(library), "FAULTS": fault, "FAULTY": str(folder), "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", STORE, str(folder), *arguments]
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("fault", ["flock", "record locks"])
def test_a_file_system_without_locks_is_named(tmp_path, fault):
    folder = tmp_path / "results"
    reason = f"the file system of '{folder}' gives no locks ({os.strerror(errno.ENOLCK)})"
    assert use(folder, fault) == [f"{reason}; choose an --out on a local disk"]


def test_without_shared_memory_a_rollback_journal_is_used(tmp_path):
    folder = tmp_path / "results"
    assert use(folder, "none") == ["wal", "2"]
    shutil.rmtree(folder)
    assert use(folder, "shared memory") == ["delete", "2"]
    assert load_results(folder).rows == ROWS[1:]


@pytest.fixture
def killed(tmp_path):
    """Results of a process that was killed: the last row is in the write-ahead log."""
    folder = tmp_path / "results"

    def write(tell):
        store = Store(folder)
        store.set_plan([one.key for one in ROWS], {})
        store.add(ROWS[:1])
        tell()
        signal.pause()

    child = Forked(write)
    child.wait_for(1)
    child.kill()
    assert (folder / "results.sqlite-wal").stat().st_size > 0
    return folder


def test_a_log_is_read_without_shared_memory(killed):
    assert use(killed, "shared memory", "read") == ["1"]
    assert use(killed, "shared memory") == ["delete", "3"]


def test_a_failing_disk_is_no_damage(killed):
    (said,) = use(killed, "reads")
    assert said.startswith(f"reading or writing '{killed}' failed (SQLITE_IOERR")
    assert "move it away" not in said


def test_a_locked_database_is_no_other_sweep(tmp_path, monkeypatch):
    Store(tmp_path).close()
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **options: real(path, **options | {"timeout": 0.1}))
    with real(tmp_path / "results.sqlite") as browser:
        browser.execute("BEGIN EXCLUSIVE")
        with pytest.raises(UserError, match=r"another program has '.*results.sqlite' locked \(SQLITE_BUSY"):
            Store(tmp_path)
    browser.close()


class Network(torch.nn.Module):
    """A network whose construction fails for want of the machine."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        raise error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "Read-only file system"),
        (MemoryError(), "MemoryError"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "can't allocate memory"),
    ],
)
def test_a_machine_that_cannot_build_a_network_is_not_the_model_cards_fault(error, said):
    with pytest.raises(UserError, match=f"cannot build the network of 'net': .*{said}$"):
        build_network(partial(Network, error), {}, "net")
    with pytest.raises(UserError, match="describes no network"):
        build_network(partial(Network, ValueError("in_channels must be positive")), {}, "net")


def test_too_little_memory_for_weights():
    """In a process of its own: one that has run tests has memory left over that no limit counts."""
    limited = f"""
import resource
from pathlib import Path
from simulator.models.pretrained import load_pretrained
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + {2**20}, used + {2**20}))
try:
    load_pretrained("lrisc-compact")
except MemoryError:
    print("too little memory")
"""
    ended = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, timeout=120)
    assert (ended.returncode, ended.stdout) == (0, "too little memory\n"), ended.stderr


def test_lack_of_memory_is_one_line(monkeypatch, capsys):
    def exhausted(*given, **options):
        raise MemoryError

    monkeypatch.setattr("simulator.cli.list.run", exhausted)
    assert main(["list", "schemes"]) == 2
    assert capsys.readouterr().err == "error: MemoryError; finished work is kept\n"


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "Permission denied"), MemoryError()])
def test_files_that_cannot_be_read_are_not_called_damaged(photographs, monkeypatch, error):
    from PIL import Image

    def fail(*given, **options):
        raise error

    monkeypatch.setattr(Image, "open", fail)
    for read in (lambda: load_image(photographs / "p0.png"), lambda: load_images([photographs])):
        with pytest.raises(UserError, match=r"cannot be read \((Permission denied|MemoryError)\)$"):
            read()


WINDOWS = """
import runpy, sys
sys.modules["fcntl"] = sys.modules["resource"] = None
{what}
"""


@pytest.mark.parametrize(
    ("what", "code", "line"),
    [
        ("sys.platform, sys.argv[1:] = 'win32', ['list']; runpy.run_module('simulator', {}, '__main__')", 2, "error: "),
        ("import simulator.results.store", 1, "simulator.errors.UserError: "),
    ],
)
def test_windows_is_refused_and_the_systems_that_work_are_named(tmp_path, what, code, line):
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, "-c", WINDOWS.replace("{what}", what)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code
    refusal = "Windows is not supported; run the program on Linux, on macOS, or in WSL"
    assert done.stderr.splitlines()[-1] == line + refusal
