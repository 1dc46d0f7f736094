"""LRISC whole, in the order of Fig. 1: g_e -> entropy model -> f_e -> channel -> f_d -> conditional diffusion."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.allocation import Power, PowerAllocation
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.lrisc.diffusion import sample
from simulator.models.lrisc.entropy import EntropyModel
from simulator.models.lrisc.jscc import (
    WEAKEST,
    JsccDecoder,
    JsccEncoder,
    component_power,
    effective_snr_db,
    expected_error,
    mmse,
    sent_mask,
)
from simulator.models.lrisc.rate import fixed_levels, quantise, solve_beta
from simulator.models.lrisc.transform import AnalysisTransform, fold_blocks, principal_axes
from simulator.models.lrisc.unet import Condition, UNet

# Bandwidth ratios over which the linear start of f_e and f_d averages its statistics.
STATISTICS_CBRS = (1 / 96, 1 / 48, 1 / 24, 1 / 16, 1 / 12, 1 / 8)


@dataclass(frozen=True)
class Latent:
    """What the transmitter knows of an image: z [B, C, h, w] and -log2 p(z_i | y) per vector [B, h, w]."""

    z: Tensor
    bits: Tensor


@dataclass(frozen=True)
class Estimate:
    """What a receiver knows of a latent.

    Attributes:
        z: estimate of it, [B, C, h, w].
        error: share of each element's variance that is expected to be missing, [B, C, h, w] in [0, 1].
        fidelity: 1 for images of which the least squared error is asked (x_N = 0), else 0, [B].
    """

    z: Tensor
    error: Tensor
    fidelity: Tensor

    @staticmethod
    def exact(z: Tensor, fidelity: Tensor | None = None) -> "Estimate":
        """A latent that crossed no channel; fidelity: None asks for the perception end."""
        return Estimate(z, torch.zeros_like(z), z.new_zeros(len(z)) if fidelity is None else fidelity)

    def __getitem__(self, images: slice) -> "Estimate":
        return Estimate(self.z[images], self.error[images], self.fidelity[images])


class Lrisc(nn.Module):
    """The networks (theta_g, theta_h, phi_h, theta_f, phi_f, phi_g). Images are in [-1, 1], sides multiples of 16."""

    levels: Tensor  # V, float [2^n]

    def __init__(self, config: LriscConfig, variant: Variant | None = None) -> None:
        super().__init__()
        self.config, self.variant = config, variant or Variant()
        self.transform = AnalysisTransform(config)  # g_e
        self.entropy = EntropyModel(config)  # h_e, h_d
        self.allocation = PowerAllocation(config)
        self.encoder = JsccEncoder(config)  # f_e
        self.decoder = JsccDecoder(config)  # f_d
        self.denoiser = UNet(config)  # X_theta
        self.register_buffer("levels", torch.tensor(config.rate_levels, dtype=torch.float32), persistent=False)

    @torch.no_grad()
    def start_linear(self, images: Tensor) -> None:
        """Make the untrained system a linear codec: principal axes, SoftCast, MMSE (images [B, 3, H, W])."""
        axes, deviations, mean = principal_axes(fold_blocks(images), self.config.latent_channels)
        self.transform.linear.start(axes, mean)
        self.denoiser.condition.linear.start(axes, mean)
        self.entropy.log_channel_scale.copy_((deviations * self.config.latent_scale).log())

    @torch.no_grad()
    def start_jscc(self, images: Tensor) -> None:
        """Make f_e and f_d a linear codec for the latents of images [B, 3, H, W]: the start of stage 2."""
        relative = self._relative_deviations()
        self.encoder.start(relative)
        self.decoder.start(relative)
        self.measure_power(images)

    @torch.no_grad()
    def measure_power(self, images: Tensor) -> None:
        """Measure the tables of the power allocation for the linear codec, at the levels that this variant chooses."""
        components, levels = [], []
        for batch in images.split(16):
            latent = self.analyse(batch)
            grid = self.features(latent.z) * self._relative_deviations()
            for cbr in STATISTICS_CBRS:
                dimensions = torch.tensor([cbr * 2 * 3 * STRIDE**2], device=images.device)
                components += list(grid[..., : self.config.rate_levels[-1]])
                levels += list(self.share(latent.bits, dimensions, group=len(batch)))
        self.allocation.fit(components, levels)

    def _relative_deviations(self) -> Tensor:
        return self.entropy.channel_scale[:, 0, 0] / self.entropy.channel_scale.mean()

    def analyse(self, x: Tensor, fidelity: Tensor | None = None) -> Latent:
        """z = g_e(x) and its rates, as the transmitter computes them: rounded densities, no noise.

        Args:
            x: [B, 3, H, W].
            fidelity: as g_e takes it.
        """
        z = self.transform(x, fidelity)
        bits, _ = self.entropy(z, z.round(), None)
        return Latent(z, bits.sum(dim=1))

    def choose_levels(self, bits: Tensor, beta: Tensor) -> Tensor:
        """Eq. (3): bits [B, h, w], beta [B] -> index into V, int64 [B, h, w]. Carries no gradient."""
        return quantise(beta[:, None, None] * bits.detach(), self.levels)

    def share(self, bits: Tensor, mean_dimensions: Tensor, group: int = 1) -> Tensor:
        """Levels of all vectors, within a mean number of real dimensions per vector.

        Args:
            bits: -log2 p(z_i | y), [B, h, w].
            mean_dimensions: float [B / group].
            group: images that share it and, where entropy guides the rates, one beta, as the regions of one image do.

        Returns:
            Index into V, int64 [B, h, w]. Carries no gradient.
        """
        if self.variant.rates == "fixed":
            total = (mean_dimensions * bits[0].numel()).long().repeat_interleave(group)
            return fixed_levels((bits.shape[1], bits.shape[2]), total, self.levels)
        together = bits.detach().float().reshape(len(bits) // group, -1, bits.shape[-1])
        beta = solve_beta(together, self.levels, mean_dimensions).repeat_interleave(group)
        return self.choose_levels(bits, beta)

    def features(self, z: Tensor) -> Tensor:
        """z over its channel deviations, as a grid of vectors: [B, C, h, w] -> [B, h, w, C]."""
        return (z / self.entropy.channel_scale).permute(0, 2, 3, 1)

    def latent(self, features: Tensor) -> Tensor:
        """The inverse of `features`."""
        return features.permute(0, 3, 1, 2) * self.entropy.channel_scale

    def over_channel(
        self,
        z: Tensor,
        levels: Tensor,
        snr_db: Tensor,
        fidelity: Tensor,
        generator: torch.Generator,
        strength: Tensor | None = None,
        adapt: bool = True,
    ) -> Estimate:
        """z -> f_e -> power normalisation per image -> fading and noise -> f_d: the differentiable link of training.

        Args:
            z: [B, C, h, w].
            levels: int64 [B, h, w].
            snr_db: average Es/N0 of each image, [B].
            fidelity: as `Estimate` has it, [B].
            generator: draws the noise.
            strength: |h|^2 of the symbol that carries each component, [B, h * w, V_max]; None is AWGN.
            adapt: whether the SNR module takes part (stage 2 trains first without), if this variant has one.

        Returns:
            What f_d makes of it.
        """
        adapt = adapt and self.variant.snr_module
        mask = sent_mask(levels.flatten(1), self.levels)
        power = self.allocation.power(levels, mask, snr_db)
        components = self.encoder(self.features(z), levels, self.allocation, power, snr_db, fidelity, adapt)
        # Unit power per complex symbol puts 1/2 on each component; here the noise is scaled instead of the signal.
        relative = (10 ** (-snr_db / 10))[:, None, None].expand(mask.shape)  # variance per symbol of unit power
        if strength is not None:
            relative = relative / strength.clamp_min(WEAKEST)
        variance = component_power(components, mask)[:, None, None] * relative
        noise = torch.randn(components.shape, generator=generator, device=generator.device).to(components.device)
        received = components + mask * noise * variance.sqrt()
        token_snr_db = effective_snr_db(relative, mask) if adapt else None
        return self.receive(received, variance, levels, mask, power, token_snr_db, fidelity)

    def receive(
        self,
        received: Tensor,
        noise: Tensor,
        levels: Tensor,
        mask: Tensor,
        power: Power,
        token_snr_db: Tensor | None,
        fidelity: Tensor,
    ) -> Estimate:
        """f_d and what its input is worth.

        Args:
            received: equalised components in f_e's own scale, [B, h * w, V_max], zero where nothing was sent.
            noise: as `mmse` takes it.
            levels: int64 [B, h, w].
            mask: as `mmse` takes it.
            power: what the transmitter allotted.
            token_snr_db: as f_d takes it.
            fidelity: as f_d takes it.
        """
        weight = mmse(noise, mask, power)
        features = self.decoder(received * weight, levels, self.allocation, token_snr_db, fidelity)
        error = expected_error(weight, self.allocation.common, power)
        grid = error.transpose(1, 2).unflatten(2, levels.shape[1:])  # [B, V_max, h, w]
        unsent = self.config.latent_channels - grid.shape[1]
        return Estimate(self.latent(features), F.pad(grid, (0, 0, 0, 0, 0, unsent), value=1.0), fidelity)

    def condition(self, estimate: Estimate) -> Condition:
        """What the denoiser is told about a received latent."""
        normalised = estimate.z / self.entropy.channel_scale
        return self.denoiser.condition(estimate.z, normalised, estimate.error, estimate.fidelity)

    def generate(self, estimate: Estimate, start: Tensor, steps: int) -> Tensor:
        """g_d: the image [B, 3, H, W] in [-1, 1] that the diffusion decoder makes of a latent. start: x_N."""
        guide = self.denoiser.guide(self.condition(estimate))
        return sample(lambda x, time: self.denoiser.predict(x, guide, time), start, steps).clamp(-1, 1)
