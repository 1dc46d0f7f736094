"""`receiver=diffusion`: what is sent stays as it is, and what is shown is the codec's picture, restored."""

from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from simulator.baselines.separation import bpg_capacity, bpg_ldpc
from simulator.channels import load_channel
from simulator.codecs.held import networks
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import load_scheme, outage_image, transmit
from simulator.models.pretrained import release
from simulator.models.receiver.net import Receiver, ReceiverConfig

TINY = ReceiverConfig(patch=2, channels=(8, 12), blocks=(1, 1))
CBR, AWGN = Fraction(1, 8), load_channel("awgn")


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.stack([image.pixels for image in load_image_set("samples", crop=96)[:2]])


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> None:
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "receiver-cache"))


def _release(folder: Path, awake: float, card: dict | None = None) -> str:
    """Weights of which every one is off its start by about `awake`; returns the option."""
    torch.manual_seed(0)
    net = Receiver(TINY)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(awake * torch.randn(parameter.shape))
    release(folder, "net", net.state_dict(), card or {"system": "receiver", "config": {"model": asdict(TINY)}})
    return f"weights={folder}"


@pytest.fixture
def untrained(tmp_path) -> str:
    return _release(tmp_path / "untrained", 0.0)


@pytest.fixture
def weights(tmp_path) -> str:
    return _release(tmp_path / "awake", 0.05)


def test_what_is_sent_is_that_of_the_chain(images, weights) -> None:
    plain = transmit(bpg_ldpc(), images, CBR, AWGN, 10.0)
    restored = transmit(bpg_ldpc("receiver=diffusion", weights), images, CBR, AWGN, 10.0)
    assert plain.transmission is not None
    assert restored.transmission is not None
    for first, second in zip(plain.transmission.symbols, restored.transmission.symbols, strict=True):
        assert torch.equal(first, second)
    assert plain.ledgers == restored.ledgers
    assert not torch.equal(plain.decoded.images, restored.decoded.images)


def test_an_untrained_receiver_is_the_chain(images, untrained) -> None:
    plain = transmit(bpg_ldpc(), images, CBR, AWGN, 10.0)
    restored = transmit(bpg_ldpc("receiver=diffusion", untrained), images, CBR, AWGN, 10.0)
    assert torch.equal(plain.decoded.images, restored.decoded.images)


def test_an_outage_stays_an_outage(images, weights) -> None:
    trip = transmit(bpg_ldpc("16qam-1/2", "receiver=diffusion", weights), images, CBR, AWGN, 3.0)
    assert trip.decoded.outage == [True, True]
    assert torch.equal(trip.decoded.images[0], outage_image((96, 96)))


def test_the_bound_has_the_receiver_too(images, weights) -> None:
    plain, restored = (
        transmit(bound, images, CBR, AWGN, 10.0)
        for bound in (bpg_capacity(), bpg_capacity("receiver=diffusion", weights))
    )
    assert plain.ledgers == restored.ledgers
    assert not torch.equal(plain.decoded.images, restored.decoded.images)


def test_results_do_not_depend_on_the_batch(images, weights) -> None:
    scheme = bpg_ldpc("receiver=diffusion", weights)
    both = transmit(scheme, images, CBR, AWGN, 10.0).decoded.images
    assert torch.equal(transmit(scheme, images[1:], CBR, AWGN, 10.0).decoded.images, both[1:])


def test_the_fingerprint_covers_weights_and_settings(tmp_path, untrained, weights) -> None:
    specs = [[untrained], [weights], [weights, "gamma=0.5"], [weights, "steps=2"]]
    marks = {bpg_ldpc("receiver=diffusion", *spec).fingerprint() for spec in specs}
    assert len(marks | {bpg_ldpc().fingerprint()}) == len(specs) + 1
    assert bpg_ldpc("receiver=diffusion", weights).fingerprint() in marks


def test_names_are_canonical(weights) -> None:
    name = f"bpg-ldpc:receiver=diffusion:gamma=0:{weights}"
    scheme = bpg_ldpc(weights, "steps=1", "gamma=0.0", "receiver=diffusion")
    assert scheme.name == name == load_scheme(name).name
    assert bpg_ldpc("receiver=plain").name == "bpg-ldpc"


def test_its_network_is_found_and_counted(weights) -> None:
    assert [type(net) for net in networks(bpg_ldpc("receiver=diffusion", weights))] == [Receiver]
    assert not list(networks(bpg_ldpc()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["gamma=0"], "gamma= belongs to receiver=diffusion; add it, or leave out gamma"),
        (["weights=x"], "weights= belongs to receiver=diffusion"),
        (["receiver=diffusion", "gamma=0.9"], "give gamma as a number from 0 to 0.8"),
        (["receiver=diffusion", "steps=0"], "give steps as a whole number from 1 to 100"),
        (["receiver=diffusion", "weights=lrisc-compact"], "are of 'lrisc', not of 'receiver'"),
        (["receiver=diffusion", "weights=nowhere"], r"no weights 'nowhere'"),
        (["receiver=better"], "give receiver as plain or diffusion"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        bpg_ldpc(*options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("config", [{}, {"config": "x"}, {"config": {"model": 3}}])
def test_a_card_without_a_network_is_one_line(tmp_path, config: dict[str, object]) -> None:
    option = _release(tmp_path, 0.0, {"system": "receiver"} | config)
    with pytest.raises(UserError, match="describes no receiver; export it again"):
        bpg_ldpc("receiver=diffusion", option)


def test_the_picture_is_that_of_the_files_own_qp(images, weights) -> None:
    """The receiver reads the QP of every file: the same picture, coded otherwise, is restored otherwise."""
    codec = bpg_ldpc("receiver=diffusion", weights, "gamma=0")._codec
    seen: list[float] = []
    codec.net.faithful.register_forward_pre_hook(lambda net, given: seen.extend(given[2].tolist()))
    rgb = (images[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    for allowed in (500, 4000):
        codec.decode(codec.encode(rgb, allowed), (96, 96))
    assert 51 >= seen[0] > seen[1] >= 0
