"""LPIPS v0.1 of the `lpips` package. It brings only the linear heads; `backbones` finds the features.

Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
"""

import hashlib
import warnings

import torch

from simulator.errors import UserError
from simulator.metrics.backbones import BACKBONES, load_backbone
from simulator.metrics.torchvision import import_with_torchvision


class LpipsNet:
    """The perceptual distance of two images; results do not depend on other images measured before.

    Attributes:
        name: `alex`, `vgg` or `squeeze`.
        fingerprint: SHA-256 (hex) of all weights, for the provenance of results.
    """

    def __init__(self, name: str) -> None:
        """Build the network.

        Raises:
            LpipsUnavailable: the backbone is not available.
            UserError: unknown name, or a damaged backbone file.
        """
        if name not in BACKBONES:
            raise UserError(f"unknown LPIPS backbone '{name}'; known: {', '.join(BACKBONES)}")
        self.name = name
        backbone = load_backbone(name)
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
    lpips = import_with_torchvision("lpips")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
        return lpips.LPIPS(net=name, version="0.1", pnet_rand=True, verbose=False)
