import json

import pytest

from simulator.__main__ import main
from simulator.bench.phy import DecoderRun, compare_decoders
from simulator.phy.mcs import parse_mcs, thresholds
from simulator.phy.thresholds import format_table, measure_thresholds, threshold_table


@pytest.mark.slow
def test_our_decoder_is_fifty_times_faster_and_no_worse():
    ours, flooding, layered, *_ = compare_decoders(blocks=64, reference_blocks=4)
    assert ours.blocks_per_second > 50 * flooding.blocks_per_second
    assert ours.blocks_per_second > 50 * layered.blocks_per_second
    assert ours.mean_iterations < 16 < layered.mean_iterations == 20
    assert ours.errors / ours.blocks < 0.1
    assert ours.disagreements == layered.disagreements == 0


def test_measuring_again_gives_the_table_back():
    mcs = parse_mcs("16qam-1/2")
    measured = list(measure_thresholds([mcs], 3e5))
    table = threshold_table(measured)
    for row, shipped, errors in zip(
        table["snr_db"][mcs.name],
        thresholds()["snr_db"][mcs.name],
        table["standard_error_db"][mcs.name],
        strict=True,
    ):
        assert row[0] == pytest.approx(shipped[0], abs=4 * errors[0] + 0.03)
    assert json.loads(format_table(table)) == table


def test_bench_mcs_writes_prints_and_refuses(tmp_path, capsys):
    target = tmp_path / "thresholds.json"
    assert main(["bench", "mcs", "--mcs", "4qam-3/4", "--megabits", "1", "--write", str(target), "--json"]) == 0
    written = json.loads(target.read_text())
    assert written == json.loads(capsys.readouterr().out)
    assert written["snr_db"]["4qam-3/4"][2][0] == pytest.approx(parse_mcs("4qam-3/4").threshold_db(1e-2, 4096), abs=0.1)
    for arguments in (
        ["--mcs", "5qam-1/2"],
        ["--write", str(tmp_path / "missing" / "x.json")],
        ["--write", str(tmp_path)],
    ):
        assert main(["bench", "mcs", "--mcs", "4qam-3/4", "--megabits", "1", *arguments]) == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")
    assert list(tmp_path.iterdir()) == [target]


def test_interval_is_wilsons():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 .. 0.3662.
    low, high = DecoderRun("x", 263, 81, 0, 1.0, 1.0).bler_interval()
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
