"""Metrics against their definitions, published distances and the field's own implementation."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simulator.errors import UserError
from simulator.images import load_image, load_image_set
from simulator.images.pixels import to_float
from simulator.metrics import PSNR_CAP_DB, LpipsNet, LpipsUnavailable, measure, ms_ssim, psnr_db
from simulator.metrics.backbones import backbone_file
from simulator.metrics.lpips import _build


@given(st.integers(1, 255), st.integers(16, 40))
def test_psnr_of_a_constant_error_is_its_definition(error: int, side: int) -> None:
    black = np.zeros((side, 17, 3), np.uint8)
    assert psnr_db(black, black + np.uint8(error)) == pytest.approx(20 * math.log10(255 / error), abs=1e-12)


def test_identical_images_reach_the_cap() -> None:
    image = load_image_set("samples", crop=176)[0].pixels
    metrics = measure(image, image)
    assert metrics.psnr_db == PSNR_CAP_DB
    assert metrics.ms_ssim == pytest.approx(1, abs=1e-6)
    assert metrics.lpips is None


def test_images_are_rounded_to_eight_bits_first() -> None:
    image = load_image_set("samples", crop=64)[0].pixels
    below_half_a_level = torch.full_like(image, 0.4 / 255)
    assert measure(image, image + below_half_a_level).psnr_db == PSNR_CAP_DB
    assert measure(image, image + 10).psnr_db == measure(image, torch.ones_like(image)).psnr_db


def test_ms_ssim_needs_five_scales() -> None:
    big = torch.rand(3, 161, 161)
    assert measure(big, big).ms_ssim is not None
    assert measure(big[:, :160], big[:, :160]).ms_ssim is None


def test_ms_ssim_falls_with_noise_and_equals_the_double_precision_value() -> None:
    from pytorch_msssim import ms_ssim as reference

    image = load_image_set("samples", crop=192)[1].rgb[:175]
    rng = np.random.default_rng(0)
    values = []
    for sigma in (2, 8, 32):
        noisy = np.clip(image + rng.normal(0, sigma, image.shape), 0, 255).astype(np.uint8)
        pair = (torch.from_numpy(one).permute(2, 0, 1)[None].double() for one in (image, noisy))
        values.append(ms_ssim(image, noisy))
        assert values[-1] == pytest.approx(float(reference(*pair, data_range=255)), abs=1e-5)
    assert values == sorted(values, reverse=True)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        measure(torch.zeros(3, 16, 16), torch.zeros(3, 16, 17))


# The distances that the lpips package prints for its own example pictures.
KNOWN = {"alex": (0.721881, 0.137566), "squeeze": (0.711048, 0.147902), "vgg": (0.568613, 0.421664)}


@pytest.mark.parametrize("name", KNOWN)
def test_known_pairs(lpips_backbone_dir: Path, name: str) -> None:
    if backbone_file(name) is None:
        pytest.skip(f"the features of '{name}' are not on this machine, and tests download none")
    reference, *others = (to_float(load_image(lpips_backbone_dir / f"ex_{part}.png")) for part in ("ref", "p0", "p1"))
    net = LpipsNet(name)
    distances = tuple(measure(reference, other, net).lpips for other in others)
    assert distances == pytest.approx(KNOWN[name], abs=1e-4)
    assert measure(reference, reference, net).lpips == 0


def test_lpips_is_deterministic_and_leaves_torch_alone(lpips_backbone_dir: Path) -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    nets = [LpipsNet("alex"), LpipsNet("alex")]
    assert torch.equal(torch.get_rng_state(), before)
    assert nets[0].fingerprint == nets[1].fingerprint
    first, second = (image.pixels for image in load_image_set("samples", crop=64)[:2])
    distances = {net.distance(first, second) for net in nets for _ in range(3)}
    assert len(distances) == 1


@pytest.mark.parametrize("name", ["alex", "squeeze"])
def test_smallest_images(lpips_backbone_dir: Path, name: str) -> None:
    net = LpipsNet(name)
    first, second = torch.rand(2, 3, 32, 40)
    assert measure(first, second, net).lpips is not None
    assert measure(first[:, :31], second[:, :31], net).lpips is None


def test_vgg_is_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vgg_features: dict) -> None:
    package = _build("vgg").eval()
    trunk = package.get_submodule("net")
    trunk.load_state_dict({key: vgg_features["features." + key.split(".", 1)[1]] for key in trunk.state_dict()})
    first, second = torch.rand(2, 3, 48, 64)
    with torch.inference_mode():
        expected = float(package(first[None], second[None], normalize=True))
    assert LpipsNet("vgg").distance(first, second) == pytest.approx(expected, rel=1e-5)


def test_damaged_or_foreign_backbone_is_bad_input(
    lpips_backbone_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "alexnet_features.safetensors"
    monkeypatch.setenv("LPIPS_BACKBONE_DIR", str(tmp_path))
    file.write_bytes((lpips_backbone_dir / file.name).read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        LpipsNet("alex")
    file.write_bytes((lpips_backbone_dir / "squeezenet1_1_features.safetensors").read_bytes())
    with pytest.raises(UserError, match="not those of 'alex'"):
        LpipsNet("alex")


def test_no_backbone_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("LPIPS_BACKBONE_DIR", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    def offline(*args: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(LpipsUnavailable, match=r"alexnet_features\.safetensors .*no network") as refusal:
        LpipsNet("alex")
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().out == ""  # stdout is for results, JSON among them
    with pytest.raises(UserError, match="unknown LPIPS backbone"):
        LpipsNet("resnet")


def test_importing_metrics_is_light() -> None:
    code = "import sys, simulator.metrics; sys.exit(bool({'lpips', 'torchvision', 'sionna'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], env=os.environ).returncode == 0
