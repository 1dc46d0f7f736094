"""Each further metric gives the numbers of its reference implementation."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from simulator.analysis.scales import SCALES
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.images.pixels import to_uint8
from simulator.metrics import LpipsNet, load_metric
from simulator.metrics.backbones import LpipsUnavailable
from simulator.metrics.blank import Blank
from simulator.metrics.dists import WEIGHTS_FILE
from simulator.metrics.torchvision import import_with_torchvision


@pytest.fixture(scope="module")
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A photograph, and the same after JPEG."""
    source = load_image_set("samples", crop=200)[1].pixels
    file = io.BytesIO()
    Image.fromarray(to_uint8(source)).save(file, "jpeg", quality=20)
    with Image.open(file) as opened:
        shown = torch.from_numpy(np.array(opened)).permute(2, 0, 1).float() / 255
    return source, shown


def test_lpips_shifted_is_the_mean_over_sixteen_phases(lpips_backbone_dir: Path, pair) -> None:
    net, (source, shown) = LpipsNet("alex"), pair
    views = [(slice(None), slice(y, y + 197), slice(x, x + 197)) for y in range(4) for x in range(4)]
    expected = np.mean([net.distance(source[view], shown[view]) for view in views])
    metric = load_metric("lpips:shifted")
    assert (metric.name, metric.fingerprint()) == ("lpips_shifted", net.fingerprint)
    assert metric.measure(source, shown) == pytest.approx(expected, rel=1e-6)
    assert metric.measure(source[:, :34], shown[:, :34]) is None


def test_shifted_sees_a_pattern_that_the_aligned_value_is_blind_to(lpips_backbone_dir: Path, pair) -> None:
    """A pattern of the period of AlexNet's stride, learnt against one phase, as a network would."""
    source = pair[0][:, :64, :64]
    pattern = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(4)).requires_grad_()
    net, scale = LpipsNet("alex"), 0.1
    for _ in range(25):
        woven = source + scale * torch.tanh(pattern).repeat(1, 16, 16)
        loss = net.batch_distance(source[None] * 2 - 1, woven[None] * 2 - 1).sum() - 0.05 * torch.tanh(pattern).std()
        (gradient,) = torch.autograd.grad(loss, pattern)
        pattern = (pattern - gradient / gradient.norm() / 4).detach().requires_grad_()
    woven = (source + scale * torch.tanh(pattern.detach()).repeat(1, 16, 16)).clamp(0, 1)
    assert load_metric("lpips:shifted").measure(source, woven) > 1.05 * net.distance(source, woven)


def test_lpips_of_another_net(lpips_backbone_dir: Path, pair) -> None:
    metric = load_metric("lpips:squeeze")
    assert metric.name == "lpips_squeeze"
    assert metric.measure(*pair) == LpipsNet("squeeze").distance(*pair)


@pytest.fixture
def dists_package(monkeypatch: pytest.MonkeyPatch):
    """The authors' class, which shall neither download VGG16 nor read a file beside the interpreter."""
    import_with_torchvision("torchvision")
    from torchvision import models

    make = models.vgg16

    def without_weights(pretrained):
        with Blank():
            return make(weights=None)

    monkeypatch.setattr(models, "vgg16", without_weights)
    from DISTS_pytorch import DISTS

    return DISTS(load_weights=False)


@pytest.mark.slow
def test_dists_is_the_authors(vgg_features, dists_package, tmp_path: Path, pair) -> None:
    from safetensors.torch import save_file

    state = dists_package.state_dict()
    for name in [key for key in state if key.startswith("stage") and not key.endswith("filter")]:
        state[name] = vgg_features["features." + name.split(".", 1)[1]]
    dists_package.load_state_dict(state)
    weights = {name: getattr(dists_package, name).detach() for name in ("alpha", "beta")}
    save_file(weights, tmp_path / WEIGHTS_FILE)
    metric = load_metric("dists")
    pair = tuple(image[:, :104, :96] for image in pair)
    for source, shown in (pair, pair[::-1], [image[:, :75, :50] for image in pair]):
        expected = dists_package(source[None], shown[None]).item()
        assert metric.measure(source, shown) == pytest.approx(expected, abs=2e-6)
    assert metric.measure(pair[0], pair[0]) == pytest.approx(0, abs=1e-6)
    assert metric.measure(pair[0][:, :31], pair[1][:, :31]) is None


def test_the_weights_of_dists_come_from_its_package(vgg_features, fake_index, tmp_path: Path, monkeypatch) -> None:
    import zipfile

    from simulator.metrics import dists

    weights = {name: torch.rand(1, sum(dists.CHANNELS), 1, 1) for name in ("alpha", "beta")}
    stored, wheel = io.BytesIO(), io.BytesIO()
    torch.save(weights, stored)
    with zipfile.ZipFile(wheel, "w") as package:
        package.writestr("DISTS_pytorch/weights.pt", stored.getvalue())
    monkeypatch.setenv("SIMULATOR_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(LpipsUnavailable, match="DISTS needs dists_weights"):
        load_metric("dists")
    release = ("DISTS-pytorch", "0.1", "DISTS_pytorch-0.1-py3-none-any.whl")
    monkeypatch.setattr(dists, "DISTS_PYTORCH", fake_index.add(*release, wheel.getvalue()))
    first = load_metric("dists").fingerprint()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert load_metric("dists").fingerprint() == first
    assert [path.name for path in (tmp_path / "cache" / "features").glob("[!.]*")] == [WEIGHTS_FILE]


def test_ssimulacra2_is_the_packages(pair, tmp_path: Path) -> None:
    from ssimulacra2 import compute_ssimulacra2

    for name, image in zip(("source.png", "shown.png"), pair, strict=True):
        Image.fromarray(to_uint8(image)).save(tmp_path / name)
    metric = load_metric("ssimulacra2")
    expected = compute_ssimulacra2(str(tmp_path / "source.png"), str(tmp_path / "shown.png"))
    assert metric.measure(*pair) == pytest.approx(expected, abs=1e-9)
    assert metric.measure(pair[0], pair[0]) == 100


def test_flip_is_the_packages(pair, tmp_path: Path) -> None:
    from flip_evaluator import evaluate

    for name, image in zip(("source.png", "shown.png"), pair, strict=True):
        Image.fromarray(to_uint8(image)).save(tmp_path / name)
    metric = load_metric("flip")
    _, expected, _ = evaluate(str(tmp_path / "source.png"), str(tmp_path / "shown.png"), "LDR")
    assert metric.measure(*pair) == pytest.approx(expected, abs=1e-6)
    assert metric.measure(pair[0], pair[0]) == 0


@pytest.mark.parametrize("spec", ["flip", "ssimulacra2"])
def test_the_direction_is_that_of_the_numbers(pair, spec: str) -> None:
    metric, (source, shown) = load_metric(spec), pair
    worse = (shown + 0.1 * torch.randn(shown.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert metric.higher_is_better == (metric.measure(source, shown) > metric.measure(source, worse))
    assert SCALES[metric.name].higher_is_better == metric.higher_is_better


@pytest.mark.parametrize("spec", ["lpips:resnet", "lpips:alex:shifted", "flip:x", "ssimulacra2:x", "dists:x"])
def test_unknown_options_are_refused(spec: str) -> None:
    with pytest.raises(UserError, match=r"option|given twice"):
        load_metric(spec)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flip_evaluator", None)
    with pytest.raises(UserError, match=r"needs the package flip-evaluator .*pip install"):
        load_metric("flip")
