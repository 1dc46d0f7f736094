"""What LRISC shows of its inside: the latent as sent and as received, on one scale."""

from dataclasses import replace
from fractions import Fraction

import pytest
import torch

from simulator.channels import load_channel
from simulator.link import transmit
from simulator.models.lrisc.scheme import LriscScheme, three_principal_axes


@pytest.fixture(scope="module")
def trips():
    """The scheme, an image that is no multiple of 16, and its trips at 0 and 20 dB."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(1, 3, 6, 8, generator=generator)
    image = torch.nn.functional.interpolate(coarse, (72, 104), mode="bicubic").clamp(0, 1)[0]
    scheme = LriscScheme("steps=1")
    trips = [transmit(scheme, image[None], Fraction(1, 12), load_channel("awgn"), snr_db) for snr_db in (0.0, 20.0)]
    return scheme, image, trips


def test_received_latent_comes_closer_with_snr(trips):
    scheme, image, (weak, strong) = trips
    shown = [scheme.inspect(image, trip.reception) for trip in (weak, strong)]
    assert [list(one) for one in shown] == [["latent", "received latent"]] * 2
    assert all(
        picture.shape == (3, 5, 7) and picture.dtype == torch.float32 for one in shown for picture in one.values()
    )
    assert all(picture.min() >= 0 and picture.max() <= 1 for one in shown for picture in one.values())
    assert torch.equal(shown[0]["latent"], shown[1]["latent"])
    distance = [float((one["latent"] - one["received latent"]).square().mean()) for one in shown]
    assert distance[1] < 0.5 * distance[0]


def test_a_lost_latent_is_grey(trips):
    scheme, image, (weak, _) = trips
    (received,) = weak.reception.received
    nothing = replace(weak.reception, received=[replace(received, symbols=torch.zeros_like(received.symbols))])
    assert scheme.decode(nothing).outage == [True]
    assert scheme.inspect(image, nothing)["received latent"].sub(0.5).abs().max() < 1e-5


def test_principal_axes_are_those_of_most_variance_with_a_fixed_sign():
    generator = torch.Generator().manual_seed(1)
    deviations = torch.tensor([0.1, 5.0, 1.0, 3.0], dtype=torch.float64)
    vectors = torch.randn(2000, 4, generator=generator, dtype=torch.float64) * deviations + 7
    mean, axes = three_principal_axes(vectors)
    assert torch.allclose(mean, torch.full((4,), 7.0, dtype=torch.float64), atol=0.5)
    assert torch.allclose(axes, torch.eye(4, dtype=torch.float64)[:, [1, 3, 2]], atol=0.1)
