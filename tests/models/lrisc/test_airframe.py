"""Header and rate map over noise and fading."""

import hashlib

import numpy as np
import pytest
import torch

from models.lrisc.airframe import (
    SideInformation,
    demodulate_side_information,
    header_format,
    map_format,
    modulate_side_information,
    pack_map,
    safe_mcs,
)
from simulator.channels import Received, noise_variance
from simulator.link import LinkState, SymbolLedger
from simulator.phy.mcs import MCS_TABLE
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import decode_transport_blocks, encode_transport_blocks

NUM_LEVELS = 16


def side_information(shape: tuple[int, int], grid: int = 1, scale_db: float = -3.21, seed: int = 0) -> SideInformation:
    cells = (-(-shape[0] // grid), -(-shape[1] // grid))
    levels = np.random.default_rng(seed).integers(0, NUM_LEVELS, cells).repeat(grid, 0).repeat(grid, 1)
    return SideInformation(levels[: shape[0], : shape[1]], grid, scale_db)


def modulate(sent: SideInformation, state: LinkState) -> tuple[torch.Tensor, SymbolLedger]:
    packed = pack_map(sent.levels, sent.grid, NUM_LEVELS)
    return modulate_side_information(packed, sent.grid, sent.scale_db, state)


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
    read = demodulate_side_information(over_noise(torch.cat([symbols, analogue]), snr_db), shape, NUM_LEVELS, state)
    assert read is not None
    got, used = read
    assert used == len(symbols)
    assert np.array_equal(got.levels, sent.levels)
    assert (got.grid, got.scale_db) == (sent.grid, sent.scale_db)


@pytest.mark.parametrize("gain", [1j, -0.6 + 0.5j, 0.4])
def test_side_information_survives_block_fading(gain):
    """A gain of -8 dB and any phase."""
    state, sent = LinkState("rayleigh", 10.0), side_information((8, 8))
    symbols, _ = modulate(sent, state)
    read = demodulate_side_information(over_noise(symbols, 10.0, gain), (8, 8), NUM_LEVELS, state)
    assert read is not None
    assert np.array_equal(read[0].levels, sent.levels)


@pytest.mark.parametrize("seed", range(5))
def test_deep_fade_is_noticed(seed):
    state = LinkState("rayleigh", 5.0)
    symbols, _ = modulate(side_information((8, 8)), state)
    assert demodulate_side_information(over_noise(symbols, 5.0, 0.01, seed), (8, 8), NUM_LEVELS, state) is None


def test_silence_is_noticed():
    state = LinkState("awgn", 10.0)
    nothing = torch.zeros(300, dtype=torch.complex64)
    assert demodulate_side_information(over_noise(nothing, 10.0, 0), (8, 8), NUM_LEVELS, state) is None
    assert demodulate_side_information(over_noise(nothing[:10], 10.0), (8, 8), NUM_LEVELS, state) is None


@pytest.mark.parametrize("snr_db", [0.0, 2.0, 3.0, 5.0])
@pytest.mark.parametrize("num_bytes", [None, 12])
def test_short_blocks_are_as_safe_as_long_ones(snr_db, num_bytes):
    """Short codes are weak: header and small maps must choose their rate by their own length."""
    state, trials = LinkState("awgn", snr_db), 2000
    form = header_format(state) if num_bytes is None else map_format(num_bytes, state)
    draw = np.random.default_rng(0)
    bits = encode_transport_blocks([draw.bytes(form.payload_bytes) for _ in range(trials)], form)
    sent = torch.from_numpy(map_bits(bits, form.bits_per_symbol)).flatten()
    received = over_noise(sent, snr_db)
    llrs = demap(received.symbols.numpy(), received.noise_variance.numpy(), form.bits_per_symbol)
    lost = sum(not result.ok for result in decode_transport_blocks(llrs.reshape(trials, -1), form))
    assert lost <= 1


@pytest.mark.parametrize("channel", ["awgn", "rayleigh", "rayleigh-fast"])
def test_side_information_is_always_4qam(channel):
    for snr_db in range(-20, 41, 1 if channel == "awgn" else 15):
        for num_bytes in (5, 60, 400, 4000):
            assert safe_mcs(num_bytes, LinkState(channel, float(snr_db))).bits_per_symbol == 2


def test_the_choice_over_awgn_never_changes():
    """Published results depend on it: 512 choices from before there were channel statistics."""
    snrs_db, lengths = np.arange(-6, 26, 0.25), (5, 60, 400, 3000)
    names = [safe_mcs(length, LinkState("awgn", float(snr_db))).name for snr_db in snrs_db for length in lengths]
    digest = hashlib.sha256(" ".join(names).encode()).hexdigest()
    assert digest == "4d241e5ae0b4c571d3220d79bed7ed06750b0bc734dae0d0fd05badd09ad017d"


@pytest.mark.parametrize("num_bytes", [5, 300])
def test_one_block_in_fifty_is_lost_to_block_fading(num_bytes):
    """Over Rayleigh fading, P(|h|^2 < x) = 1 - exp(-x): the MCS is the fastest that stays below 2 % at 21 dB."""
    chosen = safe_mcs(num_bytes, LinkState("rayleigh", 22.0))
    table = [mcs for mcs in MCS_TABLE if mcs.bits_per_symbol == 2]
    lost = [1 - np.exp(-(10 ** ((mcs.threshold_db(1e-2, 8 * num_bytes + 16) - 21.0) / 10))) for mcs in table]
    place = table.index(chosen)
    assert lost[place] < 0.03
    assert place == len(table) - 1 or lost[place + 1] > 0.014
    assert safe_mcs(num_bytes, LinkState("rayleigh", 3.0)) == table[0]


def test_fast_fading_needs_less_protection_than_block_fading():
    rates = [safe_mcs(300, LinkState(name, 10.0)).code_rate for name in ("rayleigh", "tdl-c", "rayleigh-fast")]
    assert rates[0] < rates[1] < rates[2]
