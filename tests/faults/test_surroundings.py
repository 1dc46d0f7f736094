"""Settings of others, foreign files in the current folder, and a machine's troubles: none of them changes a number."""

import os
import pwd
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import matplotlib
import pytest

from simulator import sweep
from simulator.__main__ import main
from simulator.analysis.outputs import SUMMARY_AND_FIGURES
from simulator.baselines.bpg.errors import BpgError
from simulator.disk import cache_dir, user_path
from simulator.errors import UserError, is_the_machines
from simulator.phy.kernels import kernel
from simulator.results.store import load_results
from simulator.sweep.inputs import SweepConfig
from tests.faults.conftest import quietly, without_times

CHECKOUT = Path(__file__).parents[2]
HOSTILE = {
    "MPLBACKEND": "module://matplotlib_inline_that_is_not_there.backend_inline",
    "PYTHONWARNINGS": "error",
    "LC_ALL": "C",
    "PYTHONIOENCODING": "ascii",
}
FOREIGN = ("random", "numpy", "torch", "models", "baselines", "experiments", "multiprocessing", "argparse", "sionna")


@pytest.fixture
def config(toys, photographs):
    return SweepConfig(snrs_db=(0.0, 4.0), schemes=("toy",), images=str(photographs), lpips="none")


def program(folder: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    """Run the program in a folder, with the settings of others."""
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests" / "toys")])
    environment = os.environ | HOSTILE | {"PYTHONPATH": path}
    command = [sys.executable, "-m", "simulator", *arguments]
    options = {"capture_output": True, "timeout": 300} | options
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **options)


@pytest.fixture
def hostile_folder(tmp_path):
    """A folder of somebody whose modules have the names of ours, of libraries, and of Python's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FOREIGN:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    # The last two lines are ones that matplotlib complains of.
    (folder / "matplotlibrc").write_text("text.usetex: True\nfont.size: 40\nno.such.key: 1\naxes.titlesize: banana\n")
    return folder


def test_foreign_modules_and_settings_change_nothing(config, hostile_folder, tmp_path):
    config = replace(config, schemes=("toy", "bpg-ldpc"))
    options = [
        "--snr",
        "0,4",
        "--scheme",
        "toy,bpg-ldpc",
        "--images",
        config.images,
        "--lpips",
        "none",
        "--workers",
        "1",
    ]
    options += ["--timeout", "600"]  # with a time limit even a single worker is a separate process
    done = program(hostile_folder, "sweep", *options, "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "Bad key" not in done.stderr
    expected = sweep.run_sweep(config, tmp_path / "expected", notify=quietly, outputs=SUMMARY_AND_FIGURES)
    assert without_times(load_results(hostile_folder / "out").rows) == without_times(expected.rows)
    drawn = {path.name: path.read_bytes() for path in (tmp_path / "expected" / "figures").iterdir()}
    assert len(drawn) == 2
    assert {path.name: path.read_bytes() for path in (hostile_folder / "out" / "figures").iterdir()} == drawn


def test_a_reader_that_has_read_enough_and_a_full_device_are_no_traceback(config, tmp_path):
    sweep.run_sweep(config, tmp_path / "out", notify=quietly)
    command = [sys.executable, "-m", "simulator", "show", "out", "--rows", "--format", "csv"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as shown:
        shown.stdout.close()
        assert shown.stderr.read() == ""
    with open("/dev/full", "w") as full:
        done = program(tmp_path, *command[3:], capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


@pytest.mark.parametrize(("verb", "code"), [("--help", 2), ("show --help", 2), ("list experiments", 2), ("--bad", 2)])
def test_help_and_lists_that_cannot_be_written_are_one_line(tmp_path, verb, code):
    with open("/dev/full", "w") as full:
        done = program(tmp_path, *verb.split(), capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize(("streams", "code"), [(">&- 2>&- <&-", 0), ("2>&1 > /dev/full | true", 2)])
def test_a_sweep_whose_messages_nobody_receives_keeps_its_rows(config, tmp_path, streams, code):
    """A closed standard error must not become the database's number either."""
    options = f"--snr 4 --scheme toy --images {config.images} --lpips none --workers 1 --out out"
    command = f'"{sys.executable}" -m simulator sweep {options} {streams}; exit "${{PIPESTATUS[0]}}"'
    path = os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests" / "toys")])
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, env=os.environ | {"PYTHONPATH": path}, check=False)
    assert done.returncode == code
    assert len(load_results(tmp_path / "out").rows) == 4
    assert (tmp_path / "out" / "summary.csv").read_text().count("\n") == 2


def test_a_matplotlibrc_of_the_user_changes_no_figure(config, tmp_path):
    settings = {"text.usetex": True, "font.size": 40, "axes.prop_cycle": "cycler(color='r')"}
    sweep.run_sweep(config, tmp_path / "plain", notify=quietly, outputs=SUMMARY_AND_FIGURES)
    with matplotlib.rc_context(settings):
        sweep.run_sweep(config, tmp_path / "theirs", notify=quietly, outputs=SUMMARY_AND_FIGURES)
        assert all(matplotlib.rcParams[name] != matplotlib.rcParamsDefault[name] for name in settings)
    plain, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "figures").iterdir()}
        for name in ("plain", "theirs")
    )
    assert plain == theirs
    assert len(plain) == 2


def test_a_figure_that_fails_costs_no_results(config, tmp_path, monkeypatch):
    def fail(self, *given, **options):
        raise RuntimeError("latex was not found")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", fail)
    notes = []
    results = sweep.run_sweep(config, tmp_path, notify=notes.append, outputs=SUMMARY_AND_FIGURES)
    assert len(results.rows) == 8
    assert (tmp_path / "summary.csv").read_text().count("\n") == 3
    assert any("figures could not be drawn (RuntimeError: latex was not found)" in note for note in notes)


def test_a_backend_that_is_not_there_is_forgotten_and_others_stay(monkeypatch):
    from simulator.surroundings import drop_lost_settings

    for given, kept in [
        ("module://nonesuch.backend", None),
        ("agg", "agg"),
        ("module://json.tool", "module://json.tool"),
    ]:
        monkeypatch.setenv("MPLBACKEND", given)
        drop_lost_settings()
        assert os.environ.get("MPLBACKEND") == kept


@pytest.mark.parametrize("place", ["matplotlibrc", "conf/matplotlibrc", "conf/stylelib/mine.mplstyle"])
def test_settings_that_matplotlib_cannot_read_are_ignored(tmp_path, place):
    """Such as a comment in Latin-1: matplotlib, and with it Sionna, could not be imported; nor could Numba."""
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes("# größer\nfont.size: 40\n".encode("latin-1"))
    code = "import simulator, numba, matplotlib.pyplot; print(matplotlib.rcParams['font.size'])"
    settings = {"PYTHONPATH": str(CHECKOUT), "MPLCONFIGDIR": str(tmp_path / "conf"), "NUMBA_NUM_THREADS": "0"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | settings, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "10.0\n"), done.stderr


@pytest.mark.parametrize(("threads", "kept"), [("0", None), ("banana", None), ("", None), ("3", "3")])
def test_a_number_of_threads_that_is_none_is_forgotten(monkeypatch, threads, kept):
    from simulator.surroundings import drop_lost_settings

    monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
    drop_lost_settings()
    assert os.environ.get("NUMBA_NUM_THREADS") == kept


@pytest.fixture
def homeless(monkeypatch):
    """A process of a user whom the machine does not know, without HOME."""

    def unknown(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("HOME", "XDG_CACHE_HOME", "SIMULATOR_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_a_user_without_a_home_is_told_so_and_no_row_is_a_fault(config, tmp_path, monkeypatch, homeless):
    monkeypatch.chdir(tmp_path)
    bpg = replace(config, schemes=("bpg-ldpc",), snrs_db=(20.0,), cbrs=(Fraction(1, 2),))
    with pytest.raises(UserError, match=r"no place for the cache: .*HOME"):
        sweep.run_sweep(bpg, tmp_path / "out", notify=quietly)
    assert load_results(tmp_path / "out").rows == []
    assert not list(tmp_path.glob("~*"))
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    assert cache_dir() == tmp_path / "cache"


def test_a_user_without_a_home_lists_schemes_and_gets_no_folder_named_tilde(tmp_path, monkeypatch, homeless, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMULATOR_DATA_DIR", raising=False)
    assert main(["list", "schemes", "swinjscc"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "no place for imported weights" in said
    assert "SIMULATOR_DATA_DIR" in said
    assert main(["weights", "list"]) == 2
    assert kernel(lambda x: x).stats.cache_path is None
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kernel(lambda x: x).stats.cache_path is not None


def test_paths_of_users(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    names = {"~": "/home/me", "~/a.png": "/home/me/a.png", "~tmp.png": "~tmp.png", "a~b": "a~b", "/x/~/y": "/x/~/y"}
    assert {text: str(user_path(text)) for text in names} == names
    with pytest.raises(UserError, match="there is no user 'no-such-user'"):
        user_path("~no-such-user/c")
    (tmp_path / "~no-such-user").mkdir()
    assert user_path("~no-such-user/c") == Path("~no-such-user/c")
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", "~nobody-at-all/c")
    with pytest.raises(UserError, match="no place for the cache"):
        cache_dir()


def raised_from(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "machines"),
    [
        (raised_from(BpgError("x265 cannot encode"), PermissionError(13, "Permission denied")), True),
        (RuntimeError("write failed: No space left on device"), True),
        (RuntimeError("can't start new thread"), True),
        (KeyError("getpwuid(): uid not found: 4711"), True),
        (raised_from(RuntimeError("outer"), raised_from(RuntimeError("middle"), MemoryError())), True),
        (RuntimeError("the file does not fit"), False),
        (raised_from(BpgError("damaged"), ValueError("Invalid data found")), False),
        (KeyError("snr"), False),
    ],
)
def test_the_machines_troubles_are_told_from_a_schemes(error, machines):
    assert is_the_machines(error) is machines


def test_a_full_disk_below_a_scheme_stops_the_sweep(config, tmp_path, monkeypatch):
    import toy_schemes

    def full(self, *given):
        raise RuntimeError("basic_ios::clear: iostream error: No space left on device")

    monkeypatch.setattr(toy_schemes.Toy, "encode", full)
    with pytest.raises(UserError, match="No space left on device"):
        sweep.run_sweep(config, tmp_path, notify=quietly)
    assert load_results(tmp_path).rows == []
