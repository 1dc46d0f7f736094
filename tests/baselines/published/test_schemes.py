"""The published schemes on our air: the link's contract, the bill, what one process sends and another decodes."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.baselines.published import frame
from simulator.baselines.published.mask import decode_mask, encode_mask, mask_bytes
from simulator.baselines.published.ntscc import Latent
from simulator.channels import Received, load_channel
from simulator.errors import UserError
from simulator.link import LinkState, Reception, channel_uses, load_scheme, transmit
from tests.baselines.published.conftest import NETWORKS

SPECS = {name: f"{system}:weights={name}" for name, (system, _, _) in NETWORKS.items()}
CBR = {"ntscc-side": Fraction(1, 2), "base": Fraction(1, 8), "sa": Fraction(1, 8), "witt": Fraction(1, 8)}


def photographs(count: int, height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.rand(count, 3, height // 8 + 2, width // 8 + 2, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(("channel", "size"), [("awgn", (64, 64)), ("rayleigh-fast", (67, 50)), ("tdl-c", (40, 70))])
def test_link_contract(library, name, channel, size):
    """Power and bill are the link's own audit; here: what is paid for, batches, and other sizes than the network's."""
    scheme, images, cbr = load_scheme(SPECS[name]), photographs(2, *size), CBR.get(name, Fraction(1, 8))
    assert scheme.supports(cbr) is None
    trip = transmit(scheme, images, cbr, load_channel(channel), 12.0)
    assert trip.decoded.images.shape == images.shape
    assert trip.decoded.images.min() >= 0
    assert trip.decoded.images.max() <= 1
    for ledger in trip.ledgers:
        assert 0 < ledger.data <= channel_uses(cbr, size)
        assert ledger.payload > 0
        assert (ledger.side_information == 0) == (name in ("adjscc", "pdjscc"))
    alone = transmit(scheme, images[1:], cbr, load_channel(channel), 12.0)
    assert torch.equal(alone.decoded.images[0], trip.decoded.images[1])
    assert alone.ledgers[0] == trip.ledgers[1]


def _decoded(library, name, path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIMULATOR_DATA_DIR", str(library))
        return load_scheme(SPECS[name]).decode(Reception.load(path)).images.numpy()


def test_another_process_decodes_the_same_pixels(library, tmp_path, elsewhere):
    shown = {}
    for name, spec in SPECS.items():
        cbr = CBR.get(name, Fraction(1, 8))
        trip = transmit(load_scheme(spec), photographs(1, 70, 66), cbr, load_channel("rayleigh-fast"), 9.0)
        assert trip.reception is not None
        assert not any(trip.decoded.outage)
        trip.reception.save(tmp_path / f"{name}.safetensors")
        shown[name] = trip.decoded.images
    for name, images in shown.items():
        assert np.array_equal(elsewhere(_decoded, library, name, tmp_path / f"{name}.safetensors"), images), name


@pytest.mark.parametrize("name", ["sa-ra", "witt", "ntscc", "adjscc"])
def test_without_noise_the_receiver_shows_what_the_network_alone_would(library, name):
    """Head, mask, map, pairing, scale and order all have to be right for this."""
    scheme, images = load_scheme(SPECS[name]), photographs(1, 64, 64)
    transmitted = scheme.encode(images, 6000, LinkState("awgn", 20.0))
    symbols = transmitted.symbols[0]
    received = Received(symbols, torch.ones_like(symbols), torch.full(symbols.shape, 1e-2))
    decoded = scheme.decode(Reception([received], (64, 64), LinkState("awgn", 20.0))).images
    snr_db, net = torch.tensor([20.0]), scheme.net
    with torch.no_grad():
        if name == "ntscc":
            latent = net.analyse(images)
            index = net.index(0.2 * net.wanted(latent))
            expected = net.decode(net.encode(latent, index)[0], index)
        elif name == "adjscc":
            feature = net.Encoder(images, snr_db)
            expected = net.Decoder(feature / (2 * feature.square().mean()).sqrt(), snr_db)
        else:
            expected = net.decoder(net.encoder(images, snr_db, 32).feature, snr_db)
    assert torch.allclose(decoded, expected.clamp(0, 1), atol=1e-4)


def test_rate_follows_the_budget_and_options(library):
    scheme = load_scheme(SPECS["sa-ra"])
    image = photographs(1, 64, 64)
    payloads = [
        transmit(scheme, image, Fraction(n, 96), load_channel("awgn"), 10.0).ledgers[0].payload for n in (6, 12, 24)
    ]
    assert payloads[0] < payloads[1] < payloads[2]
    asked = load_scheme(f"{SPECS['sa-ra']}:rate=4")
    assert transmit(asked, image, Fraction(1, 4), load_channel("awgn"), 10.0).ledgers[0].payload == 256 * 4 // 2
    assert "4" in asked.supports(Fraction(1, 96))
    with pytest.raises(UserError, match="from 1 to 32"):
        load_scheme(f"{SPECS['ra']}:rate=33")
    with pytest.raises(UserError, match="fixed at 12"):
        load_scheme(f"{SPECS['base']}:rate=4")


def test_eta_sets_ntsccs_bill_until_the_budget_does(library):
    image = photographs(1, 64, 64)

    def total(eta: float, cbr: Fraction) -> int:
        return transmit(
            load_scheme(f"{SPECS['ntscc']}:eta={eta}"), image, cbr, load_channel("awgn"), 10.0
        ).ledgers[0].total  # fmt: skip

    assert total(0.05, Fraction(1, 4)) < total(1, Fraction(1, 4)) < channel_uses(Fraction(1, 4), (64, 64))
    assert total(1, Fraction(1, 80)) <= channel_uses(Fraction(1, 80), (64, 64))


@pytest.mark.parametrize("far", [3000, 10**6])
def test_z_far_from_its_median_is_cut_and_arrives(library, monkeypatch, far):
    scheme, image = load_scheme(SPECS["ntscc-side"]), photographs(1, 64, 64)
    analyse = scheme.net.analyse

    def analyse_oddly(images: torch.Tensor) -> Latent:
        latent = analyse(images)
        latent.z_hat[0, 0, 0, 0] += far
        latent.z_hat[0, 1, 0, 0] -= far
        return latent

    monkeypatch.setattr(scheme.net, "analyse", analyse_oddly)
    assert transmit(scheme, image, Fraction(1, 2), load_channel("awgn"), 15.0).decoded.outage == [False]


def test_lost_side_information_is_an_outage(library):
    trip = transmit(load_scheme(SPECS["sa-ra"]), photographs(1, 64, 64), Fraction(1, 8), load_channel("awgn"), -12.0)
    assert trip.decoded.outage == [True]


def test_networks_are_told_the_snr_that_was_met(library):
    scheme = load_scheme(SPECS["witt"])
    faded = Received(torch.ones(4) + 0j, torch.full((4,), 0.1) + 0j, torch.full((4,), 0.1))
    assert float(scheme.told(faded, LinkState("rayleigh", 10.0))) == frame.TOLD_SNR_DB[0]
    assert float(scheme.told(None, LinkState("rayleigh", 10.0))) == 10
    assert float(load_scheme(f"{SPECS['witt']}:snr=7").told(faded, LinkState("rayleigh", 10.0))) == 7


@pytest.mark.parametrize("name", ["sa-ra", "ntscc", "adjscc"])
def test_bfloat16_shows_nearly_the_same(library, name):
    images = photographs(1, 64, 64)
    exact, rounded = (
        transmit(load_scheme(SPECS[name]).compute_in(precision), images, Fraction(1, 8), load_channel("awgn"), 10.0)
        for precision in ("fp32", "bf16")
    )
    difference = (exact.decoded.images - rounded.decoded.images).abs()
    assert 0 < float(difference.mean()) < 0.02
    assert rounded.decoded.outage == [False]


def test_fingerprint_tells_weights_modes_and_told_snr_apart(library):
    prints = {load_scheme(SPECS[name]).fingerprint() for name in NETWORKS}
    assert len(prints) == len(NETWORKS) - 1  # `witt` is the network `sa` of SwinJSCC, weights and all
    assert load_scheme(f"{SPECS['ra']}:ties=index").name != load_scheme(f"{SPECS['ra']}:ties=legacy").name


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("swinjscc", "needs weights=NAME"),
        ("swinjscc:weights=nobody", "imported for swinjscc: base"),
        ("swinjscc:weights=ntscc", "of 'ntscc'"),
        ("ntscc:weights=ntscc:rate=3", "no option 'rate=3'"),
        ("swinjscc:weights=ra:ties=random", "legacy or index"),
    ],
)
def test_bad_options_are_explained(library, spec, match):
    with pytest.raises(UserError, match=match):
        load_scheme(spec)


def test_saturation_near_the_cut_warns(library):
    scheme = load_scheme(f"{SPECS['ra']}:rate=8")
    net = scheme.net
    net.encoder.sm_list[7].weight.zero_()
    net.encoder.sm_list[7].bias.copy_(torch.cat([torch.full((6,), 60.0), torch.full((26,), 13.0)]))
    with pytest.warns(UserWarning, match="other arithmetic"):
        scheme.encode(photographs(1, 64, 64), 2000, LinkState("awgn", 10.0))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 320), st.data())
def test_mask_survives_its_code(channels, data):
    rate = data.draw(st.integers(1, channels))
    kept = np.zeros(channels, dtype=bool)
    kept[np.random.default_rng(data.draw(st.integers(0, 99))).permutation(channels)[:rate]] = True
    code = encode_mask(kept)
    assert len(code) == mask_bytes(channels, rate)
    assert np.array_equal(decode_mask(code, channels, rate), kept)


def test_published_masks_cost_what_they_must():
    bits = [8 * mask_bytes(320, rate) for rate in (32, 64, 96, 128, 192)]
    assert all(0 <= ours - least < 8 for ours, least in zip(bits, (146, 227, 278, 306, 306), strict=True))
    assert decode_mask(b"\xff" * mask_bytes(320, 32), 320, 32) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(0, 500), st.integers(0, 9))
def test_symbols_that_only_padding_made_stay_at_home_first(count, room, seed):
    worth = (np.random.default_rng(seed).random((count, 2)) > 0.4).astype(float)
    sent = frame.kept_symbols(worth, room)
    assert len(sent) == min(count, room)
    assert (np.diff(sent) > 0).all()
    left = np.setdiff1d(np.arange(count), sent)
    if len(left) and len(sent):
        assert (worth[left] > 0).sum(1).max() <= (worth[sent] > 0).sum(1).min()


def test_equalisation_changes_nothing_where_the_gain_is_one():
    symbols = torch.randn(50, dtype=torch.complex64)
    noise = torch.full((50,), 0.2)
    assert torch.allclose(frame.equalise(Received(symbols, torch.ones_like(symbols), noise), slice(0, 50)), symbols)
    gain = torch.randn(50, dtype=torch.complex64)
    exact = frame.equalise(Received(gain * symbols, gain, torch.full((50,), 1e-9)), slice(0, 50))
    assert torch.allclose(exact, symbols, rtol=1e-3, atol=1e-4)
