"""`bench all`: the table, its files, and that every part runs."""

import json
import time
from pathlib import Path

import pytest

from simulator.__main__ import main
from simulator.bench.table import PARTS, Figure, faster, markdown, number, part_names, smaller, write
from simulator.bench.turns import take_turns
from simulator.errors import UserError


def test_ratios_favour_the_left():
    assert faster("p", "w", 30.0, "rows/s", "other", 10.0).ratio == 3
    assert smaller("p", "w", 2.0, "s", "other", 10.0).ratio == 5


def test_numbers_are_short():
    assert [number(one) for one in (0.012345, 3.14159, 99.94, 12345.6, -0.5)] == [
        "0.0123",
        "3.14",
        "99.9",
        "12,346",
        "-0.5",
    ]


def test_turns_are_taken_in_order():
    calls: list[str] = []
    seconds = take_turns([lambda: calls.append("a"), lambda: (calls.append("b"), time.sleep(0.05))], 2)
    assert calls == ["a", "b"] * 3
    assert len(seconds) == 2
    assert seconds[0] < 0.05 <= seconds[1]


def fake_record(**other: object) -> dict:
    machine = {"processor": "Abacus", "cores": 2, "system": "Linux x86_64"}
    packages = dict.fromkeys(("torch", "sionna-no-rt", "numpy", "numba"), "1.0")
    figure = {
        "part": "p",
        "what": "it",
        "value": 4.0,
        "unit": "s",
        "against": "that",
        "other": 8.0,
        "ratio": 2.0,
        "note": "n",
    }
    base = {"quick": False, "load": 0.5, "machine": machine, "packages": packages, "commit": {"id": "c" * 40}}
    return base | {"command": ["simulator", "bench", "all"], "date": "2026-01-01", "figures": [figure]} | other


def test_files_name_machine_and_command(tmp_path: Path):
    files = write(fake_record(), tmp_path / "benchmarks")
    assert [one.name for one in files] == ["benchmarks.json", "benchmarks.md"]
    assert Figure(**json.loads(files[0].read_text())["figures"][0]).ratio == 2.0
    text = files[1].read_text()
    for expected in (
        "| it | 4 s | that | 8 s | **2.00** | n |",
        "Abacus, 2 cores",
        "`simulator bench all`",
        "load 0.5",
    ):
        assert expected in text
    assert "Quick" not in text
    assert "commit not read: no git;" in markdown(fake_record(commit={"id": None, "dirty": None, "unread": "no git"}))
    assert "Quick" in markdown(fake_record(quick=True))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--out"):
        write(fake_record(), tmp_path / "file")


def test_unknown_part_is_refused_before_any_work(capsys: pytest.CaptureFixture[str]):
    assert main(["bench", "all", "--part", "ldpc,speed"]) == 2
    assert "no benchmark 'speed'; known: ldpc," in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.usefixtures("lpips_backbone_dir")
def test_quick_run_has_every_row(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("simulator.models.training.stages.STATISTICS_PIXELS", 2**20)
    parts = [name for name in part_names() if name != "workers"]  # starts processes: tests of the executors do
    assert main(["bench", "all", "--quick", "--part", ",".join(parts), "--out", str(tmp_path), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "benchmarks.json").read_text()) == printed
    found = [Figure(**one) for one in printed["figures"]]
    rows = {(one.what, one.against) for one in found}
    assert rows >= {
        ("LDPC decoder", "Sionna flooding"),
        ("LDPC decoder", "Sionna layered"),
        *((f"demapper, {order}-QAM", "Sionna") for order in (4, 16, 64, 256)),
        ("sweep, one process", "loop over Sionna's blocks"),
        *((f"{name}: {half}", "") for name in ("bpg-ldpc", "deepjscc", "lrisc") for half in ("encode", "decode")),
        ("LRISC compact decoder, time", "paper size"),
        ("LRISC compact decoder, work", "paper size"),
        ("LRISC compact decoder, peak memory", "paper size"),
        ("LRISC decode, bf16", "fp32"),
        ("LRISC bf16 less fp32 at 0 dB, PSNR", ""),
        ("lrisc-compact training, bf16", "fp32"),
        ("deepjscc training, bf16", "fp32"),
        ("1000 rows: plan a resumed sweep", ""),
    }
    by_name = {one.what: one for one in found}
    assert by_name["LDPC decoder"].ratio is not None
    assert by_name["LRISC compact decoder, work"].ratio > 5  # type: ignore[operator]
    for snr_db in (0, 10):
        assert abs(by_name[f"LRISC bf16 less fp32 at {snr_db} dB, PSNR"].value) < 0.02


def test_workers_are_held_against_one(monkeypatch):
    from simulator.bench import sweep as sweep_benchmark
    from simulator.bench.sweep import Speed

    def measure_speeds(config, workers, executors, repeats, notify):
        assert config.schemes == ("bpg-ldpc",)
        return [Speed("local", 1, 10.0, 1.0), *(Speed(one, workers, 18.0, 1.0) for one in executors)]

    monkeypatch.setattr(sweep_benchmark, "measure_speeds", measure_speeds)
    one, two, *_ = PARTS["workers"](False)
    assert (one.ratio, two.ratio) == (1.0, 1.8)
    assert (two.what, two.note) == ("bpg-ldpc, local, 2 workers", "efficiency 90%")
