"""Several antennas over flat Rayleigh fading: spatial streams behind a linear receiver, SVD precoding, Alamouti's code.

A scheme sees what it sees over any channel, y = gain * s + n: gain^2 / no is the signal-to-noise-and-interference ratio
of its symbol after the receiver.
"""

from dataclasses import dataclass
from typing import Any

import torch

from simulator.channels.base import Realisation, Received, fade, noise_variance
from simulator.channels.flat import rayleigh_gains
from simulator.channels.spatial import Streams, alamouti, capacity_bits, singular_streams, spatial_multiplexing
from simulator.errors import UserError
from simulator.randomness import derive_key, sionna_seeded
from simulator.spec.options import Choice, Declaration, Number, declares

_BLOCK = 1024  # blocks of streams that are computed at once, so that no last bit depends on how many there are
_MIMO = Declaration(
    "mimo",
    "several antennas over flat Rayleigh fading",
    {
        "tx": Number(2, 1, 8, whole=True, help="transmit antennas"),
        "rx": Number(2, 1, 8, whole=True, help="receive antennas"),
        "receiver": Choice(("lmmse", "zf"), help="linear receiver of spatial streams"),
        "precoding": Choice(
            ("none", "svd", "alamouti"), help="a stream per antenna, SVD with water-filling, or a code"
        ),
        "fading": Choice(("block", "fast"), help="one channel matrix per image, or one per use"),
        "correlation": Number(0, 0, 0.99, help="between neighbouring antennas of either end (Kronecker model)"),
        "csi": Choice(("perfect", "estimated"), help="channel knowledge of the receiver; pilots are billed"),
    },
)


@dataclass(frozen=True)
class MimoRealisation(Realisation):
    """One draw of the channel matrices.

    Attributes:
        matrix: complex64 [blocks, rx, tx], E|h|^2 = 1 for each entry; a single block where fading is.
        capacity: in bits, of all uses together, for an ideal receiver.
    """

    matrix: torch.Tensor
    capacity: float

    @property
    def capacity_bits(self) -> float:
        return self.capacity


class MimoChannel:
    """y = H x + n: total transmit power 1, and noise of variance no at each receive antenna."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        self.name = name
        self._tx, self._rx, self._receiver = options["tx"], options["rx"], options["receiver"]
        self._precoding, self._correlation = options["precoding"], options["correlation"]
        self._fast, self._estimated = options["fading"] == "fast", options["csi"] == "estimated"
        self._uses = 2 if self._precoding == "alamouti" else 1  # of a block
        self._per_block = {"none": self._tx, "svd": min(self._tx, self._rx), "alamouti": 2}[self._precoding]

    @property
    def streams(self) -> int:
        """Symbols per channel use."""
        return self._per_block // self._uses

    def realise(self, num_symbols: int, snr_db: float, key: int) -> MimoRealisation:
        blocks, noise = -(-num_symbols // self._per_block), noise_variance(snr_db)
        matrix = self._draw(blocks if self._fast else min(blocks, 1), derive_key(key, "gain"))
        sinr, capacity = torch.zeros((0, self._per_block)), 0.0
        if blocks:
            parts = [self._streams(one, noise) for one in matrix.split(_BLOCK)]
            sinr = torch.cat([one.sinr for one in parts]).expand(blocks, -1)
            bits = capacity_bits(matrix, noise) * self._uses
            if self._precoding != "none":  # one stream per orthogonal direction, which a receiver cannot do better with
                bits = torch.cat([torch.log2(1 + one.sinr.double()).sum(-1) for one in parts])
            capacity = float(bits.mean()) * num_symbols / self._per_block
        gain = (sinr * noise).sqrt().flatten()[:num_symbols].to(torch.complex64)
        return MimoRealisation(gain, noise, derive_key(key, "noise"), matrix, capacity)

    def send(self, symbols: torch.Tensor, realisation: Realisation) -> Received:
        if not isinstance(realisation, MimoRealisation):
            raise TypeError(f"{self.name} sends over what it realised itself, not over a {type(realisation).__name__}")
        count, noise = len(symbols), realisation.noise_variance
        if not count:
            return Received(symbols, symbols, torch.zeros(0))
        blocks = -(-count // self._per_block)
        filling = -(-blocks // _BLOCK) * _BLOCK * self._per_block - count
        sent = torch.nn.functional.pad(symbols, (0, filling)).reshape(-1, _BLOCK, self._per_block)
        matrix = realisation.matrix[:blocks]
        known, told = self._estimate(matrix, noise, derive_key(realisation.noise_key, "pilots"))
        chunks = [
            self._crossing(*one, noise, told) for one in zip(matrix.split(_BLOCK), known.split(_BLOCK), strict=True)
        ]
        chunks = chunks if self._fast else chunks * len(sent)
        arrived = torch.cat([_apply(channel, one) for one, (channel, _) in zip(sent, chunks, strict=True)])
        ones = torch.ones(arrived.numel(), dtype=torch.complex64)
        received = fade(arrived.flatten(), ones, noise, realisation.noise_key).reshape(len(sent), _BLOCK, -1)
        pairs = [(_apply(way.combiner, one), way.sinr) for one, (_, way) in zip(received, chunks, strict=True)]
        found = torch.cat([one for one, _ in pairs]).flatten()[:count]
        gain = torch.cat([sinr.expand(_BLOCK, -1) for _, sinr in pairs]).mul(told).sqrt().flatten()[:count]
        overhead = self._tx if self._estimated else 0
        return Received(found * gain, gain.to(torch.complex64), torch.full((count,), told), overhead)

    def _crossing(
        self, matrix: torch.Tensor, known: torch.Tensor, noise: float, told: float
    ) -> tuple[torch.Tensor, Streams]:
        """The true channel of some blocks as precoded, and what the receiver does; filled up to a whole chunk."""
        if self._fast:
            short = _BLOCK - len(matrix)
            matrix = torch.cat([matrix, matrix[-1:].expand(short, -1, -1)])
            known = torch.cat([known, known[-1:].expand(short, -1, -1)])
        return self._streams(matrix, noise).channel, self._streams(known, told)

    def _streams(self, matrix: torch.Tensor, noise: float) -> Streams:
        if self._precoding == "svd":
            return singular_streams(matrix, noise)
        return (
            alamouti(matrix, noise)
            if self._precoding == "alamouti"
            else spatial_multiplexing(matrix, noise, self._receiver)
        )

    def _draw(self, blocks: int, key: int) -> torch.Tensor:
        gains = rayleigh_gains(blocks * self._rx * self._tx, key).reshape(blocks, self._rx, self._tx)
        if not self._correlation or not blocks:
            return gains
        from sionna.phy.channel import KroneckerModel, exp_corr_mat

        with sionna_seeded(0):
            ends = (exp_corr_mat(self._correlation, size, device="cpu") for size in (self._tx, self._rx))
            return KroneckerModel(*ends, device="cpu")(gains)

    def _estimate(self, matrix: torch.Tensor, noise: float, key: int) -> tuple[torch.Tensor, float]:
        """Matrices as the receiver knows them, and the noise variance with what is wrong with them.

        Each transmit antenna sends one orthogonal pilot per image, at the power of all; the MMSE estimate of an entry
        errs by no / (1 + no).
        """
        if not self._estimated:
            return matrix, noise
        clean = matrix.flatten()
        noisy = fade(clean, torch.ones_like(clean), noise, key) / (1 + noise)
        return noisy.reshape(matrix.shape), noise + noise / (1 + noise)


def _apply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Products of complex64 [1 or n, a, b] with [n, b]: [n, a]."""
    return (matrices @ vectors[..., None])[..., 0] if len(matrices) > 1 else vectors @ matrices[0].T


@declares(_MIMO)
def mimo(*options: str) -> MimoChannel:
    """Spatial multiplexing, SVD or Alamouti over up to 8 x 8 antennas.

    Raises:
        UserError: what cannot be received, or precoding for a channel that the transmitter does not know.
    """
    chosen = _MIMO.read(options)
    streams, rx = chosen["tx"], chosen["rx"]
    if chosen["precoding"] == "none" and streams > rx and chosen["receiver"] == "zf":
        raise UserError(
            f"'mimo': zf cannot separate {streams} streams at {rx} antennas; use receiver=lmmse or rx={streams}"
        )
    if chosen["precoding"] == "svd" and chosen["csi"] == "estimated":
        raise UserError("'mimo': svd needs the channel at the transmitter, which pilots do not tell; use csi=perfect")
    if chosen["precoding"] == "alamouti" and streams != 2:
        raise UserError(f"'mimo': Alamouti's code has two transmit antennas, not {streams}; use tx=2")
    if chosen["csi"] == "estimated" and chosen["fading"] == "fast":
        raise UserError("'mimo': pilots cannot follow a channel that changes with every use; use fading=block")
    return MimoChannel(_MIMO.spell(chosen), chosen)
