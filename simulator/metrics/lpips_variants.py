"""LPIPS in addition to the built-in one: other networks, and the mean over pixel phases.

AlexNet's first layer has a stride of 4 pixels, so that LPIPS sees a pattern of that period at one phase only, and a
network trained on it can learn patterns that this phase does not punish. `shifted` is the mean over the sixteen phases;
the aligned value stays what papers call LPIPS.
"""

from statistics import fmean

import torch

from simulator.metrics.backbones import MIN_SIDE
from simulator.metrics.lpips import LpipsNet
from simulator.spec.options import Choice, Declaration

PHASES = 4  # pixels: the stride of AlexNet's first layer


class LpipsVariant:
    """`lpips:squeeze`, `lpips:vgg`, `lpips:alex` or `lpips:shifted` (AlexNet); 0 is identical, lower is better."""

    declaration = Declaration(
        "lpips",
        "LPIPS in addition to the built-in one; 0 is identical, lower is better",
        {"of": Choice(("alex", "squeeze", "vgg", "shifted"), "network; shifted is alex averaged over pixel phases")},
        bare="of",
    )
    higher_is_better = False

    def __init__(self, *options: str) -> None:
        """Load the network.

        Raises:
            LpipsUnavailable: the backbone is not available.
            UserError: an option that is not declared.
        """
        option = self.declaration.read(options)["of"]
        self.name = f"lpips_{option}"
        self._phases = PHASES if option == "shifted" else 1
        self._net = LpipsNet("alex" if option == "shifted" else option, remembered=self._phases**2)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all weights."""
        return self._net.fingerprint

    def measure(self, reference: torch.Tensor, shown: torch.Tensor) -> float | None:
        """LPIPS of float32 images [3, H, W] in [0, 1]; None if too little of a side is left after the shifts."""
        height, width = (side - self._phases + 1 for side in reference.shape[-2:])
        if min(height, width) < MIN_SIDE:
            return None
        shifts = [(down, right) for down in range(self._phases) for right in range(self._phases)]
        views = ((image[:, y : y + height, x : x + width] for image in (reference, shown)) for y, x in shifts)
        return fmean(self._net.distance(*pair) for pair in views)
