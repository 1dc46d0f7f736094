"""What each image of a batch teaches the denoiser: a table of named lessons.

Of every eight images six decode from the start of the sampler (n = N), where a fast receiver spends its few steps. Half
of these start from zeros (gamma = 0) and learn distortion alone; every network but the entropy model knows which. The
system then has a distortion end and a perception end. The other two images see uniform n. One gets the true x_n, the
other the x_n that the sampler would make: a denoiser trained on true x_n alone would trust its input, and errors would
add up over steps.
"""

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Lesson:
    """What one image teaches the denoiser.

    Attributes:
        from_zeros: x_N = 0; the image learns distortion alone.
        at_start: n = N; otherwise n is uniform.
        own: x_n comes from the model's own one-step reconstruction, otherwise from the true image.
    """

    from_zeros: bool = False
    at_start: bool = False
    own: bool = False


PSNR_END = Lesson(from_zeros=True, at_start=True)
PERCEPTION_END = Lesson(at_start=True)
DENOISE_TRUE = Lesson()
DENOISE_OWN = Lesson(own=True)
DENOISE_OWN_PSNR = Lesson(from_zeros=True, own=True)

BOTH_ENDS = (*(PSNR_END, PERCEPTION_END) * 3, DENOISE_TRUE, DENOISE_OWN)
BOTH_ENDS_OWN_PSNR = (*BOTH_ENDS[:-1], DENOISE_OWN_PSNR)  # in half of the batches
PERCEPTION_END_ONLY = (*(PERCEPTION_END,) * 6, DENOISE_TRUE, DENOISE_OWN)
PSNR_END_ONLY = (*(PSNR_END,) * 7, DENOISE_OWN_PSNR)  # no true x_n: at this end they are noiseless


@dataclass(frozen=True)
class Lessons:
    """The lesson of every image of a batch: the attributes of `Lesson`, bool [B] each."""

    from_zeros: Tensor
    at_start: Tensor
    own: Tensor

    def __getitem__(self, images: slice | Tensor) -> "Lessons":
        return Lessons(self.from_zeros[images], self.at_start[images], self.own[images])


def draw_lessons(count: int, end: str, generator: torch.Generator) -> Lessons:
    """Deal out a table of lessons in turn, from a random place on.

    Args:
        count: images, on the generator's device.
        end: "psnr" or "perception" for lessons of that end alone; anything else for both ends.
        generator: draws the place, and which table of both ends it is.
    """
    device = generator.device
    first = int(len(BOTH_ENDS) * torch.rand((), generator=generator, device=device))
    table = PSNR_END_ONLY if end == "psnr" else PERCEPTION_END_ONLY
    if end not in ("psnr", "perception"):
        own_psnr = torch.rand(1, generator=generator, device=device).item() < 0.5
        table = BOTH_ENDS_OWN_PSNR if own_psnr else BOTH_ENDS
    dealt = [table[(first + index) % len(table)] for index in range(count)]
    return Lessons(*(torch.tensor([getattr(one, f.name) for one in dealt], device=device) for f in fields(Lesson)))
