"""What fading costs: information against a direct estimate, block error rates where a link is said to work."""

import math

import numpy as np
import pytest

from simulator.phy.fading import _GRID_DB, BLOCK_FADING_MARGIN_DB, _information, faded_snr_db
from simulator.phy.ldpc import LayeredDecoder, encode
from simulator.phy.mcs import MCS_TABLE, parse_mcs, select_mcs
from simulator.phy.qam import demap, map_bits
from simulator.phy.waterfall import reference_code


def _through_fading(bits: np.ndarray, bits_per_symbol: int, snr_db: float, generator) -> np.ndarray:
    """LLRs of bits [B, n] after an independent Rayleigh gain on every symbol."""
    symbols = map_bits(bits, bits_per_symbol)
    normal = generator.standard_normal((*symbols.shape, 4), dtype=np.float32).view(np.complex64) / np.float32(2**0.5)
    gain, noise = normal[..., 0], normal[..., 1] * np.float32(10 ** (-snr_db / 20))
    return demap((gain * symbols + noise).astype(np.complex64), 10 ** (-snr_db / 10), bits_per_symbol, gain)


@pytest.mark.parametrize(("bits_per_symbol", "snr_db"), [(2, 0.0), (4, 10.0), (6, 14.0), (8, 25.0)])
def test_information_is_what_the_demapper_delivers(bits_per_symbol, snr_db):
    generator = np.random.default_rng(1)
    bits = generator.integers(0, 2, (1, 60_000 * bits_per_symbol), dtype=np.uint8)
    llrs = _through_fading(bits, bits_per_symbol, snr_db, generator).astype(float)
    lost = bits_per_symbol * np.mean(np.logaddexp(0, -(2.0 * bits - 1) * llrs)) / math.log(2)
    _, over_fading = _information(bits_per_symbol)
    assert np.interp(snr_db, _GRID_DB, over_fading) == pytest.approx(lost, abs=0.02)


def test_information_over_awgn_has_its_limits():
    for bits_per_symbol in (2, 4, 6, 8):
        over_awgn, over_fading = _information(bits_per_symbol)
        assert over_awgn[0] == pytest.approx(bits_per_symbol, abs=0.01)
        assert over_awgn[-1] < 1e-9
        assert (np.diff(over_awgn) <= 0).all()
        assert (np.diff(over_fading) < 0).all()
        shannon = np.log2(1 + 10 ** (_GRID_DB / 10))
        assert (bits_per_symbol - over_awgn <= shannon + 1e-9).all()


def test_block_fading_loses_one_in_ten():
    assert 1 - math.exp(-(10 ** (-BLOCK_FADING_MARGIN_DB / 10))) == pytest.approx(0.1)
    assert faded_snr_db(3.0, 4, "block") == pytest.approx(12.77, abs=0.01)
    assert faded_snr_db(3.0, 4, "none") == 3.0


@pytest.mark.parametrize("bits_per_symbol", [2, 4, 6, 8])
def test_high_rates_suffer_most_from_fast_fading(bits_per_symbol):
    table = [mcs for mcs in MCS_TABLE if mcs.bits_per_symbol == bits_per_symbol]
    needed = [mcs.required_snr_db() for mcs in table]
    loss = [faded_snr_db(snr_db, bits_per_symbol, "fast") - snr_db for snr_db in needed]
    assert loss == sorted(loss)
    assert 0.5 < loss[0] < loss[-1] < 8


@pytest.mark.parametrize("name", ["4qam-1/2", "16qam-3/4", "64qam-2/3"])
def test_links_work_over_fast_fading_and_not_far_below(name):
    mcs, generator = parse_mcs(name), np.random.default_rng(2)
    code = reference_code(mcs, 4096)
    snr_db = faded_snr_db(mcs.required_snr_db(), mcs.bits_per_symbol, "fast")
    for backoff_db, low, high in ((0.0, 0.0, 0.02), (1.5, 0.5, 1.0)):
        bits = generator.integers(0, 2, (128, code.info_bits), dtype=np.uint8)
        coded = encode(code, bits).reshape(128, mcs.bits_per_symbol, -1).swapaxes(1, 2).reshape(128, -1)
        llrs = _through_fading(coded, mcs.bits_per_symbol, snr_db - backoff_db, generator)
        rows = np.ascontiguousarray(llrs.reshape(128, -1, mcs.bits_per_symbol).swapaxes(1, 2)).reshape(128, -1)
        wrong = (LayeredDecoder().decode(code, rows).bits != bits).any(axis=1)
        assert low <= wrong.mean() <= high


def test_fading_selects_less():
    efficiency = [select_mcs(15.0, 20_000, fading).spectral_efficiency for fading in ("none", "fast", "block")]
    assert efficiency == sorted(efficiency, reverse=True)
    assert efficiency[0] > efficiency[1] > efficiency[2]
