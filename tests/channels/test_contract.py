"""A channel that breaks is told as itself, and no scheme's row pays for it."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from simulator.channels import Realisation, Received, load_channel
from simulator.channels.contract import cross
from simulator.errors import UserError
from simulator.link import load_scheme, transmit

IMAGES = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))


class Broken:
    """AWGN with a fault."""

    name = "mine"

    def __init__(self, fault: str) -> None:
        self.fault, self.sound = fault, load_channel("awgn")

    def realise(self, num_symbols: int, snr_db: float, key: int) -> Realisation:
        realisation = self.sound.realise(num_symbols, snr_db, key)
        return {
            "raises": lambda: [][num_symbols],
            "no realisation": lambda: None,
            "short": lambda: replace(realisation, gain=realisation.gain[1:]),
            "variance": lambda: replace(realisation, noise_variance=math.nan),
            "no variance": lambda: replace(realisation, noise_variance=None),
            "no noise": lambda: replace(realisation, noise_variance=0.0),
        }.get(self.fault, lambda: realisation)()

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        received = self.sound.send(symbols, realisation)
        return {
            "no reception": lambda: received.symbols,
            "real": lambda: replace(received, gain=received.gain.real),
            "not finite": lambda: replace(received, symbols=received.symbols / 0),
            "noiseless": lambda: replace(received, noise_variance=0 * received.noise_variance),
            "negative": lambda: replace(received, noise_variance=-received.noise_variance),
            "one variance": lambda: replace(received, noise_variance=realisation.noise_variance),
            "double": lambda: replace(received, noise_variance=received.noise_variance.double()),
            "array": lambda: replace(received, gain=received.gain.numpy()),
            "free pilots": lambda: replace(received, overhead=-3),
            "half a pilot": lambda: replace(received, overhead=0.5),
            "conjugated": lambda: replace(received, symbols=received.symbols.conj(), gain=received.gain.conj()),
        }.get(self.fault, lambda: received)()


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "channel 'mine' broke: realise raised IndexError"),
        ("no realisation", "realise returned NoneType, not a Realisation"),
        ("short", r"realise must return gain as complex64 \(72,\) on the CPU, not complex64 \(71,\)"),
        ("variance", "realise returned a noise variance of nan"),
        ("no reception", "send returned Tensor, not Received"),
        ("real", r"send must return gain as complex64 \(72,\) on the CPU, not float32"),
        ("not finite", "send returned symbols that are not finite"),
        ("no noise", r"a noise variance of 0\.0; it must be above 0"),
        ("noiseless", "one noise variance for each of 72 symbols, all above 0"),
        ("negative", "a tensor of one noise variance for each of 72 symbols"),
        ("one variance", "a tensor of one noise variance for each of 72 symbols"),
        ("double", "all above 0 and float32"),
        ("no variance", "a noise variance of None"),
        ("array", "not <class 'numpy.ndarray'>"),
        ("free pilots", "an overhead of -3"),
        ("half a pilot", "an overhead of 0.5"),
    ],
)
def test_a_broken_channel_is_told_as_such(fault: str, message: str) -> None:
    scheme = load_scheme("toy")
    with pytest.raises(UserError, match=message):
        transmit(scheme, IMAGES, Fraction(1, 16), Broken(fault), 10.0)
    transmit(scheme, IMAGES, Fraction(1, 16), Broken("none"), 10.0)


def test_what_a_channel_conjugated_in_name_only_can_be_saved() -> None:
    channel = Broken("conjugated")
    received = cross(channel, torch.full((8,), 1j), channel.realise(8, 10.0, 0))
    assert received.symbols.numpy().shape == received.gain.numpy().shape == (8,)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("answer", [None, "awgn", ("awgn", math.nan), ("awgn", "10"), (10.0, "awgn")])
def test_what_both_ends_believe_must_be_a_channel_and_an_snr(answer: object) -> None:
    channel = Broken("none")
    channel.announce = lambda snr_db: answer
    with pytest.raises(UserError, match="announce returned"):
        transmit(load_scheme("toy"), IMAGES, Fraction(1, 16), channel, 10.0)


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    "error",
    [OSError("disk"), torch.OutOfMemoryError("CUDA"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_a_machine_without_memory_is_no_broken_channel(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def realise(*arguments: object) -> Realisation:
        raise error

    channel = Broken("none")
    monkeypatch.setattr(channel, "realise", realise)
    with pytest.raises(type(error)):
        transmit(load_scheme("toy"), IMAGES, Fraction(1, 16), channel, 10.0)
