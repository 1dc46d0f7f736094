"""Multipath against TR 38.901 and closed forms: delay profile, Doppler, power, bit errors; the grid's arithmetic."""

import math
from functools import cache

import pytest
import torch

from simulator.channels import load_channel
from simulator.channels.base import noise_variance
from simulator.channels.grid import ResourceGrid
from simulator.channels.paths import SPEED_OF_LIGHT, Cdl, PathModel, SystemLevel, Tdl

INTERVAL_S, SPEED_M_S, CARRIER_HZ, SPREAD_S = 35.7e-6, 60 / 3.6, 3.5e9, 300e-9

# TR 38.901 V16.1, Tables 7.7.2-1 to -5: normalised delay and power in dB of the first taps, and the number of taps.
TABLES = {
    "A": (23, [(0.0, -13.4), (0.3819, 0.0), (0.4025, -2.2), (0.5868, -4.0), (0.4610, -6.0), (0.5375, -8.2)]),
    "B": (23, [(0.0, 0.0), (0.1072, -2.2), (0.2155, -4.0), (0.2095, -3.2), (0.2870, -9.8), (0.2986, -1.2)]),
    "C": (24, [(0.0, -4.4), (0.2099, -1.2), (0.2219, -3.5), (0.2329, -5.2), (0.2176, -2.5), (0.6366, 0.0)]),
    # The first tap of D and E is the sum of line of sight and its reflected part: -0.2 and -13.5, -0.03 and -22.03 dB.
    "D": (13, [(0.0, 0.0), (0.035, -18.8), (0.612, -21.0), (1.363, -22.8), (1.405, -17.9), (1.804, -20.1)]),
    "E": (14, [(0.0, 0.0), (0.5133, -15.8), (0.5440, -18.1), (0.5630, -19.8), (0.5440, -22.9), (0.7112, -22.4)]),
}


@cache
def _drawn(letter: str) -> tuple[torch.Tensor, torch.Tensor]:
    """4000 links: gains complex64 [4000, P, 9], 7 intervals apart, and delays float64 [P]."""
    gains, delays = Tdl(letter, SPREAD_S, SPEED_M_S, CARRIER_HZ).draw_many(4000, 9, 7 * INTERVAL_S, 1)
    assert (delays == delays[0]).all()
    return gains, delays[0]


@pytest.mark.parametrize("letter", TABLES)
def test_tdl_has_the_delay_profile_of_the_table(letter: str) -> None:
    gains, delays = _drawn(letter)
    taps, table = TABLES[letter]
    assert gains.shape[1] == taps
    powers = gains[:, :, ::4].abs().double().square().mean((0, 2))
    decibels = 10 * torch.log10(powers)
    for tap, (delay, power_db) in enumerate(table):
        assert float(delays[tap]) == pytest.approx(delay * SPREAD_S, rel=1e-4, abs=1e-15)
        # Levels are relative to the strongest tap; 12,000 not quite independent draws: 0.07 dB.
        assert float(decibels[tap] - decibels.max()) == pytest.approx(power_db, abs=0.3)
    mean = float((powers * delays).sum() / powers.sum())
    spread = math.sqrt(float((powers * delays.square()).sum() / powers.sum()) - mean**2)
    assert spread == pytest.approx(SPREAD_S, rel=0.05)


@pytest.mark.parametrize("letter", TABLES)
def test_tdl_has_jakes_doppler_spectrum(letter: str) -> None:
    gains, _ = _drawn(letter)
    doppler_hz = SPEED_M_S / SPEED_OF_LIGHT * CARRIER_HZ
    diffuse = gains[:, 1:].to(torch.complex128)
    power = diffuse.abs().square().mean((0, 2))
    for lag in (1, 2, 4, 8):
        products = (diffuse[:, :, lag] * diffuse[:, :, 0].conj()).mean(0) / power
        expected = float(torch.special.bessel_j0(torch.tensor(2 * math.pi * doppler_hz * lag * 7 * INTERVAL_S)))
        # Over all taps at least 4000 * 12 draws: one standard deviation is at most 0.005.
        assert abs(complex(products.mean()) - expected) < 0.025
    if letter in "DE":
        turn = torch.angle((gains[:, 0, 8] * gains[:, 0, 0].conj()).mean())
        expected_turn = 2 * math.pi * 0.7 * doppler_hz * 56 * INTERVAL_S
        assert math.cos(float(turn) - expected_turn) > 0.999


@pytest.mark.parametrize(
    "model",
    [
        *(Tdl(letter, SPREAD_S, SPEED_M_S, CARRIER_HZ) for letter in "ABCDE"),
        *(Cdl(letter, SPREAD_S, SPEED_M_S, CARRIER_HZ) for letter in "ABCDE"),
        *(SystemLevel(scenario, SPEED_M_S, CARRIER_HZ) for scenario in ("umi", "uma", "rma")),
    ],
)
def test_mean_power_is_one(model: PathModel) -> None:
    gains, delays = model.draw_many(1500, 1, INTERVAL_S, 2)
    powers = gains.abs().double().square().sum(1)[:, 0]
    assert float(powers.mean()) == pytest.approx(1, abs=4 * float(powers.std()) / math.sqrt(1500))
    carrying = gains.abs().square()[:, :, 0] > 0
    assert float(delays[carrying].max()) < 2e-4


def test_a_cdl_has_its_clusters_where_the_table_has_them() -> None:
    _, delays = Cdl("C", SPREAD_S, SPEED_M_S, CARRIER_HZ).draw_many(1, 1, INTERVAL_S, 0)
    assert delays[0, [0, 5, 23]].tolist() == pytest.approx([0.0, 0.6366 * SPREAD_S, 8.6523 * SPREAD_S], rel=1e-4)


@pytest.mark.parametrize("spec", ["rayleigh-fast", "rayleigh", "tdl-a", "tdl-c:pilots=kronecker:speed_kmh=120"])
def test_bit_errors_of_uncoded_qpsk_over_rayleigh_fading_are_those_of_the_closed_form(spec: str) -> None:
    channel, snr_db, errors, bits = load_channel(spec), 10.0, 0, 0
    fast = spec == "rayleigh-fast"
    rates = []
    for key in range(1 if fast else 400):
        count = 400_000 if fast else 500
        sent = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(key))
        symbols = torch.view_as_complex((1 - 2.0 * sent) / math.sqrt(2))
        received = channel.send(symbols, channel.realise(count, snr_db, key))
        decided = torch.view_as_real(received.symbols * received.gain.conj()) < 0
        rates.append(float((decided != sent.bool()).double().mean()))
        errors += int((decided != sent.bool()).sum())
        bits += 2 * count
    # Proakis, Digital Communications, 5th ed., eq. 13.3-7, at Eb/N0 = Es/N0 / 2 per bit.
    per_bit = 10 ** (snr_db / 10) / 2
    expected = (1 - math.sqrt(per_bit / (1 + per_bit))) / 2
    spread = 0.002 * expected if fast else float(torch.tensor(rates).std()) / math.sqrt(len(rates))
    assert errors / bits == pytest.approx(expected, abs=4 * spread + (0.02 * expected if fast else 0))


def test_fading_differs_over_subcarriers_and_moves_on_over_slots() -> None:
    channel = load_channel("tdl-c:speed_kmh=120")
    gain = channel.realise(3744 * 30, 0.0, 4).gain.reshape(30, -1)
    assert float(gain[0].abs().square().std()) > 0.3

    def correlation(slots: int) -> float:
        return abs(complex((gain[slots:] * gain[:-slots].conj()).mean())) / float(gain.abs().square().mean())

    assert correlation(1) > 0.5  # 0.5 ms at 389 Hz: J0 is 0.68
    assert correlation(1) > correlation(2)
    assert not torch.isclose(gain[0], gain[1]).all()


def test_grid_arithmetic() -> None:
    grid = ResourceGrid(288, 30e3, "dmrs")
    assert (grid.fft_size, grid.prefix, grid.pilots_per_slot, grid.data_per_slot) == (320, 23, 288, 14 * 288 - 288)
    assert grid.symbol_s == pytest.approx((320 + 23) / (320 * 30e3))
    assert ResourceGrid(288, 30e3, "kronecker").data_per_slot == 12 * 288
    positions = torch.cat([grid.pilot_positions, grid.data_positions])
    assert positions.sort().values.tolist() == list(range(14 * 288))
    assert not (grid.data_positions.sort().values == grid.data_positions).all()


@pytest.mark.parametrize(("count", "slots"), [(0, 0), (1, 1), (3744, 1), (3745, 2), (73_728, 20)])
def test_overhead_is_pilots_guard_and_prefix_of_every_slot_begun(count: int, slots: int) -> None:
    symbols = torch.ones(count, dtype=torch.complex64)
    for spec in ("tdl-a", "tdl-a:csi=ls"):
        channel = load_channel(spec)
        received = channel.send(symbols, channel.realise(count, 0.0, 1))
        assert received.overhead == slots * (14 * (320 + 23) - (14 * 288 - 288))


def test_capacity_and_snr_are_those_of_the_gains() -> None:
    realisation = load_channel("tdl-b").realise(2000, 6.0, 8)
    power = realisation.gain.abs().double().square() / noise_variance(6.0)
    assert realisation.capacity_bits == pytest.approx(float(torch.log2(1 + power).sum()))
    assert realisation.snr_db == pytest.approx(10 * math.log10(float(power.mean())))
