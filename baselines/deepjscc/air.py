"""Between DeepJSCC's latents and the air: power, amplitude reference, equalisation. Pure functions, batched."""

from dataclasses import dataclass

import torch
from torch.nn import functional

REVISION = 1  # of what this file puts on the air and takes from it
REFERENCE_SHARE = 1 / 32  # of the energy, when the latents have their average power
REFERENCE_EVERY = 256  # channel uses per reference use
PRIOR_DEVIATION = 0.5  # of the transmit amplitude around 1, over natural images
NOT_SENT = 1e6  # noise variance of a latent that was not sent


@dataclass(frozen=True)
class Observation:
    """What the decoder sees: latents with noise, and its variance per latent; both float32 [B, 2 uses, h, w]."""

    noisy: torch.Tensor
    variance: torch.Tensor


def reference_uses(num_uses: int) -> int:
    """How many of `num_uses` symbols are the amplitude reference."""
    return max(1, num_uses // REFERENCE_EVERY)


def modulate(latents: torch.Tensor, num_uses: int) -> torch.Tensor:
    """Pair latents into complex symbols, prepend the reference, scale every image to mean power 1.

    Latents travel channel by channel, the most important first, so that what does not fit into `num_uses` is the tail
    of the least important ones; the receiver can tell from the number of symbols.

    Args:
        latents: float32 [B, 2 uses, h, w].
        num_uses: symbols per image, K.

    Returns:
        complex64 [B, K] with mean power exactly 1 per image.
    """
    batch, channels, height, width = latents.shape
    pairs = latents.reshape(batch, channels // 2, 2, height, width).movedim(2, -1).contiguous()
    num_reference = reference_uses(num_uses)
    payload = torch.view_as_complex(pairs).flatten(1)[:, : num_uses - num_reference]
    amplitude = _reference_amplitude(num_uses)
    symbols = torch.cat([payload.new_full((batch, num_reference), amplitude), payload], 1)
    power = symbols.abs().square().mean(1, keepdim=True)
    return symbols * power.rsqrt()


def demodulate(
    received: torch.Tensor, gain: torch.Tensor, noise_variance: torch.Tensor, shape: tuple[int, int, int]
) -> Observation:
    """Undo channel gain h and transmit amplitude a, and say how noisy each latent is.

    The decoder weights what it gets by p / (p + variance), p being a latent's prior power; both steps together are the
    MMSE equaliser p a conj(h) y / (p a^2 |h|^2 + no / 2) per real dimension.

    Args:
        received, gain: complex64 [B, K].
        noise_variance: float32 [B, K], of the complex noise.
        shape: (2 uses, h, w) of the latents.
    """
    batch, num_uses = received.shape
    channels, height, width = shape
    num_reference = reference_uses(num_uses)
    amplitude = _estimate_amplitude(received, gain, noise_variance, num_reference)
    strength = gain.abs().square().clamp(min=1e-6)
    noisy = (gain.conj() * received / (amplitude * strength))[:, num_reference:]
    variance = (noise_variance / (2 * amplitude.square() * strength))[:, num_reference:]
    missing = channels // 2 * height * width - noisy.shape[1]
    noisy = functional.pad(torch.view_as_real(noisy), (0, 0, 0, missing))
    variance = functional.pad(variance.clamp(max=NOT_SENT), (0, missing), value=NOT_SENT)
    noisy = noisy.reshape(batch, channels // 2, height, width, 2).movedim(-1, 2)
    variance = variance.reshape(batch, channels // 2, 1, height, width).expand_as(noisy)
    return Observation(noisy.reshape(batch, *shape), variance.reshape(batch, *shape))


def _reference_amplitude(num_uses: int) -> float:
    return (REFERENCE_SHARE * num_uses / reference_uses(num_uses)) ** 0.5


def _estimate_amplitude(
    received: torch.Tensor, gain: torch.Tensor, noise_variance: torch.Tensor, num_reference: int
) -> torch.Tensor:
    """MMSE estimate [B, 1] of the transmit amplitude from the reference, with prior N(1, PRIOR_DEVIATION^2)."""
    known = (gain * _reference_amplitude(received.shape[1]))[:, :num_reference]
    precision = 2 / noise_variance[:, :num_reference]
    evidence = (precision * (known.conj() * received[:, :num_reference]).real).sum(1, keepdim=True)
    weight = (precision * known.abs().square()).sum(1, keepdim=True)
    prior = PRIOR_DEVIATION**-2
    return ((evidence + prior) / (weight + prior)).clamp(min=0.1)
