"""Radios around any channel: the laws of channels, what the receiver is told, the link, and bad input."""

import json
import math
from fractions import Fraction

import pytest
import torch

from simulator.__main__ import main
from simulator.channels import capabilities, load_channel
from simulator.channels.grid import ResourceGrid
from simulator.errors import UserError
from simulator.link import LinkState, Reception, load_scheme, transmit
from simulator.link.adaptation import choose_mcs, choose_mcs_for
from simulator.phy.mcs import select_mcs

ON_SYMBOLS = (
    "rayleigh-fast:pa=rapp:iq_db=0.5:adc_bits=6",
    "awgn:papr_db=3",
    "rician:pa=saleh:adc_bits=4",
)
IN_TIME = (
    "awgn:waveform=ofdm:papr_db=4:pa=rapp:backoff_db=3:adc_bits=6",
    "rayleigh:waveform=ofdm:pa=saleh",
    "tdl-c:phase_noise_hz=10:csi=lmmse:adc_bits=5:pa=saleh:backoff_db=8",
    "tdl-a:speed_kmh=0:cfo=0.01:iq_deg=3",
    "tdl-d:papr_db=5:csi=ls",
)
SPREAD = (
    "awgn:constellation=64:papr_db=3",
    "tdl-d:papr_db=5:csi=ls:constellation=256",
    "rayleigh-fast:spread=dft",
    "mimo:fading=fast:constellation=16",
)
SLOT = {"awgn": 14 * 288, "rayleigh": 14 * 288}


def _gaussian(count: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(count, dtype=torch.complex64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spec", [*ON_SYMBOLS, *IN_TIME])
def test_prefixes_are_the_same_to_the_last_bit(spec: str) -> None:
    """Symbol by symbol, or of a waveform slot by slot: symbols of one OFDM symbol are distorted together."""
    channel = load_channel(spec)
    slot = SLOT.get(spec.partition(":")[0], ResourceGrid(288, 30e3, "dmrs").data_per_slot)
    symbols = _gaussian(12 * slot)
    whole = channel.realise(len(symbols), 8.0, 77)
    everything = channel.send(symbols, whole)
    for count in (slot, 9 * slot) if spec in IN_TIME else (1, 250, 8193):
        part = channel.realise(count, 8.0, 77)
        assert torch.equal(part.gain, whole.gain[:count])
        for received in (channel.send(symbols[:count], part), channel.send(symbols[:count], whole)):
            assert torch.equal(received.symbols, everything.symbols[:count])
            assert torch.equal(received.gain, everything.gain[:count])
            assert torch.equal(received.noise_variance, everything.noise_variance[:count])


@pytest.mark.parametrize("spec", SPREAD)
def test_spread_symbols_meet_the_gains_and_noise_of_any_others(spec: str) -> None:
    """All symbols of a transmission take part in every sum, so that the law of prefixes holds for what is drawn."""
    channel = load_channel(spec)
    plain = load_channel(channel.draws_as)
    for count in (1, 250, 8193):
        draws, others = channel.realise(count, 8.0, 77), plain.realise(count, 8.0, 77)
        assert torch.equal(draws.gain, others.gain)
        assert torch.equal(draws.gain, channel.realise(9000, 8.0, 77).gain[:count])
        received = channel.send(_gaussian(count), draws)
        assert torch.equal(received.gain, torch.ones(count, dtype=torch.complex64))
        assert len(received.noise_variance.unique()) == 1


@pytest.mark.parametrize("spec", [*ON_SYMBOLS, *IN_TIME, *SPREAD])
def test_a_key_is_all_that_a_draw_depends_on(spec: str) -> None:
    channel, symbols = load_channel(spec), _gaussian(500)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = channel.send(symbols, channel.realise(500, 5.0, 9))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.symbols, channel.send(symbols, channel.realise(500, 5.0, 10)).symbols)
    torch.manual_seed(99)
    fresh = load_channel(spec)
    second = fresh.send(symbols, fresh.realise(500, 5.0, 9))
    assert torch.equal(first.symbols, second.symbols)
    assert torch.equal(first.gain, second.gain)
    nothing = fresh.send(symbols[:0], fresh.realise(0, 5.0, 9))
    assert len(nothing.symbols) == nothing.overhead == 0


@pytest.mark.parametrize("spec", [*ON_SYMBOLS, *IN_TIME, *SPREAD])
def test_receivers_are_told_the_noise_that_is_there(spec: str) -> None:
    channel, count, draws = load_channel(spec), 11_232, 24
    around = told = 0.0
    for key in range(draws):
        symbols = _gaussian(count, key)
        received = channel.send(symbols, channel.realise(count, 20.0, key))
        around += float((received.symbols - received.gain * symbols).abs().square().mean()) / draws
        told += float(received.noise_variance.mean()) / draws
    # A Wiener phase seen 24 times is not seen often.
    assert around == pytest.approx(told, rel=0.25 if "phase_noise" in spec else 0.04)
    assert told > 0.01


@pytest.mark.parametrize(
    ("spec", "plain"), [("rayleigh-fast:pa=rapp:backoff_db=20", "rayleigh-fast"), ("tdl-c:papr_db=12", "tdl-c")]
)
def test_schemes_meet_the_same_gains_and_noise_with_and_without_a_radio(spec: str, plain: str) -> None:
    symbols = _gaussian(2000)
    sent = [(one, one.realise(2000, 10.0, 5)) for one in (load_channel(spec), load_channel(plain))]
    assert torch.equal(sent[0][1].gain, sent[1][1].gain)
    one, other = (channel.send(symbols, realisation).symbols for channel, realisation in sent)
    assert float((one - other).abs().square().mean()) < 2e-3  # hardly any distortion, and the same noise
    assert sent[0][0].draws_as == plain


@pytest.mark.parametrize("spec", ["awgn:constellation=16", "awgn:pa=rapp"])
def test_symbols_may_be_a_view_of_others(spec: str) -> None:
    channel, symbols = load_channel(spec), _gaussian(200)[::2].conj()
    realisation = channel.realise(100, 10.0, 1)
    assert torch.equal(
        channel.send(symbols, realisation).symbols, channel.send(symbols.clone().resolve_conj(), realisation).symbols
    )


def test_names_are_canonical_and_defaults_are_the_plain_channel() -> None:
    assert load_channel("awgn:adc_bits=6:constellation=64").name == "awgn:constellation=64:adc_bits=6"
    assert load_channel("tdl-c:pa=rapp:speed_kmh=60:backoff_db=6").name == "tdl-c:speed_kmh=60:pa=rapp"
    assert load_channel("awgn:spread=dft:constellation=64").name == "awgn:constellation=64"
    for spec in ("awgn:constellation=none", "awgn:iq_db=0:waveform=none", "awgn:spread=none"):
        assert load_channel(spec).name == "awgn"
        assert type(load_channel(spec)) is type(load_channel("awgn"))
    misjudged = load_channel("awgn:assumed_db=10:constellation=64")
    assert misjudged.name == "awgn:assumed_db=10:constellation=64"
    assert misjudged.announce(3.0) == ("awgn:constellation=64", 10.0)
    assert misjudged.draws_as == "awgn"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("awgn:constellation=48", "constellation=48 is not allowed; give constellation as none or 4 or 16 or 64"),
        ("awgn:pa=rapp:backoff_db=-3", "backoff_db=-3 is not allowed; give backoff_db as a number from 0 to 40"),
        ("awgn:backoff_db=3", "backoff_db needs an amplifier; add pa=rapp"),
        ("awgn:phase_noise_hz=10", "channel 'awgn' has no pilots to follow phase_noise_hz or cfo with"),
        ("rayleigh:waveform=ofdm:cfo=0.01", "channel 'rayleigh' has no pilots"),
        ("tdl-c:cfo=0.2", "cfo=0.2 is not allowed"),
        ("awgn:adc_bits=2.5", "adc_bits=2.5 is not allowed; give adc_bits as a whole number from 1 to 16"),
        ("awgn:pa=class-a", "pa=class-a is not allowed; give pa as none or rapp or saleh"),
        ("awgn:papr_db=4:papr_db=5", "'papr_db' is given twice"),
    ],
)
def test_bad_input_is_one_line(spec: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_channel(spec)
    assert "\n" not in str(caught.value)
    assert main(["bench", "channels", "--channel", spec]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_link_adaptation_keeps_to_the_constellation_and_pays_for_distortion() -> None:
    assert choose_mcs("awgn:constellation=16", 25.0, 20_000).bits_per_symbol == 4
    for snr_db in (0.0, 5.0, 10.0):
        assert choose_mcs("awgn:constellation=16", snr_db, 20_000) == choose_mcs("awgn", snr_db, 20_000)
    assert choose_mcs("awgn:constellation=4096", 25.0, 20_000) == choose_mcs("awgn", 25.0, 20_000)
    plain, bent = (choose_mcs(name, 20.0, 20_000) for name in ("awgn", "awgn:waveform=ofdm:pa=rapp:backoff_db=1"))
    assert bent.spectral_efficiency < plain.spectral_efficiency
    channel = load_channel("awgn:waveform=ofdm:pa=rapp:backoff_db=1")
    realisation = channel.realise(20_000, 20.0, 3)
    snr = float(realisation.snr.mean())
    received = channel.send(_gaussian(20_000), realisation)
    measured = float(received.gain.abs().square().mean() / received.noise_variance.mean())
    assert snr == pytest.approx(measured, rel=0.01)
    assert bent.spectral_efficiency <= select_mcs(10 * math.log10(snr)).spectral_efficiency
    assert choose_mcs_for(channel.name, 20.0, 20_000, realisation.without_noise()).spectral_efficiency > 0


@pytest.mark.parametrize(
    "spec",
    [
        "rayleigh-fast:waveform=ofdm:adc_bits=3",
        "mimo:fading=fast:waveform=ofdm:adc_bits=3",
        "tdl-c:phase_noise_hz=10:adc_bits=5:pa=saleh:backoff_db=8",
    ],
)
def test_what_is_expected_of_each_channel_use_is_what_the_receiver_is_told(spec: str) -> None:
    """A gain control over a slot quantises weak subcarriers more coarsely, also where the last slot is half empty."""
    channel = load_channel(spec)
    realisation = channel.realise(6000, 20.0, 3)
    received = channel.send(_gaussian(6000), realisation)
    told = received.gain.abs().double().square() / received.noise_variance
    ratio_db = 10 * torch.log10(realisation.snr / told)
    assert float(ratio_db.abs().mean()) < 0.25
    assert realisation.capacity_bits == pytest.approx(
        float(torch.log2(1 + told).sum()), rel=0.015
    )  # a draw of the power in a slot
    survey = capabilities(channel).distortion
    slot = channel.realise(4032, 20.0, 3)
    assert float((survey(slot.link.snr[None])[0] / slot.snr).log10().abs().mean()) < 0.06


def test_bounds_pay_for_distortion_and_constellation() -> None:
    free, grid, bent = (
        load_channel(f"awgn{options}").realise(1000, 30.0, 1).capacity_bits
        for options in ("", ":constellation=16", ":adc_bits=3")
    )
    assert free == pytest.approx(1000 * math.log2(1001))
    assert grid == pytest.approx(4000)
    assert bent < free
    # Where a symbol is a sample, a clipped 4-QAM loses nothing: only the quantiser's levels limit what crosses.
    coarse, clipped = (load_channel(f"awgn:{one}").realise(1000, 20.0, 1) for one in ("adc_bits=1", "papr_db=0"))
    assert coarse.capacity_bits == pytest.approx(2000)
    assert clipped.capacity_bits == pytest.approx(1000 * math.log2(101))
    told = load_channel("tdl-c:pa=rapp").realise(100, 10.0, 1).without_noise()
    assert told.noise_key == told.link.noise_key == 0


@pytest.mark.usefixtures("toys")
def test_receptions_do_not_keep_what_the_channel_measured(tmp_path) -> None:
    image = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    trip = transmit(
        load_scheme("toy"), image, Fraction(1, 16), load_channel("awgn:waveform=ofdm:constellation=256"), 10.0
    )
    assert trip.reception is not None
    assert set(trip.measured[0]) == {"evm_percent", "papr_db", "out_of_band_db"}
    assert not trip.reception.received[0].measured
    trip.reception.save(tmp_path / "one.safetensors")
    again = Reception.load(tmp_path / "one.safetensors")
    assert torch.equal(again.received[0].symbols, trip.reception.received[0].symbols)
    assert again.state == LinkState("awgn:constellation=256:waveform=ofdm", 10.0)


def test_a_digital_scheme_on_its_own_grid_decodes_the_same_pixels() -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    image = torch.nn.functional.interpolate(image[..., :8, :8], (64, 64), mode="bilinear")
    scheme = load_scheme("bpg-ldpc:16qam-1/2")
    one, other = (
        transmit(scheme, image, Fraction(1, 4), load_channel(channel), 12.0)
        for channel in ("awgn", "awgn:constellation=64")
    )
    assert not one.decoded.outage[0]
    assert torch.equal(one.decoded.images, other.decoded.images)
    assert torch.equal(one.reception.received[0].symbols, other.reception.received[0].symbols)


@pytest.mark.usefixtures("toys", "without_figures")
def test_rows_report_what_the_channel_measured(photographs, tmp_path, capsys) -> None:
    arguments = [
        "--channel",
        "awgn,awgn:waveform=ofdm:pa=rapp:backoff_db=3",
        "--snr",
        "5",
        "--scheme",
        "toy",
        "--lpips",
        "none",
    ]
    assert (
        main(["sweep", *arguments, "--images", str(photographs), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    )
    capsys.readouterr()
    assert main(["show", str(tmp_path / "out"), "--rows", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    columns = {"evm_percent", "papr_db", "out_of_band_db", "amplifier_db"}
    for row in rows:
        assert (columns <= set(row)) == (row["channel"] != "awgn")
    bent = [row for row in rows if row["channel"] != "awgn"]
    assert all(5 < row["evm_percent"] < 80 and 6 < row["papr_db"] < 16 for row in bent)
    assert all(-40 < row["out_of_band_db"] < -10 and -6 < row["amplifier_db"] < -3 for row in bent)
