"""LRISC as a trainee: the loss of eq. (11) in each stage of Algorithm 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simulator.errors import UserError
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.diffusion import add_noise, loss_weight
from simulator.models.lrisc.losses import bits_per_pixel, distortion_perception
from simulator.models.lrisc.planning import usual_grid
from simulator.models.lrisc.rate import pool_tokens
from simulator.models.lrisc.signals import Aim, Latent, LatentEstimate
from simulator.models.lrisc.unet import Condition
from simulator.models.training.adversary import Discriminator, adversarial_losses, adversary_group
from simulator.models.training.channel import cross
from simulator.models.training.constellation import Grids
from simulator.models.training.fading import fading_strength
from simulator.models.training.lessons import Lessons, draw_lessons
from simulator.models.training.muon import parameter_groups
from simulator.models.training.perceptual import LpipsBatch, PerceptualConfig, PerceptualLoss, lattice_energy
from simulator.models.training.validation import Validation
from simulator.spec.configuration import read_snr_range

SHARED_BETA = 4  # so many crops share a beta, as the regions of one image do
LINEAR_LAYERS, LINEAR_LR_SCALE = (".linear.", ".rates.", "log_channel_scale"), 0.3
OUTER_LAYERS = (
    *("branch.0.", "denoiser.enter.", "denoiser.leave.", "time.", "modulation.", "doubt.", "attention.bias"),
    *("entropy.", ".snr.", ".tokens."),
)
END_PARTS = {  # in the names of parameters that one end alone uses; the empty name is in all
    "psnr": (".layer.", "fidelity"),
    "perception": ("lifelike.",),
    "denoisers": ("denoiser.", "lifelike."),
    "both": ("",),
}
TRAINED_MODULES = {
    1: ("transform", "entropy", "denoiser", "lifelike"),
    2: ("encoder", "decoder"),
    3: ("transform", "entropy", "encoder", "decoder", "denoiser", "lifelike"),
}


@dataclass(frozen=True)
class StageConfig(PerceptualConfig):
    """What one stage optimises (the `loss:` section of its YAML).

    Attributes:
        rate_weight: lambda of eq. (11), per bit per pixel.
        perception: eta of eq. (11) at the end of the stage.
        perception_from: progress at which eta leaves zero; it has reached its value a fifth of the stage later.
        clean_share: share of the batch whose channel-free reconstruction (the bar terms of eq. 11) is trained too.
        gamma: size of x_N for the images that learn perception.
        snr_db: lowest and highest Es/N0.
        snr_skew: SNRs are drawn as lowest + (highest - lowest) u^skew, u uniform: above 1, low ones more often.
        cbr: lowest and highest bandwidth ratio, drawn log-uniformly.
        adapt_from: progress at which the SNR module joins (0: at once); until then the SNR is 10 dB.
        coarse_maps: how often rates are shared by 2 x 2 or 4 x 4 vectors, as the scheme does at low budgets.
        maps_as_sent: share rates by as many vectors as the scheme does at the SNR and CBR of each image; overrides
            `coarse_maps`.
        fading: share of images sent over Rayleigh or Rician fading, half of them per image, half per symbol.
        qam, qam_points, qam_gradient: share of images sent over QAM grids, and which (`Grids`).
        psnr_end_only: train only what the PSNR end alone uses (adapters, tokens), on squared error; images of the
            perception end stay the same, bit for bit.
        perception_end_only: train only the denoiser of the perception end (which begins as that of the start); images
            of the PSNR end stay the same, bit for bit.
        sent_rate: learning rate of the perception end's own adapters in f_e and f_d, relative to that of its denoiser,
            with `perception_end_only`; 0 leaves f_e and f_d as they are.
        denoisers_only: train only the denoisers of both ends, where each end has its own.
        sent_fidelity: how far f_e and f_d lean towards the PSNR end for images of the perception end (`Aim.fidelity`).
        adversary: weight of the discriminator's verdict, relative to LPIPS; 0 trains without one.
    """

    rate_weight: float = 0.05
    perception: float = 0.5
    perception_from: float = 0.3
    clean_share: float = 0.25
    gamma: float = 0.8
    snr_db: tuple[float, float] = (0.0, 20.0)
    snr_skew: float = 1.0
    cbr: tuple[float, float] = (1 / 96, 1 / 8)
    adapt_from: float = 0.0
    coarse_maps: float = 0.2
    maps_as_sent: bool = False
    fading: float = 0.0
    qam: float = 0.0
    qam_points: tuple[int, ...] = (16, 64, 256)
    qam_gradient: str = "straight"
    psnr_end_only: bool = False
    perception_end_only: bool = False
    sent_rate: float = 0.0
    denoisers_only: bool = False
    sent_fidelity: float = 0.0
    adversary: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_shares("perception", "clean_share", "coarse_maps", "fading")
        self.check_weights("rate_weight", "adversary", "sent_rate")
        self.grids.check("'loss'")
        if not 0 < self.gamma <= 1:
            raise UserError(
                f"'gamma' of 'loss' is {self.gamma}; it must be above 0 and at most 1 (the PSNR end is trained anyway)"
            )
        read_snr_range(self.snr_db, "'snr_db' of 'loss'")
        if not self.snr_skew > 0:
            raise UserError(f"'snr_skew' of 'loss' is {self.snr_skew}; it must be above 0, and 1 draws uniformly")
        if not 0 < self.cbr[0] <= self.cbr[1] <= 0.5:
            raise UserError(f"'cbr' of 'loss' is {self.cbr}; it must be [lowest, highest] within 0 < CBR <= 0.5")
        if self.psnr_end_only + self.perception_end_only + self.denoisers_only > 1:
            raise UserError(
                "'psnr_end_only', 'perception_end_only' and 'denoisers_only' of 'loss' exclude each other; set one"
            )
        if self.sent_rate and not self.perception_end_only:
            raise UserError("'sent_rate' of 'loss' needs 'perception_end_only: true'; set both or neither")
        if not 0 <= self.sent_fidelity < 1:
            raise UserError(f"'sent_fidelity' of 'loss' is {self.sent_fidelity}; it must be from 0 to below 1")

    @property
    def grids(self) -> Grids:
        """The QAM grids of the stage."""
        return Grids(self.qam, self.qam_points, self.qam_gradient)

    @property
    def end(self) -> str:
        """What the stage trains: a key of `END_PARTS`."""
        alone = {"psnr": self.psnr_end_only, "perception": self.perception_end_only, "denoisers": self.denoisers_only}
        return next((end for end, chosen in alone.items() if chosen), "both")


class LriscTrainee:
    """One stage of Algorithm 1 for the training loop."""

    def __init__(self, model: Lrisc, stage: int, config: StageConfig, nets: Sequence[LpipsBatch] = ()) -> None:
        """nets: those of `config.nets`, or AlexNet alone; loaded when not given."""
        if stage not in TRAINED_MODULES:
            raise UserError(f"stage {stage} is unknown; LRISC trains in stages 1, 2 and 3")
        self.model, self.stage, self.config = model, stage, config
        self.perceptual = PerceptualLoss(config, nets)
        self.adversary = Discriminator(model.config.latent_channels) if config.adversary else None
        alone = config.end == "perception"
        self.validation = Validation(stage != 1, config.gamma, config.sent_fidelity, self.perceptual.measured, alone)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The modules that this stage does not freeze."""
        trained = [pair for pair in self.model.named_parameters() if pair[0].startswith(TRAINED_MODULES[self.stage])]
        parts = END_PARTS[self.config.end]
        trained = [(name, parameter) for name, parameter in trained if any(part in name for part in parts)]
        groups = parameter_groups(trained, LINEAR_LAYERS, OUTER_LAYERS, LINEAR_LR_SCALE)
        if self.config.sent_rate:
            adapters = [parameter for name, parameter in self.model.named_parameters() if ".perceptual." in name]
            groups.append({"params": adapters, "matrix": True, "lr_scale": self.config.sent_rate})
        return groups + adversary_group(self.adversary)

    def loss(self, images: Tensor, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Eq. (11) on images [B, 3, H, W] in [0, 1]."""
        x, end = images * 2 - 1, self.config.end
        lessons = draw_lessons(len(x), end, generator)
        aim = Aim.clean(torch.where(lessons.from_zeros, 1.0, self.config.sent_fidelity).to(x))
        latent = self.model.analyse(x, aim, generator)
        bpp = bits_per_pixel(latent.element_bits, latent.hyper_bits, x)
        eta = self.config.perception * min(1.0, max(0.0, progress - self.config.perception_from) / 0.2)
        figures = {"bpp": float(bpp.detach())}
        loss = x.new_zeros(())
        if self.stage != 2 and end == "both":  # g_e and the entropy model learn the rate, and the bar terms of eq. (11)
            loss = self.config.rate_weight * bpp
            clean = len(x) if self.stage == 1 else max(1, round(self.config.clean_share * len(x)))
            exact = LatentEstimate.exact(latent.quantised[:clean], aim[:clean])
            terms = self._reconstruction_loss(x[:clean], exact, lessons[:clean], eta, generator)
            loss, figures["clean"] = loss + terms.mean(), float(terms.detach().mean())
        if self.stage != 1:
            received = self._over_channel(latent, aim, progress, generator)
            terms = self._reconstruction_loss(x, received, lessons, eta, generator)
            loss, figures["received"] = loss + terms.mean(), float(terms.detach().mean())
        return loss, figures

    def _over_channel(self, latent: Latent, aim: Aim, progress: float, generator: torch.Generator) -> LatentEstimate:
        """Send latents at random SNRs and bandwidth ratios, each for the end that its image learns."""
        config, bits, batch = self.config, latent.bits, len(latent.z)
        adapt = progress >= config.adapt_from
        (lowest, highest), drawn = config.snr_db, _uniform(batch, 0, 1, generator)
        snr_db = lowest + (highest - lowest) * drawn**config.snr_skew if adapt else torch.full_like(drawn, 10.0)
        aim = replace(aim, snr_db=snr_db, adapt=adapt)
        if not config.maps_as_sent and _uniform(1, 0, 1, generator).item() < config.coarse_maps:
            bits = pool_tokens(bits, 2 if _uniform(1, 0, 1, generator).item() < 0.5 else 4)
        group = SHARED_BETA if batch % SHARED_BETA == 0 else 1
        log_cbr = _uniform(batch // group, math.log(config.cbr[0]), math.log(config.cbr[1]), generator)
        if config.maps_as_sent:
            bits = _pool_as_sent(bits, log_cbr.exp().repeat_interleave(group), snr_db)
        levels = self.model.share(bits, log_cbr.exp() * 2 * 3 * STRIDE**2, group)
        strength = None
        if adapt and config.fading:
            shape = (batch, levels[0].numel(), self.model.config.rate_levels[-1] // 2)
            strength = fading_strength(shape, config.fading, generator).repeat_interleave(2, dim=2)
        sent = self.model.send(latent.z, levels, aim)
        return self.model.receive(cross(sent, snr_db, generator, strength, config.grids), aim)

    def _reconstruction_loss(
        self, x: Tensor, estimate: LatentEstimate, lessons: Lessons, eta: float, generator: torch.Generator
    ) -> Tensor:
        """Distortion and perception of X_theta(x_n, z, n/N) at random n, per image [B]."""
        ends = [lessons.from_zeros, ~lessons.from_zeros]
        if self.model.lifelike is None or not all(bool(end.any()) for end in ends):
            return self._one_denoisers_loss(x, estimate, lessons, eta, generator)
        loss = x.new_zeros(len(x))
        for end in ends:
            own = end.nonzero()[:, 0]
            terms = self._one_denoisers_loss(x[own], estimate[own], lessons[own], eta, generator)
            loss = loss.index_add(0, own, terms.to(loss.dtype))
        return loss

    def _one_denoisers_loss(
        self, x: Tensor, estimate: LatentEstimate, lessons: Lessons, eta: float, generator: torch.Generator
    ) -> Tensor:
        """`_reconstruction_loss` of images that one denoiser serves."""
        batch, sampler_made = len(x), lessons.at_start | lessons.own
        time = torch.where(lessons.at_start, 1.0, 1 - _uniform(batch, 0, 1, generator))
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        size = torch.where(lessons.from_zeros, 0.0, torch.where(sampler_made, self.config.gamma, 1.0))
        noise, condition = noise * size[:, None, None, None], self.model.condition(estimate)
        clean = self._own_images(x, noise, condition, lessons.own)
        image = self.model.denoiser_for(estimate.aim)(add_noise(clean, noise, time), condition, time)
        weight = torch.where(sampler_made, 1.0, loss_weight(time))
        perception = torch.where(lessons.from_zeros, 0.0, torch.full_like(weight, eta))
        loss = distortion_perception(
            x, image, weight, perception, partial(self.perceptual.distance, generator=generator)
        )
        plain = lessons.from_zeros.nonzero()[:, 0]
        if self.config.lattice and len(plain):
            energy = self.config.lattice * lattice_energy(image[plain] - x[plain])
            loss = loss.index_add(0, plain, energy.to(loss.dtype))
        chosen = perception.nonzero()[:, 0]
        if self.adversary is None or not len(chosen):
            return loss
        seen = (estimate.z / self.model.entropy.channel_scale)[chosen]
        fooling, telling = adversarial_losses(self.adversary, x[chosen], image[chosen], seen, generator)
        return loss.index_add(
            0, chosen, (self.config.adversary * perception[chosen] * fooling + telling).to(loss.dtype)
        )

    @torch.no_grad()
    def _own_images(self, x: Tensor, noise: Tensor, condition: Condition, own: Tensor) -> Tensor:
        """x, with the images that `own` [B] marks replaced by their one-step reconstructions from the noise."""
        some = own.nonzero()[:, 0]
        if not len(some):
            return x
        shown = self.model.denoiser_for(condition.aim)(
            noise[some], condition[some], torch.ones(len(some), device=x.device)
        )
        return x.index_copy(0, some, shown.to(x.dtype).clamp(-1, 1))

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        return self.validation.measure

    @torch.no_grad()
    def validate(self, model: torch.nn.Module, images: Tensor) -> dict[str, float]:
        """Quality at both ends of the decoder: the mean over the points of `measure`, and the figures of each SNR."""
        assert isinstance(model, Lrisc)
        return self.validation.figures(model, images)

    @torch.no_grad()
    def pictures(self, model: torch.nn.Module, images: Tensor) -> Tensor:
        """Four validation images, each above its reconstructions, [3, (1 + points) H, 4 W] in [0, 1]."""
        assert isinstance(model, Lrisc)
        return self.validation.pictures(model, images)


def _pool_as_sent(bits: Tensor, cbr: Tensor, snr_db: Tensor) -> Tensor:
    """Bits per vector [B, h, w], as the scheme pools them at cbr [B] and snr_db [B]."""
    octaves, quarters = (8 * cbr.log2()).round() / 8, (4 * snr_db).round() / 4  # few enough to remember
    grids = [usual_grid(2**octave, snr) for octave, snr in zip(octaves.tolist(), quarters.tolist(), strict=True)]
    return torch.cat([pool_tokens(one[None], grid) for one, grid in zip(bits, grids, strict=True)])


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)
