"""LPIPS v0.1 of the `lpips` package. It brings only the linear heads; `backbones` finds the features.

Source: Zhang et al., "The unreasonable effectiveness of deep features as a perceptual metric", CVPR 2018.
"""

import hashlib
import warnings
from typing import Any

import torch

from simulator.errors import UserError
from simulator.metrics.backbones import BACKBONES, load_backbone
from simulator.metrics.blank import Blank
from simulator.metrics.remembered import Remembered
from simulator.metrics.torchvision import import_with_torchvision

_STABILITY = 1e-10  # as the package has it, of lengths


class LpipsNet:
    """The perceptual distance of two images; results do not depend on other images measured before.

    Attributes:
        name: `alex`, `vgg` or `squeeze`.
        fingerprint: SHA-256 (hex) of all weights, for the provenance of results.
    """

    def __init__(self, name: str, remembered: int = 1) -> None:
        """Build the network.

        Args:
            name: of the backbone.
            remembered: how many of the latest reference images' features to keep.

        Raises:
            LpipsUnavailable: the backbone is not available.
            UserError: unknown name, or a damaged backbone file.
        """
        if name not in BACKBONES:
            raise UserError(f"unknown LPIPS backbone '{name}'; known: {', '.join(BACKBONES)}")
        self.name = name
        backbone = load_backbone(name)
        self._net: Any = _build(name)  # without types of its own
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
        self._of_reference = Remembered(self._features, remembered)

    def distance(self, reference: torch.Tensor, shown: torch.Tensor) -> float:
        """LPIPS of two float images [3, H, W] in [0, 1], H and W >= 32; lower is better, 0 is identical.

        The same number as `batch_distance`, without the network's work on a reference that was measured just before.
        """
        with torch.inference_mode():
            pairs = zip(self._net.lins, self._of_reference(reference), self._features(shown), strict=True)
            return float(sum(head((first - second).square_()).mean(dim=(2, 3)) for head, first, second in pairs))

    def _features(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Features of each layer of float [3, H, W] in [0, 1], of unit length at every place: [1, C, h, w]."""
        layers = self.layers(image[None])
        return [layer.div_(layer.square().sum(dim=1, keepdim=True).sqrt_().add_(_STABILITY)) for layer in layers]

    def layers(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Activations of the backbone's layers, [B, C, h, w] each, of float images [B, 3, H, W] in [0, 1]."""
        return list(self._net.net(self._net.scaling_layer(images * 2 - 1)))

    def batch_distance(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Differentiable LPIPS of float images [B, 3, H, W] in [-1, 1] -> [B]: a training loss, not a measurement."""
        return self._net(first, second)[:, 0, 0, 0]

    def to(self, device: torch.device) -> "LpipsNet":
        """Move the network."""
        self._net.to(device)
        self._of_reference.clear()
        return self


def _build(name: str) -> torch.nn.Module:
    """The `lpips` network with its trained heads, on a backbone without weights yet."""
    lpips = import_with_torchvision("lpips")
    with Blank(), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision in a deprecated way
        return lpips.LPIPS(net=name, version="0.1", pnet_rand=True, verbose=False)
