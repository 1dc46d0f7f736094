"""SSIMULACRA2, as the package `ssimulacra2` computes it. It takes about 2 s for an image of 768x512 on one core.

Source: Sneyers, SSIMULACRA 2.1, github.com/cloudinary/ssimulacra2 (the tool in C++ that the package follows).
"""

import io

import torch
from PIL import Image

from simulator.images.pixels import to_uint8
from simulator.metrics.packages import import_package, package_fingerprint
from simulator.spec.options import Declaration

MIN_SIDE = 8
PACKAGE = "ssimulacra2"


class Ssimulacra2:
    """Fidelity to the source as people see it: 100 is identical, 70 high, 30 low quality, and it may be negative."""

    declaration = Declaration("ssimulacra2", "SSIMULACRA 2; 100 is identical, higher is better")
    name = "ssimulacra2"
    higher_is_better = True

    def __init__(self, *options: str) -> None:
        self.declaration.read(options)
        self._compute = import_package(self.name, "ssimulacra2", PACKAGE).compute_ssimulacra2

    def fingerprint(self) -> str:
        """Name and version of the package."""
        return package_fingerprint(PACKAGE)

    def measure(self, reference: torch.Tensor, shown: torch.Tensor) -> float | None:
        """Score of float32 images [3, H, W] in [0, 1]; None if a side is below `MIN_SIDE`."""
        if min(reference.shape[-2:]) < MIN_SIDE:
            return None
        return float(self._compute(*(_as_file(image) for image in (reference, shown))))


def _as_file(image: torch.Tensor) -> io.BytesIO:
    """The package reads files; without compression writing one takes no time."""
    file = io.BytesIO()
    Image.fromarray(to_uint8(image)).save(file, "png", compress_level=0)
    file.seek(0)
    return file
