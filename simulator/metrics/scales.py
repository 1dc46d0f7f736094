"""How to read the numbers of each metric: its name for people, which direction is better, its digits."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """What tables, figures and comparisons need to know about a metric.

    Attributes:
        label: what people call it.
        higher_is_better: its direction.
        digits: decimals in tables.
        ratio: whether a difference in percent means anything; not in decibels, nor on a scale that crosses 0.
    """

    label: str
    higher_is_better: bool
    digits: int = 4
    ratio: bool = True

    @property
    def arrow(self) -> str:
        """The direction as tables mark it."""
        return "↑" if self.higher_is_better else "↓"

    def better(self, difference: float) -> bool:
        """Whether a difference in this direction is an improvement."""
        return difference > 0 if self.higher_is_better else difference < 0


SCALES = {
    "psnr_db": Scale("PSNR (dB)", True, 2, ratio=False),
    "ms_ssim": Scale("MS-SSIM", True, 4),
    "lpips": Scale("LPIPS", False, 3),
    "lpips_alex": Scale("LPIPS (AlexNet)", False, 3),
    "lpips_squeeze": Scale("LPIPS (SqueezeNet)", False, 3),
    "lpips_vgg": Scale("LPIPS (VGG)", False, 3),
    "lpips_shifted": Scale("LPIPS (AlexNet, 16 pixel phases)", False, 3),
    "dists": Scale("DISTS", False, 3),
    "ssimulacra2": Scale("SSIMULACRA2", True, 1, ratio=False),
    "flip": Scale("FLIP", False, 3),
    "kid": Scale("KID (VGG16, patches)", False, 4),
}


def scale_of(name: str, own: Mapping[str, Any] | None = None) -> Scale:
    """The scale of a metric by the name of its column.

    Args:
        name: of the column.
        own: scales of metrics that the program does not know, by name, as `Scale` records: results carry them.
    """
    if own and name in own:
        return Scale(**own[name])
    return SCALES.get(name) or Scale(name, True)


def scale_record(scale: Scale) -> dict[str, Any]:
    """A scale, JSON-serialisable."""
    return asdict(scale)
