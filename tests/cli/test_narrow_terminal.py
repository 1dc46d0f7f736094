"""What `check` and `bench` print fits a terminal of 80 columns."""

import re
from dataclasses import asdict, fields

import pytest

from simulator.__main__ import main
from simulator.bench.store import Growth
from simulator.bench.table import Figure
from simulator.cli.bench import all as bench_all
from simulator.cli.bench import sweep as bench_sweep
from simulator.selftest import Check

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """The lines of a terminal of 80 columns; a path may be longer, as it must stay whole."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this for a terminal

    def read() -> list[str]:
        lines = ESCAPES.sub("", capsys.readouterr().out).splitlines()
        assert [line for line in lines if len(line) > 80 and len(line.split()) > 1] == []
        return lines

    return read


def test_check(printed, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = [
        Check("LDPC decoder against Sionna's, on the same blocks", "0 of 200 blocks differ", "at most 2 of 200", True),
        Check("Rayleigh: mean power", "1.3", "1", False),
    ]
    monkeypatch.setattr("simulator.selftest.run_all", lambda: iter(checks))
    assert main(["check"]) == 1
    lines = printed()
    assert any(line.startswith("pass  LDPC decoder against Sionna's") for line in lines)
    assert "FAIL  Rayleigh: mean power: 1.3 (expected 1)" in lines
    assert "1 passed, 1 failed, 0 skipped" in lines


def test_bench_all(printed) -> None:
    what = "LDPC decoding of 8448 info bits, blocks per second of one thread, and more"
    against = "Sionna's decoder on the same blocks of one thread"
    figure = Figure("ldpc", what, 1234.5678, "blocks/s", against, 12.3, 100.4)
    bench_all._print([figure, figure], 0.5)
    text = "\n".join(printed())
    assert "1,235" in text
    assert "100.40" in text


def test_bench_scale(printed) -> None:
    record = asdict(Growth(*(12345.678 for _ in fields(Growth))))
    bench_sweep._print(False, [record, record], "a scheme that computes nothing")
    assert sum("1.235e+04" in line for line in printed()) >= 2


@pytest.mark.parametrize("columns", ["0", "12"])
def test_a_terminal_of_no_width_shows_a_table(kept_results, monkeypatch, capsys, columns) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["show", str(kept_results)]) == 0
    assert "PSNR" in capsys.readouterr().out
