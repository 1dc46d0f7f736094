"""How to read the numbers of each metric: its name for people, which direction is better, its digits."""

from collections.abc import Mapping
from dataclasses import dataclass


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
        """The direction that is better, as tables mark it."""
        return "↑" if self.higher_is_better else "↓"

    @property
    def better(self) -> str:
        """The direction in words."""
        return f"{'higher' if self.higher_is_better else 'lower'} is better"

    def improves(self, difference: float) -> bool:
        """Whether a difference has the better sign."""
        return difference > 0 if self.higher_is_better else difference < 0


SCALES = {
    "psnr_db": Scale("PSNR (dB)", True, 2, ratio=False),
    "ms_ssim": Scale("MS-SSIM", True, 4),
    "lpips": Scale("LPIPS", False, 3),
    "lpips_alex": Scale("LPIPS (AlexNet)", False, 3),
    "lpips_squeeze": Scale("LPIPS (SqueezeNet)", False, 3),
    "lpips_vgg": Scale("LPIPS (VGG)", False, 3),
    "lpips_shifted": Scale("LPIPS (16 pixel phases)", False, 3),
    "dists": Scale("DISTS", False, 3),
    "ssimulacra2": Scale("SSIMULACRA2", True, 1, ratio=False),
    "flip": Scale("FLIP", False, 3),
    # What a channel measures of a transmission, `MEASURED`.
    "evm_percent": Scale("EVM (%)", False, 1),
    "papr_db": Scale("PAPR (dB)", False, 1, ratio=False),
    "out_of_band_db": Scale("Power out of band (dB)", False, 1, ratio=False),
    "amplifier_db": Scale("Amplifier's mean output power (dB of saturation)", True, 1, ratio=False),
}

MEASURED = ("evm_percent", "papr_db", "out_of_band_db", "amplifier_db")


def scale_of(name: str, directions: Mapping[str, bool] | None = None) -> Scale:
    """The scale of a metric by the name of its column.

    Args:
        name: of the column.
        directions: of metrics that the program does not know, by name: whether higher is better. Results carry it.
    """
    return SCALES.get(name) or Scale(name, bool((directions or {}).get(name, True)))
