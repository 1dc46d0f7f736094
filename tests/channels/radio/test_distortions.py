"""Clipping, amplifiers, imbalance and converters against their formulas."""

import math

import numpy as np
import pytest
import torch

from simulator.channels import load_channel
from simulator.channels.grid import ResourceGrid
from simulator.channels.radio.amplifier import clip, imbalance_gains, iq_imbalance, rapp, saleh
from simulator.channels.radio.converter import Converter
from simulator.channels.radio.evm import evm_percent
from simulator.channels.radio.options import Radio
from simulator.channels.radio.oscillator import Oscillator
from simulator.channels.radio.transmitter import Transmitter
from simulator.channels.radio.waveform import Waveform, papr_db
from simulator.phy.qam import demap, map_bits, uncoded_bit_error_rate
from simulator.randomness import derive_key

GRID = ResourceGrid(288, 30e3, "dmrs")


def _gaussian(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


def _tone(amplitude: float) -> torch.Tensor:
    return torch.polar(torch.tensor([amplitude]), torch.tensor([0.3]))


@pytest.mark.parametrize("backoff_db", [0.0, 6.0])
def test_rapp_compresses_by_one_decibel_where_its_formula_says(backoff_db: float) -> None:
    saturation = 10 ** (backoff_db / 20)
    at_one_db = saturation * (10**0.2 - 1) ** 0.25  # (1 + (r / A)^4)^(1/4) = 10^(1/20)
    output = rapp(_tone(at_one_db), backoff_db)
    assert 20 * math.log10(float(output.abs()) / at_one_db) == pytest.approx(-1, abs=1e-4)
    assert float(output.angle()) == pytest.approx(0.3, abs=1e-6)
    assert float(rapp(_tone(1e-3), backoff_db).abs()) == pytest.approx(1e-3, rel=1e-4)
    assert float(rapp(_tone(1e3), backoff_db).abs()) == pytest.approx(saturation, rel=1e-4)
    at_saturation = float(rapp(_tone(saturation), backoff_db).abs())
    assert at_saturation == pytest.approx(saturation * 2**-0.25, rel=1e-5)


def test_saleh_saturates_and_turns_the_phase_as_published() -> None:
    outputs = saleh(torch.polar(torch.linspace(0.001, 10, 5000), torch.zeros(5000)), 3.0)
    assert float(outputs.abs().max()) == pytest.approx(10 ** (3 / 20), rel=1e-4)
    assert float(outputs[0].abs()) == pytest.approx(0.001, rel=1e-3)
    # At its saturation the tube turns by 4.0033 / (1.1517 + 9.1040) = 0.390 rad.
    assert float(outputs[outputs.abs().argmax()].angle()) == pytest.approx(4.0033 / (1.1517 + 9.1040), rel=0.01)


@pytest.mark.parametrize("ratio_db", [0.0, 3.0, 7.0])
def test_clipping_follows_bussgang(ratio_db: float) -> None:
    ratio = 10 ** (ratio_db / 20)
    gain = 1 - math.exp(-(ratio**2)) + math.sqrt(math.pi) / 2 * ratio * math.erfc(ratio)
    power = 1 - math.exp(-(ratio**2))
    known = Transmitter(Radio(clip_db=ratio_db), None).statistics(0)
    assert complex(known.gain[0]) == pytest.approx(gain, abs=0.003)
    assert float(known.variance[0]) == pytest.approx(power - gain**2, abs=0.001)
    in_time = Transmitter(Radio(clip_db=ratio_db, ofdm=True), GRID).statistics(0)
    assert abs(complex(in_time.gain.mean())) == pytest.approx(gain, abs=0.003)  # whatever the rate of samples
    assert float(in_time.variance.mean()) < power - gain**2  # some of the distortion falls out of band


def test_image_of_an_imbalance_is_rejected_by_its_ratio() -> None:
    mu, nu = imbalance_gains(0.5, 3.0)
    symbols = _gaussian(300_000)
    sent = iq_imbalance(symbols, 0.5, 3.0)
    image = torch.vdot(symbols.conj(), sent) / len(symbols)
    assert complex(image) == pytest.approx(nu, abs=0.005)
    assert float(sent.abs().square().mean()) == pytest.approx(1, abs=0.01)
    g, phi = 10 ** (0.5 / 20), math.radians(3)
    rejection = (1 + 2 * g * math.cos(phi) + g * g) / (1 - 2 * g * math.cos(phi) + g * g)
    assert abs(mu / nu) ** 2 == pytest.approx(rejection)
    known = Transmitter(Radio(iq_db=0.5, iq_deg=3.0), None).statistics(0)
    assert float(known.variance[0]) == pytest.approx(abs(nu) ** 2, rel=0.02)


@pytest.mark.parametrize(("bits", "distortion"), [(1, 0.3634), (2, 0.1188), (3, 0.03744), (4, 0.01154), (5, 0.003495)])
def test_quantisation_noise_of_b_bits_is_that_of_the_tables(bits: int, distortion: float) -> None:
    received = 3 * _gaussian(200_000)
    quantised, noise = Converter(bits, None).symbols(received, torch.full((200_000,), 9.0))
    measured = float((quantised - received).abs().square().mean())
    assert measured == pytest.approx(9 * distortion / (1 - distortion), rel=0.02)
    assert float(noise[0]) == pytest.approx(measured, rel=0.02)
    received = received[: 53 * GRID.data_per_slot] / 3
    waveform, _, per_element = Converter(bits, GRID).waveform(received, None)
    around = float((waveform - received).abs().square().mean())
    # One and two bits leave noise that is not white.
    assert float(per_element.mean()) == pytest.approx(around, rel=0.05 if bits > 2 else 0.25)


def test_many_bits_gain_six_decibels_each() -> None:
    one, other = Converter(10, None).noise, Converter(11, None).noise
    assert 10 * math.log10(one / other) == pytest.approx(6, abs=0.5)


@pytest.mark.parametrize("offset", [0.01, 0.03, -0.05])
def test_a_frequency_offset_leaks_into_other_subcarriers(offset: float) -> None:
    known = Transmitter(Radio(oscillator=Oscillator(offset=offset)), GRID).statistics(0)
    # The useful part is sinc(offset); all the rest of the power is interference. Subcarriers at the edges have
    # neighbours on one side only.
    kept = math.sin(math.pi * offset) / (math.pi * offset)
    assert abs(complex(known.gain.mean())) == pytest.approx(kept, abs=2e-3)
    assert float(known.variance.mean()) == pytest.approx(1 - kept**2, rel=0.03)


def test_evm_is_of_what_the_gain_does_not_explain() -> None:
    intended, error = _gaussian(1000).numpy(), 0.1 * _gaussian(1000).numpy()[::-1]
    gain = np.full(1000, 2 - 1j, dtype=np.complex64)
    expected = 100 * math.sqrt(np.mean(np.abs(error) ** 2) / np.mean(np.abs(intended) ** 2))
    assert evm_percent(gain * (intended + error), gain, intended) == pytest.approx(expected, rel=1e-5)
    assert evm_percent(0 * intended, gain, 0 * intended) == 0.0


@pytest.mark.parametrize("linewidth_hz", [1.0, 10.0])
def test_evm_is_that_of_the_phase_noise(linewidth_hz: float) -> None:
    known = Transmitter(Radio(oscillator=Oscillator(linewidth_hz)), GRID).statistics(0)
    # Within an OFDM symbol a Wiener phase strays from its mean by 2 pi B T / 6; the mean is corrected where pilots are.
    within = 2 * math.pi * linewidth_hz / 30e3 / 6
    assert float(known.variance[[2, 11]].mean()) == pytest.approx(within, rel=0.1)
    # Halfway between the pilots the common phase strays as a Brownian bridge: 2 pi B T 9 / 4, T with the prefix.
    bridge = 2 * math.pi * linewidth_hz * GRID.symbol_s * 9 / 4
    halfway = float(known.variance[6] + known.variance[7]) / 2
    assert halfway == pytest.approx(bridge + within, rel=0.25)
    channel = load_channel(f"tdl-a:phase_noise_hz={linewidth_hz:g}")
    count = 30 * GRID.data_per_slot
    sent = channel.send(_gaussian(count), channel.realise(count, 30.0, 5))
    told = sum(float(known.variance[symbol]) * share for symbol, share in enumerate(_shares()))
    assert sent.measured["evm_percent"] == pytest.approx(100 * math.sqrt(told), rel=0.25)


def _shares() -> list[float]:
    counts = torch.bincount(GRID.data_positions // GRID.subcarriers, minlength=14)
    return (counts / counts.sum()).tolist()


@pytest.mark.parametrize("bits_per_symbol", [2, 4])
def test_bit_errors_of_ofdm_are_those_of_theory(bits_per_symbol: int) -> None:
    count, snr_db = 60_000, 5.0 * bits_per_symbol / 2
    bits = torch.randint(0, 2, (count * bits_per_symbol,), generator=torch.Generator().manual_seed(2)).byte().numpy()
    symbols = torch.from_numpy(map_bits(bits, bits_per_symbol))
    for options, ratio_db in (("waveform=ofdm", None), ("papr_db=2", 2.0)):
        channel = load_channel(f"awgn:waveform=ofdm:{options}" if ratio_db else f"awgn:{options}")
        received = channel.send(symbols, channel.realise(count, snr_db, 4))
        parts = (received.symbols.numpy(), received.noise_variance.numpy(), bits_per_symbol, received.gain.numpy())
        rate = float(((demap(*parts) > 0) != bits).mean())
        # Distortion of many samples adds up to Gaussian noise on each subcarrier.
        effective = float(received.gain.abs().square().mean() / received.noise_variance.mean())
        theory = uncoded_bit_error_rate(10 * math.log10(effective), bits_per_symbol)
        assert rate == pytest.approx(theory, rel=4 / math.sqrt(theory * len(bits)) + 0.03)
        if ratio_db is None:
            assert 10 * math.log10(effective) == pytest.approx(snr_db, abs=1e-3)


def test_clipping_without_oversampling_costs_what_the_closed_form_says() -> None:
    ratio = 10 ** (3.0 / 20)
    waveform, count = Waveform(ResourceGrid(288, 30e3, "none"), oversampling=1), 50 * 14 * 288
    symbols = torch.view_as_complex((torch.randint(0, 2, (count, 2)) * 2.0 - 1) / math.sqrt(2))
    clipped, _ = waveform.demodulate(clip(waveform.modulate(waveform.place(symbols)), 3.0))
    received, _ = waveform.take(clipped, count)
    gain = 1 - math.exp(-(ratio**2)) + math.sqrt(math.pi) / 2 * ratio * math.erfc(ratio)
    distortion = 1 - math.exp(-(ratio**2)) - gain**2
    assert complex((received * symbols.conj()).mean()) == pytest.approx(gain, abs=0.002)
    # A guard of 10 % takes up a little of it.
    around = float((received - gain * symbols).abs().square().mean())
    assert 0.85 * distortion < around < distortion


def test_waveform_is_sionnas_and_can_be_undone() -> None:
    from sionna.phy.ofdm import OFDMModulator

    waveform, symbols = Waveform(GRID), _gaussian(5000)
    resources = waveform.place(symbols, waveform.others(3))
    samples = waveform.modulate(resources)
    padded = torch.nn.functional.pad(resources, (waveform.size // 2 - 144, waveform.size // 2 - 144))
    golden = OFDMModulator(0, device="cpu")(padded).reshape(samples.shape) * math.sqrt(waveform.size / 288)
    assert torch.allclose(samples, golden, atol=1e-5)
    back, leaked = waveform.demodulate(samples)
    data, pilots = waveform.take(back, 5000)
    assert torch.allclose(data, symbols, atol=1e-5)
    assert torch.allclose(pilots, torch.ones_like(pilots), atol=1e-5)
    assert float(leaked.max()) < 1e-11
    assert float(samples.abs().square().mean()) == pytest.approx(1, abs=0.02)


def test_peaks_of_ofdm_are_distributed_as_van_nee_has_it() -> None:
    waveform = Waveform(ResourceGrid(288, 30e3, "none"))
    peaks = papr_db(waveform.modulate(waveform.place(_gaussian(288 * 14 * 100)))).ravel()
    for level_db in (8.0, 9.0, 10.0):
        theory = 1 - (1 - math.exp(-(10 ** (level_db / 10)))) ** (2.8 * 288)
        assert float((peaks > level_db).mean()) == pytest.approx(theory, rel=0.2, abs=0.02)


def test_keys_of_oscillators_differ() -> None:
    oscillator = Oscillator(100.0)
    one, other = (oscillator.phase(GRID, 2, 64, derive_key(seed)) for seed in (1, 2))
    assert not torch.isclose(one, other).any()
    assert torch.equal(oscillator.phase(GRID, 1, 64, derive_key(1)), one[:1])
