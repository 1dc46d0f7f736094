"""The digital chain, with BPG: what it bills, what it loses, and that its decoder gets the reception alone."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.baselines import bpg
from simulator.baselines.bpg.source import BpgCodec
from simulator.baselines.separation import bpg_ldpc
from simulator.channels import Received, load_channel
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import LinkState, Reception, channel_uses, load_scheme, outage_image, transmit
from simulator.metrics import measure
from simulator.phy.ldpc import LayeredDecoder, SionnaDecoder
from simulator.phy.mcs import MCS_TABLE, select_mcs
from simulator.phy.transport import smallest_format, transport_format
from simulator.separation import LINK_OPTIONS, DigitalChain, frame

CBR = Fraction(1, 8)
AWGN = load_channel("awgn")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """float32 [2, 3, 96, 96], natural."""
    return torch.stack([image.pixels for image in load_image_set("samples", crop=96)[:2]])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """One cache of encodes for this module, not the user's."""
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "bpg-ldpc-cache"))


def test_a_good_channel_brings_the_file_through(images: torch.Tensor) -> None:
    trip = transmit(bpg_ldpc(), images, CBR, AWGN, 12.0)
    assert trip.decoded.outage == [False, False]
    for image, shown, ledger in zip(images, trip.decoded.images, trip.ledgers, strict=True):
        assert measure(image, shown).psnr_db > 24
        assert ledger.total == channel_uses(CBR, (96, 96))
        assert min(ledger.payload, ledger.header, ledger.crc) > 0
        assert ledger.payload > 0.8 * ledger.total


@pytest.mark.parametrize("channel", ["awgn", "rayleigh", "rayleigh-fast"])
def test_gains_are_undone(images: torch.Tensor, channel: str) -> None:
    trip = transmit(bpg_ldpc("4qam-1/3"), images, CBR, load_channel(channel), 25.0)
    assert trip.decoded.outage == [False, False]


def test_adaptation_beats_a_fixed_mcs_away_from_its_cliff(images: torch.Tensor) -> None:
    def quality(scheme: DigitalChain, snr_db: float) -> float:
        trip = transmit(scheme, images, CBR, AWGN, snr_db)
        return sum(measure(*pair).psnr_db for pair in zip(images, trip.decoded.images, strict=True)) / 2

    fixed = bpg_ldpc("16qam-1/2")
    assert quality(fixed, 8.0) == quality(fixed, 20.0)
    assert quality(bpg_ldpc(), 20.0) > quality(fixed, 20.0) + 2
    assert quality(bpg_ldpc(), 3.0) > quality(fixed, 3.0) + 5


def test_below_the_cliff_the_receiver_shows_grey(images: torch.Tensor) -> None:
    trip = transmit(bpg_ldpc("16qam-1/2"), images, CBR, AWGN, 3.0)
    assert trip.decoded.outage == [True, True]
    assert torch.equal(trip.decoded.images[0], outage_image((96, 96)))
    assert trip.ledgers[0].payload > 0


def test_a_file_that_does_not_fit_is_an_outage_that_is_billed(images: torch.Tensor) -> None:
    trip = transmit(bpg_ldpc("4qam-1/3"), images, Fraction(1, 100), AWGN, 20.0)
    assert trip.decoded.outage == [True, True]
    assert trip.ledgers[0].total == channel_uses(Fraction(1, 100), (96, 96))
    assert trip.ledgers[0].payload == 0


def test_a_budget_below_any_transport_block_sends_nothing(images: torch.Tensor) -> None:
    trip = transmit(bpg_ldpc("4qam-1/5"), images, Fraction(1, 2000), AWGN, 20.0)
    assert trip.decoded.outage == [True, True]
    assert [ledger.total for ledger in trip.ledgers] == [0, 0]


def test_a_batch_changes_nothing(images: torch.Tensor) -> None:
    scheme = bpg_ldpc("16qam-2/3")
    together = transmit(scheme, images, CBR, AWGN, 9.5)
    for index in (1, 0):
        alone = transmit(scheme, images[index : index + 1], CBR, AWGN, 9.5)
        assert torch.equal(alone.transmission.symbols[0], together.transmission.symbols[index])
        assert torch.equal(alone.decoded.images[0], together.decoded.images[index])
        assert alone.ledgers[0] == together.ledgers[index]


def test_images_of_one_reception_may_differ_in_length(images: torch.Tensor) -> None:
    scheme = bpg_ldpc("4qam-1/2")
    trips = [transmit(scheme, images[i : i + 1], cbr, AWGN, 20.0) for i, cbr in enumerate((CBR, CBR / 2))]
    both = Reception([trip.reception.received[0] for trip in trips], (96, 96), LinkState("awgn", 20.0))
    decoded = scheme.decode(both)
    for index, trip in enumerate(trips):
        assert torch.equal(decoded.images[index], trip.decoded.images[0])


def _decode(spec: str, reception: Path) -> tuple[np.ndarray, list[bool]]:
    decoded = load_scheme(spec).decode(Reception.load(reception))
    return decoded.images.numpy(), decoded.outage


def test_a_fresh_process_decodes_the_reception_alone(images: torch.Tensor, tmp_path: Path, elsewhere) -> None:
    sent = {
        "bpg-ldpc:16qam-1/2:chroma=420": "rayleigh-fast",
        "bpg-ldpc:adaptation=genie": "rayleigh",
        "bpg-ldpc": "tdl-c",
    }
    for spec, name in sent.items():
        trip = transmit(load_scheme(spec), images, CBR, load_channel(name), 22.0)
        trip.reception.save(tmp_path / "reception.safetensors")
        shown, outage = elsewhere(_decode, spec, tmp_path / "reception.safetensors")
        assert np.array_equal(shown, trip.decoded.images.numpy())
        assert outage == trip.decoded.outage == [False, False]


def test_the_decoder_is_an_option() -> None:
    # That both decoders agree is held where they live; Sionna's takes about a minute for one image.
    assert isinstance(bpg_ldpc()._decoder, LayeredDecoder)
    decoder = bpg_ldpc("decoder=sionna")._decoder
    assert isinstance(decoder, SionnaDecoder)
    assert f"Sionna's {decoder.schedule} one" in LINK_OPTIONS["decoder"].help


@settings(max_examples=60, deadline=None)
@given(st.integers(40, 120_000), st.sampled_from(MCS_TABLE), st.data())
def test_framing_round_trip(num_symbols: int, mcs, data: st.DataObject) -> None:
    form = transport_format(max(num_symbols, smallest_format(4, mcs).num_symbols), mcs)
    room = form.payload_bytes - frame.header_bytes(form)
    file = b"\x01" * data.draw(st.integers(0, room))
    payload = frame.frame(file, form)
    assert len(payload) == form.payload_bytes
    assert frame.unframe(payload, form) == file
    ledger = frame.bill(file, form)
    assert ledger.total == form.num_symbols
    assert abs(ledger.payload - 8 * len(file) * form.num_symbols / (form.payload_bits + form.crc_bits)) < 1


def test_power_is_limited_not_boosted() -> None:
    loud, quiet = torch.full((50,), 1.1 + 0j), torch.full((50,), 0.9j)
    assert float(frame.limit_power(loud).abs().square().mean()) == pytest.approx(1, abs=1e-6)
    assert torch.equal(frame.limit_power(quiet), quiet)


@pytest.mark.parametrize("file", [b"no BPG file", bpg.encode(np.zeros((8, 8, 3), np.uint8), 51)])
def test_a_crc_that_holds_by_accident_is_an_outage(images: torch.Tensor, monkeypatch, file: bytes) -> None:
    monkeypatch.setattr(BpgCodec, "encode", lambda self, rgb, max_bytes: file)
    assert transmit(bpg_ldpc("4qam-1/2"), images, CBR, AWGN, 20.0).decoded.outage == [True, True]


def test_adaptation_expects_fading(images: torch.Tensor) -> None:
    """Over block fading 1 image in 10 is lost, over fast fading none; thresholds for AWGN would lose most."""
    for name, lost, spread in (("rayleigh", 0.1, 4.0), ("rayleigh-fast", 0.0, 0.0)):
        channel, draws = load_channel(name), 40
        outages = sum(
            sum(transmit(bpg_ldpc(), images, CBR, channel, 18.0, realisation).decoded.outage)
            for realisation in range(draws)
        )
        expected = lost * 2 * draws
        assert abs(outages - expected) <= spread * (expected * (1 - lost)) ** 0.5


def test_a_genie_loses_almost_nothing_and_sends_more(images: torch.Tensor) -> None:
    channel, draws = load_channel("rayleigh"), 15
    lost = {"average": 0, "genie": 0}
    carried = {"average": 0.0, "genie": 0.0}
    for adaptation in lost:
        for realisation in range(draws):
            trip = transmit(bpg_ldpc(f"adaptation={adaptation}"), images, CBR, channel, 18.0, realisation)
            lost[adaptation] += sum(trip.decoded.outage)
            carried[adaptation] += sum(measure(*pair).psnr_db for pair in zip(images, trip.decoded.images, strict=True))
    assert lost["genie"] <= 1  # 0.7 % of the gains lie below the lowest rate's threshold
    assert carried["genie"] > carried["average"] + 2 * draws  # 1 dB each
    assert transmit(bpg_ldpc("adaptation=genie"), images, CBR, AWGN, 9.0).transmission.control == (14, 14)


def test_a_genie_takes_no_fixed_mcs() -> None:
    with pytest.raises(UserError, match="leave out '4qam-1/2'"):
        bpg_ldpc("4qam-1/2", "adaptation=genie")


def test_noise_alone_is_an_outage() -> None:
    torch.manual_seed(1)
    noise, gain = torch.randn(3000, dtype=torch.complex64), torch.zeros(3000, dtype=torch.complex64)
    received = Received(noise, gain, torch.ones(3000))
    reception = Reception([received], (96, 96), LinkState("awgn", 10.0))
    assert bpg_ldpc().decode(reception).outage == [True]


def test_names_are_canonical_and_fingerprints_tell_configurations_apart() -> None:
    assert bpg_ldpc().name == bpg_ldpc("adaptive", "chroma=444").name == "bpg-ldpc"
    assert bpg_ldpc("chroma=420", "16qam-1/2").name == "bpg-ldpc:16qam-1/2:chroma=420"
    assert bpg_ldpc().fingerprint() == bpg_ldpc().fingerprint()
    assert bpg_ldpc().fingerprint() != bpg_ldpc("decoder=sionna").fingerprint()


def test_unknown_mcs_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"no option '16qam-9/10'; known: .*4qam-1/5, .*16qam-1/2") as refusal:
        bpg_ldpc("16qam-9/10")
    assert "\n" not in str(refusal.value)
    for options in (["16qam-1/2", "4qam-1/2"], ["chroma=422"], ["=x"], [""]):
        with pytest.raises(UserError):
            bpg_ldpc(*options)


def test_the_best_mcs_for_the_snr_is_taken(images: torch.Tensor) -> None:
    budget = channel_uses(CBR, (96, 96))
    for snr_db in (0.0, 7.5, 15.0):
        mcs = select_mcs(snr_db, budget)
        adaptive, fixed = (
            scheme.encode(images, budget, LinkState("awgn", snr_db)) for scheme in (bpg_ldpc(), bpg_ldpc(mcs.name))
        )
        assert torch.equal(adaptive.symbols[0], fixed.symbols[0])
