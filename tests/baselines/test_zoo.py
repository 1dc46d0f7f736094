"""CompressAI's codecs behind the digital link, with small networks of our own: nothing is downloaded here."""

import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch

from simulator.baselines.zoo import ZooCodec, bound, chain
from simulator.channels import load_channel
from simulator.errors import UserError
from simulator.images.pixels import to_float
from simulator.link import transmit
from simulator.metrics.torchvision import import_with_torchvision
from simulator.source import DamagedFile, DoesNotFit

try:
    zoo: Any = import_with_torchvision("compressai.zoo")
except ImportError:
    zoo = None

needs_compressai = pytest.mark.skipif(zoo is None, reason="CompressAI is not installed (docs/schemes.md)")
MODELS = ("bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean", "mbt2018", "cheng2020-anchor")


def network(model: str) -> Any:
    torch.manual_seed(3)
    sizes = (16,) if model.startswith("cheng") else (16, 24)
    return zoo.image.model_architectures[model](*sizes)


def release(one: Any, folder: Path, name: str) -> Path:
    one.update(force=True)
    torch.save(one.state_dict(), folder / f"{name}.pth.tar")
    return folder


def fit(one: Any, images: torch.Tensor, steps: int) -> None:
    """Rate and distortion, as CompressAI's own example trains."""
    optimiser = torch.optim.Adam(one.parameters(), 3e-3)
    for _ in range(steps):
        out = one(images)
        bits = sum(-each.log2().sum() for each in out["likelihoods"].values()) / images[:, 0].numel()
        loss = bits + 2000 * (out["x_hat"] - images).square().mean()
        optimiser.zero_grad()
        (loss + one.aux_loss()).backward()
        optimiser.step()


@pytest.fixture
def picture() -> np.ndarray:
    """A smooth picture with sides that no network divides, uint8 [70, 83, 3]."""
    rows, columns = np.mgrid[0:70, 0:83] / 83
    planes = [np.sin(5 * rows + one) * np.cos(7 * columns - one) for one in range(3)]
    return np.uint8(127 + 100 * np.stack(planes, axis=2))


@needs_compressai
@pytest.mark.parametrize("model", MODELS)
def test_the_receiver_shows_what_compressai_decodes(model, tmp_path, picture):
    one = network(model)
    codec = ZooCodec(model, str(release(one, tmp_path, f"{model}-3")))
    data = codec.encode(picture, 10**6)
    padded = torch.nn.functional.pad(to_float(picture)[None], (0, 45, 0, 58), mode="replicate")
    with torch.inference_mode():
        coded = one.eval().compress(padded)
        shown = one.decompress(coded["strings"], coded["shape"])["x_hat"][0, :, :70, :83].clamp(0, 1)
    assert data[0] == 3
    assert len(data) == 1 + 3 * (len(coded["strings"]) - 1) + sum(len(each[0]) for each in coded["strings"])
    again = ZooCodec(model, str(tmp_path)).decode(data, (70, 83))
    assert np.array_equal(again, (shown.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy())


@needs_compressai
def test_a_trained_network_beats_an_untrained_one_over_the_link(tmp_path, picture):
    images = to_float(picture)[None, :, :64, :64]
    folders = [tmp_path / name for name in ("untrained", "trained")]
    for folder, steps in zip(folders, (0, 150), strict=True):
        folder.mkdir()
        one = network("bmshj2018-factorized")
        fit(one, images, steps)
        release(one, folder, "bmshj2018-factorized-1")
    trips = [
        transmit(chain("bmshj2018-factorized", f"weights={folder}"), images, Fraction(1, 2), load_channel("awgn"), 15.0)
        for folder in folders
    ]
    errors = [float((trip.decoded.images - images).square().mean()) for trip in trips]
    assert not any(trip.decoded.outage[0] for trip in trips)
    assert errors[1] < errors[0] / 4


@needs_compressai
def test_qualities_are_a_ladder(tmp_path, picture):
    """The finest network whose file fits is taken; none fits, and the codec says so."""
    for quality, steps in ((2, 30), (5, 150)):
        one = network("bmshj2018-factorized")
        fit(one, to_float(picture)[None, :, :64, :64], steps)
        release(one, tmp_path, f"bmshj2018-factorized-{quality}")
    codec = ZooCodec("bmshj2018-factorized", str(tmp_path))
    sizes = {data[0]: len(data) for data in (codec.encode(picture, budget) for budget in (10**6,))}
    assert list(sizes) == [5]
    with pytest.raises(DoesNotFit):
        codec.encode(picture, 3)
    assert codec.version() != ZooCodec.version(_only(codec, 5))


def _only(codec: ZooCodec, quality: int) -> ZooCodec:
    codec._files = {quality: codec._files[quality]}
    return codec


@needs_compressai
@pytest.mark.parametrize("model", MODELS[:4])
def test_damaged_files_never_crash(model, tmp_path, picture):
    """A CRC that holds by accident lets anything through; what comes out is a picture or DamagedFile."""
    codec = ZooCodec(model, str(release(network(model), tmp_path, f"{model}-1")))
    data = codec.encode(picture, 10**6)
    damaged = [b"", b"\x07", data[:1], data[:5], data[: len(data) // 2], data[:1] + b"\xff" * 40]
    damaged += [data[:1] + np.random.default_rng(seed).bytes(len(data)) for seed in range(4)]
    for one in damaged:
        with suppress(DamagedFile):
            assert codec.decode(one, (70, 83)).shape == picture.shape
    with pytest.raises(DamagedFile, match="names no quality"):
        codec.decode(b"", (70, 83))


@needs_compressai
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "needs a model of CompressAI"),
        (("mbt2018-meen",), "did you mean 'mbt2018-mean'"),
        (("mbt2018-mean", "weights=nowhere"), "has no file such as mbt2018-mean-3.pth.tar"),
        (("mbt2018-mean", "weight=x"), "has no option 'weight=x'"),
        (("mbt2018-mean",), "cannot be downloaded"),
        (("mbt2018-mean", "weights=."), "holds no weights of CompressAI's mbt2018-mean"),
        (("mbt2018", "weights=."), "is damaged or truncated"),
    ],
)
def test_one_line_says_what_is_missing(options, message, tmp_path, monkeypatch):
    def offline(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(zoo.image, "load_state_dict_from_url", offline)
    monkeypatch.chdir(tmp_path)
    release(network("bmshj2018-factorized"), tmp_path, "mbt2018-mean-1")
    (tmp_path / "mbt2018-1.pth.tar").write_bytes((tmp_path / "mbt2018-mean-1.pth.tar").read_bytes()[:900])
    for make in (chain, bound):
        with pytest.raises(UserError) as caught:
            make(*options)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_compressai_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "compressai", None)
    monkeypatch.setitem(sys.modules, "compressai.zoo", None)
    with pytest.raises(UserError, match="pip install --no-deps compressai"):
        chain("mbt2018-mean")
