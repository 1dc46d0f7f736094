"""Linear algebra of several antennas: precoders, receivers, the SINR of each stream, and capacity."""

import math
from dataclasses import dataclass

import torch

Noise = float | torch.Tensor  # variance of all blocks, or float [n] of each of them


@dataclass(frozen=True)
class Streams:
    """How a block of streams s [L] crosses y = H x + n and is combined again: s_hat = combiner (channel s + n).

    Attributes:
        channel: precoded channel, complex64 [n, R, L]; total transmit power is that of one unit-power symbol per use.
        combiner: complex64 [n, L, R], unbiased: combiner @ channel has ones on its diagonal.
        sinr: float32 [n, L], of each stream after combining.
    """

    channel: torch.Tensor
    combiner: torch.Tensor
    sinr: torch.Tensor


def spatial_multiplexing(matrix: torch.Tensor, noise: Noise, receiver: str) -> Streams:
    """A stream of power 1 / tx per transmit antenna, complex64 [n, rx, tx] -> streams behind "zf" or "lmmse"."""
    return linear_receiver(matrix / math.sqrt(matrix.shape[-1]), noise, receiver)


def linear_receiver(channel: torch.Tensor, noise: Noise, receiver: str) -> Streams:
    """Streams that cross a channel G, complex64 [n, R, L], behind "zf" or "lmmse".

    ZF: SINR = 1 / (no [(G^H G)^-1]_ll). LMMSE: SINR = 1 / (no [(G^H G + no I)^-1]_ll) - 1 (Tse and Viswanath,
    "Fundamentals of Wireless Communication", 2005, 8.3.3).
    """
    wide, variance = channel.to(torch.complex128), _of_each(noise)
    gram = wide.mH @ wide
    if receiver == "lmmse":
        gram = gram + variance[:, None, None] * torch.eye(gram.shape[-1])
    inverse = torch.linalg.inv(gram)
    weights = inverse @ wide.mH
    diagonal = torch.diagonal(weights @ wide, dim1=-2, dim2=-1).real
    left_over = torch.diagonal(inverse, dim1=-2, dim2=-1).real
    sinr = 1 / (variance[:, None] * left_over) - float(receiver == "lmmse")
    return Streams(channel, (weights / diagonal[..., None]).to(torch.complex64), sinr.clamp(min=0).float())


def singular_streams(matrix: torch.Tensor, noise: Noise) -> Streams:
    """SVD at both ends, with the transmit power that water-filling gives each singular value; some may get none."""
    left, values, _ = torch.linalg.svd(matrix.to(torch.complex128), full_matrices=False)
    variance = _of_each(noise)[:, None]
    power = water_filling(values.square() / variance)
    amplitude = values * power.sqrt()
    channel = left * amplitude[..., None, :]
    combiner = (left / amplitude.clamp(min=1e-30)[..., None, :]).mH * (power > 0)[..., None]
    return Streams(channel.to(torch.complex64), combiner.to(torch.complex64), (amplitude.square() / variance).float())


def _of_each(noise: Noise) -> torch.Tensor:
    """Noise variances, float64 [n], or [1] for all blocks."""
    return torch.as_tensor(noise, dtype=torch.float64).reshape(-1)


def water_filling(snr: torch.Tensor) -> torch.Tensor:
    """Powers max(0, mu - 1 / snr) that sum to 1, for snr descending in the last dimension, float64 [..., L]."""
    floors = 1 / snr.clamp(min=1e-30)
    counts = torch.arange(1, snr.shape[-1] + 1)
    levels = (1 + floors.cumsum(-1)) / counts
    active = (levels > floors).sum(-1, keepdim=True)  # the largest set whose level covers all of it
    return (levels.gather(-1, active - 1) - floors).clamp(min=0)


def alamouti(matrix: torch.Tensor, noise: Noise) -> Streams:
    """Alamouti's code over two uses of a channel [n, rx, 2]: two streams, received as [y(1), y*(2)].

    Alamouti, "A simple transmit diversity technique for wireless communications", IEEE J. Sel. Areas Commun. 16(8),
    1998: s1, s2 first, then -s2*, s1*, each antenna at half the power.
    """
    first, second = matrix.unbind(-1)
    early = torch.stack([first, second], -1)
    late = torch.stack([second.conj(), -first.conj()], -1)
    channel = torch.cat([early, late], -2) / math.sqrt(2)
    strength = matrix.abs().square().sum((-2, -1)) / 2
    combiner = channel.mH / strength.clamp(min=1e-30)[:, None, None]
    return Streams(channel, combiner, (strength / _of_each(noise)).float()[:, None].expand(-1, 2))


def alamouti_in_turn(first: torch.Tensor, second: torch.Tensor, noise: Noise) -> Streams:
    """Alamouti's code over two uses of channels [n, rx, 2] that may differ a little, as neighbouring subcarriers do.

    An LMMSE receiver treats lost orthogonality as interference; over equal channels it is Alamouti's.
    """
    late = torch.stack([second[..., 1].conj(), -second[..., 0].conj()], -1)
    return linear_receiver(torch.cat([first, late], -2) / math.sqrt(2), noise, "lmmse")


def mismatched_sinr(channel: torch.Tensor, receiver: Streams, noise: float) -> torch.Tensor:
    """SINR of streams that cross `channel`, complex64 [n, R, L], behind a receiver made for another; float64 [n, L].

    Signal is what arrives in phase: a decoder bears a wrong amplitude, but not a wrong phase. It weights streams by the
    SINR that the receiver expects. Wrong weights cost all of them the share that they cost in combining, 1 for right
    ones: (sum w a)^2 / (sum w^2 v sum a^2 / v) for weights w, amplitudes a and variances v.
    """
    combiner, weight = receiver.combiner.to(torch.complex128), receiver.sinr.double()
    crossing = combiner @ channel.to(torch.complex128)
    amplitude = torch.diagonal(crossing, dim1=-2, dim2=-1).real.clamp(min=0)
    total = crossing.abs().square().sum(-1) + noise * combiner.abs().square().sum(-1)
    variance = (total - amplitude.square()).clamp(min=1e-30)
    sinr = amplitude.square() / variance
    weighted = (weight * amplitude).sum(-1).square()
    best = (weight.square() * variance).sum(-1) * sinr.sum(-1)
    return sinr * (weighted / best.clamp(min=1e-30))[:, None]


def capacity_bits(matrix: torch.Tensor, noise: float) -> torch.Tensor:
    """log2 det(I + H H^H / (tx no)) of each use, float64 [n]: equal power per antenna.

    Telatar, "Capacity of multi-antenna Gaussian channels", Eur. Trans. Telecommun. 10(6), 1999.
    """
    values = torch.linalg.svdvals(matrix.to(torch.complex128))
    return torch.log2(1 + values.square() / (matrix.shape[-1] * noise)).sum(-1)
