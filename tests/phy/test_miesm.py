"""What QAM loses to noise: against what the demapper delivers, and block error rates where a link is said to work."""

import math

import numpy as np
import pytest

from simulator.phy.ldpc import LayeredDecoder, encode
from simulator.phy.mcs import MCS_TABLE, parse_mcs
from simulator.phy.miesm import effective_snr_db, lost_bits, mean_lost_bits
from simulator.phy.qam import BITS_PER_SYMBOL, demap, map_bits
from simulator.phy.waterfall import reference_code

GRID_DB = np.arange(-20.0, 40.0, 0.5)


def through_fading(bits: np.ndarray, bits_per_symbol: int, snr_db: float, generator) -> np.ndarray:
    """LLRs of bits [B, n] after an independent Rayleigh gain on every symbol."""
    symbols = map_bits(bits, bits_per_symbol)
    normal = generator.standard_normal((*symbols.shape, 4), dtype=np.float32).view(np.complex64) / np.float32(2**0.5)
    gain, noise = normal[..., 0], normal[..., 1] * np.float32(10 ** (-snr_db / 20))
    return demap((gain * symbols + noise).astype(np.complex64), 10 ** (-snr_db / 10), bits_per_symbol, gain)


@pytest.mark.parametrize(("bits_per_symbol", "snr_db"), [(2, 0.0), (4, 10.0), (6, 14.0), (8, 25.0)])
def test_information_is_what_the_demapper_delivers(rayleigh_law, bits_per_symbol, snr_db):
    generator = np.random.default_rng(1)
    bits = generator.integers(0, 2, (1, 60_000 * bits_per_symbol), dtype=np.uint8)
    llrs = through_fading(bits, bits_per_symbol, snr_db, generator).astype(float)
    lost = bits_per_symbol * np.mean(np.logaddexp(0, -(2.0 * bits - 1) * llrs)) / math.log(2)
    assert rayleigh_law.lost(snr_db, bits_per_symbol) == pytest.approx(lost, abs=0.02)


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_information_over_awgn_has_its_limits(bits_per_symbol):
    lost = np.array([lost_bits(snr_db, bits_per_symbol) for snr_db in GRID_DB])
    assert lost_bits(-30, bits_per_symbol) == pytest.approx(bits_per_symbol, abs=0.02)
    assert lost[-1] < 1e-9
    assert (np.diff(lost) <= 0).all()
    assert (bits_per_symbol - lost <= np.log2(1 + 10 ** (GRID_DB / 10)) + 1e-9).all()


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_stretches_are_averaged(bits_per_symbol):
    snr_db = np.random.default_rng(2).uniform(-30, 45, 600)
    expected = [np.mean([lost_bits(one, bits_per_symbol) for one in part]) for part in snr_db.reshape(3, 200)]
    lost = mean_lost_bits(10 ** (snr_db / 10), 200)[BITS_PER_SYMBOL.index(bits_per_symbol)]
    assert lost == pytest.approx(expected, abs=0.005)
    assert mean_lost_bits(np.zeros(4), 4)[:, 0] == pytest.approx(BITS_PER_SYMBOL, abs=0.05)


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_effective_snr_inverts_information(bits_per_symbol):
    for snr_db in (-15.0, 0.3, 7.77, 20.0):
        lost = np.array([lost_bits(snr_db, bits_per_symbol)])
        assert effective_snr_db(lost, bits_per_symbol)[0] == pytest.approx(snr_db, abs=1e-6)


@pytest.mark.parametrize("bits_per_symbol", BITS_PER_SYMBOL)
def test_high_rates_suffer_most_from_fast_fading(rayleigh_law, bits_per_symbol):
    table = [mcs for mcs in MCS_TABLE if mcs.bits_per_symbol == bits_per_symbol]
    needed = [mcs.required_snr_db() for mcs in (table[0], table[len(table) // 2], table[-1])]
    loss = [rayleigh_law.needed(snr_db, bits_per_symbol) - snr_db for snr_db in needed]
    assert loss == sorted(loss)
    assert 0.3 < loss[0] < loss[-1] < 8


@pytest.mark.parametrize("name", ["4qam-1/2", "16qam-3/4", "64qam-2/3"])
def test_links_work_over_fast_fading_and_not_far_below(rayleigh_law, name):
    mcs, generator = parse_mcs(name), np.random.default_rng(2)
    code = reference_code(mcs, 4096)
    snr_db = rayleigh_law.needed(mcs.threshold_db(1e-3, 4096), mcs.bits_per_symbol) + 0.5
    for backoff_db, low, high in ((0.0, 0.0, 0.02), (1.5, 0.5, 1.0)):
        bits = generator.integers(0, 2, (128, code.info_bits), dtype=np.uint8)
        coded = encode(code, bits).reshape(128, mcs.bits_per_symbol, -1).swapaxes(1, 2).reshape(128, -1)
        llrs = through_fading(coded, mcs.bits_per_symbol, snr_db - backoff_db, generator)
        rows = np.ascontiguousarray(llrs.reshape(128, -1, mcs.bits_per_symbol).swapaxes(1, 2)).reshape(128, -1)
        wrong = (LayeredDecoder().decode(code, rows).bits != bits).any(axis=1)
        assert low <= wrong.mean() <= high
