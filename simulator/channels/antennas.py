"""Antennas at both ends, how a channel use or two of them carry streams, and what an ideal receiver would get."""

from dataclasses import dataclass

import torch

from simulator.channels.spatial import (
    Noise,
    Streams,
    alamouti,
    alamouti_in_turn,
    capacity_bits,
    singular_streams,
    spatial_multiplexing,
)


@dataclass(frozen=True)
class Antennas:
    """How symbols are sent from `tx` antennas and received with `rx` antennas.

    Attributes:
        tx, rx: antennas.
        precoding: "none", "svd" or "alamouti".
        receiver: "lmmse" or "zf", of streams without precoding.
    """

    tx: int
    rx: int
    precoding: str = "none"
    receiver: str = "lmmse"

    @property
    def uses(self) -> int:
        """Channel uses of a block of streams, which is sent and received as one."""
        return 2 if self.precoding == "alamouti" else 1

    @property
    def per_block(self) -> int:
        """Symbols of a block."""
        return {"none": self.tx, "svd": min(self.tx, self.rx), "alamouti": 2}[self.precoding]

    @property
    def streams(self) -> int:
        """Symbols per channel use."""
        return self.per_block // self.uses

    def serve(self, matrix: torch.Tensor, noise: Noise) -> Streams:
        """How blocks of streams cross complex64 [n, rx, tx], the same in all uses of a block, and are received."""
        if self.precoding == "svd":
            return singular_streams(matrix, noise)
        if self.precoding == "alamouti":
            return alamouti(matrix, noise)
        return spatial_multiplexing(matrix, noise, self.receiver)

    def serve_in_turn(self, matrices: torch.Tensor, noise: Noise) -> Streams:
        """How blocks of streams cross complex64 [n, uses, rx, tx], one matrix for each use, and are received."""
        if self.precoding == "alamouti":
            return alamouti_in_turn(matrices[:, 0], matrices[:, 1], noise)
        return self.serve(matrices[:, 0], noise)

    def capacity_bits(self, matrix: torch.Tensor, noise: float, sinr: torch.Tensor) -> torch.Tensor:
        """Bits of a block, float64 [n]: of the channel [n, rx, tx] at equal power per antenna, or of precoded streams.

        A precoder makes streams that do not interfere, or hardly: no receiver gets more out of them than one by one.
        """
        if self.precoding == "none":
            return capacity_bits(matrix, noise)
        return torch.log2(1 + sinr.double()).sum(-1)


def apply(matrices: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Products of complex64 [1 or n, a, b] with [n, b]: [n, a]."""
    return (matrices @ vectors[..., None])[..., 0] if len(matrices) > 1 else vectors @ matrices[0].T
