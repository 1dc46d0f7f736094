"""What the learned receiver sees beside a coded picture in `lrisc-hybrid`: the picture of LRISC's latents."""

import torch
from torch import Tensor

from simulator.models.hybrid.latent import missing_bits
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.signals import Aim
from simulator.models.training.channel import cross

SNR_DB = (0.0, 18.0)
BASE_SHARE = (0.25, 0.9)  # of the channel uses
MARGIN_DB = (0.0, 6.0)  # of the base
REVISION = 1  # of these numbers and what is made of them
# A photograph coded at this QP takes so many bits per pixel, and half as many with so many QPs more; the digital link
# carries this share of capacity.
REFERENCE_QP, REFERENCE_BPP, QPS_PER_HALF, LINK_SHARE = 37, 0.42, 5.5, 0.75


class Companion:
    """A released LRISC over AWGN, with the budgets that a base of some QP leaves it. Trains nothing."""

    def __init__(self, model: Lrisc, sent_fidelity: float, gamma: float) -> None:
        """model: LRISC; sent_fidelity, gamma: of its perception end, as its model card has them."""
        self._model, self._fidelity, self._gamma = model.eval().requires_grad_(False), sent_fidelity, gamma

    @torch.no_grad()
    def pictures(self, x: Tensor, base: Tensor, qp: Tensor, faithful: bool, generator: torch.Generator) -> Tensor:
        """Send pictures beside their bases at random SNRs, shares of the channel and margins.

        Args:
            x: pictures, [B, 3, H, W] in [-1, 1]; sides are multiples of 16.
            base: the coded pictures, same shape.
            qp: of each, [B].
            faithful: for the PSNR end.
            generator: draws SNRs, shares, margins, noise and x_N.

        Returns:
            What LRISC alone shows of its latents, [B, 3, H, W].
        """
        model, device = self._model.to(x.device), x.device
        places = torch.rand(3, len(x), generator=generator, device=generator.device).to(device)
        ranges = (SNR_DB, BASE_SHARE, MARGIN_DB)
        snr_db, share, margin_db = (low + (high - low) * one for (low, high), one in zip(ranges, places, strict=True))
        aim = Aim(snr_db, torch.full_like(snr_db, 1.0 if faithful else self._fidelity))
        z = model.transform(x, aim)
        levels = model.share(missing_bits(model, z, base, aim), self._dimensions(qp, snr_db - margin_db, share))
        sent = model.send(z, levels, aim)
        estimate = model.receive(cross(sent, snr_db, generator), aim)
        noise = torch.randn(x.shape, generator=generator, device=generator.device).to(device)
        return model.generate(estimate, (0.0 if faithful else self._gamma) * noise, 1)

    def _dimensions(self, qp: Tensor, snr_db: Tensor, share: Tensor) -> Tensor:
        """Real dimensions per latent vector beside a base of this QP, coded for this SNR, [B]."""
        bits_per_use = LINK_SHARE * (1 + 10 ** (snr_db / 10)).log2()
        base_uses = REFERENCE_BPP * 2 ** ((REFERENCE_QP - qp) / QPS_PER_HALF) / bits_per_use  # per pixel
        lowest, highest = self._model.levels[0], self._model.levels[-1]
        return (2 * STRIDE**2 * base_uses * (1 - share) / share).clamp(float(lowest) + 1, float(highest))
