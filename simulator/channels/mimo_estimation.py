"""Estimation of a channel matrix that stands still, from one pilot per transmit antenna."""

from dataclasses import dataclass, replace
from functools import cached_property

import torch

from simulator.channels.antennas import Antennas
from simulator.channels.base import fade
from simulator.channels.spatial import Streams


@dataclass(frozen=True)
class MatrixEstimator:
    """MMSE estimate of a matrix with Kronecker correlation, and the receiver that counts its errors as noise.

    Each transmit antenna sends one orthogonal pilot per image, at the power of all. In the eigenbases of both ends'
    correlation the entries are independent: one of variance p is estimated with an error of variance p no / (p + no).

    Attributes:
        antennas: at both ends; the transmitter does not know the matrix.
        correlation: r of r^|i - j| between the antennas of either end.
    """

    antennas: Antennas
    correlation: float = 0

    def told(self, noise: float) -> float:
        """Noise variance with errors, the mean over receive antennas."""
        return float(self._noise(noise).mean())

    def receive(self, matrix: torch.Tensor, noise: float, key: int) -> Streams:
        """The receiver of streams that cross complex64 [n, rx, tx], all of them estimated; its SINR is what it expects.

        Where receive antennas are correlated, so are the errors: the combiner first makes them white.
        """
        (_, left), (_, right) = self._ends
        pilots = fade(matrix.flatten(), torch.ones(matrix.numel(), dtype=torch.complex64), noise, key)
        seen = left.T @ pilots.reshape(matrix.shape).to(torch.complex128) @ right
        known = left @ (self._powers / (self._powers + noise) * seen) @ right.T
        told, directions = self.told(noise), self._noise(noise)
        white = left @ ((told / directions).sqrt()[:, None] * left.T)
        way = self.antennas.serve((white @ known).to(torch.complex64), told)
        per_use = way.combiner.unflatten(-1, (-1, self.antennas.rx)) @ white.to(torch.complex64)
        return replace(way, combiner=per_use.flatten(-2))

    def _noise(self, noise: float) -> torch.Tensor:
        """Variance of noise and errors in each eigendirection of the receive antennas, float64 [rx]."""
        errors = self._powers * noise / (self._powers + noise)
        return noise + errors.mean(1)  # each transmit antenna has 1 / tx of the power

    @cached_property
    def _ends(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Eigenvalues and eigenvectors of the correlation between receive and between transmit antennas."""
        found = []
        for size in (self.antennas.rx, self.antennas.tx):
            apart = torch.arange(size, dtype=torch.float64)
            values, vectors = torch.linalg.eigh(self.correlation ** (apart[:, None] - apart).abs())
            found.append((values, vectors.to(torch.complex128)))
        return found

    @property
    def _powers(self) -> torch.Tensor:
        """Variances of the matrix's entries in the eigenbases, float64 [rx, tx]."""
        (rx, _), (tx, _) = self._ends
        return rx[:, None] * tx
