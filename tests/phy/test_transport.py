import contextlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from simulator.errors import UserError
from simulator.phy.basegraph import MAX_BLOCK_BITS
from simulator.phy.mcs import MCS_TABLE, parse_mcs
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import (
    decode_transport_blocks,
    encode_transport_blocks,
    segmentation,
    smallest_format,
    transport_format,
)

any_mcs = st.sampled_from(MCS_TABLE)
any_symbols = st.one_of(st.integers(80, 600), st.integers(600, 60_000))


def over_the_air(form, coded, snr_db, seed=0):
    generator = np.random.default_rng(seed)
    symbols = map_bits(coded, form.bits_per_symbol)
    variance = 10 ** (-snr_db / 10)
    noise = generator.standard_normal((*symbols.shape, 2)).view(complex)[..., 0] * np.sqrt(variance / 2)
    return demap(symbols + noise, variance, form.bits_per_symbol)


def test_whole_chain_is_sionnas_reference_vectors(golden, unpack):
    """CRCs, segmentation, LDPC, rate matching, interleaving and scrambling, against Sionna's TBEncoder."""
    for vector in golden["transport"]:
        rate = Fraction(vector["code_rate"])
        form = segmentation(vector["payload_bits"], vector["coded_bits"], vector["bits_per_symbol"], rate)
        assert form.num_blocks == vector["num_blocks"]
        payload = bytes.fromhex(vector["payload"])
        coded = encode_transport_blocks([payload], form)[0]
        assert np.array_equal(coded, unpack(vector["coded"], form.coded_bits))
        assert decode_transport_blocks(10.0 * coded[None] - 5, form)[0].payload == payload


@settings(max_examples=200)
@given(any_symbols, any_mcs)
def test_laws_of_a_format(num_symbols, mcs):
    form = transport_format(num_symbols, mcs)
    assert form.num_symbols == num_symbols
    assert form.coded_bits == sum(form.block_lengths) == num_symbols * mcs.bits_per_symbol
    assert form.payload_bits % 8 == 0
    assert form.block_bits <= MAX_BLOCK_BITS[form.base_graph]
    assert max(form.block_lengths) - min(form.block_lengths) in (0, mcs.bits_per_symbol)
    assert all(length % mcs.bits_per_symbol == 0 for length in form.block_lengths)
    assert form.block_bits <= min(form.block_lengths) * mcs.code_rate
    tb_crc = 24 if form.payload_bits > 3824 else 16
    assert form.crc_bits == tb_crc + (24 * form.num_blocks if form.num_blocks > 1 else 0)
    # Nothing is wasted: whole bytes and whole blocks cost at most 8 bits a block, one block more at most its CRC.
    unused = form.coded_bits * mcs.code_rate - form.num_blocks * form.block_bits
    assert unused <= form.num_blocks * (8 + mcs.bits_per_symbol) + 24 * (form.num_blocks + 1) + 8


@settings(max_examples=100)
@given(any_symbols, st.integers(1, 50), any_mcs)
def test_more_symbols_never_carry_less(num_symbols, more, mcs):
    fewer = transport_format(num_symbols, mcs).payload_bits
    assert transport_format(num_symbols + more, mcs).payload_bits >= fewer


@settings(max_examples=50)
@given(st.integers(1, 3000), any_mcs)
def test_smallest_format_is_the_smallest(payload_bytes, mcs):
    form = smallest_format(payload_bytes, mcs)
    assert form.payload_bytes >= payload_bytes
    assume(form.num_symbols > 1)
    with contextlib.suppress(UserError):
        assert transport_format(form.num_symbols - 1, mcs).payload_bytes < payload_bytes


@settings(max_examples=40, deadline=None)
@given(st.one_of(st.integers(80, 600), st.integers(600, 12_000)), any_mcs, st.integers(0, 2**32))
def test_noise_free_round_trip(num_symbols, mcs, seed):
    form = transport_format(num_symbols, mcs)
    generator = np.random.default_rng(seed)
    payloads = [generator.bytes(form.payload_bytes) for _ in range(2)]
    results = decode_transport_blocks(over_the_air(form, encode_transport_blocks(payloads, form), 40, seed), form)
    assert [r.payload for r in results] == payloads
    assert all(r.ok and r.block_errors == 0 for r in results)


@pytest.mark.parametrize("name", ["4qam-1/3", "16qam-1/2", "64qam-2/3", "256qam-3/4"])
def test_an_image_gets_through_at_the_required_snr_and_not_well_below(name):
    mcs = parse_mcs(name)
    form = transport_format(12_000, mcs)
    payloads = [np.random.default_rng(i).bytes(form.payload_bytes) for i in range(4)]
    coded = encode_transport_blocks(payloads, form)
    above = decode_transport_blocks(over_the_air(form, coded, mcs.required_snr_db()), form)
    assert [r.payload for r in above] == payloads
    assert all(r.ok for r in above)
    below = decode_transport_blocks(over_the_air(form, coded, mcs.required_snr_db() - 1.5), form)
    assert not any(r.ok for r in below)
    assert all(r.block_errors == form.num_blocks for r in below)


def test_one_lost_block_is_told_and_fails_the_transport_block():
    form = transport_format(20_000, parse_mcs("16qam-1/2"))
    payload = bytes(form.payload_bytes)
    llrs = 10.0 * encode_transport_blocks([payload, payload], form) - 5
    llrs[1, : form.block_lengths[0]] *= np.random.default_rng(0).choice([-1, 1], form.block_lengths[0])
    whole, broken = decode_transport_blocks(llrs, form)
    assert (whole.ok, whole.block_errors) == (True, 0)
    assert (broken.ok, broken.block_errors) == (False, 1)


def test_neither_erasures_nor_noise_pass_for_a_payload():
    for num_symbols in (100, 5000):
        form = transport_format(num_symbols, parse_mcs("4qam-1/3"))
        noise = np.random.default_rng(0).standard_normal((20, form.coded_bits))
        for llrs in (np.zeros((1, form.coded_bits)), noise):
            assert not any(r.ok for r in decode_transport_blocks(llrs, form))


def test_scrambling_keeps_the_power_of_a_constant_payload():
    form = transport_format(20_000, parse_mcs("256qam-3/4"))
    symbols = map_bits(encode_transport_blocks([bytes(form.payload_bytes)], form)[0], 8)
    assert np.mean(np.abs(symbols) ** 2) == pytest.approx(1, abs=0.03)


def test_bad_arguments():
    mcs = parse_mcs("4qam-1/3")
    with pytest.raises(UserError, match="30 channel uses"):
        transport_format(30, mcs)
    form = transport_format(100, mcs)
    with pytest.raises(ValueError, match="bytes"):
        encode_transport_blocks([b"short"], form)
    with pytest.raises(ValueError, match="LLRs"):
        decode_transport_blocks(np.zeros((1, 7), np.float32), form)
    with pytest.raises(ValueError, match="equal code blocks"):
        segmentation(9000 * 8 + 8, 40_000, 2, Fraction(1, 2))
