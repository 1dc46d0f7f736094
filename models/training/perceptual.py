"""d_p of eq. (11): LPIPS of several nets at random pixel phases, SSIM, and the energy of regular patterns.

`PerceptualLoss` is what every system here trains on; its terms follow.

LPIPS-AlexNet begins with a convolution of stride 4. A decoder trained at one pixel phase learns patterns that lower the
distance at that phase alone; a decoder trained on one net learns errors that this net overlooks and an eye does not.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from simulator.errors import UserError
from simulator.metrics.backbones import BACKBONES
from simulator.metrics.lpips import LpipsNet

PHASES = 8  # offsets of 0 to 7 pixels: twice the stride of AlexNet's first layer, and the block of a JPEG
HALF_SCALE = 1 / 3  # weight of LPIPS at half the resolution; the rest is that of full resolution
VGG_WINDOW = 64  # VGG costs five times as much as the other nets, so it sees only a part of the picture
OFF_PHASE = (1, 2)  # pixels from the top and the left at which validation measures
# Periods that folds of 4 pixels and coarser levels can weave, each with the side of the area that phases are averaged
# over: small enough for patterns that change within the picture, large enough that noise averages out.
LATTICES = ((2, 16), (4, 16), (8, 32), (16, 64))
SMALLEST_CROP = 80  # LPIPS at half resolution needs 32 pixels after the offset, the lattice 64


class LpipsBatch(Protocol):
    """The part of `simulator.metrics.lpips.LpipsNet` that training uses."""

    name: str

    def batch_distance(self, first: Tensor, second: Tensor) -> Tensor:
        """LPIPS of images [B, 3, H, W] in [-1, 1] -> [B], with gradients."""
        ...

    def to(self, device: torch.device) -> "LpipsBatch":
        """Move the network."""
        ...


@dataclass(frozen=True)
class PerceptualConfig:
    """The perceptual distance: a part of every `loss:` section that trains on it.

    Attributes:
        nets: LPIPS nets that take turns, each time at another pixel phase; if empty, AlexNet's at one phase.
        structure: weight of 1 - SSIM of luma and colours, relative to LPIPS.
        lattice: weight of the energy of regular patterns, relative to LPIPS.
    """

    nets: tuple[str, ...] = ()
    structure: float = 0.0
    lattice: float = 0.0

    def __post_init__(self) -> None:
        if unknown := set(self.nets) - set(BACKBONES):
            raise UserError(f"'nets' of 'loss' has {', '.join(sorted(unknown))}; known: {', '.join(BACKBONES)}")
        self.check_weights("structure", "lattice")

    def check_weights(self, *names: str) -> None:
        """Raises UserError unless these options are weights."""
        for name in names:
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"'{name}' of 'loss' is {getattr(self, name)}; it must be 0 or more")

    def check_shares(self, *names: str) -> None:
        """Raises UserError unless these options are shares."""
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"'{name}' of 'loss' is {getattr(self, name)}; it must be a share from 0 to 1")

    def check_crop(self, crop: int) -> None:
        """Raises UserError where crops are too small for these terms."""
        if (self.nets or self.structure or self.lattice) and crop < SMALLEST_CROP:
            raise UserError(f"'nets', 'structure' and 'lattice' need a 'crop' of at least {SMALLEST_CROP}, not {crop}")


class PerceptualLoss:
    """The perceptual distance of a `PerceptualConfig`. Images are [B, 3, H, W] in [-1, 1], distances [B]."""

    def __init__(self, config: PerceptualConfig, nets: Sequence["LpipsBatch"] = ()) -> None:
        """nets: those of the configuration, or AlexNet alone; loaded when not given."""
        self.config = config
        if not nets:
            loaded = {name: LpipsNet(name) for name in set(config.nets) or {"alex"}}
            nets = [loaded[name] for name in config.nets or loaded]
        self._aligned, self._shifted = nets[0], ShiftedLpips(nets)

    def distance(self, image: Tensor, estimate: Tensor, generator: torch.Generator) -> Tensor:
        """Differentiable; the generator draws net and pixel phase."""
        config = self.config
        if config.nets:
            distance = self._shifted.distance(image, estimate, generator)
        else:
            distance = self._aligned.to(image.device).batch_distance(image, estimate.to(image.dtype))
        if config.structure:
            distance = distance + config.structure * dissimilarity(image, estimate)
        if config.lattice:
            distance = distance + config.lattice * lattice_energy(estimate - image)
        return distance

    def measured(self, image: Tensor, estimate: Tensor) -> Tensor:
        """LPIPS for validation: without randomness."""
        if self.config.nets:
            return self._shifted.off_phase(image, estimate)
        return self._aligned.to(image.device).batch_distance(image, estimate)


class ShiftedLpips:
    """LPIPS of several nets in turn, each time at another pixel phase, at full and half resolution."""

    def __init__(self, nets: Sequence[LpipsBatch]) -> None:
        """nets: a net that is listed twice takes two turns."""
        self._nets = list(nets)

    def distance(self, image: Tensor, estimate: Tensor, generator: torch.Generator) -> Tensor:
        """Distance of a net and at a phase that the generator draws.

        Args:
            image, estimate: [B, 3, H, W] in [-1, 1], both sides at least `SMALLEST_CROP`.
            generator: draws the net and the phase.

        Returns:
            [B], differentiable.
        """
        turn, down, right = torch.rand(3, generator=generator, device=generator.device).tolist()
        net = self._nets[int(turn * len(self._nets))].to(image.device)
        height, width = (VGG_WINDOW if net.name == "vgg" else side - PHASES for side in image.shape[2:])
        top, left = int(down * (image.shape[2] - height)), int(right * (image.shape[3] - width))
        both = [one[..., top : top + height, left : left + width] for one in (image, estimate.to(image.dtype))]
        if net.name == "vgg":
            return net.batch_distance(*both)
        halves = [F.avg_pool2d(one, 2) for one in both]
        return (1 - HALF_SCALE) * net.batch_distance(*both) + HALF_SCALE * net.batch_distance(*halves)

    def off_phase(self, image: Tensor, estimate: Tensor) -> Tensor:
        """The mean over the nets at `OFF_PHASE`, the same at every call: for validation. As `distance` -> [B]."""
        both = [one[..., OFF_PHASE[0] :, OFF_PHASE[1] :] for one in (image, estimate)]
        nets = {net.name: net for net in self._nets}.values()
        return torch.stack([net.to(image.device).batch_distance(*both) for net in nets]).mean(dim=0)


def lattice_energy(error: Tensor) -> Tensor:
    """Energy of the patterns of period 2, 4, 8 and 16 pixels in an error: the spectral lines of a lattice, locally.

    The mean of every pixel phase over an area, less the mean over all phases, is what repeats in that area. Its squares
    are averaged over areas and colours, and summed over periods.

    Args:
        error: estimate minus image, [B, 3, H, W]; sides are multiples of 16 and at least 64.

    Returns:
        float32 [B], in units of the squared error.
    """
    energies = []
    for period, area in LATTICES:
        phases = F.avg_pool2d(F.pixel_unshuffle(error.float(), period), area // period).unflatten(1, (3, period**2))
        energies.append((phases - phases.mean(dim=2, keepdim=True)).square().flatten(1).sum(1) / phases[0].numel())
    return torch.stack(energies).sum(dim=0)


def dissimilarity(image: Tensor, estimate: Tensor) -> Tensor:
    """1 - SSIM of luma and colour differences, mean over three octaves of resolution.

    Source: Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 13(4),
    2004, with windows of 8 x 8 equal weights. In RGB, luma would hide visible errors of colour.

    Args:
        image, estimate: [B, 3, H, W] in [-1, 1], both sides at least 32.

    Returns:
        float32 [B], 0 for identical images.
    """
    first, second = _opponent(image.float()), _opponent(estimate.float())
    similar = [_ssim(first, second)]
    for _ in range(2):
        first, second = F.avg_pool2d(first, 2), F.avg_pool2d(second, 2)
        similar.append(_ssim(first, second))
    return 1 - torch.stack(similar).mean(dim=0)


def _opponent(image: Tensor) -> Tensor:
    """Luma and twice the colour differences of ITU-R BT.601, [B, 3, H, W]."""
    red, green, blue = image.unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return torch.stack([luma, 2 * 0.564 * (blue - luma), 2 * 0.713 * (red - luma)], dim=1)


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    """Mean SSIM of images with a range of 2, [B, 3, H, W] -> [B]."""
    steady, varying = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # C_1 and C_2
    squares, product, a, b = (
        F.avg_pool2d(one, 8, 2) for one in (first.square() + second.square(), first * second, first, second)
    )
    means = a.square() + b.square()
    similar = (2 * a * b + steady) * (2 * (product - a * b) + varying)
    return (similar / ((means + steady) * (squares - means + varying))).flatten(1).mean(dim=1)
