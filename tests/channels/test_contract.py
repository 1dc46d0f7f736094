"""A channel that breaks is told as itself, and no scheme's row pays for it."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from simulator.channels import Realisation, Received, load_channel
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
        }.get(self.fault, lambda: realisation)()

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        received = self.sound.send(symbols, realisation)
        return {
            "no reception": lambda: received.symbols,
            "real": lambda: replace(received, gain=received.gain.real),
            "not finite": lambda: replace(received, symbols=received.symbols / 0),
            "negative": lambda: replace(received, noise_variance=-received.noise_variance),
        }.get(self.fault, lambda: received)()


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raises", "channel 'mine' broke: realise raised IndexError"),
        ("no realisation", "realise returned NoneType, not a Realisation"),
        ("short", r"realise must return gain as complex64 \(72,\), not complex64 \(71,\)"),
        ("variance", "realise returned a noise variance of nan"),
        ("no reception", "send returned Tensor, not Received"),
        ("real", r"send must return gain as complex64 \(72,\), not float32"),
        ("not finite", "send returned symbols that are not finite"),
        ("negative", "one finite noise variance for each of 72 symbols"),
    ],
)
def test_a_broken_channel_is_told_as_such(fault: str, message: str) -> None:
    scheme = load_scheme("toy")
    with pytest.raises(UserError, match=message):
        transmit(scheme, IMAGES, Fraction(1, 16), Broken(fault), 10.0)
    transmit(scheme, IMAGES, Fraction(1, 16), Broken("none"), 10.0)
