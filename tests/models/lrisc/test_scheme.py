"""The scheme `lrisc` with random weights of miniature size: budget, bill, receiver."""

import dataclasses
import functools
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.channels import Received, load_channel
from simulator.errors import UserError
from simulator.link import LinkState, Reception, channel_uses, load_scheme, outage_image, transmit
from simulator.models.lrisc import scheme as scheme_module
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.jscc import effective_snr_db
from simulator.models.lrisc.scheme import LriscScheme
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.pretrained import load_pretrained, release


@pytest.fixture
def weights(model: Lrisc, tmp_path: Path, monkeypatch) -> Path:
    """Folder of released weights that the scheme loads in place of its own."""
    card = {"config": {"model": asdict(model.config), "defaults": {"steps": 1, "gamma": 0.8}, "snr_db": [0, 20]}}
    release(tmp_path, "lrisc-compact", model.state_dict(), card)
    monkeypatch.setattr(
        "simulator.models.lrisc.scheme.load_pretrained", functools.partial(load_pretrained, folder=tmp_path)
    )
    return tmp_path


@pytest.fixture
def exported(model: Lrisc, tmp_path: Path):
    """Writes weights of a variant as an export does; gives their folder."""

    def write(name: str = "mine", snr_db: tuple[float, float] = (0, 20), **variant: object) -> Path:
        config = {"model": asdict(model.config), "variant": variant}
        config |= {"defaults": {"steps": 2, "gamma": 0.5}, "snr_db": snr_db}
        release(tmp_path / name, name, model.state_dict(), {"system": "lrisc", "config": config})
        return tmp_path / name

    return write


@pytest.fixture
def image(photographs) -> torch.Tensor:
    return photographs[:1] / 2 + 0.5


def pictures(height: int, width: int, count: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(height * width)
    coarse = torch.rand(count, 3, 4, 4, generator=generator)
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")


@pytest.mark.parametrize("cbr", ["1/96", "1/48", "1/16", "1/8"])
@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 96), (65, 33)])
def test_budget_is_met_exactly(weights, cbr, size):
    scheme, budget = LriscScheme(), channel_uses(Fraction(cbr), size)
    sent = scheme.encode(pictures(*size), budget, LinkState("awgn", 7.0))
    symbols, ledger = sent.symbols[0], sent.ledgers[0]
    assert len(symbols) == ledger.total == budget
    assert float(symbols.abs().square().mean()) <= 1 + 1e-5
    if ledger.payload:
        latents = symbols[symbols != 0][-ledger.payload :]
        assert float(latents.abs().square().mean()) == pytest.approx(1, abs=3e-3)


@pytest.mark.parametrize("size", [(16, 16), (37, 50), (64, 96)])
def test_any_size_comes_back(weights, size):
    trip = transmit(LriscScheme(), pictures(*size), Fraction(1, 6), load_channel("awgn"), 12.0)
    assert trip.decoded.outage == [False]
    assert trip.decoded.images.shape == (1, 3, *size)
    assert trip.decoded.images.min() >= 0
    assert trip.decoded.images.max() <= 1


def test_linear_weights_carry_the_picture(linear, tmp_path, monkeypatch, image):
    """Without training the scheme is SoftCast over principal axes: better channels, better pictures."""
    card = {"config": {"model": asdict(linear.config), "defaults": {"steps": 1, "gamma": 0.0}, "snr_db": [0, 20]}}
    release(tmp_path, "lrisc-compact", linear.state_dict(), card)
    monkeypatch.setattr(
        "simulator.models.lrisc.scheme.load_pretrained", functools.partial(load_pretrained, folder=tmp_path)
    )
    errors = []
    for snr_db in (0.0, 10.0, 30.0):
        trip = transmit(LriscScheme(), image, Fraction(1, 24), load_channel("awgn"), snr_db)
        assert trip.decoded.outage == [False]
        errors.append(float((trip.decoded.images - image).square().mean()))
    assert errors[0] > errors[1] > errors[2]
    with torch.no_grad():
        x = image * 2 - 1
        exact = LatentEstimate.exact(linear.transform(x, Aim.clean(torch.zeros(1))))
        best = float(((linear.condition(exact).linear - x) / 2).square().mean())
    assert errors[2] < 2 * best + 2e-3


def test_nothing_fits_into_a_tiny_budget(weights):
    trip = transmit(LriscScheme(), pictures(16, 16), Fraction(1, 96), load_channel("awgn"), 10.0)
    assert trip.decoded.outage == [True]
    assert trip.ledgers[0].padding == trip.ledgers[0].total == 8
    assert torch.equal(trip.decoded.images[0], outage_image((16, 16)))


def test_batch_of_two_equals_two_batches_of_one(weights):
    scheme, images, channel = LriscScheme("steps=2"), pictures(48, 32, count=2), load_channel("awgn")
    both = transmit(scheme, images, Fraction(1, 12), channel, 8.0)
    for i in range(2):
        alone = transmit(scheme, images[i : i + 1], Fraction(1, 12), channel, 8.0)
        assert torch.equal(alone.transmission.symbols[0], both.transmission.symbols[i])
        assert torch.equal(alone.decoded.images[0], both.decoded.images[i])
        assert alone.ledgers[0] == both.ledgers[i]


def _decode(weights: Path, reception: Path) -> np.ndarray:
    scheme_module.load_pretrained = functools.partial(load_pretrained, folder=weights)
    return LriscScheme("steps=2").decode(Reception.load(reception)).images.numpy()


def test_fresh_process_decodes_the_same_pixels(weights, image, tmp_path, elsewhere):
    trip = transmit(LriscScheme("steps=2"), image, Fraction(1, 24), load_channel("awgn"), 9.0)
    trip.reception.save(tmp_path / "reception.safetensors")
    again = elsewhere(_decode, weights, tmp_path / "reception.safetensors")
    assert np.array_equal(again, trip.decoded.images.numpy())


@pytest.mark.parametrize("option", ["steps=3", "gamma=0.5", "seed=1"])
def test_options_change_the_receiver_only(weights, image, option):
    channel = load_channel("awgn")
    usual = transmit(LriscScheme(), image, Fraction(1, 24), channel, 9.0)
    scheme = LriscScheme(option)
    other = transmit(scheme, image, Fraction(1, 24), channel, 9.0)
    assert torch.equal(usual.transmission.symbols[0], other.transmission.symbols[0])
    assert not torch.equal(usual.decoded.images, other.decoded.images)
    assert scheme.name == f"lrisc:{option}"
    assert scheme.fingerprint() != LriscScheme().fingerprint()


@pytest.mark.parametrize("part", ["encoder.fidelity_token", "transform.faithful.layer.weight"])
def test_both_ends_of_the_link_know_that_the_psnr_end_is_asked_for(weights, image, part):
    channel, trips = load_channel("awgn"), []
    for option in ("gamma=0.5", "gamma=0", "gamma=0:steps=2"):
        scheme = LriscScheme(*option.split(":"))
        scheme.model.get_parameter(part).fill_(0.3)
        trips.append(transmit(scheme, image, Fraction(1, 24), channel, 9.0).transmission.symbols[0])
    assert not torch.equal(trips[0], trips[1])
    assert torch.equal(trips[1], trips[2])


@pytest.mark.parametrize(
    ("option", "match"),
    [
        *((f"steps={bad}", "give steps as a whole number from 1 to 1000") for bad in ("0", "1001", "two", "4.5")),
        *((f"gamma={bad}", "give gamma as a number from 0 to 1") for bad in ("-1", "nan", "2")),
        *((f"seed={bad}", "give seed as a whole number from 0 to") for bad in ("x", "-1")),
        ("weights=", "give weights as NAME or FOLDER"),
        ("speed=3", "'lrisc' has no option 'speed=3'; known: weights=NAME or FOLDER, steps=, gamma=, seed="),
        ("steps", "'lrisc' has no option 'steps'"),
    ],
)
def test_bad_options_are_explained(weights, option, match):
    with pytest.raises(UserError, match=match):
        LriscScheme(option)


def test_scheme_is_found_by_name(weights):
    scheme = load_scheme("lrisc:steps=4:gamma=0.5:seed=7")
    assert (scheme.steps, scheme.gamma, scheme.seed) == (4, 0.5, 7)


def test_bandwidth_ratios_that_the_levels_cannot_fill_are_refused(weights):
    scheme = LriscScheme()  # 2 to 12 components per 768 values
    assert scheme.supports(Fraction(1, 128)) is None
    assert scheme.supports(Fraction(1, 576)) is None
    for cbr in (Fraction(1, 127), Fraction(1, 577)):
        assert "CBR 1/576 to 1/128" in scheme.supports(cbr)


def test_effective_snr_is_the_snr_of_a_flat_vector_and_no_worse_than_the_harmonic_mean():
    mask = torch.tensor([[[True, True, False], [True, True, True]]])
    flat = effective_snr_db(torch.full((1, 2, 3), 0.1), mask)
    torch.testing.assert_close(flat, torch.full((1, 2), 10.0))
    faded = effective_snr_db(torch.tensor([[[0.1, 1e6, 7.0], [0.1, 0.1, 1e6]]]), mask)
    # Mean MMSE of (1/11, 1): 6/11, so 10 log10(5/6); of (1/11, 1/11, 1): 13/33, so 10 log10(20/13).
    torch.testing.assert_close(faded, torch.tensor([[-0.7918, 1.8709]]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("channel", ["rayleigh", "rayleigh-fast"])
def test_fading_is_survived(weights, image, channel):
    for realisation in range(3):
        trip = transmit(LriscScheme(), image, Fraction(1, 12), load_channel(channel), 15.0, realisation)
        assert trip.decoded.images.isfinite().all()
        assert trip.decoded.images.min() >= 0
        assert trip.decoded.images.max() <= 1


def test_phase_of_the_channel_does_not_matter(weights, image):
    """The receiver undoes a known rotation: the picture is that of a channel without it."""
    scheme, state = LriscScheme(), LinkState("awgn", 20.0)
    symbols = scheme.encode(image, 600, state).symbols[0]
    decoded = []
    for gain in (1, 1j, 2 - 1j):
        gains = torch.full(symbols.shape, gain, dtype=torch.complex64)
        variance = torch.full(symbols.shape, 0.01 * abs(gain) ** 2)
        decoded.append(scheme.decode(Reception([Received(gains * symbols, gains, variance)], (64, 64), state)).images)
    torch.testing.assert_close(decoded[1], decoded[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(decoded[2], decoded[0], atol=1e-4, rtol=0)


def test_cut_transmission_is_an_outage_not_an_error(weights, image):
    scheme, state = LriscScheme(), LinkState("awgn", 20.0)
    symbols = scheme.encode(image, 600, state).symbols[0]
    last = int(symbols.abs().nonzero()[-1])
    for length in (0, 20, last):
        part = symbols[:length]
        received = Received(part, torch.ones_like(part), torch.full(part.shape, 0.01))
        decoded = scheme.decode(Reception([received], (64, 64), state))
        assert decoded.outage == [True]


@pytest.mark.usefixtures("weights")
def test_one_name_per_meaning():
    assert LriscScheme("gamma=0.80", "steps=3").name == LriscScheme("steps=3").name == "lrisc:steps=3"
    with pytest.raises(UserError, match="given twice; give it once"):
        LriscScheme("seed=1", "seed=2")


def test_own_weights_come_from_a_folder_or_file(weights, exported, image):
    folder = exported()
    by_folder, by_file = (LriscScheme(f"weights={place}") for place in (folder, folder / "mine.safetensors"))
    assert (by_folder.steps, by_folder.gamma) == (2, 0.5)
    assert by_folder.name == LriscScheme("steps=2", f"weights={folder}/").name == f"lrisc:weights={folder}"
    assert by_folder.fingerprint() == by_file.fingerprint()
    assert LriscScheme("gamma=0.1", f"weights={folder}").name == f"lrisc:weights={folder}:gamma=0.1"
    assert LriscScheme("weights=lrisc-compact").name == "lrisc"
    trips = [transmit(one, image, Fraction(1, 12), load_channel("awgn"), 10.0) for one in (by_folder, by_file)]
    assert torch.equal(trips[0].decoded.images, trips[1].decoded.images)


@pytest.mark.usefixtures("weights")
def test_weights_that_are_not_there_are_explained(tmp_path):
    with pytest.raises(UserError, match="no weights"):
        LriscScheme(f"weights={tmp_path}/none")
    with pytest.raises(UserError, match="give weights as NAME or FOLDER"):
        LriscScheme("weights=")


def test_fixed_rates_need_no_map(weights, exported):
    """All of the budget but the header and less than one step goes to the latents; nothing is billed for a map."""
    scheme, guided, state = LriscScheme(f"weights={exported(rates='fixed')}"), LriscScheme(), LinkState("awgn", 7.0)
    for size, cbr in (((64, 96), Fraction(1, 16)), ((37, 50), Fraction(1, 24)), ((64, 96), Fraction(1, 150))):
        budget = channel_uses(cbr, size)
        sent = scheme.encode(pictures(*size), budget, state)
        symbols, ledger = sent.symbols[0], sent.ledgers[0]
        assert len(symbols) == ledger.total == budget
        assert ledger.side_information == 0
        assert ledger.payload > 0
        other = guided.encode(pictures(*size), budget, state).ledgers[0]
        if other.payload:  # with a map, the smallest of these budgets carries nothing at all
            assert ledger.header + ledger.crc < other.header + other.crc + other.side_information
        if cbr < Fraction(1, 128):  # the highest level leaves none unspent below
            assert ledger.padding <= 3 + 8


@pytest.mark.parametrize("snr_db", [0.0, 12.0])
def test_fixed_rates_arrive(exported, image, snr_db):
    scheme = LriscScheme(f"weights={exported(rates='fixed')}")
    trip = transmit(scheme, image, Fraction(1, 80), load_channel("awgn"), snr_db)
    assert trip.decoded.outage == [False]
    sent = scheme._receive(trip.reception.received[0], (64, 64), trip.reception.state)
    clean = scheme.model.transform(image * 2 - 1, Aim.clean(torch.zeros(1)))
    assert float((sent.z - clean).square().mean()) < float(clean.square().mean())
    tiny = transmit(scheme, pictures(16, 16), Fraction(1, 96), load_channel("awgn"), 10.0)
    assert tiny.decoded.outage == [True]


def test_without_the_snr_module_it_has_no_say(exported, image):
    folder = exported(snr_module=False)
    trips = []
    for value in (None, float("nan")):
        scheme = LriscScheme(f"weights={folder}")
        if value is not None:
            for part in (scheme.model.encoder.snr, scheme.model.decoder.snr):
                for parameter in part.parameters():
                    parameter.fill_(value)
        trips.append(transmit(scheme, image, Fraction(1, 24), load_channel("awgn"), 9.0))
    assert torch.equal(trips[0].decoded.images, trips[1].decoded.images)
    full = transmit(LriscScheme(f"weights={exported('full')}"), image, Fraction(1, 24), load_channel("awgn"), 9.0)
    assert not torch.equal(full.decoded.images, trips[0].decoded.images)


def test_variants_that_are_none_are_refused(exported):
    with pytest.raises(UserError, match="entropy, fixed"):
        LriscScheme(f"weights={exported(rates='none')}")
    with pytest.raises(UserError, match="unknown key 'snr' in 'variant'"):
        LriscScheme(f"weights={exported(snr=False)}")


@pytest.mark.parametrize(("snr_db", "told"), [(2.0, 6.0), (9.0, 9.0), (20.0, 12.0)])
def test_networks_are_told_no_snr_beyond_their_training(exported, image, monkeypatch, snr_db, told):
    scheme = LriscScheme(f"weights={exported(snr_db=(6, 12))}")
    seen, power = [], scheme.model.allocation.power
    monkeypatch.setattr(
        scheme.model.allocation, "power", lambda levels, mask, snr: seen.append(float(snr)) or power(levels, mask, snr)
    )
    trip = transmit(scheme, image, Fraction(1, 24), load_channel("awgn"), snr_db)
    assert trip.decoded.outage == [False]
    assert seen == [told, told]  # at either end


def test_each_end_has_its_own_denoiser_and_is_sent_as_the_card_says(model, tmp_path, image):
    """The PSNR end is that of weights with one denoiser, bit for bit."""
    torch.manual_seed(1)
    sizes = dataclasses.replace(model.config, own_denoiser=True)
    both = Lrisc(sizes)
    both.load_state_dict(model.state_dict(), strict=False)
    config = {"defaults": {"steps": 1, "gamma": 0.5}, "snr_db": (0, 20)}
    for name, network, said in (("one", model, {}), ("two", both, {"sent_fidelity": 0.3})):
        card = {"system": "lrisc", "config": config | said | {"model": asdict(network.config)}}
        release(tmp_path / name, name, network.state_dict(), card)

    def shown(name: str, *options: str) -> tuple[torch.Tensor, torch.Tensor]:
        scheme = LriscScheme(f"weights={tmp_path / name}", *options)
        trip = transmit(scheme, image, Fraction(1, 12), load_channel("awgn"), 10.0)
        return trip.transmission.symbols[0], trip.decoded.images

    for sent, same in zip(shown("one", "gamma=0"), shown("two", "gamma=0"), strict=True):
        assert torch.equal(sent, same)
    for sent, other in zip(shown("one"), shown("two"), strict=True):
        assert not torch.equal(sent, other)
    fingerprints = {
        LriscScheme(f"weights={tmp_path / 'two'}", *options).fingerprint() for options in ((), ("gamma=0",))
    }
    assert len(fingerprints) == 2


@pytest.mark.parametrize("fidelity", [1, -0.1, "0.3", True])
def test_a_card_with_no_such_fidelity_is_refused(model, tmp_path, fidelity):
    config = {"model": asdict(model.config), "defaults": {"steps": 1, "gamma": 0.5}, "snr_db": (0, 20)}
    release(tmp_path, "mine", model.state_dict(), {"system": "lrisc", "config": config | {"sent_fidelity": fidelity}})
    with pytest.raises(UserError, match="'sent_fidelity' in the model card"):
        LriscScheme(f"weights={tmp_path}")
