"""Intervals against normal theory and Bjontegaard deltas against a published implementation."""

import math
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.analysis.bjontegaard import bd_rate
from simulator.analysis.grouping import image_means
from simulator.analysis.statistics import SUMMARY_COLUMNS, bootstrap_mean, outage_interval, paired_difference, summarise
from tests.rows import row

# Four-point curves of the kind the literature shows, and what `bjontegaard` 1.3.0 (FAU-LMS, method "pchip", which its
# authors held to the JVET-T2010 spreadsheet) makes of them: the BD-rate in percent.
GOLDEN = [
    (
        [9487.76, 4593.60, 2486.44, 1358.24],
        [40.037, 38.615, 36.845, 34.851],
        [9787.80, 4469.00, 2451.52, 1356.24],
        [40.121, 38.651, 36.970, 34.987],
        -4.417485350589045,
    ),
    (
        [686.76, 309.58, 157.11, 85.95],
        [40.28, 37.18, 34.24, 31.42],
        [893.34, 407.8, 204.93, 112.75],
        [40.39, 37.21, 34.17, 31.24],
        31.379878202397627,
    ),
]


@pytest.mark.parametrize(("rate_a", "quality_a", "rate_b", "quality_b", "expected"), GOLDEN)
def test_bjontegaard_golden(rate_a, quality_a, rate_b, quality_b, expected):
    assert bd_rate(rate_a, quality_a, rate_b, quality_b) == pytest.approx(expected, rel=1e-9)


@settings(deadline=None)  # the first example imports SciPy
@given(factor=st.floats(0.2, 5))
def test_bjontegaard_laws(factor):
    rate, quality = np.array([1.0, 2, 4, 9]), np.array([30.0, 33, 35.5, 38])
    expected = pytest.approx(100 * (factor - 1), abs=1e-8)
    assert bd_rate(rate, quality, factor * rate, quality) == expected
    assert bd_rate(rate, quality, factor * rate[::-1], quality[::-1]) == expected


@pytest.mark.parametrize(
    ("rate", "quality"),
    [([10.0, 20], [31.0, 32]), ([1.0], [30.0]), ([1.0, 1], [30.0, 31])],
)
def test_bjontegaard_refuses_curves_without_overlap(rate, quality):
    with pytest.raises(ValueError, match=r"overlap|steadily"):
        bd_rate([1.0, 2], [30.0, 31], rate, quality)


@pytest.mark.parametrize(
    ("anchor", "test"),
    [
        ([25.0, 27, 26.5, 28], [25.5, 27, 27.5, 28]),  # the anchor turns
        ([25.5, 27, 27.5, 28], [25.0, 27, 26.5, 28]),  # the test turns
        ([25.0, 26, 27, 28], [28.0, 27, 26, 25]),  # each is steady, but not the same way
        ([25.0, 26, 26, 28], [25.0, 26, 27, 28]),
    ],
)
def test_no_rate_for_the_same_quality_where_quality_is_not_steady(anchor, test):
    rates = [1.0, 2, 4, 8]
    with pytest.raises(ValueError, match="steadily"):
        bd_rate(rates, anchor, rates, test)
    with pytest.raises(ValueError, match="steadily"):
        bd_rate(rates[::-1], anchor[::-1], rates, test)


def test_rate_for_the_same_quality_where_less_is_better():
    rates, lpips = np.array([1.0, 2, 4, 8]), [0.4, 0.3, 0.2, 0.1]
    assert bd_rate(rates, lpips, rates[::-1] / 2, lpips[::-1]) == pytest.approx(-50.0)
    with pytest.raises(ValueError, match="steadily"):
        bd_rate([1.0, 1, 2], [30.0, 31, 32], rates, [30.0, 31, 32, 33])


def test_interval_agrees_with_normal_theory():
    sample = np.random.default_rng(3).normal(30, 2, 400)
    estimate = bootstrap_mean(sample, key=1)
    half_width = 1.96 * sample.std(ddof=1) / math.sqrt(len(sample))
    assert estimate.mean == pytest.approx(sample.mean())
    assert estimate.high - estimate.mean == pytest.approx(half_width, rel=0.08)
    assert estimate.mean - estimate.low == pytest.approx(half_width, rel=0.08)


@pytest.mark.parametrize("images", [8, 30])
def test_interval_covers_the_truth_as_often_as_it_says(images):
    generator = np.random.default_rng(5)
    estimates = [bootstrap_mean(generator.normal(0, 1, images), key) for key in range(600)]
    covered = sum(one.low <= 0 <= one.high for one in estimates) / len(estimates)
    assert 0.925 <= covered <= 0.975  # 2.8 standard deviations


def test_interval_depends_on_nothing_but_values_and_key():
    assert bootstrap_mean([1.0, 2, 4], 9) == bootstrap_mean([1.0, 2, 4], 9)
    assert bootstrap_mean([1.0, 2, 4], 9) != bootstrap_mean([1.0, 2, 4, 4], 9)


def test_one_image_has_no_interval():
    estimate = bootstrap_mean([31.0], 0)
    assert (estimate.mean, estimate.low, estimate.high) == (31.0, None, None)


def test_paired_difference_cancels_what_images_have_in_common():
    generator = np.random.default_rng(0)
    hardness = generator.normal(0, 5, 24)
    first = {str(i): 30 + h + 0.2 + generator.normal(0, 0.05) for i, h in enumerate(hardness)}
    second = {str(i): 30 + h for i, h in enumerate(hardness)}
    difference = paired_difference(first, second | {"other": 99.0})
    assert 0.15 < difference.low < difference.mean < difference.high < 0.25
    assert bootstrap_mean(list(first.values()), 0).low < np.mean(list(second.values()))
    with pytest.raises(ValueError, match="no image in common"):
        paired_difference({"a": 1.0}, {"b": 1.0})


def test_realisations_are_averaged_before_images():
    rows = [row("a", 0, 20.0), row("a", 1, 30.0), row("b", 0, 40.0)]
    assert image_means(rows, lambda one: one.psnr_db) == {"a": 25.0, "b": 40.0}
    (point,) = summarise(rows)
    assert point.metrics["psnr_db"].mean == 32.5
    assert (point.images, point.realisations) == (2, 2)


def test_summary_record_has_the_public_columns():
    (point,) = summarise([row("a", outage=True, lpips=0.3), row("b", psnr_db=32.0)])
    record = point.record()
    assert tuple(record) == SUMMARY_COLUMNS
    assert record["psnr_db"] == 31.0
    assert record["psnr_db_lo"] <= 31.0 <= record["psnr_db_hi"]
    assert (record["ms_ssim"], record["ms_ssim_lo"], record["outage_rate"]) == (None, None, 0.5)
    assert (record["lpips"], record["lpips_lo"]) == (0.3, None)


def test_summary_of_a_point_does_not_depend_on_the_others():
    rows = [row(image, snr_db=snr, psnr_db=30 + snr + i) for i, image in enumerate("abc") for snr in (0.0, 1.0)]
    alone = summarise([one for one in rows if one.snr_db == 1.0])
    assert summarise(rows)[1:] == alone


def test_rare_outages_have_an_interval_too():
    """Wilson's interval by hand: 0 of 20 is below 3.84 / 23.84, 2 of 20 between 2.8 and 30.1 %."""
    assert outage_interval([row(str(i)) for i in range(20)]) == (0, 0, pytest.approx(0.1611, abs=1e-4))
    assert outage_interval([row(str(i), outage=True) for i in range(20)])[1:] == (pytest.approx(0.8389, abs=1e-4), 1)
    rows = [row("a", realisation, outage=realisation < 2) for realisation in range(20)]
    assert outage_interval(rows) == (0.1, pytest.approx(0.0279, abs=1e-4), pytest.approx(0.3010, abs=1e-4))


def test_images_that_fail_whatever_the_channel_count_once():
    """Four of eight images never fit: 160 trips say no more than 8."""
    rows = [row(str(i), realisation, outage=i % 2 == 0) for i in range(8) for realisation in range(20)]
    alone = outage_interval([row(str(i), outage=i % 2 == 0) for i in range(8)])
    assert outage_interval(rows)[1:] == pytest.approx(alone[1:], abs=1e-9)
    channel = [row(str(i), realisation, outage=realisation % 2 == 0) for i in range(8) for realisation in range(20)]
    width = [high - low for _, low, high in (outage_interval(rows), outage_interval(channel))]
    assert width[0] > 3 * width[1]


@pytest.mark.parametrize("probability", [0.03, 0.1, 0.5])
def test_outage_intervals_cover_what_they_promise(probability):
    generator = np.random.default_rng(3)
    lost = generator.random((300, 5, 20)) < probability
    covered = 0
    for trips in lost:
        rows = [row(str(i), j, outage=bool(trips[i, j])) for i in range(5) for j in range(20)]
        _, low, high = outage_interval(rows)
        covered += low <= probability <= high
    assert covered >= 0.92 * 300


def test_bandwidth_without_what_the_channel_spends():
    piloted = replace(row(), cbr=0.08, payload=50, header=10, pilots=20)
    (point,) = summarise([piloted])
    assert (point.cbr, point.cbr_data) == (0.08, pytest.approx(0.06))
    assert summarise([row()])[0].cbr_data == row().cbr


def test_resampling_in_chunks_gives_the_same_bits_in_bounded_memory(monkeypatch):
    from simulator.analysis import statistics

    values = np.random.default_rng(3).normal(30, 5, 1001).tolist()
    whole = bootstrap_mean(values, 7)
    for chunk in (1, 1001, 12_345, 10**9):
        monkeypatch.setattr(statistics, "CHUNK", chunk)
        assert bootstrap_mean(values, 7) == whole
    monkeypatch.undo()
    tracemalloc.start()
    bootstrap_mean([float(index % 7) for index in range(20_000)], 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # 1.3 GB at once
