import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UserError
from simulator.phy.mcs import MCS_TABLE, PICTURE_LOSS, parse_mcs, select_mcs, thresholds
from simulator.phy.waterfall import Point, count_errors, fit_waterfall, reference_code

REQUIRED = [
    "4qam-1/3",
    "4qam-1/2",
    "4qam-2/3",
    "16qam-1/2",
    "16qam-2/3",
    "64qam-1/2",
    "64qam-2/3",
    "64qam-3/4",
    "256qam-3/4",
]
# Measured apart from this program, with another implementation of the same decoder: Es/N0 at BLER 1e-2, +-0.05 dB.
INDEPENDENT = {
    "4qam-1/3": -1.16,
    "4qam-1/2": 1.07,
    "16qam-1/2": 6.36,
    "64qam-1/2": 10.59,
    "64qam-2/3": 13.70,
    "64qam-3/4": 15.33,
    "256qam-3/4": 20.27,
}


def capacity(snr_db):
    return math.log2(1 + 10 ** (snr_db / 10))


def test_the_table_holds_what_users_expect():
    names = [mcs.name for mcs in MCS_TABLE]
    assert set(REQUIRED) <= set(names)
    assert list(thresholds()["snr_db"]) == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", INDEPENDENT)
def test_thresholds_agree_with_an_independent_measurement(name):
    assert parse_mcs(name).threshold_db(1e-2, 8448) == pytest.approx(INDEPENDENT[name], abs=0.08)


@pytest.mark.parametrize("mcs", MCS_TABLE, ids=lambda mcs: mcs.name)
def test_thresholds_stand_to_reason(mcs):
    shannon = 10 * math.log10(2**mcs.spectral_efficiency - 1)
    assert 0.5 < mcs.threshold_db(1e-2) - shannon < 3.2
    assert mcs.threshold_db(1e-2) < mcs.threshold_db(1e-3) < mcs.required_snr_db()
    lengths = (256, 400, 1024, 2000, 4096)
    assert sorted((mcs.threshold_db(1e-3, n) for n in lengths), reverse=True) == [
        mcs.threshold_db(1e-3, n) for n in lengths
    ]
    assert mcs.threshold_db(1e-3, 9000) == mcs.threshold_db(1e-3, 8448)
    assert mcs.threshold_db(1e-3, 100) > mcs.threshold_db(1e-3, 256)


def test_a_higher_rate_needs_more():
    for bits_per_symbol in (2, 4, 6, 8):
        needed = [mcs.required_snr_db() for mcs in MCS_TABLE if mcs.bits_per_symbol == bits_per_symbol]
        assert needed == sorted(needed)


@pytest.mark.parametrize("name", ["4qam-1/3", "16qam-1/2", "64qam-3/4", "256qam-5/6"])
def test_the_decoder_meets_the_table(name):
    mcs = parse_mcs(name)
    point = count_errors(reference_code(mcs, 1024), mcs.bits_per_symbol, mcs.threshold_db(1e-2, 1024), 1500, 1500)
    # 3.5 standard deviations of the count, and 0.03 dB for the table's own error: a third of the rate.
    assert point.errors == pytest.approx(15, abs=3.5 * np.sqrt(15) + 5)


@pytest.mark.parametrize(("snr_db", "share"), [(0, 0.70), (5, 0.70), (10, 0.75), (15, 0.75)])
def test_selection_stays_near_capacity(snr_db, share):
    mcs = select_mcs(snr_db)
    assert mcs.required_snr_db() <= snr_db
    assert mcs.spectral_efficiency / capacity(snr_db) >= share


@given(st.floats(-10, 40), st.floats(0, 5))
def test_more_snr_never_selects_less(snr_db, more):
    assert select_mcs(snr_db + more).spectral_efficiency >= select_mcs(snr_db).spectral_efficiency


def test_short_blocks_get_a_more_robust_mcs():
    assert select_mcs(5, 150).spectral_efficiency < select_mcs(5, 70_000).spectral_efficiency
    assert select_mcs(5, 70_000).spectral_efficiency >= select_mcs(5).spectral_efficiency


@pytest.mark.parametrize("num_symbols", [768, 24576, 73728, 98304])
def test_thresholds_promise_a_picture(num_symbols):
    """At the SNR that each MCS requires, all blocks of a picture arrive: up to Kodak's at CBR 1/12."""
    for mcs in MCS_TABLE:
        info_bits, blocks = mcs.block_bits(num_symbols), mcs.num_blocks(num_symbols)
        bler = float(mcs.block_error_rate(np.array(mcs.required_snr_db(info_bits)), info_bits))
        assert 1 - (1 - bler) ** blocks <= PICTURE_LOSS, mcs.name


def test_below_the_table_the_most_robust_is_left():
    assert select_mcs(-30) == MCS_TABLE[0]


def test_names():
    assert all(parse_mcs(mcs.name) is mcs for mcs in MCS_TABLE)
    with pytest.raises(UserError, match="unknown MCS '4qam-7/8': expected one of 4qam-1/5"):
        parse_mcs("4qam-7/8")
    with pytest.raises(ValueError, match="BLER"):
        MCS_TABLE[0].threshold_db(0.5)


def test_the_fit_recovers_a_known_waterfall():
    from scipy.stats import norm

    generator = np.random.default_rng(0)
    points = [
        Point(snr, 4000, int(generator.binomial(4000, norm.sf((snr - 2.0) / 0.15)))) for snr in (2.1, 2.2, 2.3, 2.4)
    ]
    middle, width, covariance = fit_waterfall(points, 2.4)
    assert middle == pytest.approx(2.0, abs=4 * np.sqrt(covariance[0, 0]))
    assert width == pytest.approx(0.15, abs=4 * np.sqrt(covariance[1, 1]))
    assert np.sqrt(covariance[0, 0]) < 0.02
