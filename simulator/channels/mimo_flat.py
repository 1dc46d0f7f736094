"""Several antennas over flat Rayleigh fading, one channel matrix per image or per use."""

from dataclasses import dataclass

import torch

from simulator.channels.antennas import Antennas, apply
from simulator.channels.base import Realisation, Received, fade, noise_variance
from simulator.channels.flat import rayleigh_gains
from simulator.channels.mimo_estimation import MatrixEstimator
from simulator.channels.spatial import Streams, mismatched_sinr
from simulator.randomness import derive_key, sionna_seeded
from simulator.spec.shown import Named

_BLOCK = 1024  # blocks of streams that are computed at once, so that no last bit depends on how many there are
_REVISION = 1


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
        estimated: whether the receiver estimates a matrix that stands still instead of knowing it.
        """
        self.name, self.streams = name, antennas.streams
        self._antennas, self._correlation, self._fast = antennas, correlation, fast
        self._estimator = MatrixEstimator(antennas, correlation) if estimated else None
        self._per_block = antennas.per_block
        self.survey_still = None if fast else self._survey
        # Which stream carries each symbol of a block. In one fixed order a stream would meet the same residues of the
        # code's circulants everywhere, and a weak one would cost some tenths of a decibel more than its information.
        generator = torch.Generator().manual_seed(derive_key("streams"))
        self._order = torch.rand((_BLOCK, self._per_block), generator=generator).argsort(1)

    def fingerprint(self) -> str:
        """Of the order of streams, of estimates, and of what link adaptation expects."""
        return f"flat {_REVISION}"

    def realise(self, num_symbols: int, snr_db: float, key: int) -> MimoRealisation:
        blocks, noise = -(-num_symbols // self._per_block), noise_variance(snr_db)
        matrix = self._draw(blocks if self._fast else min(blocks, 1), derive_key(key, "gain"))
        sinr, capacity = torch.zeros((0, self._per_block)), 0.0
        if blocks:
            parts = [self._antennas.serve(one, noise) for one in matrix.split(_BLOCK)]
            sinr = torch.cat([one.sinr for one in parts]).expand(blocks, -1)
            bits = self._antennas.capacity_bits(matrix, noise, sinr[: len(matrix)])
            capacity = float(bits.mean()) * num_symbols / self._per_block
            sinr = sinr.gather(1, self._order.repeat(-(-blocks // _BLOCK), 1)[:blocks])
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
        order, back = (one.expand(len(sent), -1, -1) for one in (self._order, self._order.argsort(1)))
        sent = sent.gather(2, back)
        key = derive_key(realisation.noise_key, "pilots")
        chunks = [self._crossing(one, noise, key) for one in realisation.matrix[:blocks].split(_BLOCK)]
        chunks = chunks if self._fast else chunks * len(sent)
        arrived = torch.cat([apply(channel, one) for one, (channel, _) in zip(sent, chunks, strict=True)])
        ones = torch.ones(arrived.numel(), dtype=torch.complex64)
        received = fade(arrived.flatten(), ones, noise, realisation.noise_key).reshape(len(sent), _BLOCK, -1)
        pairs = [(apply(way.combiner, one), way.sinr) for one, (_, way) in zip(received, chunks, strict=True)]
        found = torch.stack([one for one, _ in pairs]).gather(2, order).flatten()[:count]
        sinr = torch.stack([sinr.expand(_BLOCK, -1) for _, sinr in pairs]).gather(2, order).flatten()[:count]
        told = noise if self._estimator is None else self._estimator.told(noise)
        gain = sinr.mul(told).sqrt()
        pilots = 0 if self._estimator is None else self._antennas.tx
        unused = blocks * self._antennas.uses - -(-count // self.streams)  # of a code's last block
        return Received(found * gain, gain.to(torch.complex64), torch.full((count,), told), pilots + unused)

    def _survey(self, count: int, snr_db: float, key: int) -> torch.Tensor:
        """SINR of each stream, float64 [count, streams of a block], of a receiver that errs as in `send`."""
        noise = noise_variance(snr_db)
        channel, way = self._crossing(self._draw(count, derive_key(key, "gain")), noise, derive_key(key, "pilots"))
        return way.sinr.double() if self._estimator is None else mismatched_sinr(channel, way, noise)

    def _crossing(self, matrix: torch.Tensor, noise: float, key: int) -> tuple[torch.Tensor, Streams]:
        """The true channel of some blocks as precoded, and what the receiver does; filled up to a whole chunk."""
        if self._fast:
            matrix = torch.cat([matrix, matrix[-1:].expand(_BLOCK - len(matrix), -1, -1)])
        true = self._antennas.serve(matrix, noise)
        return true.channel, true if self._estimator is None else self._estimator.receive(matrix, noise, key)

    def _draw(self, blocks: int, key: int) -> torch.Tensor:
        tx, rx = self._antennas.tx, self._antennas.rx
        gains = rayleigh_gains(blocks * rx * tx, key).reshape(blocks, rx, tx)
        if not self._correlation or not blocks:
            return gains
        from sionna.phy.channel import KroneckerModel, exp_corr_mat

        with sionna_seeded(0):
            ends = (exp_corr_mat(self._correlation, size, device="cpu") for size in (tx, rx))
            return KroneckerModel(*ends, device="cpu")(gains)
