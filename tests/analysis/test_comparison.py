"""Differences of the same images, means over SNRs that both have, and BD-rates where there are curves."""

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console

from simulator.analysis.comparison import BD_RATE_COLUMNS, DIFFERENCE_COLUMNS, bd_rates, differences
from simulator.analysis.statistics import BILL_COLUMNS, bills, paired_difference
from simulator.analysis.tables import bd_rates_note, differences_table, table_csv
from simulator.errors import UserError
from tests.rows import row


def sent(scheme, snr, gain, lpips=0.2, cbr=1 / 16, images="abcd"):
    """Rows of images that are 10 dB apart, `gain` and a little of their own above that."""
    own = {"a": 0.0, "b": 0.1, "c": -0.1, "d": 0.2}
    return [
        replace(
            row(image, psnr_db=20.0 + 10 * index + gain * (1 + own[image]), snr_db=snr, scheme=scheme, lpips=lpips),
            cbr_target=cbr,
            cbr=cbr,
        )
        for index, image in enumerate(images)
    ]


def test_differences_are_paired_and_relative_where_that_means_something():
    rows = [*sent("new", 5.0, 1.0, lpips=0.1), *sent("old", 5.0, 0.0, lpips=0.2)]
    psnr, lpips = differences(rows, "old", ("psnr_db", "lpips"))
    assert psnr.estimate.mean == pytest.approx(1.05)
    assert 0.7 < psnr.estimate.low < psnr.estimate.high < 1.4  # the images themselves are 10 dB apart
    assert (psnr.percent, lpips.percent) == (None, pytest.approx(-50.0))
    assert tuple(psnr.record()) == DIFFERENCE_COLUMNS
    assert table_csv(DIFFERENCE_COLUMNS, [psnr]).splitlines()[1].startswith("new,old,awgn,5,0.0625,psnr_db,4,1.050000,")


def test_mean_over_snrs_takes_those_that_both_have():
    rows = [*sent("new", 0.0, 1.0), *sent("new", 5.0, 3.0), *sent("new", 7.0, 50.0)]
    rows += [*sent("old", 0.0, 0.0), *sent("old", 5.0, 0.0), *sent("old", 6.0, 0.0, images="ab")]
    found = differences(rows, "old", ("psnr_db",))
    assert [one.snr_db for one in found] == [0.0, 5.0, None]
    assert found[-1].estimate.mean == pytest.approx(2 * 1.05)
    assert ",,0.0625," in table_csv(DIFFERENCE_COLUMNS, found).splitlines()[-1]


def test_images_that_only_one_has_do_not_count():
    rows = [*sent("new", 0.0, 1.0), *sent("old", 0.0, 0.0, images="abc")]
    (one,) = differences(rows, "old", ("psnr_db",))
    assert one.images == 3
    assert one.estimate.mean == pytest.approx(
        paired_difference({"a": 1.0, "b": 1.1, "c": 0.9}, dict.fromkeys("abc", 0.0)).mean
    )


def test_bd_rate_of_half_the_rate_for_the_same_quality():
    curve = {1 / 48: 0.0, 1 / 24: 2.0, 1 / 12: 4.0, 1 / 6: 6.0}
    old = [one for cbr, gain in curve.items() for one in sent("old", 10.0, gain, cbr=cbr)]
    new = [one for cbr, gain in curve.items() for one in sent("new", 10.0, gain, cbr=cbr / 2)]
    psnr, lpips = bd_rates([*old, *new], "old", ("psnr_db", "lpips"))
    assert psnr.bd_rate_percent == pytest.approx(-50.0)
    assert lpips.bd_rate_percent is None  # it does not change with rate
    assert tuple(psnr.record()) == (*BD_RATE_COLUMNS, "reason")
    assert table_csv(BD_RATE_COLUMNS, [lpips]).splitlines()[1] == "new,old,awgn,10,lpips,"
    assert bd_rates(sent("old", 0.0, 0.0) + sent("new", 0.0, 0.0), "old") == []


def test_no_bd_rate_to_a_curve_that_turns():
    """Psnr 25, 27, 26.5, 28 dB at rising rates: sorted by quality it would pass for a curve."""
    rates = (1 / 48, 1 / 24, 1 / 12, 1 / 6)
    old, new = (
        [one for cbr, gain in zip(rates, gains, strict=True) for one in sent(name, 10.0, gain, cbr=cbr)]
        for name, gains in (("old", (5.0, 7.0, 6.5, 8.0)), ("new", (5.0, 6.0, 7.0, 8.0)))
    )
    assert [one.bd_rate_percent for one in bd_rates([*old, *new], "old", ("psnr_db",))] == [None]
    assert [one.bd_rate_percent for one in bd_rates([*old, *new], "new", ("psnr_db",))] == [None]


def test_a_bd_rate_that_is_missing_has_its_reason():
    rates = (1 / 48, 1 / 24, 1 / 12)
    gains = {"old": (5.0, 6.0, 7.0), "turns": (5.0, 6.0, 5.5), "far": (15.0, 16.0, 17.0), "near": (5.5, 6.5, 7.5)}
    rows = [
        one
        for name, own in gains.items()
        for cbr, gain in zip(rates, own, strict=True)
        for one in sent(name, 10.0, gain, cbr=cbr)
    ]
    found = bd_rates(rows, "old", ("psnr_db",))
    assert {one.scheme: (one.bd_rate_percent is None, one.reason) for one in found} == {
        "turns": (True, "the scheme's quality does not improve with every step of CBR"),
        "far": (True, "the ranges of quality do not overlap"),
        "near": (False, ""),
    }
    assert bd_rates_note(found) == (
        "No BD-rate where the scheme's quality does not improve with every step of CBR: turns (psnr_db); "
        "the ranges of quality do not overlap: far (psnr_db)."
    )
    assert bd_rates_note([one for one in found if one.scheme == "near"]) == ""
    (turned,) = (one for one in bd_rates(rows, "turns", ("psnr_db",)) if one.scheme == "near")
    assert turned.reason == "the reference's quality does not improve with every step of CBR"
    assert bd_rates_note([]).startswith("No BD-rates: they need two CBRs or more at one SNR")


def test_nothing_to_compare_with():
    with pytest.raises(UserError, match="no rows of 'other' to compare with; the results have: new"):
        differences(sent("new", 0.0, 1.0), "other")
    with pytest.raises(UserError, match="nothing to compare with 'old'"):
        differences([*sent("new", 0.0, 1.0), *sent("old", 5.0, 0.0)], "old")


def test_bills_are_shares_of_what_was_sent():
    (bill,) = bills([replace(row("a"), payload=60, header=20, padding=20), replace(row("b"), payload=100, header=0)])
    assert bill.shares["payload"] == pytest.approx(0.8)
    assert sum(bill.shares.values()) == pytest.approx(1.0)
    assert tuple(bill.record()) == BILL_COLUMNS
    assert table_csv(BILL_COLUMNS, [bill]).splitlines()[0] == ",".join(BILL_COLUMNS)


def test_further_metrics_are_compared_and_their_direction_counts():
    old, new = sent("old", 0.0, 0.0), sent("new", 0.0, 0.0)
    scored = [replace(row, further=json.dumps({"ssimulacra2": 20.0 + i, "dists": 0.2})) for i, row in enumerate(old)]
    scored += [replace(row, further=json.dumps({"ssimulacra2": 26.0 + i, "dists": 0.3})) for i, row in enumerate(new)]
    found = {one.metric: one for one in differences(scored, "old")}
    assert {"psnr_db", "ssimulacra2", "dists"} <= set(found)
    assert (found["ssimulacra2"].estimate.mean, found["ssimulacra2"].percent) == (pytest.approx(6), None)
    assert found["dists"].percent == pytest.approx(50)
    text = io.StringIO()
    Console(file=text, width=200).print(differences_table(found.values()))
    verdicts = {line.split()[4]: line.split()[-1] for line in text.getvalue().splitlines() if line.startswith(" new")}
    assert (verdicts["ssimulacra2"], verdicts["dists"]) == ("better", "worse")


def test_a_bd_rate_needs_quality_that_gets_better_with_rate():
    rows = []
    for scheme, factor in (("old", 1.0), ("new", 2.0)):
        for cbr in (0.02, 0.04, 0.08):
            own = sent(scheme, 0.0, 0.0)
            rows += [
                replace(r, cbr_target=cbr, cbr=cbr, further=json.dumps({"x": -math.log(cbr * factor)})) for r in own
            ]
    assert [d.bd_rate_percent for d in bd_rates(rows, "old", ("x",), {"x": False})] == [pytest.approx(-50)]
    assert [d.bd_rate_percent for d in bd_rates(rows, "old", ("x",), {"x": True})] == [None]
