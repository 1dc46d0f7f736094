"""Several antennas on the resource grid: against Sionna, against one antenna, and against theory."""

import pytest
import torch

from simulator.channels import load_channel
from simulator.channels.grid import ResourceGrid
from simulator.channels.paths import Cdl, Tdl
from simulator.channels.spatial import alamouti, alamouti_in_turn
from simulator.link.adaptation import outlook
from simulator.phy.mcs import parse_mcs
from simulator.randomness import derive_key, sionna_seeded


def test_the_response_is_that_of_sionnas_blocks() -> None:
    from sionna.phy.channel import cir_to_ofdm_channel, exp_corr_mat
    from sionna.phy.channel.tr38901 import TDL

    channel = load_channel("mimo:tx=2:rx=3:model=tdl-c:subcarriers=24:correlation=0.5")
    served = channel.realise(2 * 288 * 2, 10.0, 5).served
    with sionna_seeded(0):
        ends = {"tx_corr_mat": exp_corr_mat(0.5, 2, device="cpu"), "rx_corr_mat": exp_corr_mat(0.5, 3, device="cpu")}
        shape = {"num_tx_ant": 2, "num_rx_ant": 3, "min_speed": 3 / 3.6, "device": "cpu"}
        block = TDL("C", 300e-9, 3.5e9, **shape, **ends)
    with sionna_seeded(derive_key(5, "gain")):
        gains, delays = block(1, 8 * 14, 1 / channel.grid.symbol_s)
    golden = cir_to_ofdm_channel(channel.grid.frequencies.float(), gains, delays)[0, 0, :, 0]  # [rx, tx, T, F]
    second_slot = golden[:, :, 14:28].flatten(2)[..., channel.grid.data_positions].permute(2, 0, 1)
    assert torch.allclose(served[1].channel * 2**0.5, second_slot, atol=2e-5)


def test_one_antenna_at_each_end_is_the_channel_without_several() -> None:
    one, several = load_channel("tdl-c:csi=lmmse"), load_channel("mimo:tx=1:rx=1:model=tdl-c:csi=estimated")
    symbols = torch.ones(5000, dtype=torch.complex64)
    alone, among = (channel.realise(5000, 8.0, 3) for channel in (one, several))
    assert torch.allclose(alone.gain.abs(), among.gain.real, rtol=1e-4, atol=1e-6)
    told, also = one.send(symbols, alone), several.send(symbols, among)
    assert also.overhead == told.overhead
    assert torch.allclose(also.noise_variance, told.noise_variance, rtol=1e-5)
    # The pilots' noise is the same draw, so that the estimates are.
    assert torch.allclose(also.gain.real, told.gain.abs(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("antennas", range(1, 9))
def test_pilots_of_antennas_are_apart_and_carry_no_data(antennas: int) -> None:
    grid = ResourceGrid(24, 30e3, "dmrs", antennas, group=2)
    positions = torch.cat([*(grid.pilots_of(antenna) for antenna in range(antennas)), grid.data_positions])
    assert len(positions.unique()) == len(positions)
    assert len(grid.data_positions) == grid.data_per_slot
    assert grid.data_per_slot == (24 * 14 - 24 if antennas == 1 else 24 * (12 if antennas <= 4 else 10))
    first, second = grid.data_positions.reshape(-1, 2).unbind(1)
    assert (second - first <= (2 if antennas == 1 else 1)).all()  # of neighbouring subcarriers
    assert (first // 24 == second // 24).all()


@pytest.mark.parametrize("model", [Tdl("E", 3e-7, 3.0, 3.5e9, (2, 3)), Cdl("B", 3e-7, 3.0, 3.5e9, (3, 2))])
def test_every_pair_of_antennas_has_mean_power_one(model: Tdl | Cdl) -> None:
    gains, _ = model.draw_matrices(1000, 1, 1e-3, 1)
    powers = gains.abs().double().square().sum(-1)[..., 0]
    assert powers.shape[1:] in ((3, 2), (2, 3))
    assert torch.allclose(powers.mean(0), torch.ones(powers.shape[1:], dtype=torch.float64), atol=0.15)


def test_correlation_is_that_of_the_kronecker_model() -> None:
    gains, _ = Tdl("A", 3e-7, 3.0, 3.5e9, (2, 3), 0.6).draw_matrices(3000, 1, 1e-3, 1)
    between = [(gains[:, 0, 0] * gains[:, *other].conj()).sum(-1).mean() for other in ((0, 1), (1, 0), (2, 1))]
    assert [complex(one) for one in between] == pytest.approx([0.6, 0.6, 0.216], abs=0.06)


# Telatar's integral at 10 dB, bits per use, as over flat fading: the mean over draws does not know frequencies.
@pytest.mark.parametrize(("antennas", "bits"), [(2, 5.549), (4, 10.906)])
def test_ergodic_capacity_is_telatars(antennas: int, bits: float) -> None:
    channel = load_channel(f"mimo:tx={antennas}:rx={antennas}:model=tdl-a:delay_spread_ns=1000:subcarriers=144")
    found = [channel.realise(144 * antennas, 10.0, key).capacity_bits / 144 for key in range(60)]
    assert sum(found) / len(found) == pytest.approx(bits, abs=0.2)


def test_alamouti_over_equal_neighbours_is_alamoutis() -> None:
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn((40, 3, 2), dtype=torch.complex64, generator=generator)
    golden, ours = alamouti(matrix, 0.2), alamouti_in_turn(matrix, matrix, torch.full((40,), 0.2))
    assert torch.allclose(ours.sinr, golden.sinr, rtol=1e-4)
    assert torch.allclose(ours.combiner, golden.combiner, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("options", [":receiver=zf", ":precoding=alamouti"])
def test_link_adaptation_expects_what_realisations_bring(options: str) -> None:
    name, count = f"mimo{options}:model=tdl-c:subcarriers=24", 500
    channel, mcs = load_channel(name), parse_mcs("4qam-1/2")
    bits = [torch.log2(1 + channel.realise(count, 8.0, key).snr).mean() for key in range(80)]
    expected, _ = channel.survey_snr(count, 80, 8.0, 1)
    assert float(torch.log2(1 + expected.double()).mean()) == pytest.approx(float(sum(bits)) / 80, rel=0.1)
    # The mutual information of 4-QAM runs out where the outage of that MCS begins.
    outages = [outlook(name, snr_db, count).outage(mcs, 1, count, 0, count) for snr_db in (-5.0, 25.0)]
    assert outages[0] > 0.9 > 0.1 > outages[1]
