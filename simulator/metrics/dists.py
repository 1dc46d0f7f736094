"""DISTS: deep image structure and texture similarity, on VGG16's features.

Source: Ding, Ma, Wang, Simoncelli, "Image quality assessment: unifying structure and texture similarity", IEEE TPAMI
44(5), 2022, eqs. (5)-(8); constants, pooling and weights are those of the authors' package `DISTS-pytorch` 0.1 (MIT).
"""

import hashlib
import io
import zipfile
from pathlib import Path

import torch
from torch.nn.functional import conv2d, relu

from simulator.disk import cache_dir
from simulator.errors import UserError
from simulator.metrics.backbones import (
    FOLDER,
    MIN_SIDE,
    LpipsUnavailable,
    State,
    keep_from_release,
    load_backbone,
    load_safetensors,
    places,
)
from simulator.metrics.package_index import PackageFile
from simulator.metrics.remembered import Remembered
from simulator.spec.options import Declaration

WEIGHTS_FILE = "dists_weights.safetensors"
DISTS_PYTORCH = PackageFile(
    package="DISTS-pytorch",
    version="0.1",
    name="DISTS_pytorch-0.1-py3-none-any.whl",
    bytes=20_501,
    sha256="73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
)
STAGES = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))  # torchvision's numbers of VGG16's convolutions
CHANNELS = (3, 64, 128, 256, 512, 512)  # of the picture itself, then of each stage
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_STABILITY = 1e-6  # c1 = c2 of eqs. (5) and (6)


class Dists:
    """The distance of two images; 0 is identical, lower is better."""

    declaration = Declaration("dists", "DISTS; 0 is identical, lower is better")
    name = "dists"
    higher_is_better = False

    def __init__(self, *options: str) -> None:
        """Load the weights.

        Raises:
            LpipsUnavailable: no weights on this machine, and none can be downloaded.
            UserError: an option, or a damaged file.
        """
        self.declaration.read(options)
        features, weights = load_backbone("vgg"), _load_weights()
        self._features = {
            layer: (features[f"features.{layer}.weight"], features[f"features.{layer}.bias"])
            for stage in STAGES
            for layer in stage
        }
        self._of_reference = Remembered(self._stages)
        total = weights["alpha"].sum() + weights["beta"].sum()
        self._alpha, self._beta = ((weights[name] / total).flatten().split(CHANNELS) for name in ("alpha", "beta"))

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all weights."""
        tensors = [tensor for pair in self._features.values() for tensor in pair] + [*self._alpha, *self._beta]
        return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()

    def measure(self, reference: torch.Tensor, shown: torch.Tensor) -> float | None:
        """DISTS of float32 images [3, H, W] in [0, 1]; None if a side is below `MIN_SIDE`."""
        if min(reference.shape[-2:]) < MIN_SIDE:
            return None
        with torch.inference_mode():
            pairs = zip(self._of_reference(reference), self._stages(shown), self._alpha, self._beta, strict=True)
            return 1 - float(sum(_similarity(first, second, alpha, beta) for first, second, alpha, beta in pairs))

    def _stages(self, image: torch.Tensor) -> list[torch.Tensor]:
        """The picture and the features of each stage, [C, h, w]."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (_MEAN, _STD))
        features = (image - mean) / std
        found = [image]
        for index, stage in enumerate(STAGES):
            if index:
                features = _l2_pool(features)
            for layer in stage:
                features = relu(conv2d(features, *self._features[layer], padding=1))
            found.append(features)
        return found


def _similarity(first: torch.Tensor, second: torch.Tensor, alpha: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    """Texture (means) and structure (covariances) of one stage, weighted: the sums of eq. (7)."""
    mean_1, mean_2 = (one.mean(dim=(1, 2)) for one in (first, second))
    texture = (2 * mean_1 * mean_2 + _STABILITY) / (mean_1**2 + mean_2**2 + _STABILITY)
    variance_1, variance_2 = (one.var(dim=(1, 2), correction=0) for one in (first, second))
    covariance = (first * second).mean(dim=(1, 2)) - mean_1 * mean_2
    structure = (2 * covariance + _STABILITY) / (variance_1 + variance_2 + _STABILITY)
    return (alpha * texture + beta * structure).sum()


def _l2_pool(features: torch.Tensor) -> torch.Tensor:
    """L2 pooling of [C, h, w] with a 3-tap Hann window at stride 2, in place of VGG's max pooling."""
    taps = torch.tensor([0.5, 1.0, 0.5])
    window = taps[:, None] * taps / 4
    channels = len(features)
    squares = conv2d(features.square(), window.expand(channels, 1, 3, 3), stride=2, padding=1, groups=channels)
    return (squares + 1e-12).sqrt()


def _load_weights() -> State:
    """alpha and beta, from LPIPS_BACKBONE_DIR, the cache or the authors' package on the package index."""
    path = next((place for place in places(WEIGHTS_FILE) if place.is_file()), cache_dir() / FOLDER / WEIGHTS_FILE)
    if not path.is_file():
        try:
            keep_from_release(DISTS_PYTORCH, "weights of DISTS", [WEIGHTS_FILE], _extract)
        except UserError as error:
            raise LpipsUnavailable(f"DISTS needs {WEIGHTS_FILE} in LPIPS_BACKBONE_DIR or a download: {error}") from None
    return load_safetensors(path)


def _extract(wheel: Path) -> dict[str, State]:
    with zipfile.ZipFile(wheel) as package:
        weights = torch.load(io.BytesIO(package.read("DISTS_pytorch/weights.pt")), weights_only=True)
    return {WEIGHTS_FILE: {name: weights[name].contiguous() for name in ("alpha", "beta")}}
