"""The link holds schemes to its contract, and its randomness depends on names alone."""

import math
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.channels import Received, load_channel
from simulator.errors import SchemeError, UserError
from simulator.link import (
    Decoded,
    LinkState,
    Reception,
    SymbolLedger,
    Transmission,
    bandwidth_ratio,
    channel_key,
    channel_uses,
    describe,
    load_scheme,
    outage_image,
    transmit,
)

ITEMS = tuple(asdict(SymbolLedger()))
SIZE = (16, 20)


class Analog:
    """Sends pixels as they are, two to a symbol; `tamper` breaks the contract on purpose."""

    name = "analog"

    def __init__(self, tamper=lambda transmission: transmission) -> None:
        self.tamper = tamper

    def fingerprint(self) -> str:
        return ""

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        pairs = (images.flatten(1)[:, : 2 * budget].reshape(len(images), -1, 2) - 0.5) * 2
        symbols = list(torch.view_as_complex(pairs.contiguous()) / 2**0.5)
        return self.tamper(Transmission(symbols, [SymbolLedger(payload=len(one)) for one in symbols]))

    def decode(self, reception: Reception) -> Decoded:
        count = len(reception.received)
        return Decoded(torch.stack([outage_image(reception.image_size)] * count), [True] * count)


@pytest.fixture
def images() -> torch.Tensor:
    """float32 [3, 3, 16, 20]."""
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(5))


@given(st.integers(0, 10**6), st.dictionaries(st.sampled_from(ITEMS), st.integers(0, 10**7), min_size=1))
def test_a_bill_is_split_without_loss(total: int, weights: dict[str, int]) -> None:
    whole = sum(weights.values())
    if not whole:
        with pytest.raises(ValueError, match="nothing"):
            SymbolLedger.apportion(total, **weights)
        return
    ledger = SymbolLedger.apportion(total, **weights)
    assert ledger.total == total
    for item, weight in weights.items():
        assert abs(getattr(ledger, item) - weight * total / whole) < 1


@given(st.lists(st.integers(0, 10**6), min_size=12, max_size=12))
def test_bills_add_item_by_item(uses: list[int]) -> None:
    first, second = SymbolLedger(*uses[:6]), SymbolLedger(*uses[6:])
    assert (first + second).total == first.total + second.total == sum(uses)
    assert (first + second).pilots == uses[5] + uses[11]


@given(st.fractions(Fraction(1, 1000), Fraction(1, 2)), st.integers(16, 3000), st.integers(16, 3000))
def test_the_budget_never_exceeds_the_bandwidth_ratio(cbr: Fraction, height: int, width: int) -> None:
    uses = channel_uses(cbr, (height, width))
    assert Fraction(uses, 3 * height * width) <= cbr < Fraction(uses + 1, 3 * height * width)
    assert bandwidth_ratio(uses, (height, width)) == pytest.approx(uses / (3 * height * width))


def test_description_has_both_bandwidth_ratios() -> None:
    record = describe(SymbolLedger(payload=30, crc=6), (10, 2))
    assert record["cbr"] == 0.6
    assert record["cbr_payload"] == 0.5
    assert set(ITEMS) < set(record)


@pytest.mark.parametrize("name", ["awgn", "rayleigh", "rician-fast", "tdl-c:csi=lmmse:subcarriers=48", "cdl-d", "umi"])
def test_an_image_meets_the_same_channel_in_any_batch(images: torch.Tensor, name: str) -> None:
    channel = load_channel(name)
    together = transmit(Analog(), images, Fraction(1, 8), channel, 7.0).reception
    for index in (2, 0, 1):
        torch.manual_seed(index)
        alone = transmit(Analog(), images[index : index + 1], Fraction(1, 8), channel, 7.0).reception
        assert torch.equal(alone.received[0].symbols, together.received[index].symbols)
        assert torch.equal(alone.received[0].gain, together.received[index].gain)


def test_a_trip_tells_the_snr_that_came_out(images: torch.Tensor) -> None:
    channel = load_channel("rayleigh")
    trip = transmit(Analog(), images, Fraction(1, 8), channel, 7.0)
    expected = [7.0 + 20 * math.log10(abs(complex(one.gain[0]))) for one in trip.reception.received]
    assert trip.snr_db == pytest.approx(expected, abs=1e-4)
    bound = transmit(load_scheme("bpg-capacity"), images[:1], Fraction(1, 8), channel, 7.0)
    assert bound.snr_db == pytest.approx(trip.snr_db[:1], abs=1e-4)
    nothing = Analog(lambda sent: Transmission([one[:0] for one in sent.symbols], [SymbolLedger()] * 3))
    assert all(map(math.isnan, transmit(nothing, images, Fraction(1, 8), channel, 7.0).snr_db))


def test_a_misjudged_snr_reaches_both_ends_over_the_same_noise(images: torch.Tensor) -> None:
    truth = transmit(Analog(), images, Fraction(1, 8), load_channel("awgn"), 4.0)
    misjudged = transmit(Analog(), images, Fraction(1, 8), load_channel("awgn:assumed_db=12"), 4.0)
    assert truth.reception.state == LinkState("awgn", 4.0)
    assert misjudged.reception.state == LinkState("awgn", 12.0)
    assert torch.equal(truth.reception.received[0].symbols, misjudged.reception.received[0].symbols)
    assert misjudged.snr_db == pytest.approx(truth.snr_db)


def test_digital_links_pay_for_a_misjudged_snr_and_genies_do_not() -> None:
    image = torch.nn.functional.interpolate(
        torch.rand(1, 3, 8, 12, generator=torch.Generator().manual_seed(1)), size=(64, 96), mode="bicubic"
    ).clamp(0, 1)

    def outage(scheme: str, assumed_db: int) -> bool:
        channel = load_channel(f"awgn:assumed_db={assumed_db}")
        return transmit(load_scheme(scheme), image, Fraction(1, 4), channel, 4.0).decoded.outage[0]

    assert outage("bpg-ldpc", 12)
    assert not outage("bpg-ldpc", 4)
    assert not outage("bpg-ldpc", 0)
    assert not outage("bpg-ldpc:adaptation=genie", 12)


def test_a_bound_pays_for_pilots_like_a_scheme(images: torch.Tensor) -> None:
    channel = load_channel("tdl-a")
    bound = transmit(load_scheme("bpg-capacity"), images, Fraction(1, 8), channel, 30.0)
    scheme = transmit(Analog(), images, Fraction(1, 8), channel, 30.0)
    assert [bill.pilots for bill in bound.ledgers] == [bill.pilots for bill in scheme.ledgers] == [1058] * 3


def test_every_name_is_part_of_the_channel_key(images: torch.Tensor) -> None:
    base = dict(channel="awgn", snr_db=10.0, realisation=0, seed=0)
    other = dict(channel="rayleigh", snr_db=10.5, realisation=1, seed=1)
    variants = [base] + [base | {name: other[name]} for name in base]
    keys = {channel_key(images[0], **variant) for variant in variants} | {channel_key(images[1], **base)}
    assert len(keys) == len(variants) + 1
    assert channel_key(images[0], **base) == channel_key(images[0], **(base | {"snr_db": 10}))


def test_noise_is_fresh_for_each_image_and_realisation(images: torch.Tensor) -> None:
    same = images[:1].expand(2, -1, -1, -1)
    received = transmit(Analog(), same, Fraction(1, 8), load_channel("awgn"), 0.0).reception.received
    assert torch.equal(received[0].symbols, received[1].symbols)
    again = transmit(Analog(), same, Fraction(1, 8), load_channel("awgn"), 0.0, realisation=1).reception.received
    assert not torch.isclose(received[0].symbols, again[0].symbols).any()


def _broken(name: str, transmission: Transmission) -> Transmission:
    symbols, ledgers = transmission.symbols, transmission.ledgers
    match name:
        case "power":
            return Transmission([one * (1.001 / one.abs().square().mean() ** 0.5) for one in symbols], ledgers)
        case "budget":
            longer = [torch.cat([one, one[:1]]) for one in symbols]
            return Transmission(longer, [SymbolLedger(payload=len(one)) for one in longer])
        case "billed":
            return Transmission(symbols, [SymbolLedger(payload=len(one) - 1) for one in symbols])
        case "negative":
            bills = [SymbolLedger(payload=len(one) + 5, padding=-5) for one in symbols]
            return Transmission(symbols, bills)
        case "an int":
            return Transmission(symbols, [SymbolLedger(payload=np.int64(len(one))) for one in symbols])  # type: ignore[arg-type]
        case "1.5":
            bills = [SymbolLedger(payload=len(one) - 3, crc=1.5, padding=1.5) for one in symbols]  # type: ignore[arg-type]
            return Transmission(symbols, bills)
        case "complex64":
            return Transmission([one.to(torch.complex128) for one in symbols], ledgers)
        case "transmissions out":
            return Transmission(symbols[1:], ledgers[1:])
        case _:
            return Transmission([one * torch.nan for one in symbols], ledgers)


@pytest.mark.parametrize(
    "name", ["power", "budget", "billed", "negative", "an int", "1.5", "complex64", "transmissions out", "nan"]
)
def test_broken_contracts_are_refused(images: torch.Tensor, name: str) -> None:
    scheme = Analog(lambda transmission: _broken(name, transmission))
    with pytest.raises(SchemeError, match="analog: .*" + {"nan": "power", "negative": "billed"}.get(name, name)):
        transmit(scheme, images, Fraction(1, 8), load_channel("awgn"), 10.0)


@pytest.mark.parametrize("bill", [SymbolLedger(payload=10**6), SymbolLedger(payload=-1), SymbolLedger(payload=0.5)])
def test_a_bounds_bill_is_checked_too(images: torch.Tensor, bill: SymbolLedger) -> None:
    class Limit:
        name = "limit"

        def fingerprint(self) -> str:
            return "0"

        def reconstruct(self, images, budget, realisations):
            return Decoded(images, [False] * len(images)), [bill] * len(images)

    with pytest.raises(SchemeError, match="limit: billed"):
        transmit(Limit(), images, Fraction(1, 8), load_channel("awgn"), 10.0)


def test_who_normalises_in_place_is_scored_against_the_picture_all_the_same(images: torch.Tensor) -> None:
    class InPlace(Analog):
        def encode(self, images, budget, state):
            return super().encode(images.mul_(0), budget, state)

    before = images.clone()
    transmit(InPlace(), images, Fraction(1, 8), load_channel("awgn"), 20.0)
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    ("images_shown", "flags", "match"),
    [
        (torch.full((3, 3, *SIZE), torch.nan), 3, "must be finite"),
        (torch.zeros(3, 3, 16, 16), 3, "must be finite and"),
        (torch.zeros(3, 3, *SIZE), 1, "1 outage flags"),
    ],
)
def test_nonsense_is_not_shown(images: torch.Tensor, monkeypatch, images_shown, flags: int, match: str) -> None:
    monkeypatch.setattr(Analog, "decode", lambda self, reception: Decoded(images_shown, [False] * flags))
    with pytest.raises(SchemeError, match=match):
        transmit(Analog(), images, Fraction(1, 8), load_channel("awgn"), 10.0)


def test_the_channel_adds_its_overhead_to_the_bill(images: torch.Tensor) -> None:
    class Piloted:
        name = "piloted"

        def realise(self, num_symbols: int, snr_db: float, key: int):
            return load_channel("awgn").realise(num_symbols, snr_db, key)

        def send(self, symbols: torch.Tensor, realisation) -> Received:
            clean = torch.ones_like(symbols)
            return Received(symbols, clean, torch.ones(len(symbols)), overhead=7)

    trip = transmit(Analog(), images, Fraction(1, 8), Piloted(), 10.0)
    assert [ledger.pilots for ledger in trip.ledgers] == [7, 7, 7]
    assert trip.ledgers[0].total == channel_uses(Fraction(1, 8), SIZE) + 7
    assert trip.ledgers[0].data == channel_uses(Fraction(1, 8), SIZE)


@settings(max_examples=20)
@given(lengths=st.lists(st.integers(0, 40), max_size=3), overhead=st.integers(0, 9), snr_db=st.floats(-20, 40))
def test_receptions_survive_a_file(tmp_path_factory, lengths: list[int], overhead: int, snr_db: float) -> None:
    generator = torch.Generator().manual_seed(len(lengths))
    received = []
    for length in lengths:
        symbols, gain = torch.randn(2, length, dtype=torch.complex64, generator=generator)
        received.append(Received(symbols, gain, torch.rand(length, generator=generator), overhead))
    sent = Reception(received, (24, 17), LinkState("rayleigh:x", snr_db))
    path: Path = tmp_path_factory.mktemp("reception") / "one.safetensors"
    sent.save(path)
    loaded = Reception.load(path)
    assert (loaded.image_size, loaded.state) == (sent.image_size, sent.state)
    for before, after in zip(received, loaded.received, strict=True):
        assert torch.equal(before.symbols, after.symbols)
        assert torch.equal(before.gain, after.gain)
        assert torch.equal(before.noise_variance, after.noise_variance)
        assert before.overhead == after.overhead


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("bgp-ldpc", "known: "),
        ("", "known: "),
        ("bpg-capacity:444", "known: "),
        ("bpg-ldpc:16qam-9/9", "known: "),
        ("bpg-ldpc:chroma=411", "give chroma as 444 or 420"),
    ],
)
def test_unknown_schemes_and_options_are_one_line(spec: str, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as refusal:
        load_scheme(spec)
    assert "\n" not in str(refusal.value)


class Curious(Analog):
    """Record the link state, and send control numbers."""

    name = "curious"

    def __init__(self, genie: bool | None, *control: int) -> None:
        super().__init__()
        self.control = control
        self.told: list[LinkState] = []
        if genie is not None:
            self.genie = genie

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        self.told.append(state)
        return replace(super().encode(images, budget, state), control=self.control)

    def decode(self, reception: Reception) -> Decoded:
        self.told.append(reception.state)
        return super().decode(reception)


@pytest.mark.parametrize("genie", [None, False])
def test_nobody_but_a_genie_is_told_the_realisation(images: torch.Tensor, genie: bool | None) -> None:
    scheme = Curious(genie)
    trip = transmit(scheme, images, Fraction(1, 8), load_channel("rayleigh-fast"), 7.0)
    assert [state.realisations for state in scheme.told] == [(), ()]
    assert trip.reception.control == ()


def test_a_genie_is_told_what_the_image_meets_and_its_receiver_is_not(images: torch.Tensor, tmp_path: Path) -> None:
    scheme = Curious(True, 0, 31, 7)
    trip = transmit(scheme, images, Fraction(1, 8), load_channel("rayleigh-fast"), 7.0)
    at_transmitter, at_receiver = scheme.told
    for known, received in zip(at_transmitter.realisations, trip.reception.received, strict=True):
        assert torch.equal(known.gain, received.gain)
    assert [known.noise_key for known in at_transmitter.realisations] == [0, 0, 0]  # nobody foresees noise
    assert at_receiver.realisations == ()
    trip.reception.save(tmp_path / "one.safetensors")
    assert Reception.load(tmp_path / "one.safetensors").control == trip.reception.control == (0, 31, 7)


@pytest.mark.parametrize(("genie", "control"), [(False, (1, 2, 3)), (True, ()), (True, (1, 2)), (True, (1, 2, 32))])
def test_nothing_but_an_mcs_index_goes_beside_the_channel(images: torch.Tensor, genie: bool, control) -> None:
    with pytest.raises(SchemeError, match=r"curious: .*control numbers"):
        transmit(Curious(genie, *control), images, Fraction(1, 8), load_channel("awgn"), 7.0)


def test_the_stopwatch_of_a_sweep_hides_no_genie() -> None:
    from simulator.link.delivery import _Stopwatch

    assert [_Stopwatch(Curious(genie)).genie for genie in (None, False, True)] == [False, False, True]


@pytest.mark.parametrize(
    "change", [lambda one: one[0], lambda one: one[:, :1], lambda one: one[:0], torch.Tensor.numpy]
)
def test_images_of_another_shape_are_refused(change) -> None:
    images = change(torch.rand(1, 3, 32, 32))
    with pytest.raises(UserError, match=r"images must be a torch tensor \[B, 3, H, W\], not \w+ \["):
        transmit(load_scheme("bpg-ldpc"), images, Fraction(1, 6), load_channel("awgn"), 10.0)


@pytest.mark.parametrize(
    ("scale", "found"),
    [
        (lambda images: images * 255, r"not in \[0, 255\]"),
        (lambda images: images * 2 - 1, r"not in \[-1, 1\]"),
        (lambda images: (images * 255).to(torch.uint8), r"not torch\.uint8"),
        (lambda images: images * torch.nan, r"not in \[nan, nan\]"),
    ],
)
def test_images_of_another_range_are_refused(scale, found: str) -> None:
    images = torch.linspace(0, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
    with pytest.raises(UserError, match=found):
        transmit(load_scheme("bpg-capacity"), scale(images), Fraction(1, 6), load_channel("awgn"), 10.0)
