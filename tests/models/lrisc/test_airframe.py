"""Header and rate map over noise and fading."""

import hashlib
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from simulator.channels import Received, noise_variance
from simulator.link import LinkState, SymbolLedger
from simulator.models.lrisc.airframe import (
    NO_MAP,
    SIDE_SHARE,
    Protection,
    demodulate_side_information,
    header_format,
    levels_without_map,
    map_format,
    modulate_side_information,
    pack_map,
    protect,
)
from simulator.phy.mcs import MCS_TABLE
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import decode_transport_blocks, encode_transport_blocks

VALUES = torch.arange(1, 17) * 8.0
NUM_LEVELS = len(VALUES)
BUDGET = 40_000


class SideInformation(NamedTuple):
    """What is sent: levels int64 [h, w], constant over cells of grid x grid, and a scale."""

    levels: np.ndarray
    grid: int
    scale_db: float


def side_information(shape: tuple[int, int], grid: int = 1, scale_db: float = -3.21, seed: int = 0) -> SideInformation:
    cells = (-(-shape[0] // grid), -(-shape[1] // grid))
    levels = np.random.default_rng(seed).integers(0, NUM_LEVELS, cells).repeat(grid, 0).repeat(grid, 1)
    return SideInformation(levels[: shape[0], : shape[1]], grid, scale_db)


def modulate(sent: SideInformation, state: LinkState) -> tuple[torch.Tensor, SymbolLedger]:
    packed = pack_map(sent.levels, sent.grid, NUM_LEVELS)
    return modulate_side_information(packed, sent.grid, sent.scale_db, state, BUDGET)


def receive(symbols: torch.Tensor, snr_db: float, gain: complex = 1, seed: int = 0) -> Received:
    """A whole budget over noise, of which `symbols` come first."""
    return over_noise(torch.cat([symbols, torch.zeros(BUDGET - len(symbols))]), snr_db, gain, seed)


def over_noise(symbols: torch.Tensor, snr_db: float, gain: complex = 1, seed: int = 0) -> Received:
    no = noise_variance(snr_db)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(symbols.shape, dtype=torch.complex64, generator=generator) * no**0.5
    gains = torch.full(symbols.shape, gain, dtype=torch.complex64)
    return Received(gains * symbols + noise, gains, torch.full(symbols.shape, no))


@pytest.mark.parametrize("snr_db", [0, 1, 2, 3, 5, 10, 15, 40])
@pytest.mark.parametrize(("shape", "grid"), [((6, 8), 1), ((7, 5), 2), ((1, 1), 4)])
def test_side_information_arrives_over_awgn(snr_db, shape, grid):
    state, sent = LinkState("awgn", float(snr_db)), side_information(shape, grid)
    symbols, bill = modulate(sent, state)
    assert symbols.dtype == torch.complex64
    assert bill.total == len(symbols)
    assert bill.payload == 0
    assert bill.header > 0
    assert bill.side_information > 0
    torch.testing.assert_close(symbols.abs(), torch.ones(len(symbols)))  # 4-QAM: any part of it has power 1
    analogue = torch.randn(50, dtype=torch.complex64)  # what follows is not touched
    read = demodulate_side_information(receive(torch.cat([symbols, analogue]), snr_db), shape, VALUES, state)
    assert read is not None
    assert read.uses == len(symbols)
    assert np.array_equal(read.levels, sent.levels)
    assert read.scale_db == sent.scale_db


def test_a_map_of_the_lowest_level_alone_arrives():
    """Its code has no bytes at all."""
    grid, state = 2, LinkState("awgn", 10.0)
    sent = SideInformation(np.zeros((6, 8), dtype=np.int64), grid, -3.21)
    assert pack_map(sent.levels, grid, NUM_LEVELS) == b""
    read = demodulate_side_information(receive(modulate(sent, state)[0], 10.0), (6, 8), VALUES, state)
    assert read is not None
    assert read.levels.tolist() == sent.levels.tolist()


@pytest.mark.parametrize("gain", [1j, -0.6 + 0.5j, 0.4])
def test_side_information_survives_block_fading(gain):
    """A gain of -8 dB and any phase."""
    state, sent = LinkState("rayleigh", 10.0), side_information((8, 8))
    symbols, _ = modulate(sent, state)
    read = demodulate_side_information(receive(symbols, 10.0, gain), (8, 8), VALUES, state)
    assert read is not None
    assert np.array_equal(read.levels, sent.levels)


@pytest.mark.parametrize("seed", range(5))
def test_deep_fade_is_noticed(seed):
    state = LinkState("rayleigh", 5.0)
    symbols, _ = modulate(side_information((8, 8)), state)
    assert demodulate_side_information(receive(symbols, 5.0, 0.01, seed), (8, 8), VALUES, state) is None


def test_silence_is_noticed():
    state = LinkState("awgn", 10.0)
    nothing = torch.zeros(300, dtype=torch.complex64)
    assert demodulate_side_information(receive(nothing, 10.0, 0), (8, 8), VALUES, state) is None
    assert demodulate_side_information(over_noise(nothing[:10], 10.0), (8, 8), VALUES, state) is None


@pytest.mark.parametrize("snr_db", [0.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("num_bytes", [None, 12])
def test_short_blocks_are_as_safe_as_long_ones(snr_db, num_bytes):
    """Short codes are weak: header and small maps must choose their rate by their own length."""
    state, trials = LinkState("awgn", snr_db), 2000
    way = header_format(state, BUDGET) if num_bytes is None else map_format(num_bytes, state, BUDGET)
    assert blocks_lost(way, snr_db, trials) <= 1


@pytest.mark.parametrize("snr_db", [-3.0, -6.0, -9.0, -12.0])
def test_repeats_make_up_for_rates_that_are_too_fast(snr_db):
    """Up to sixteen times: a header is safe far below the lowest rate's threshold, and half has none to spare."""
    way = header_format(LinkState("awgn", snr_db), BUDGET)
    assert way.repeats > 1
    assert blocks_lost(way, snr_db, trials=1000) <= 2
    assert blocks_lost(replace(way, repeats=way.repeats // 2), snr_db - 4, trials=200) > 20


def test_repeats_stay_within_their_share():
    for snr_db in (-30.0, -10.0, 0.0):
        for budget in (500, 3000, 20_000, 10**6):
            way = header_format(LinkState("rayleigh", snr_db), budget)
            assert way.repeats == 1 or way.num_symbols <= SIDE_SHARE * budget


def test_without_a_map_all_vectors_share_alike():
    state, room = LinkState("rayleigh", -5.0), 3000
    symbols, bill = modulate_side_information(b"", NO_MAP, -3.21, state, BUDGET)
    assert bill.total == bill.header + bill.crc == len(symbols)
    read = demodulate_side_information(receive(symbols, -5.0), (8, 8), VALUES, state)
    assert read is not None
    assert (read.uses, read.scale_db) == (len(symbols), -3.21)
    assert np.array_equal(read.levels, levels_without_map((8, 8), BUDGET - read.uses, VALUES))
    spent = int(VALUES[levels_without_map((8, 8), room, VALUES)].sum()) // 2
    assert room - 8 / 2 < spent <= room  # what is left would not raise another vector


def blocks_lost(way: Protection, snr_db: float, trials: int) -> int:
    draw = np.random.default_rng(0)
    bits = encode_transport_blocks([draw.bytes(way.form.payload_bytes) for _ in range(trials)], way.form)
    sent = torch.from_numpy(map_bits(bits, way.form.bits_per_symbol)).repeat(1, way.repeats)
    received = over_noise(sent.flatten(), snr_db)
    llrs = demap(received.symbols.numpy(), received.noise_variance.numpy(), way.form.bits_per_symbol)
    together = llrs.reshape(trials, way.repeats, -1).sum(axis=1)
    return sum(not result.ok for result in decode_transport_blocks(together, way.form))


@pytest.mark.parametrize("channel", ["awgn", "rayleigh", "rayleigh-fast"])
def test_side_information_is_always_4qam(channel):
    for snr_db in range(-20, 41, 1 if channel == "awgn" else 15):
        for num_bytes in (5, 60, 400, 4000):
            way = protect(num_bytes, LinkState(channel, float(snr_db)), 0, BUDGET)
            assert way.mcs.bits_per_symbol == way.form.bits_per_symbol == 2


def test_the_choice_over_awgn_never_changes():
    """Published results depend on it: 512 choices from before there were channel statistics."""
    snrs_db, lengths = np.arange(-6, 26, 0.25), (5, 60, 400, 3000)
    names = [
        protect(length, LinkState("awgn", float(snr_db)), 0, 0).mcs.name for snr_db in snrs_db for length in lengths
    ]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()
    assert digest == "4d241e5ae0b4c571d3220d79bed7ed06750b0bc734dae0d0fd05badd09ad017d"


@pytest.mark.parametrize("num_bytes", [5, 300])
def test_one_block_in_fifty_is_lost_to_block_fading(num_bytes):
    """Over Rayleigh fading, P(|h|^2 < x) = 1 - exp(-x): the MCS is the fastest that stays below 2 % at 21 dB."""
    chosen = protect(num_bytes, LinkState("rayleigh", 22.0), 0, 0).mcs
    table = [mcs for mcs in MCS_TABLE if mcs.bits_per_symbol == 2]
    lost = [1 - np.exp(-(10 ** ((mcs.threshold_db(1e-2, 8 * num_bytes + 16) - 21.0) / 10))) for mcs in table]
    place = table.index(chosen)
    assert lost[place] < 0.03
    assert place == len(table) - 1 or lost[place + 1] > 0.014
    assert protect(num_bytes, LinkState("rayleigh", 3.0), 0, 0).mcs == table[0]


def test_fast_fading_needs_less_protection_than_block_fading():
    rates = [protect(300, LinkState(name, 10.0), 0, 0).mcs.code_rate for name in ("rayleigh", "tdl-c", "rayleigh-fast")]
    assert rates[0] < rates[1] < rates[2]
