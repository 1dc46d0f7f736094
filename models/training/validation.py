"""LRISC's validation: quality at both ends of the decoder, over the points that a score averages."""

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor

from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.signals import Aim, LatentEstimate
from simulator.models.training.channel import cross

CBR, SNRS_DB = 1 / 16, (0.0, 5.0, 10.0, 15.0)
SCORE_PER_LPIPS = 50  # a decibel counts as much as 0.02 of LPIPS: about how the two move against each other


class Validation:
    """Sends held-out images over AWGN, or (stage 1) over no channel, and measures what arrives."""

    def __init__(
        self,
        channel: bool,
        gamma: float,
        sent_fidelity: float,
        perceptual: Callable[[Tensor, Tensor], Tensor],
        perception_end_only: bool,
    ) -> None:
        """Args:
        channel: whether f_e, channel and f_d take part.
        gamma: size of x_N at the perception end.
        sent_fidelity: `Aim.fidelity` of the perception end.
        perceptual: LPIPS of images in [-1, 1], [B, 3, H, W] twice -> [B].
        perception_end_only: let the PSNR of the perception end count in the score: the other end cannot change.
        """
        self.gamma, self.sent_fidelity, self.perceptual = gamma, sent_fidelity, perceptual
        self._counted = "psnr_db_perceptual" if perception_end_only else "psnr_db"
        self.snrs_db = SNRS_DB if channel else ()

    @property
    def measure(self) -> str:
        """What the score is."""
        if not self.snrs_db:
            return f"PSNR - {SCORE_PER_LPIPS} LPIPS without a channel"
        points = ", ".join(f"{snr_db:g}" for snr_db in self.snrs_db)
        measured = f"PSNR - {SCORE_PER_LPIPS} LPIPS, mean over AWGN at {points} dB and CBR {Fraction(CBR)}"
        return f"{measured}, of the perception end" if self._counted == "psnr_db_perceptual" else measured

    def figures(self, model: Lrisc, images: Tensor) -> dict[str, float]:
        """Means over images [N, 3, H, W] in [0, 1] and points, and the figures of each SNR."""
        figures: dict[str, list[Tensor]] = {"psnr_db": [], "lpips": [], "psnr_db_perceptual": []}
        bits = 0.0
        for index, image in enumerate(images):
            x = image[None] * 2 - 1
            (sharp_bits, sharp), (_, plain) = (
                self._shown(model, x, index, fidelity) for fidelity in (self.sent_fidelity, 1.0)
            )
            x = x.expand(len(sharp), -1, -1, -1)
            figures["psnr_db"].append(psnr_db(x, plain))
            figures["psnr_db_perceptual"].append(psnr_db(x, sharp))
            figures["lpips"].append(self.perceptual(x, sharp))
            bits += sharp_bits / x[0, 0].numel() / len(images)
        means = {name: torch.stack(values).mean(dim=0) for name, values in figures.items()}  # [points]
        means["score"] = means[self._counted] - SCORE_PER_LPIPS * means["lpips"]
        overall = {name: float(means[name].mean()) for name in ("score", "psnr_db", "lpips", "psnr_db_perceptual")}
        each = {
            f"{name}_at_{snr_db:g}_db": float(means[name][place])
            for name in ("psnr_db", "lpips")
            for place, snr_db in enumerate(self.snrs_db)
        }
        return overall | {"bpp": bits} | each

    def pictures(self, model: Lrisc, images: Tensor) -> Tensor:
        """Four images, each above what is made of it at every point, [3, (1 + points) H, 4 W] in [0, 1]."""
        columns = []
        for index, image in enumerate(images[:4]):
            x = image[None] * 2 - 1
            columns.append(torch.cat([x[0], *self._shown(model, x, index, self.sent_fidelity)[1]], dim=1))
        return torch.cat(columns, dim=2) / 2 + 0.5

    def _shown(self, model: Lrisc, x: Tensor, index: int, fidelity: float) -> tuple[float, Tensor]:
        """Bits of z, and one end's one-step reconstructions of an image [1, 3, H, W] at every point."""
        latent = model.analyse(x, Aim.clean(x.new_full((1,), fidelity)))
        if self.snrs_db:
            levels = model.share(latent.bits, torch.tensor([CBR * 2 * 3 * STRIDE**2], device=x.device))
            aims = [Aim(x.new_full((1,), snr_db), x.new_full((1,), fidelity)) for snr_db in self.snrs_db]
            received = LatentEstimate.join([_over_awgn(model, latent.z, levels, aim, index) for aim in aims])
        else:
            received = LatentEstimate.exact(latent.quantised, Aim.clean(x.new_full((1,), fidelity)))
        noise = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(index)).to(x)
        start = self.gamma * noise.expand(len(received.z), -1, -1, -1)
        return float(latent.bits.sum()), model.generate(received, float(fidelity < 1) * start, steps=1)


def _over_awgn(model: Lrisc, z: Tensor, levels: Tensor, aim: Aim, seed: int) -> LatentEstimate:
    """Noise depends on the seed alone: it is the same at every validation and every SNR."""
    sent = model.send(z, levels, aim)
    return model.receive(cross(sent, aim.snr_db, torch.Generator(z.device).manual_seed(seed)), aim)


def psnr_db(image: Tensor, estimate: Tensor) -> Tensor:
    """Of each image in [-1, 1], [B]."""
    return -10 * ((image - estimate).square().mean(dim=(1, 2, 3)) / 4).log10()
