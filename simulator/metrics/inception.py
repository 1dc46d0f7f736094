"""The Inception-v3 of FID and KID: the network of the package `torch-fidelity`, and where its weights are.

Source: Szegedy et al., "Rethinking the Inception architecture for computer vision", CVPR 2016; the weights are those of
TensorFlow's graph of 2015-12-05 on which FID and KID were defined, as torch-fidelity and pytorch-fid publish them.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from simulator.disk import cache_dir, user_path
from simulator.errors import UserError, hindrance
from simulator.images.download import Archive, fetch
from simulator.metrics.backbones import FOLDER, shown_progress
from simulator.metrics.blank import Blank
from simulator.metrics.packages import import_package
from simulator.metrics.torchvision import import_with_torchvision

PACKAGE, MODULE = "torch-fidelity", "torch_fidelity.feature_extractor_inceptionv3"
VARIABLE = "KID_WEIGHTS"
WEIGHTS = Archive(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    95_628_359,
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
OTHER_NAME = "pt_inception-2015-12-05-6726825d.pth"  # of the same file, by pytorch-fid
LAYER = "2048"  # torch-fidelity's name of the pooled features


class Inception:
    """Pooled features of Inception-v3, 2048 of each patch.

    Attributes:
        official: whether the weights are those of FID and KID.
        fingerprint: SHA-256 (hex) of the file of weights.
    """

    def __init__(self, weights: Path | None = None) -> None:
        """Build the network.

        Args:
            weights: the file; None looks for the official one and downloads it if it is missing.

        Raises:
            UserError: no package, no weights and no way to download them, or a file that is damaged or of another
                network.
        """
        package = import_package("kid", MODULE, PACKAGE, extra="kid", load=import_with_torchvision)
        path = _find(weights)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror or error})") from None
        self.fingerprint = hashlib.sha256(content).hexdigest()
        self.official = self.fingerprint == WEIGHTS.sha256
        if not self.official and path.name in (WEIGHTS.name, OTHER_NAME):
            raise UserError(f"{path}: damaged, its SHA-256 is not that of {WEIGHTS.name}; replace or remove it")
        self._net = _build(package, content, path)

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Features [B, 2048] of uint8 patches [B, 3, h, w] of any size: the network scales them to 299 x 299."""
        (features,) = self._net(patches)
        return features

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self._net.to(device)


def _build(package: Any, content: bytes, path: Path) -> torch.nn.Module:
    """torch-fidelity's network with the weights in a file's content."""
    try:
        # torch-fidelity 0.4 would run what a pickle asks for; this refuses such a file before it gets there.
        torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        with Blank():
            net = package.FeatureExtractorInceptionV3("kid", [LAYER], io.BytesIO(content))
    except Exception as error:  # of zip files, pickles and tensors; a state dict of another network
        if (reason := hindrance(error)) is not None:
            raise UserError(f"{path}: cannot be read ({reason})") from None
        raise UserError(f"{path}: not the weights of FID's Inception-v3 (a state dict of {WEIGHTS.name})") from None
    return net.eval().requires_grad_(False)


def _find(chosen: Path | None) -> Path:
    """The file of weights: the chosen one, KID_WEIGHTS, the cache, torch hub's folder, or a download.

    Raises:
        UserError: the chosen file is missing, or none is there and it cannot be downloaded.
    """
    named = os.environ.get(VARIABLE)
    if chosen is None and named:
        chosen = user_path(named)
    if chosen is not None:
        if not chosen.is_file():
            raise UserError(f"there is no file of weights '{chosen}' ({VARIABLE} or --weights names it)")
        return chosen
    cache, hub = cache_dir() / FOLDER, Path(torch.hub.get_dir()) / "checkpoints"
    known = [cache / WEIGHTS.name, hub / WEIGHTS.name, hub / OTHER_NAME]
    if (found := next((path for path in known if path.is_file()), None)) is not None:
        return found
    try:
        with shown_progress("the weights of Inception-v3", WEIGHTS.bytes, "github.com") as progress:
            return fetch(WEIGHTS, cache, progress)
    except UserError as error:
        what_to_do = f"name a copy with --weights or {VARIABLE}, or use --features alex"
        raise UserError(f"KID needs the weights of Inception-v3: {error}; {what_to_do}") from None
