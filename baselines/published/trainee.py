"""The published networks as trainees: squared error through AWGN and fading, with power normalised image by image.

NTSCC adds the rate of its hyperprior, as in its paper: distortion with and without the channel, plus bits per pixel.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from simulator.baselines.published.adjscc import Adjscc
from simulator.baselines.published.channel import pair, power_scale, unpair
from simulator.baselines.published.hyperprior import LEAST_LIKELIHOOD, REPORTED_SCALE
from simulator.baselines.published.ntscc import Ntscc
from simulator.baselines.published.swinjscc import SwinJscc
from simulator.errors import UserError
from simulator.models.training.fading import fading_strength
from simulator.models.training.monitor import mosaic
from simulator.randomness import derive_key
from simulator.spec.configuration import read_snr_range

START_SCALE = 1.0  # of NTSCC's Gaussians: a scale below zero would get no gradient


@dataclass(frozen=True)
class StageConfig:
    """What one stage trains for.

    Attributes:
        snr_db: lowest and highest Es/N0, drawn uniformly for every image.
        fading: share of images that meet Rayleigh or Rician fading.
        rates: of SwinJSCC's rate-adaptive modes, one of which is drawn for every batch.
        eta: NTSCC's channel inputs per bit of information.
        rate_weight: weight of NTSCC's bits per pixel, relative to the squared error of values in [0, 1].
    """

    snr_db: tuple[float, float] = (1.0, 13.0)
    fading: float = 0.0
    rates: tuple[int, ...] = (32, 64, 96, 128, 192)
    eta: float = 0.2
    rate_weight: float = 1e-3

    def __post_init__(self) -> None:
        read_snr_range(self.snr_db, "'snr_db' of a stage")
        if not 0 <= self.fading <= 1:
            raise UserError(f"'fading' of a stage is {self.fading}; it must be a share from 0 to 1")
        if not self.rates or min(self.rates) < 1:
            raise UserError(f"'rates' of a stage are {list(self.rates)}; they must be numbers of channels")
        if not 0 < self.eta <= 10 or not self.rate_weight > 0:
            raise UserError(f"'eta' {self.eta} and 'rate_weight' {self.rate_weight} of a stage must be above 0")


@dataclass(frozen=True)
class Air:
    """The channel of one batch: the SNR that both ends know [B], the noise generator, and which images fade."""

    snr_db: Tensor
    generator: torch.Generator
    fading: float = 0.0

    def send(self, values: Tensor, active: Tensor, restore: bool = True) -> tuple[Tensor, Tensor]:
        """Send reals [B, R], of which `active` ones count; two neighbours make a symbol.

        Returns:
            What the receiver has, multiplied back by the power factor where `restore` says so, and the SNR that each
            image met, [B].
        """
        values = values.float()
        scale = power_scale(values, active).clamp_min(1e-6)[:, None]
        symbols = pair(values / scale, "neighbours")
        noise_variance = (10 ** (-self.snr_db / 10))[:, None]
        strength = torch.ones(symbols.shape, device=values.device)
        if self.fading:
            strength = fading_strength((symbols.shape[0], symbols.shape[1]), self.fading, self.generator)
        noise = torch.randn((*symbols.shape, 2), generator=self.generator, device=values.device)
        received = strength.sqrt() * symbols + torch.view_as_complex(noise) * (noise_variance / 2).sqrt()
        estimate = received * strength.sqrt() * (1 + noise_variance) / (strength + noise_variance)
        met = self.snr_db + 10 * strength.expand_as(symbols.real).mean(1).log10()
        return unpair(estimate, "neighbours") * active * (scale if restore else 1.0), met


class PublishedTrainee:
    """Trains every parameter that the network's mode uses."""

    def __init__(self, model: nn.Module, config: StageConfig) -> None:
        self.model, self.config = model, config
        low, high = config.snr_db
        self.validation_snrs_db = (low, (low + high) / 2, high)

    def parameter_groups(self) -> list[dict[str, Any]]:
        unused: tuple[str, ...] = ("entropy_bottleneck.quantiles",)
        if isinstance(self.model, SwinJscc) and self.model.config.mode == "base":
            unused += ("encoder.bm_list", "encoder.sm_list", "decoder.bm_list", "decoder.sm_list")
        trained = [p for name, p in self.model.named_parameters() if not name.startswith(unused)]
        return [{"params": trained}]

    def loss(self, images: Tensor, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """Mean squared error, and for NTSCC the two other terms of its paper."""
        low, high = self.config.snr_db
        snr_db = low + (high - low) * torch.rand(len(images), generator=generator, device=images.device)
        air = Air(snr_db, generator, self.config.fading)
        if isinstance(self.model, Ntscc):
            return self._loss_with_rate(self.model, images, air)
        pick = int(torch.randint(len(self.config.rates), (), generator=generator, device=images.device))
        error = (self.over_air(self.model, images, air, self.config.rates[pick]) - images).square().mean()
        return error, {"psnr_db": float(-10 * error.detach().log10())}

    def over_air(self, model: nn.Module, images: Tensor, air: Air, rate: int) -> Tensor:
        """Images as received, not clamped."""
        if isinstance(model, SwinJscc):
            encoded = model.encoder(images, air.snr_db, rate)
            active = encoded.kept[:, None, None].expand_as(encoded.feature)
            received, met = air.send(encoded.feature.flatten(1), active.flatten(1))
            return model.decoder(received.view_as(encoded.feature), met).float()
        if isinstance(model, Adjscc):
            feature = model.Encoder(images, air.snr_db)
            values = feature.flatten(1)
            received, met = air.send(values, torch.ones_like(values, dtype=torch.bool), restore=False)
            return model.Decoder(received.view_as(feature), met).float()
        assert isinstance(model, Ntscc)
        latent = model.analyse(images)
        return self._ntscc_over_air(model, latent, air)

    def _ntscc_over_air(self, model: Ntscc, latent: Any, air: Air) -> Tensor:
        index = model.index(self.config.eta * model.wanted(latent).detach())
        s, active = (one.permute(0, 2, 3, 1) for one in model.encode(latent, index))
        received, _ = air.send(s.flatten(1), active.flatten(1))
        return model.decode(received.view(s.shape).permute(0, 3, 1, 2), index, latent.z_hat).float()

    def _loss_with_rate(self, model: Ntscc, images: Tensor, air: Air) -> tuple[Tensor, dict[str, float]]:
        latent = model.analyse(images)
        with torch.autocast(images.device.type, enabled=False):
            z = model.ha(latent.y.permute(0, 3, 1, 2))
            z = z + _uniform_like(z, air.generator)
            scales, means = model.hyper(z)
            noisy = latent.y + _uniform_like(latent.y, air.generator)
            bits = -_cell_probability(noisy, scales, means).log2().sum()
            bits = bits - model.entropy_bottleneck.likelihood(z).log2().sum()
            bpp = bits / (len(images) * images.shape[2] * images.shape[3])
        received = self._ntscc_over_air(model, latent, air)
        errors = [(shown.float() - images).square().mean() for shown in (received, model.gs(noisy))]
        figures = {"psnr_db": float(-10 * errors[0].detach().log10()), "bpp": float(bpp.detach())}
        return errors[0] + errors[1] + self.config.rate_weight * bpp, figures

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        return f"PSNR, mean over AWGN at {', '.join(f'{snr_db:g}' for snr_db in self.validation_snrs_db)} dB"

    @torch.no_grad()
    def validate(self, model: nn.Module, images: Tensor) -> dict[str, float]:
        """PSNR at three SNRs, at the middle one of the rates."""
        figures = {}
        for snr_db in self.validation_snrs_db:
            error = (self._shown(model, images, snr_db) - images).square().mean(dim=(1, 2, 3))
            figures[f"psnr_db_{snr_db:g}_db"] = float((-10 * error.log10()).mean())
        middle = figures[f"psnr_db_{self.validation_snrs_db[1]:g}_db"]
        return {"score": sum(figures.values()) / len(figures), "psnr_db": middle, **figures}

    def pictures(self, model: nn.Module, images: Tensor) -> Tensor:
        shown = images[:4]
        rows = [shown, *(self._shown(model, shown, snr_db) for snr_db in self.validation_snrs_db)]
        return mosaic(rows)

    def _shown(self, model: nn.Module, images: Tensor, snr_db: float) -> Tensor:
        """Images as received at one SNR, with noise that is the same at every validation."""
        generator = torch.Generator(images.device).manual_seed(derive_key("validation", snr_db))
        air = Air(torch.full((len(images),), snr_db, device=images.device), generator)
        return self.over_air(model, images, air, sorted(self.config.rates)[len(self.config.rates) // 2]).clamp(0, 1)


def _uniform_like(values: Tensor, generator: torch.Generator) -> Tensor:
    return torch.rand(values.shape, generator=generator, device=values.device) - 0.5


def _cell_probability(y: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
    """Probability of the cell of width one around y, with a scale that gets a gradient below its bound, too."""
    sigma = scale + (scale.clamp_min(REPORTED_SCALE) - scale).detach()
    distance = (y - mean).abs()
    upper, lower = ((edge - distance) / sigma * 0.5**0.5 for edge in (0.5, -0.5))
    return (0.5 * (torch.erfc(-upper) - torch.erfc(-lower))).clamp_min(LEAST_LIKELIHOOD)


def start_network(model: nn.Module) -> nn.Module:
    """Random weights from which training can start: NTSCC's Gaussians begin with a scale that has a gradient."""
    if isinstance(model, Ntscc):
        with torch.no_grad():
            model.hs[4].get_parameter("bias")[: model.config.width] = START_SCALE
    return model
