"""The released weights of perceptual DeepJSCC: whole, small, and what their page says of them (Kodak, AWGN)."""

from fractions import Fraction
from statistics import mean

import pytest
import torch

from simulator.channels import load_channel
from simulator.images import load_image_set
from simulator.link import load_scheme, transmit
from simulator.metrics.lpips import LpipsNet
from simulator.models.pretrained import load_pretrained


def test_card_says_where_the_weights_come_from():
    state, card = load_pretrained("pdjscc")
    assert card["system"] == "pdjscc"
    assert {"data", "hours", "hardware", "validation", "training", "known_limits", "sha256"} <= card.keys()
    assert set(card["in_front"]) == {f"deepjscc-1-{one}" for one in (48, 24, 16, 12)}
    assert card["bytes"] <= 3e6
    assert not [name for name in state if "adversary" in name]


def test_samples_survive_every_channel():
    image = load_image_set("samples", crop=128)[0].pixels[None]
    scheme = load_scheme("pdjscc")
    for channel, least_db in (("awgn", 20.0), ("rayleigh-fast", 15.0)):
        decoded = transmit(scheme, image, Fraction(1, 16), load_channel(channel), 10.0).decoded.images
        assert float(-10 * (decoded - image).square().mean().log10()) > least_db


@pytest.mark.slow
@pytest.mark.parametrize("denominator", [48, 16])
def test_kodak_at_10_db_against_deepjscc(kodak_dir, lpips_backbone_dir, denominator):
    """Off phase: lower LPIPS at little cost in PSNR."""
    schemes = {name: load_scheme(name) for name in ("deepjscc", "pdjscc")}
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in schemes}
    net, channel = LpipsNet("alex"), load_channel("awgn")
    for image in load_image_set("kodak", crop=256)[::4]:
        pixels = image.pixels[None]
        for name, found in measured.items():
            with torch.inference_mode():
                shown = transmit(schemes[name], pixels, Fraction(1, denominator), channel, 10.0).decoded.images
                lpips = net.batch_distance(*(one[..., 1:, 2:] * 2 - 1 for one in (pixels, shown)))
            found.append((float(-10 * (shown - pixels).square().mean().log10()), float(lpips)))
    ours, theirs = ([mean(values) for values in zip(*measured[name], strict=True)] for name in ("pdjscc", "deepjscc"))
    assert ours[0] > theirs[0] - 0.7
    assert ours[1] < 0.78 * theirs[1]
