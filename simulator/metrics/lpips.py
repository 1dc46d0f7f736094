"""LPIPS v0.1 of the `lpips` package, with its backbone from a folder, the torch hub cache or a download.

Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018. The package
brings only the linear heads; the ImageNet backbone comes from torchvision's weights.
"""

import hashlib
import os
import socket
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType

import torch

from simulator.errors import UserError

# name: (file in LPIPS_BACKBONE_DIR, torchvision's weights)
BACKBONES = {
    "alex": ("alexnet_features.safetensors", "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
    "vgg": ("vgg16_features.safetensors", "https://download.pytorch.org/models/vgg16-397923af.pth"),
    "squeeze": ("squeezenet1_1_features.safetensors", "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"),
}
DOWNLOAD_TIMEOUT_S = 30
_operators: list[torch.library.Library] = []


class LpipsUnavailable(UserError):
    """The backbone is in no place where it could be, and cannot be downloaded."""


class LpipsNet:
    """The perceptual distance of two images; the same bits whatever other images are measured.

    Attributes:
        name: `alex`, `vgg` or `squeeze`.
        fingerprint: SHA-256 (hex) of all weights, for the provenance of results.
    """

    def __init__(self, name: str) -> None:
        """Build the network.

        Raises:
            LpipsUnavailable: no backbone to be had.
            UserError: unknown name, or a damaged backbone file.
        """
        if name not in BACKBONES:
            raise UserError(f"unknown LPIPS backbone '{name}'; known: {', '.join(BACKBONES)}")
        self.name = name
        backbone = _load_backbone(name)
        self._net = _build(name)
        try:
            # lpips cuts torchvision's `features.N` into `sliceS.N`.
            trunk = self._net.get_submodule("net")
            own = {key: backbone["features." + key.split(".", 1)[1]] for key in trunk.state_dict()}
            trunk.load_state_dict(own)
        except (KeyError, RuntimeError):
            raise UserError(f"the weights found for LPIPS are not those of '{name}'; replace the file") from None
        self._net.eval().requires_grad_(False)
        weights = self._net.state_dict()
        content = b"".join(key.encode() + weights[key].contiguous().numpy().tobytes() for key in sorted(weights))
        self.fingerprint = hashlib.sha256(content).hexdigest()

    def distance(self, first: torch.Tensor, second: torch.Tensor) -> float:
        """LPIPS of two float images [3, H, W] in [0, 1], H and W >= 32; lower is better, 0 is identical."""
        with torch.inference_mode():
            return float(self._net(first[None] * 2 - 1, second[None] * 2 - 1))

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Differentiable LPIPS of float images [B, 3, H, W] in [-1, 1] -> [B]: a training loss, not a measurement."""
        return self._net(first, second)[:, 0, 0, 0]

    def to(self, device: torch.device) -> "LpipsNet":
        """Move the network."""
        self._net.to(device)
        return self


def _build(name: str) -> torch.nn.Module:
    """The `lpips` network with its trained heads on a random backbone."""
    lpips = _import_lpips()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
        return lpips.LPIPS(net=name, version="0.1", pnet_rand=True, verbose=False)


def _import_lpips() -> ModuleType:
    """Import lpips, and with it torchvision.

    torchvision's wheels from PyPI are built for the CUDA build of torch; beside the CPU build their operators are not
    registered and the import fails. LPIPS needs none of them, so declaring the two that are looked up is enough.
    """
    try:
        import lpips
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for module in [name for name in sys.modules if name.split(".")[0] in {"torchvision", "lpips"}]:
            del sys.modules[module]
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _operators.append(library)  # the definitions vanish with the library
        import lpips
    return lpips


def backbone_file(name: str) -> Path | None:
    """Where a backbone is on this machine: LPIPS_BACKBONE_DIR, else the torch hub cache, else nowhere."""
    file_name, url = BACKBONES[name]
    folder = os.environ.get("LPIPS_BACKBONE_DIR")
    places = [Path(folder).expanduser() / file_name] if folder else []
    places.append(Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[1])
    return next((place for place in places if place.is_file()), None)


def _load_backbone(name: str) -> dict[str, torch.Tensor]:
    """State dict `features.N...` from LPIPS_BACKBONE_DIR, else the torch hub cache, else torchvision's site."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file_name, url = BACKBONES[name]
    path = backbone_file(name)
    if path and path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise UserError(f"{path}: damaged ({error}); replace it or unset LPIPS_BACKBONE_DIR") from None
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)  # torch.hub sets none and would wait for minutes behind a firewall
    try:
        with redirect_stdout(sys.stderr):  # torch.hub announces the download on stdout, which is for results
            return torch.hub.load_state_dict_from_url(url, progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # no network, no disk, a damaged file in the cache: torch.hub has no error of its own
        reason = " ".join(str(getattr(error, "reason", error)).split())[:120]
        places = f"{file_name} in LPIPS_BACKBONE_DIR, {url.rsplit('/', 1)[1]} in {torch.hub.get_dir()}/checkpoints"
        raise LpipsUnavailable(f"LPIPS needs {places} or a download, which failed ({reason})") from None
    finally:
        socket.setdefaulttimeout(timeout)
