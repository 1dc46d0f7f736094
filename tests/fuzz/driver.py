"""`python -m tests.fuzz`: damaged inputs by the thousand, each held to a time, a memory and an error in one line.

Every input is a function of (seed, target, number), so that a finding is found again by its number. The targets run in
a child process; when an input kills it, that is a finding, and a new child goes on behind that input.
"""

import argparse
import json
import multiprocessing
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

SLOW_S = 2.0  # processor time of one input, on a machine that counts to a million in COUNT_S
COUNT_S = 0.04
HANG_S = 60.0  # wall-clock time of one input: the machine may be busy
MEMORY_MB = 1024  # beyond what the program itself takes
ALIKE = 3  # findings at one place that are told
CORPUS = Path(__file__).parent / "corpus"


@dataclass
class Report:
    """What became of the inputs of one target; sizes in MB, times in seconds of processor time."""

    target: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mb: float = 0.0
    findings: list[str] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    """Run, print one table, and return 1 if there was a finding."""
    args = _parser().parse_args(argv)
    from tests.fuzz.targets import TARGETS

    names = args.target or list(TARGETS)
    share = sum(TARGETS[name].share for name in names)
    reports = []
    for name in names:
        part = TARGETS[name].share / share
        count, seconds = round(args.inputs * part), args.seconds and args.seconds * part
        reports.append(_supervise(name, count, seconds, args.seed, args.keep))
        print("\n".join([_line(reports[-1]), *reports[-1].findings]), file=sys.stderr, flush=True)
    print(json.dumps([asdict(one) for one in reports], indent=2) if args.json else table(reports))
    return int(any(one.findings for one in reports))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.split("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="over all targets (default: 20000)")
    parser.add_argument("--seconds", type=float, help="stop after about so long, over all targets")
    parser.add_argument("--target", nargs="+", metavar="NAME", help="these only")
    parser.add_argument("--seed", type=int, default=0, help="other inputs (default: 0)")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to write inputs that are findings")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return parser


def table(reports: list[Report]) -> str:
    """The figures as a Markdown table."""
    total = Report("all")
    for one in reports:
        total.inputs, total.refused = total.inputs + one.inputs, total.refused + one.refused
        total.seconds, total.slowest = total.seconds + one.seconds, max(total.slowest, one.slowest)
        total.peak_mb, total.findings = max(total.peak_mb, one.peak_mb), total.findings + one.findings
    head = "| target | inputs | refused in one line | seconds | slowest (s) | peak memory (MB) | findings |"
    return "\n".join([head, "|---|--:|--:|--:|--:|--:|--:|", *map(_line, [*reports, total]), *total.findings])


def _line(one: Report) -> str:
    cells = (one.target, one.inputs, one.refused, f"{one.seconds:.0f}", f"{one.slowest:.2f}", f"{one.peak_mb:.0f}")
    return f"| {' | '.join(map(str, cells))} | {len(one.findings)} |"


def inputs_of(target: str, first: int, count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """The corpus, as negative numbers, then damaged seeds by their number."""
    from tests.fuzz.targets import TARGETS

    kept = [path.read_bytes() for path in sorted((CORPUS / target).glob("*"))]
    seeds = TARGETS[target].seeds()
    yield from ((number, kept[number]) for number in range(max(first, -len(kept)), 0))
    for number in range(max(first, 0), count):
        draw = random.Random(f"{seed} {target} {number}")
        seed_data = draw.choice(seeds)
        yield number, TARGETS[target].mutate(seed_data, draw) if number >= len(seeds) else seeds[number]


def _supervise(target: str, count: int, seconds: float | None, seed: int, keep: Path | None) -> Report:
    """Run the inputs of one target in children, one after the other for as long as inputs kill them."""
    report, first = Report(target), -(10**6)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fuzz.targets"])  # children start with torch imported
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ours, theirs = context.Pipe()
        current = context.Value("q", first)
        options = (theirs, current, target, first, count, seed, deadline)
        child = context.Process(target=_child, args=options, daemon=True)
        child.start()
        theirs.close()
        done = _listen(ours, child, current, report)
        if done:
            break
        report.findings.append(f"{target} #{current.value}: the process died (exit code {child.exitcode})")
        first = current.value + 1
        if len(report.findings) > 20:
            break
    if keep and report.findings:
        _keep(target, report.findings, seed, keep)
    return report


def _listen(ours: Connection, child: Any, current: Any, report: Report) -> bool:
    """Take in what the child says until it is through (True) or dead (False)."""
    seen, since = None, time.monotonic()
    while True:
        if ours.poll(1):
            try:
                message = ours.recv()
            except EOFError:
                child.join()
                return False
            if message is None:
                child.join()
                return True
            if isinstance(message, str):
                report.findings.append(message)
            else:
                for name, value in message.items():
                    mine = getattr(report, name)
                    add = name in ("inputs", "refused", "seconds")
                    setattr(report, name, mine + value if add else max(mine, value))
        if current.value != seen:
            seen, since = current.value, time.monotonic()
        elif time.monotonic() - since > 3 * HANG_S:
            child.kill()


def _keep(target: str, findings: list[str], seed: int, keep: Path) -> None:
    numbers = {int(one.split("#")[1].split(":")[0]) for one in findings}
    (keep / target).mkdir(parents=True, exist_ok=True)
    for number, data in inputs_of(target, min(numbers), max(numbers) + 1, seed):
        if number in numbers:
            (keep / target / f"{seed}-{number}").write_bytes(data)


class _Hang(BaseException):
    """Not an Exception: no target may swallow it."""


def _alarm(number: int, frame: FrameType | None) -> None:
    raise _Hang


def _child(
    report: Connection, current: Any, target: str, first: int, count: int, seed: int, deadline: float | None
) -> None:
    """Run the inputs from number `first` on; tell figures now and then, and every finding at once."""
    from simulator.sweep.executors import single_threaded
    from tests.fuzz.targets import TARGETS

    single_threaded()
    warnings.simplefilter("ignore")  # of damaged pictures, by the thousand
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _alarm)
    run, folder = TARGETS[target].run, Path(tempfile.mkdtemp(prefix="fuzz-", dir=_fast_folder()))
    kinds: dict[tuple[str, str], int] = {}
    figures = {"inputs": 0, "refused": 0, "seconds": 0.0, "slowest": 0.0, "peak_mb": 0.0}
    try:
        for data in TARGETS[target].seeds():  # imports, compiled kernels and tables are the program's own
            _guarded(run, data, folder / "warm-up")
        baseline = _memory_mb("VmRSS")
        limit = int(_memory_mb("VmSize") + 1.5 * MEMORY_MB) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        told = time.monotonic()
        for number, data in inputs_of(target, first, count, seed):
            current.value = number
            start = time.process_time()
            said = _guarded(run, data, folder / "input")
            spent = time.process_time() - start
            figures["inputs"] += 1
            figures["refused"] += said == "refused"
            figures["seconds"] += spent
            figures["slowest"] = max(figures["slowest"], spent)
            if spent > SLOW_S and spent > SLOW_S * _slowness():
                report.send(f"{target} #{number}: took {spent:.1f} s of processor time")
            if said not in (None, "refused"):
                kind = (said.split(":")[0], said.rpartition(" at ")[2])
                kinds[kind] = kinds.get(kind, 0) + 1
                if kinds[kind] <= ALIKE:
                    report.send(f"{target} #{number}: {said}")
            if figures["inputs"] % 50 == 0 or time.monotonic() - told > 1:
                peak = _memory_mb("VmHWM") - baseline
                if peak > MEMORY_MB and figures["peak_mb"] <= MEMORY_MB:
                    report.send(f"{target} #{number}: {peak:.0f} MB, or one of the inputs shortly before")
                report.send(figures | {"peak_mb": peak})
                figures = dict.fromkeys(figures, 0) | {"peak_mb": peak}
                told = time.monotonic()
            if deadline is not None and time.monotonic() > deadline and number >= 0:
                break
        report.send(figures | {"peak_mb": _memory_mb("VmHWM") - baseline})
        report.send(None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _slowness() -> float:
    """How many times slower than usual this machine is at the moment."""
    start = time.process_time()
    sum(number for number in range(10**6))
    return (time.process_time() - start) / COUNT_S


def _guarded(run: Any, data: bytes, folder: Path) -> str | None:
    """What an input came to: None, "refused", or a line that says how it is a finding."""
    from simulator.errors import UserError

    folder.mkdir()
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        run(data, folder)
    except UserError as error:
        return "refused" if str(error) else "refused without a word"
    except _Hang:
        return f"hangs: {HANG_S:.0f} s"
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = [one for one in traceback.extract_tb(error.__traceback__) if "site-packages" not in one.filename][-1]
        return (
            f"{type(error).__name__}: {str(error)[:200]!r} at {Path(where.filename).name}:{where.lineno} ({place.name})"
        )
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        shutil.rmtree(folder, ignore_errors=True)
    return None


def _memory_mb(name: str) -> float:
    """A figure of /proc/self/status: VmRSS (now), VmHWM (its peak), VmSize (address space)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024


def _fast_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
