"""FLIP (LDR), as the package `flip-evaluator` computes it. It takes about 2 s for an image of 768x512 on one core.

Source: Andersson et al., "FLIP: a difference evaluator for alternating images", Proc. ACM Comput. Graph. Interact.
Tech. 3(2), 2020.
"""

import torch

from simulator.metrics.packages import import_package, package_fingerprint
from simulator.spec.options import Declaration

PACKAGE = "flip-evaluator"


class Flip:
    """Mean difference that a viewer notices when two images alternate: in [0, 1], 0 is identical."""

    declaration = Declaration(
        "flip", "FLIP: mean difference that a viewer notices when the images alternate; 0 is identical, lower is better"
    )
    name = "flip"
    higher_is_better = False

    def __init__(self, *options: str) -> None:
        self.declaration.read(options)
        self._evaluate = import_package(self.name, "flip_evaluator", PACKAGE).evaluate

    def fingerprint(self) -> str:
        """Name and version of the package."""
        return package_fingerprint(PACKAGE)

    def measure(self, reference: torch.Tensor, shown: torch.Tensor) -> float:
        """Mean FLIP of float32 images [3, H, W] in [0, 1], at the package's default of 67 pixels per degree."""
        first, second = (image.permute(1, 2, 0).contiguous().numpy() for image in (reference, shown))
        _, mean, _ = self._evaluate(first, second, "LDR", applyMagma=False)
        return float(mean)
