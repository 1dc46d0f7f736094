"""The released DeepJSCC weights: whole, small, and as good as their release says (Kodak, AWGN)."""

from fractions import Fraction
from importlib.resources import files

import pytest
import torch

from simulator.baselines.deepjscc import DeepJscc
from simulator.baselines.deepjscc.scheme import RATIOS
from simulator.channels import load_channel
from simulator.images import load_image_set
from simulator.link import transmit
from simulator.models.pretrained import load_pretrained


def test_cards_say_where_the_weights_come_from():
    size = 0
    for ratio in RATIOS:
        _, card = load_pretrained(f"deepjscc-1-{ratio.denominator}")
        assert card["model"]["uses"] == 768 * ratio
        assert {"data", "hours", "hardware", "validation", "training", "known_limits", "sha256"} <= card.keys()
        size += card["bytes"]
    assert size <= 7e6
    shipped = files("simulator.models.pretrained").iterdir()
    assert not [file.name for file in shipped if file.name.endswith((".pt", ".pth", ".pkl", ".bin"))]


def test_samples_survive_every_channel():
    image = load_image_set("samples", crop=128)[0].pixels[None]
    scheme = DeepJscc()
    for channel, least_db in (("awgn", 20.0), ("rayleigh-fast", 15.0)):
        decoded = transmit(scheme, image, Fraction(1, 16), load_channel(channel), 10.0).decoded.images
        assert float(-10 * (decoded - image).square().mean().log10()) > least_db


@pytest.mark.slow
def test_kodak_at_10_db(kodak_dir):
    scheme, channel, psnr_db = DeepJscc(), load_channel("awgn"), []
    for image in load_image_set("kodak"):
        pixels = image.pixels[None]
        with torch.inference_mode():
            decoded = transmit(scheme, pixels, Fraction(1, 16), channel, 10.0).decoded.images
        psnr_db.append(float(-10 * (decoded - pixels).square().mean().log10()))
    assert sum(psnr_db) / len(psnr_db) >= 29.5
