"""LRISC as a whole, in the order of Fig. 1: g_e -> entropy model -> f_e -> channel -> f_d -> conditional diffusion."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from simulator.models.lrisc.allocation import PowerAllocation
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.lrisc.diffusion import sample
from simulator.models.lrisc.entropy import EntropyModel, add_uniform
from simulator.models.lrisc.jscc import JsccDecoder, JsccEncoder, expected_error, mmse, sent_mask
from simulator.models.lrisc.rate import RateRule, share_by_entropy, share_evenly
from simulator.models.lrisc.signals import Aim, Equalised, Latent, LatentEstimate, Sent
from simulator.models.lrisc.transform import AnalysisTransform, fold_blocks, principal_axes
from simulator.models.lrisc.unet import Condition, UNet

# Bandwidth ratios over which the linear start of f_e and f_d averages its statistics.
STATISTICS_CBRS = (1 / 96, 1 / 48, 1 / 24, 1 / 16, 1 / 12, 1 / 8)
RATE_RULES: dict[str, RateRule] = {"entropy": share_by_entropy, "fixed": share_evenly}


class Lrisc(nn.Module):
    """The networks (theta_g, theta_h, phi_h, theta_f, phi_f, phi_g). Images are in [-1, 1], sides multiples of 16.

    The scheme, training and validation take the same four steps; only what lies between `send` and `receive` differs::

        images --analyse--> Latent --share--> levels --send--> Sent
                 g_e, h_e, h_d       eq. (3)           f_e      | channel
        images <--generate-- LatentEstimate <--receive-- Equalised
                 X_theta                      f_d

    A `Variant` decides which parts are built (ablations); nothing depends on it afterwards.
    """

    levels: Tensor  # V, float [2^n]

    def __init__(self, config: LriscConfig, variant: Variant | None = None) -> None:
        super().__init__()
        variant = variant or Variant()
        self.config = config
        self._rate_rule = RATE_RULES[variant.rates]
        self.transform = AnalysisTransform(config)  # g_e
        self.entropy = EntropyModel(config)  # h_e, h_d
        self.allocation = PowerAllocation(config)
        self.encoder = JsccEncoder(config, variant.snr_module)  # f_e
        self.decoder = JsccDecoder(config, variant.snr_module)  # f_d
        self.denoiser = UNet(config)  # X_theta
        self.lifelike = UNet(config, adapters=False) if config.own_denoiser else None  # that of the perception end
        self.register_buffer("levels", torch.tensor(config.rate_levels, dtype=torch.float32), persistent=False)

    def analyse(self, x: Tensor, aim: Aim, generator: torch.Generator | None = None) -> Latent:
        """g_e, h_e and h_d: the latents of images [B, 3, H, W] and the information in each latent vector.

        Args:
            x: images.
            aim: of the images.
            generator: draws the uniform noise that stands in for rounding in training; None rounds.
        """
        z = self.transform(x, aim)
        quantised = z.round() if generator is None else add_uniform(z, generator)
        return Latent(z, quantised, *self.entropy(z, quantised, generator))

    def share(self, bits: Tensor, mean_dimensions: Tensor, group: int = 1) -> Tensor:
        """Levels of all vectors, within a mean number of real dimensions per vector.

        Args:
            bits: -log2 p(z_i | y), [B, h, w].
            mean_dimensions: float [B / group].
            group: images that share a budget (and one beta), as the regions of one image do.

        Returns:
            Index into V, int64 [B, h, w]. Carries no gradient.
        """
        return self._rate_rule(bits, self.levels, mean_dimensions, group)

    def send(self, z: Tensor, levels: Tensor, aim: Aim) -> Sent:
        """f_e: latents [B, C, h, w] -> components within levels, int64 [B, h, w]."""
        mask = sent_mask(levels.flatten(1), self.levels)
        power = self.allocation.power(levels, mask, aim.snr_db)
        return Sent(self.encoder(self.features(z), levels, self.allocation, power, aim), mask, levels)

    def receive(self, received: Equalised, aim: Aim) -> LatentEstimate:
        """The linear receiver and f_d: estimate the latents and their expected error."""
        levels = received.levels
        mask = sent_mask(levels.flatten(1), self.levels)
        power = self.allocation.power(levels, mask, aim.snr_db)
        weight = mmse(received.noise, mask, power)
        features = self.decoder(received.components * weight, levels, self.allocation, received.token_snr_db, aim)
        error = expected_error(weight, self.allocation.common, power)
        grid = error.transpose(1, 2).unflatten(2, levels.shape[1:])  # [B, V_max, h, w]
        unsent = self.config.latent_channels - grid.shape[1]
        return LatentEstimate(self.latent(features), F.pad(grid, (0, 0, 0, 0, 0, unsent), value=1.0), aim)

    def denoiser_for(self, aim: Aim) -> UNet:
        """X_theta of the end that all images of a batch request."""
        return self.denoiser if self.lifelike is None or bool((aim.fidelity == 1).any()) else self.lifelike

    def condition(self, estimate: LatentEstimate) -> Condition:
        """The denoiser's view of received latents, all for one end where each has its own denoiser."""
        return self.denoiser_for(estimate.aim).condition(estimate, estimate.z / self.entropy.channel_scale)

    def generate(self, estimate: LatentEstimate, start: Tensor, steps: int) -> Tensor:
        """g_d: decode a latent to images [B, 3, H, W] in [-1, 1] in `steps` DDIM steps from x_N = `start`."""
        denoiser = self.denoiser_for(estimate.aim)
        guide = denoiser.guide(self.condition(estimate))
        return sample(lambda x, time: denoiser.predict(x, guide, time), start, steps).clamp(-1, 1)

    def features(self, z: Tensor) -> Tensor:
        """z over its channel deviations, as a grid of vectors: [B, C, h, w] -> [B, h, w, C]."""
        return (z / self.entropy.channel_scale).permute(0, 2, 3, 1)

    def latent(self, features: Tensor) -> Tensor:
        """The inverse of `features`."""
        return features.permute(0, 3, 1, 2) * self.entropy.channel_scale

    @torch.no_grad()
    def start_linear(self, images: Tensor) -> None:
        """Make the untrained system a linear codec: principal axes, SoftCast, MMSE (images [B, 3, H, W])."""
        axes, deviations, mean = principal_axes(fold_blocks(images), self.config.latent_channels)
        self.transform.linear.start(axes, mean)
        for denoiser in (self.denoiser, self.lifelike):
            if denoiser is not None:
                denoiser.condition.linear.start(axes, mean)
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
        """Measure the tables of the power allocation for the linear codec, at the levels that `share` chooses."""
        components, levels = [], []
        for batch in images.split(16):
            latent = self.analyse(batch, Aim.clean(batch.new_zeros(len(batch))))
            grid = self.features(latent.z) * self._relative_deviations()
            for cbr in STATISTICS_CBRS:
                dimensions = torch.tensor([cbr * 2 * 3 * STRIDE**2], device=images.device)
                components += list(grid[..., : self.config.rate_levels[-1]])
                levels += list(self.share(latent.bits, dimensions, group=len(batch)))
        self.allocation.fit(components, levels)

    def _relative_deviations(self) -> Tensor:
        return self.entropy.channel_scale[:, 0, 0] / self.entropy.channel_scale.mean()
