import json

import pytest

from simulator.phy.benchmark import DecoderRun, compare_decoders, format_table, measure_thresholds, threshold_table
from simulator.phy.mcs import parse_mcs, thresholds


@pytest.mark.slow
def test_our_decoder_is_fifty_times_faster_and_no_worse():
    ours, flooding, layered = compare_decoders(blocks=64, reference_blocks=4)
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


def test_interval_is_wilsons():
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 .. 0.3662.
    low, high = DecoderRun("x", 263, 81, 0, 1.0, 1.0).bler_interval()
    assert (low, high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))
