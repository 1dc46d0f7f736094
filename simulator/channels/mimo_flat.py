"""Several antennas over flat Rayleigh fading, one channel matrix per image or per use."""

from dataclasses import dataclass

import torch

from simulator.channels.antennas import Antennas, apply
from simulator.channels.base import Realisation, Received, fade, noise_variance
from simulator.channels.flat import rayleigh_gains
from simulator.channels.spatial import Streams
from simulator.randomness import derive_key, sionna_seeded
from simulator.spec.shown import Named

_BLOCK = 1024  # blocks of streams that are computed at once, so that no last bit depends on how many there are


@dataclass(frozen=True, repr=False)
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


class MimoChannel(Named):
    """y = H x + n: total transmit power 1, and noise of variance no at each receive antenna."""

    def __init__(self, name: str, antennas: Antennas, correlation: float, fast: bool, estimated: bool) -> None:
        """Args:
        name: how the channel is called in results.
        antennas: at both ends, and how they are used.
        correlation: of neighbouring antennas of either end, exponential (Kronecker model).
        fast: whether every use (with Alamouti's code, every pair) has a new matrix.
        estimated: whether the receiver estimates the matrix instead of knowing it.
        """
        self.name, self.streams = name, antennas.streams
        self._antennas, self._correlation, self._fast, self._estimated = antennas, correlation, fast, estimated
        self._per_block = antennas.per_block

    def realise(self, num_symbols: int, snr_db: float, key: int) -> MimoRealisation:
        blocks, noise = -(-num_symbols // self._per_block), noise_variance(snr_db)
        matrix = self._draw(blocks if self._fast else min(blocks, 1), derive_key(key, "gain"))
        sinr, capacity = torch.zeros((0, self._per_block)), 0.0
        if blocks:
            parts = [self._antennas.serve(one, noise) for one in matrix.split(_BLOCK)]
            sinr = torch.cat([one.sinr for one in parts]).expand(blocks, -1)
            bits = self._antennas.capacity_bits(matrix, noise, sinr[: len(matrix)])
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
        arrived = torch.cat([apply(channel, one) for one, (channel, _) in zip(sent, chunks, strict=True)])
        ones = torch.ones(arrived.numel(), dtype=torch.complex64)
        received = fade(arrived.flatten(), ones, noise, realisation.noise_key).reshape(len(sent), _BLOCK, -1)
        pairs = [(apply(way.combiner, one), way.sinr) for one, (_, way) in zip(received, chunks, strict=True)]
        found = torch.cat([one for one, _ in pairs]).flatten()[:count]
        gain = torch.cat([sinr.expand(_BLOCK, -1) for _, sinr in pairs]).mul(told).sqrt().flatten()[:count]
        pilots = self._antennas.tx if self._estimated else 0
        unused = blocks * self._antennas.uses - -(-count // self.streams)  # of a code's last block
        return Received(found * gain, gain.to(torch.complex64), torch.full((count,), told), pilots + unused)

    def _crossing(
        self, matrix: torch.Tensor, known: torch.Tensor, noise: float, told: float
    ) -> tuple[torch.Tensor, Streams]:
        """The true channel of some blocks as precoded, and what the receiver does; filled up to a whole chunk."""
        if self._fast:
            short = _BLOCK - len(matrix)
            matrix = torch.cat([matrix, matrix[-1:].expand(short, -1, -1)])
            known = torch.cat([known, known[-1:].expand(short, -1, -1)])
        return self._antennas.serve(matrix, noise).channel, self._antennas.serve(known, told)

    def _draw(self, blocks: int, key: int) -> torch.Tensor:
        tx, rx = self._antennas.tx, self._antennas.rx
        gains = rayleigh_gains(blocks * rx * tx, key).reshape(blocks, rx, tx)
        if not self._correlation or not blocks:
            return gains
        from sionna.phy.channel import KroneckerModel, exp_corr_mat

        with sionna_seeded(0):
            ends = (exp_corr_mat(self._correlation, size, device="cpu") for size in (tx, rx))
            return KroneckerModel(*ends, device="cpu")(gains)

    def _estimate(self, matrix: torch.Tensor, noise: float, key: int) -> tuple[torch.Tensor, float]:
        """The receiver's estimates of the matrices, and the noise variance including their errors.

        Each transmit antenna sends one orthogonal pilot per image, at the power of all; the MMSE estimate of an entry
        errs by no / (1 + no).
        """
        if not self._estimated:
            return matrix, noise
        clean = matrix.flatten()
        noisy = fade(clean, torch.ones_like(clean), noise, key) / (1 + noise)
        return noisy.reshape(matrix.shape), noise + noise / (1 + noise)
