"""What holds for every channel: prefix, keys, generators, power, noise, options."""

import math

import pytest
import torch

from simulator.channels import Channel, load_channel
from simulator.errors import UserError
from simulator.spec.plugins import plugin_names

# Streams of one use of `mimo` interfere: tests/channels/test_mimo.py holds it to the laws by whole uses.
CHANNELS = [name for name in plugin_names("simulator.channels") if name != "mimo"]
OFDM = tuple(name for name in CHANNELS if name.startswith(("tdl", "cdl")) or name in ("umi", "uma", "rma"))
PERFECT = (*CHANNELS, "tdl-d:speed_kmh=120:pilots=kronecker:subcarriers=24")
ESTIMATED = ("tdl-c:csi=ls:subcarriers=600", "cdl-c:subcarriers=96:csi=lmmse", "uma:subcarriers=96:csi=lmmse")
SPECS = (*PERFECT, *ESTIMATED)


@pytest.fixture(scope="module")
def loaded() -> dict[str, Channel]:
    """Channels by specification; what Sionna precomputes is computed once."""
    return {spec: load_channel(spec) for spec in SPECS}


def _symbols(count: int, seed: int = 1) -> torch.Tensor:
    """Unit-power QPSK, complex64 [count]."""
    bits = torch.randint(0, 2, (count, 2), generator=torch.Generator().manual_seed(seed))
    return torch.view_as_complex((2.0 * bits - 1) / math.sqrt(2))


@pytest.mark.parametrize("spec", SPECS)
def test_draws_do_not_depend_on_how_many_are_made(loaded: dict[str, Channel], spec: str) -> None:
    channel, symbols = loaded[spec], _symbols(33_000)
    whole = channel.realise(33_000, 8.0, 77)
    everything = channel.send(symbols, whole)
    for count in (1, 250, 3744, 3745, 30_100):
        part = channel.realise(count, 8.0, 77)
        assert torch.equal(part.gain, whole.gain[:count])
        received = channel.send(symbols[:count], part)
        assert torch.equal(received.symbols, everything.symbols[:count])
        assert torch.equal(received.gain, everything.gain[:count])
        assert torch.equal(received.noise_variance, everything.noise_variance[:count])
        again = channel.send(symbols[:count], whole)
        assert torch.equal(received.symbols, again.symbols)
        assert received.overhead == again.overhead


@pytest.mark.parametrize("spec", SPECS)
def test_a_key_is_all_that_a_draw_depends_on(loaded: dict[str, Channel], spec: str) -> None:
    from sionna.phy import config

    channel, symbols = loaded[spec], _symbols(500)
    torch.manual_seed(4)
    before = torch.get_rng_state()
    first = channel.send(symbols, channel.realise(500, 5.0, 9))
    assert torch.equal(torch.get_rng_state(), before)
    other = channel.send(symbols, channel.realise(500, 5.0, 10))
    assert not torch.isclose(first.symbols, other.symbols).any()
    torch.manual_seed(99)
    config.seed = 123
    for fresh in (channel, load_channel(spec)):
        second = fresh.send(symbols, fresh.realise(500, 5.0, 9))
        assert torch.equal(first.symbols, second.symbols)
        assert torch.equal(first.gain, second.gain)


@pytest.mark.parametrize("spec", SPECS)
def test_nothing_sent_is_nothing_received(loaded: dict[str, Channel], spec: str) -> None:
    nothing = torch.zeros(0, dtype=torch.complex64)
    received = loaded[spec].send(nothing, loaded[spec].realise(0, 5.0, 9))
    assert len(received.symbols) == len(received.gain) == len(received.noise_variance) == received.overhead == 0


@pytest.mark.parametrize("spec", PERFECT)
def test_noise_and_its_variance_are_those_of_the_snr(loaded: dict[str, Channel], spec: str) -> None:
    channel, symbols = loaded[spec], _symbols(100_000)
    received = channel.send(symbols, channel.realise(100_000, 12.0, 3))
    power = float((received.symbols - received.gain * symbols).abs().double().square().mean())
    assert -10 * math.log10(power) == pytest.approx(12, abs=0.06)  # one standard deviation is 0.014 dB
    assert received.noise_variance.double().mean() == pytest.approx(10**-1.2, rel=1e-6)
    assert received.symbols.dtype == received.gain.dtype == torch.complex64
    assert received.noise_variance.dtype == torch.float32


@pytest.mark.parametrize("spec", OFDM)
def test_perfect_equalisation_without_noise_is_an_identity(loaded: dict[str, Channel], spec: str) -> None:
    channel, symbols = loaded[spec], _symbols(10_000)
    received = channel.send(symbols, channel.realise(10_000, 140.0, 5))
    assert float(((received.symbols / received.gain - symbols) * received.gain.abs().clamp(max=1)).abs().max()) < 1e-5
    strong = received.gain.abs() > 0.01  # deep fades amplify what noise is left at 140 dB
    assert float((received.symbols / received.gain - symbols)[strong].abs().max()) < 1e-4


def _draw(spec: str) -> tuple[complex, complex]:
    channel = load_channel(spec)
    realisation = channel.realise(40, 5.0, 9)
    received = channel.send(torch.ones(40, dtype=torch.complex64), realisation)
    return complex(realisation.gain[33]), complex(received.symbols[33])


def test_another_process_draws_the_same(elsewhere) -> None:
    for spec in ("rician", "tdl-c", "cdl-c", "umi", "mimo:model=cdl-c:precoding=alamouti:subcarriers=24"):
        assert elsewhere(_draw, spec) == _draw(spec), spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("tdl-f", "unknown channel 'tdl-f'; known: awgn"),
        (
            "tdl-c:delay_spread_ns=-1",
            "delay_spread_ns=-1 is not allowed; give delay_spread_ns as a number from 0 to 10000",
        ),
        ("tdl-c:subcarriers=6", "subcarriers=6 is not allowed; give subcarriers as a multiple of 12 from 12 to 3300"),
        ("tdl-c:subcarriers=0", "subcarriers=0 is not allowed"),
        ("tdl-c:subcarriers=100", "subcarriers=100 is not allowed"),
        ("tdl-c:spacing_khz=31", "spacing_khz=31 is not allowed; give spacing_khz as 30 or 15 or 60 or 120"),
        ("tdl-c:pilots=none", "pilots=none is not allowed; give pilots as dmrs or kronecker"),
        ("tdl-c:speed_kmh=fast", "speed_kmh=fast is not allowed"),
        ("tdl-c:speed_kmh=0:carrier_ghz=2", "at speed_kmh=0 no carrier frequency matters"),
        ("tdl-c:delay=3", "has no option 'delay=3'; known: delay_spread_ns="),
        ("tdl-c:csi=genie", "csi=genie is not allowed; give csi as perfect or ls or lmmse"),
        ("umi:delay_spread_ns=100", "'umi' has no option 'delay_spread_ns=100'; known: speed_kmh="),
        ("rma:carrier_ghz=60", "carrier_ghz=60 is not allowed; give carrier_ghz as a number from 0.5 to 30"),
        ("rayleigh:csi=ls", "'rayleigh' has no option 'csi=ls'; write 'rayleigh' alone"),
    ],
)
def test_bad_input_is_one_line(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load_channel(spec)
    assert "\n" not in str(caught.value)


def test_names_are_canonical() -> None:
    spellings = (
        "tdl-c:speed_kmh=60.0:delay_spread_ns=300",
        "tdl-c:delay_spread_ns=300:speed_kmh=6e1",
        "tdl-c:speed_kmh=60",
    )
    assert {load_channel(spec).name for spec in spellings} == {"tdl-c:speed_kmh=60"}
    name = load_channel("tdl-a:subcarriers=48:carrier_ghz=2.14:delay_spread_ns=30").name
    assert name == "tdl-a:delay_spread_ns=30:carrier_ghz=2.14:subcarriers=48"
    assert load_channel(name).name == name
