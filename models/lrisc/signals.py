"""The values that the parts of Fig. 1 exchange."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Aim:
    """Knowledge of both ends about every image of a batch.

    Attributes:
        snr_db: average Es/N0 in dB, float [B]; infinite where there is no channel.
        fidelity: 1 for the PSNR end (least squared error, decoded from x_N = 0), below 1 for the perception end, float
            [B]. There it says how far f_e and f_d lean towards the other end: 0 is not at all.
        adapt: whether the SNR modules take part; stage 2 of Algorithm 1 begins without them.
    """

    snr_db: Tensor
    fidelity: Tensor
    adapt: bool = True

    @staticmethod
    def clean(fidelity: Tensor) -> "Aim":
        """The aim of images that cross no channel."""
        return Aim(torch.full_like(fidelity, float("inf")), fidelity)

    @property
    def faithful(self) -> Tensor | None:
        """`fidelity` as adapters take it; None skips the adapters when no image requests the PSNR end."""
        return self.fidelity if torch.is_grad_enabled() or bool(self.fidelity.any()) else None

    def __getitem__(self, images: slice | Tensor) -> "Aim":
        return Aim(self.snr_db[images], self.fidelity[images], self.adapt)


@dataclass(frozen=True)
class Latent:
    """The latent at the transmitter.

    Attributes:
        z: g_e's output, [B, C, h, w].
        quantised: z rounded, or with uniform noise in place of rounding (training), [B, C, h, w].
        element_bits: -log2 p(z | y) of every element, [B, C, h, w].
        hyper_bits: -log2 p(y), [B, C_y, h/4, w/4].
    """

    z: Tensor
    quantised: Tensor
    element_bits: Tensor
    hyper_bits: Tensor

    @property
    def bits(self) -> Tensor:
        """-log2 p(z_i | y) of every latent vector, [B, h, w]."""
        return self.element_bits.sum(dim=1)


@dataclass(frozen=True)
class Sent:
    """Output of f_e before power normalisation.

    Attributes:
        components: real components, [B, h * w, V_max]; zero where nothing is sent.
        mask: which are sent, bool [B, h * w, V_max].
        levels: index into V of every vector, int64 [B, h, w].
    """

    components: Tensor
    mask: Tensor
    levels: Tensor

    @property
    def mean_power(self) -> Tensor:
        """Of the components sent, per image, [B]."""
        squares = (self.components.float().square() * self.mask).flatten(1).sum(dim=1)
        return (squares / self.mask.flatten(1).sum(dim=1)).clamp_min(1e-12)


@dataclass(frozen=True)
class Equalised:
    """Input of f_d: components with the channel and the transmit scale undone.

    Attributes:
        components: in f_e's own scale, [B, h * w, V_max]; zero where nothing was sent.
        noise: variance of the error on each component, broadcastable to `components`.
        token_snr_db: effective Es/N0 of each vector's symbols in dB, [B, h * w] or [B, 1].
        levels: index into V of every vector, int64 [B, h, w].
    """

    components: Tensor
    noise: Tensor
    token_snr_db: Tensor
    levels: Tensor

    def to(self, device: torch.device) -> "Equalised":
        """The same on another device."""
        return Equalised(*(getattr(self, one.name).to(device) for one in fields(self)))


@dataclass(frozen=True)
class LatentEstimate:
    """The latent at the receiver.

    Attributes:
        z: estimate of it, [B, C, h, w].
        error: share of each element's variance that is expected to be missing, [B, C, h, w] in [0, 1].
        aim: of its images.
    """

    z: Tensor
    error: Tensor
    aim: Aim

    @staticmethod
    def exact(z: Tensor, aim: Aim | None = None) -> "LatentEstimate":
        """A latent that crossed no channel; without an aim, for the perception end."""
        return LatentEstimate(z, torch.zeros_like(z), aim or Aim.clean(z.new_zeros(len(z))))

    @staticmethod
    def join(parts: Sequence["LatentEstimate"]) -> "LatentEstimate":
        """One batch of several."""
        snr_db, fidelity = (torch.cat([getattr(one.aim, name) for one in parts]) for name in ("snr_db", "fidelity"))
        aim = Aim(snr_db, fidelity, parts[0].aim.adapt)
        return LatentEstimate(torch.cat([one.z for one in parts]), torch.cat([one.error for one in parts]), aim)

    def __getitem__(self, images: slice | Tensor) -> "LatentEstimate":
        return LatentEstimate(self.z[images], self.error[images], self.aim[images])
