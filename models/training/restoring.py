"""The learned receiver as a trainee: squared error at one end, perception at the other, and all between."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simulator.errors import UserError
from simulator.models.lrisc.diffusion import add_noise
from simulator.models.receiver.net import PERCEPTION_GAMMA, Receiver, restore
from simulator.models.training.companion import Companion
from simulator.models.training.monitor import mosaic
from simulator.models.training.muon import parameter_groups
from simulator.models.training.pairs import apart
from simulator.models.training.perceptual import LpipsBatch, PerceptualConfig, PerceptualLoss, lattice_energy
from simulator.models.training.validation import SCORE_PER_LPIPS, psnr_db

OUTER_LAYERS = ("enter.", "time.", "modulation.")
# Both start from a least-squares fit, of which a full step would lose more than it brings.
LAST_LAYERS, LAST_LR_SCALE = ("leave.", "linear."), 0.3
# Errors above this count by their logarithm, as in an average of PSNRs; smaller ones count less, or plain skies would
# dominate.
EASY_MSE = 1e-4


@dataclass(frozen=True)
class RestoringConfig(PerceptualConfig):
    """What one stage optimises (the `loss:` section of its YAML).

    Attributes:
        perception: weight of the perceptual distance at the largest gamma, per unit of the logarithm of the squared
            error; in proportion to gamma below. 0 trains the denoiser of the PSNR end (gamma = 0), without noise;
            anything else trains the other one.
        gamma: lowest and highest gamma, drawn uniformly.
        later_share: share of the images that see x_n of a later step, made of their own first reconstruction.
        latent_share: share of the images that come with LRISC's picture beside them, as in `lrisc-hybrid`.
    """

    perception: float = 16.0
    gamma: tuple[float, float] = (0.1, PERCEPTION_GAMMA)
    later_share: float = 0.1
    latent_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_shares("later_share", "latent_share")
        self.check_weights("perception")
        if not 0 < self.gamma[0] <= self.gamma[1] <= PERCEPTION_GAMMA:
            raise UserError(
                f"'gamma' of 'loss' is {self.gamma}; it must be [lowest, highest], above 0 and up to {PERCEPTION_GAMMA}"
            )


class ReceiverTrainee:
    """Trains the denoiser of one end of a `Receiver` on pairs (`pairs.py`)."""

    def __init__(
        self,
        model: Receiver,
        config: RestoringConfig,
        gamma: float,
        nets: Sequence[LpipsBatch] = (),
        companion: Companion | None = None,
    ) -> None:
        """Args:
        model: the denoisers.
        config: what is optimised.
        gamma: at which validation measures the perception end.
        nets: those of `config.nets`, or AlexNet alone; loaded when not given.
        companion: makes LRISC's pictures, where `config.latent_share` asks for some.
        """
        self.model, self.config, self.gamma, self.companion = model, config, gamma, companion
        self.net = model.lively if config.perception else model.faithful
        self.perceptual = PerceptualLoss(config, nets)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.net.named_parameters(), LAST_LAYERS, OUTER_LAYERS, LAST_LR_SCALE)

    def loss(self, images: Tensor, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Logarithm of the squared error + gamma / `PERCEPTION_GAMMA` * perception * perceptual distance.

        At the PSNR end `lattice` weighs the energy of regular patterns relative to the squared error.
        """
        picture, decoded, qp = apart(images)
        x, decoded = picture * 2 - 1, decoded * 2 - 1
        gamma, time, later = self._draw(len(x), generator)
        noise = gamma[:, None, None, None] * torch.randn(x.shape, generator=generator, device=x.device)
        beside = self._beside(x, decoded, qp, generator)
        start = self._later(noise, decoded, qp, gamma, time, later, beside)
        estimate = self.net(start, decoded, qp, gamma, time, beside).float()
        mse = (estimate - x).square().mean(dim=(1, 2, 3)) / 4
        before = (decoded - x).square().mean(dim=(1, 2, 3)) / 4
        weaving = self.config.lattice * lattice_energy(estimate - x) / 4 if not self.config.perception else 0.0
        loss = (mse + weaving + EASY_MSE).log()
        gain_db = 10 * (before.clamp_min(1e-8) / mse.detach().clamp_min(1e-8)).log10()
        figures = {"gain_db": float(gain_db.mean())}
        if self.config.perception:
            distance = self.perceptual.distance(x, estimate, generator)
            loss = loss + self.config.perception * gamma / PERCEPTION_GAMMA * distance
            figures["distance"] = float(distance.detach().mean())
        return loss.mean(), figures

    def _draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Gamma and n/N of every image, and whether n is a later step than the first."""
        place, time, late = torch.rand(3, count, generator=generator, device=generator.device)
        low, high = self.config.gamma if self.config.perception else (0.0, 0.0)
        gamma, later = low + (high - low) * place, late < self.config.later_share
        return gamma, torch.where(later, 1 - time, 1.0), later

    def _beside(self, x: Tensor, decoded: Tensor, qp: Tensor, generator: torch.Generator) -> Tensor | None:
        """LRISC's picture of some images; the decoded one, which says nothing new, of the others."""
        if self.companion is None:
            return None
        drawn = torch.rand(len(x), generator=generator, device=generator.device) < self.config.latent_share
        some = drawn.nonzero()[:, 0].to(x.device)
        if not len(some):
            return None
        faithful = not self.config.perception
        return decoded.index_copy(
            0, some, self.companion.pictures(x[some], decoded[some], qp[some], faithful, generator)
        )

    @torch.no_grad()
    def _later(
        self,
        noise: Tensor,
        decoded: Tensor,
        qp: Tensor,
        gamma: Tensor,
        time: Tensor,
        later: Tensor,
        beside: Tensor | None,
    ) -> Tensor:
        """x_n: noise alone, or (where `later`) what the sampler would have made of it by n/N."""
        some = later.nonzero()[:, 0]
        if not len(some):
            return noise
        first = torch.ones(len(some), device=noise.device)
        other = None if beside is None else beside[some]
        shown = self.net(noise[some], decoded[some], qp[some], gamma[some], first, other)
        return noise.index_copy(0, some, add_noise(shown.to(noise.dtype), noise[some], time[some]))

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        if not self.config.perception:
            return "PSNR at gamma 0 of held-out pictures"
        return f"PSNR - {SCORE_PER_LPIPS} LPIPS at gamma {self.gamma:g} of held-out pictures"

    @torch.no_grad()
    def validate(self, model: torch.nn.Module, images: Tensor) -> dict[str, float]:
        """Quality at both ends, and the gain over the decoded pictures."""
        assert isinstance(model, Receiver)
        found: dict[str, list[Tensor]] = {}
        for index in range(len(images)):
            picture, decoded, qp = apart(images[index : index + 1])
            x, decoded = picture * 2 - 1, decoded * 2 - 1
            plain = restore(model, decoded, qp, 0.0, 1, torch.Generator()).clamp(-1, 1)
            sharp = restore(model, decoded, qp, self.gamma, 1, torch.Generator().manual_seed(index)).clamp(-1, 1)
            before, faithful, lively = (psnr_db(x, one) for one in (decoded, plain, sharp))
            gains = {"gain_db": faithful - before, "perception_gain_db": lively - before}
            one = {
                "psnr_db": faithful,
                "psnr_db_perceptual": lively,
                **gains,
                **self._hybrid(model, x, decoded, qp, index),
            }
            for name, value in (one | {"lpips": self.perceptual.measured(x, sharp)}).items():
                found.setdefault(name, []).append(value)
        means = {name: float(torch.cat(values).mean()) for name, values in found.items()}
        worst = {"least_gain_db": float(torch.cat(found["gain_db"]).min())}
        sharp_score = means["psnr_db_perceptual"] - SCORE_PER_LPIPS * means["lpips"]
        return {"score": sharp_score if self.config.perception else means["psnr_db"], **means, **worst}

    def _hybrid(self, model: Receiver, x: Tensor, decoded: Tensor, qp: Tensor, index: int) -> dict[str, Tensor]:
        """Quality with LRISC's picture beside the coded one, at the end that is trained."""
        if self.companion is None:
            return {}
        generator, lively = torch.Generator().manual_seed(index), self.config.perception > 0
        beside = self.companion.pictures(x, decoded, qp, not lively, generator)
        gamma = self.gamma if lively else 0.0
        shown = restore(model, decoded, qp, gamma, 1, generator, beside).clamp(-1, 1)
        found = {"hybrid_gain_db": psnr_db(x, shown) - psnr_db(x, decoded)}
        return found | ({"hybrid_lpips": self.perceptual.measured(x, shown)} if lively else {})

    @torch.no_grad()
    def pictures(self, model: torch.nn.Module, images: Tensor) -> Tensor:
        """Four pictures: original, decoded, and restored at both ends, one under the other."""
        assert isinstance(model, Receiver)
        picture, decoded, qp = apart(images[:4])
        ends = [
            restore(model, decoded * 2 - 1, qp, gamma, 1, torch.Generator().manual_seed(0)).clamp(-1, 1) / 2 + 0.5
            for gamma in (0.0, self.gamma)
        ]
        return mosaic([picture, decoded, *ends])
