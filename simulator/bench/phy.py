"""The digital link's benchmarks: decoders and demappers side by side."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from simulator.analysis.statistics import wilson_interval
from simulator.bench.turns import one_thread, take_turns
from simulator.phy.ldpc import Decoded, Decoder, LayeredDecoder, LdpcCode, SionnaDecoder, combine, ldpc_code
from simulator.phy.qam import BITS_PER_SYMBOL, demap, map_bits
from simulator.phy.waterfall import received_blocks

# Es/N0 at which the decoder benchmark's code, 4-QAM and rate 1/2, has a BLER of 1e-2.
LDPC_SNR_DB = 1.15
LDPC_CODE = (4096, 8192)


@dataclass(frozen=True)
class DecoderRun:
    """One decoder on the benchmark's code blocks."""

    decoder: str
    blocks: int
    errors: int
    disagreements: int  # blocks that this decoder gets right and ours wrong, or the reverse
    blocks_per_second: float
    mean_iterations: float

    def bler_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the block error rate."""
        return wilson_interval(self.errors / self.blocks, self.blocks)


def compare_decoders(
    blocks: int, reference_blocks: int, report: Callable[[str], None] = lambda name: None
) -> list[DecoderRun]:
    """Decode the same LLRs (4-QAM, k = 4096, n = 8192, BLER 1e-2, 20 iterations) with every decoder, one thread each.

    Our decoder gets ``blocks`` code blocks, Sionna's flooding decoder the first ``reference_blocks`` of them and its
    layered one the first eighth of those, in batches of 16, where Sionna is fastest on a CPU. The package ``ldpc``
    takes part where it is installed. Compilation and graph construction are not timed.
    """
    code = ldpc_code(*LDPC_CODE, base_graph=1)
    bits, llrs = received_blocks(code, 2, LDPC_SNR_DB, blocks, np.random.default_rng(0))
    contestants: list[tuple[str, Decoder, int, int]] = [
        ("ours (layered)", LayeredDecoder(), blocks, 64),
        (
            "Sionna flooding",
            SionnaDecoder(schedule="flooding", check_node="boxplus-phi"),
            reference_blocks,
            16,
        ),
        ("Sionna layered", SionnaDecoder(), max(1, reference_blocks // 8), 16),
    ]
    if find_spec("ldpc"):
        contestants.append(("ldpc (PyPI)", PackageDecoder(), reference_blocks, reference_blocks))
    runs: list[DecoderRun] = []
    with one_thread():
        for name, decoder, count, batch in contestants:
            report(name)
            wrong, iterations, seconds = _time_decoder(decoder, code, bits[:count], llrs[:count], batch)
            if not runs:
                ours = wrong
            differ = int(np.count_nonzero(wrong != ours[:count]))
            rate, mean = count / seconds, float(iterations.mean())
            runs.append(DecoderRun(name, count, int(wrong.sum()), differ, rate, mean))
    return runs


@dataclass(frozen=True)
class PackageDecoder:
    """Min-sum belief propagation of the package `ldpc`, serial schedule, on the same parity checks.

    Its input is the syndrome of the hard decisions and the error probability of each: equivalent to LLRs.
    """

    max_iterations: int = 20
    scaling: float = 0.75

    def decode(self, code: LdpcCode, llrs: np.ndarray) -> Decoded:
        """As `LayeredDecoder.decode`."""
        checks, decoder = _package(code, self.max_iterations, self.scaling)
        soft = np.zeros((len(llrs), checks.shape[1]))  # punctured bits: 0
        soft[:, code.info_bits : code.info_columns * code.lifting_size] = -25  # filler bits: zeros, known
        sent = code.circular_buffer[: code.coded_bits]
        soft[:, sent] = np.clip(combine(code, llrs), -25, 25)
        found, iterations = np.empty((len(llrs), code.info_bits), np.uint8), np.empty(len(llrs), np.int16)
        for index, one in enumerate(soft):
            hard = (one > 0).astype(np.uint8)
            decoder.update_channel_probs(1 / (1 + np.exp(np.abs(one))))
            corrected = hard ^ decoder.decode((checks @ hard % 2).astype(np.uint8))
            found[index], iterations[index] = corrected[: code.info_bits], decoder.iter
        return Decoded(found, iterations)


@lru_cache(maxsize=4)
def _package(code: LdpcCode, max_iterations: int, scaling: float) -> tuple[Any, Any]:
    """The parity-check matrix of a code, and the decoder of the package `ldpc` for it."""
    from ldpc import BpDecoder
    from scipy.sparse import csr_matrix

    size, (row_start, column, shift) = code.lifting_size, code.edges
    row = np.repeat(np.arange(len(row_start) - 1), np.diff(row_start))
    lane = np.arange(size)
    rows = (row[:, None] * size + lane).ravel()
    columns = (column[:, None] * size + (lane + shift[:, None]) % size).ravel()
    shape = (len(code.shifts) * size, code.shifts.shape[1] * size)
    checks = csr_matrix((np.ones(len(rows), np.uint8), (rows, columns)), shape)
    options: dict[str, Any] = {"bp_method": "minimum_sum", "ms_scaling_factor": scaling, "schedule": "serial"}
    return checks, BpDecoder(checks, error_rate=0.1, max_iter=max_iterations, **options)


@dataclass(frozen=True)
class DemapperRun:
    """Our demapper beside Sionna's on the same symbols.

    Attributes:
        symbols_per_second, sionna_symbols_per_second: one thread, fastest of the repeats.
        difference: largest difference of two LLRs.
    """

    bits_per_symbol: int
    symbols_per_second: float
    sionna_symbols_per_second: float
    difference: float


def compare_demappers(num_symbols: int, repeats: int) -> list[DemapperRun]:
    """Demap noisy symbols of every constellation exactly, in turns with Sionna's `Demapper("app")`, at 15 dB."""
    import torch
    from sionna.phy.mapping import Demapper

    runs, draw = [], np.random.default_rng(0)
    with one_thread():
        for bits_per_symbol in BITS_PER_SYMBOL:
            bits = draw.integers(0, 2, num_symbols * bits_per_symbol).astype(np.uint8)
            noise = draw.standard_normal((num_symbols, 2)).astype(np.float32).view(np.complex64)[:, 0]
            variance = 10**-1.5
            received = map_bits(bits, bits_per_symbol) + noise * np.float32((variance / 2) ** 0.5)
            sionna = Demapper("app", "qam", bits_per_symbol, device="cpu")
            ours = partial(demap, received, variance, bits_per_symbol)
            theirs = partial(sionna, torch.from_numpy(received)[None], torch.tensor(variance))
            difference = float(np.abs(ours() - theirs().numpy()[0]).max())
            own, other = (num_symbols / seconds for seconds in take_turns((ours, theirs), repeats))
            runs.append(DemapperRun(bits_per_symbol, own, other, difference))
    return runs


def _time_decoder(
    decoder: Decoder, code: LdpcCode, bits: np.ndarray, llrs: np.ndarray, batch: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Which blocks came out wrong, the iterations each took, and the seconds of all, after a first call for setup."""
    decoder.decode(code, llrs[:1])
    begin = time.perf_counter()
    decoded = [decoder.decode(code, llrs[start : start + batch]) for start in range(0, len(bits), batch)]
    seconds = time.perf_counter() - begin
    wrong = (np.concatenate([part.bits for part in decoded]) != bits).any(axis=1)
    return wrong, np.concatenate([part.iterations for part in decoded]), seconds
