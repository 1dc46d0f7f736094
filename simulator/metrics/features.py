"""Features of patches, for kernel distances: those of Inception (KID), or of one of LPIPS' backbones."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from simulator.devices import check_device, usual_torch
from simulator.metrics.inception import Inception
from simulator.metrics.lpips import LpipsNet

KINDS = ("inception", "alex", "vgg")
BATCH = 8  # patches: VGG's activations of 256 x 256 pixels take 17 MB each
_NETWORKS = {"alex": "AlexNet", "vgg": "VGG"}


@dataclass(frozen=True)
class Features:
    """A network that turns patches into features.

    Attributes:
        column: of the distance in CSV and JSON; `kid` only with the official weights.
        label: what people call the distance.
        fingerprint: SHA-256 (hex) of the weights.
    """

    column: str
    label: str
    fingerprint: str
    _compute: Callable[[torch.Tensor], torch.Tensor]
    _device: torch.device

    @usual_torch()
    def __call__(self, patches: np.ndarray) -> np.ndarray:
        """Features float32 [N, D] of uint8 patches [N, h, w, 3]; their last bits depend on how many come together."""
        pixels = torch.from_numpy(patches).permute(0, 3, 1, 2)
        with torch.inference_mode():
            parts = [self._compute(part.contiguous().to(self._device)).cpu() for part in pixels.split(BATCH)]
        return torch.cat(parts).numpy()


def load_features(kind: str, weights: Path | None = None, device: str = "cpu") -> Features:
    """Load a network: one of `KINDS`.

    AlexNet and VGG16 are LPIPS' backbones. Their features are the means over the patch of the last layer's activations
    (after the fifth convolution of AlexNet, 256, and the thirteenth of VGG16, 512).

    Args:
        kind: which.
        weights: file of Inception's; None looks for the official one.
        device: as torch names it.

    Raises:
        UserError: no such device, or weights that are missing and cannot be downloaded, or damaged.
    """
    check_device(device)
    place = torch.device(device)
    if kind == "inception":
        net = Inception(weights)
        net.to(place)
        column, label = ("kid", "KID") if net.official else ("kernel_distance_other", "kernel distance (own weights)")
        return Features(column, label, net.fingerprint, net, place)
    backbone = LpipsNet(kind).to(place)
    return Features(
        f"kernel_distance_{kind}",
        f"kernel distance ({_NETWORKS[kind]})",
        backbone.fingerprint,
        lambda patches: backbone.layers(patches.float() / 255)[-1].mean(dim=(2, 3)),
        place,
    )
