"""Rate-matched NR LDPC codes (TS 38.212, clauses 5.3.2 and 5.4.2.1) and their two decoders.

LLRs here are log p(b = 1) - log p(b = 0), as in `simulator.phy.qam` and in Sionna.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np

from simulator.errors import UserError
from simulator.phy import basegraph
from simulator.phy.kernels import for_chunks
from simulator.phy.layered import decode_blocks

# Large against any LLR, small enough that sums stay finite in float32.
_KNOWN_ZERO = np.float32(1e9)


@dataclass(frozen=True)
class LdpcCode:
    """One code block's code: K' info bits (CRC included) to E coded bits, redundancy version 0, no interleaving."""

    info_bits: int
    coded_bits: int
    base_graph: int

    @cached_property
    def lifting(self) -> tuple[int, int]:
        """Lifting size Z_c and set index i_LS."""
        return basegraph.lifting_size(self.info_bits, self.base_graph)

    @property
    def lifting_size(self) -> int:
        """Z_c."""
        return self.lifting[0]

    @property
    def info_columns(self) -> int:
        """Columns of the base graph that hold info bits: 22 or 10."""
        return basegraph.INFO_COLUMNS[self.base_graph]

    @cached_property
    def circular_buffer(self) -> np.ndarray:
        """Codeword positions in order of transmission, less 2 Z_c punctured bits and filler: int64 ``[N_cb']``."""
        size = self.lifting_size
        end = (self.info_columns + basegraph.ROWS[self.base_graph]) * size
        return np.r_[2 * size : self.info_bits, self.info_columns * size : end]

    @cached_property
    def shifts(self) -> np.ndarray:
        """Shifts modulo Z_c of the rows that touch a transmitted bit, -1 for none: int32 ``[rows, columns]``.

        Every row beyond the core adds one parity column; a row whose own parity is never sent says nothing
        about the others and is left out.
        """
        sent = self.circular_buffer[: self.coded_bits]
        rows = max(basegraph.CORE_ROWS, int(sent.max()) // self.lifting_size - self.info_columns + 1)
        table = basegraph.shift_table(self.base_graph, self.lifting[1])[:rows, : self.info_columns + rows]
        return np.where(table < 0, -1, table % self.lifting_size).astype(np.int32)

    @cached_property
    def edges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Base-graph edges row by row: int32 ``row_start [rows + 1]``, ``column [edges]``, ``shift [edges]``.

        Columns made of filler bits alone are left out: they are known zeros.
        """
        used = self.shifts >= 0
        filler = np.arange(used.shape[1]) * self.lifting_size
        used &= (filler < self.info_bits) | (filler >= self.info_columns * self.lifting_size)
        rows, columns = np.nonzero(used)
        row_start = np.searchsorted(rows, np.arange(used.shape[0] + 1)).astype(np.int32)
        return row_start, columns.astype(np.int32), self.shifts[rows, columns]


@lru_cache(maxsize=256)
def ldpc_code(info_bits: int, coded_bits: int, base_graph: int) -> LdpcCode:
    """The code object, shared so that its tables are built once per process."""
    if coded_bits < info_bits:
        raise ValueError(f"{coded_bits} coded bits cannot carry {info_bits} info bits")
    return LdpcCode(info_bits, coded_bits, base_graph)


def encode(code: LdpcCode, bits: np.ndarray) -> np.ndarray:
    """Encode and rate-match: uint8 0/1 ``[B, K']`` to ``[B, E]``; the circular buffer repeats when E exceeds it."""
    size, columns = code.lifting_size, code.shifts.shape[1]
    word = np.zeros((columns, len(bits), 2 * size), dtype=np.uint8)  # each column twice: a shift is a slice
    info = np.zeros((len(bits), code.info_columns * size), dtype=np.uint8)
    info[:, : code.info_bits] = bits
    halves = word.reshape(columns, len(bits), 2, size)
    halves[: code.info_columns] = info.reshape(len(bits), -1, size).swapaxes(0, 1)[:, :, None]

    def check(row: int, known: range | list[int]) -> np.ndarray:
        total = np.zeros((len(bits), size), dtype=np.uint8)
        for column in known:
            shift = code.shifts[row, column]
            if shift >= 0:
                total ^= word[column, :, shift : shift + size]
        return total

    first = code.info_columns
    core = range(basegraph.CORE_ROWS)
    # In the sum of the core rows every parity column but the first cancels, and of its three entries two do.
    own_shifts = [int(shift) for shift in code.shifts[: basegraph.CORE_ROWS, first] if shift >= 0]
    odd_shift = next(shift for shift in own_shifts if own_shifts.count(shift) % 2)
    total = np.bitwise_xor.reduce([check(row, range(first)) for row in core])
    halves[first] = np.roll(total, odd_shift, axis=1)[:, None]
    known = list(range(first + 1))
    while len(known) < first + basegraph.CORE_ROWS:
        for row in core:
            missing = [c for c in range(first, first + 4) if code.shifts[row, c] >= 0 and c not in known]
            if len(missing) == 1:
                solved = np.roll(check(row, known), code.shifts[row, missing[0]], axis=1)
                halves[missing[0]] = solved[:, None]
                known.append(missing[0])
    for row in range(basegraph.CORE_ROWS, len(code.shifts)):
        halves[first + row] = check(row, range(first + basegraph.CORE_ROWS))[:, None]

    codeword = word[:, :, :size].swapaxes(0, 1).reshape(len(bits), -1)
    return codeword[:, np.resize(code.circular_buffer, code.coded_bits)]


def combine(code: LdpcCode, llrs: np.ndarray) -> np.ndarray:
    """Undo repetition: float32 LLRs ``[B, E]`` to ``[B, min(E, N_cb')]``, repeated bits summed."""
    length = len(code.circular_buffer)
    combined = np.array(llrs[:, :length], dtype=np.float32)
    for start in range(length, code.coded_bits, length):
        part = llrs[:, start : start + length]
        combined[:, : part.shape[1]] += part
    return combined


@dataclass(frozen=True)
class Decoded:
    """Hard decisions for a batch of code blocks."""

    bits: np.ndarray  # uint8 [B, K']
    iterations: np.ndarray  # int16 [B]


class Decoder(Protocol):
    """The interface of a decoder: the result for a block does not depend on the rest of the batch."""

    def decode(self, code: LdpcCode, llrs: np.ndarray) -> Decoded:
        """Decode rate-matched LLRs, float32 ``[B, E]``."""
        ...


@dataclass(frozen=True)
class LayeredDecoder:
    """Layered offset-min-sum decoder in Numba; stops a block as soon as its syndrome is zero.

    Runs on `kernels.num_threads` threads; the result does not depend on their number.
    """

    max_iterations: int = 20
    offset: float = 0.5

    def decode(self, code: LdpcCode, llrs: np.ndarray) -> Decoded:
        """Decode rate-matched LLRs, float32 ``[B, E]``."""
        size, columns = code.lifting_size, code.shifts.shape[1]
        received = combine(code, llrs)
        channel = np.zeros((len(received), columns * size), dtype=np.float32)
        channel[:, code.info_bits : code.info_columns * size] = _KNOWN_ZERO
        channel[:, code.circular_buffer[: received.shape[1]]] = -received
        bits = np.empty((len(received), code.info_bits), dtype=np.uint8)
        iterations = np.empty(len(received), dtype=np.int16)
        row_start, column, shift = code.edges

        def decode_chunk(start: int, stop: int) -> None:
            block = slice(start, stop)
            decode_blocks(
                channel[block],
                row_start,
                column,
                shift,
                size,
                np.float32(self.offset),
                self.max_iterations,
                bits[block],
                iterations[block],
            )

        for_chunks(decode_chunk, len(received), 4)
        return Decoded(bits, iterations)


@dataclass(frozen=True)
class SionnaDecoder:
    """The reference: Sionna's ``LDPC5GDecoder`` on the CPU.

    ``schedule``: "flooding" or "layered"; ``check_node``: "boxplus-phi", "minsum" or "offset-minsum";
    ``llr_max``: Sionna's clipping of messages, None for none. Sionna knows no code rate under 1/5 (base graph 2)
    or 1/3 (base graph 1): such a code raises `UserError`.
    """

    max_iterations: int = 20
    schedule: str = "layered"
    check_node: str = "offset-minsum"
    llr_max: float | None = 20.0

    def decode(self, code: LdpcCode, llrs: np.ndarray) -> Decoded:
        """Decode rate-matched LLRs, float32 ``[B, E]``."""
        import torch

        received = combine(code, llrs)
        decoder = _sionna_decoder(self, code.info_bits, received.shape[1], code.base_graph)
        with torch.no_grad():
            bits = decoder(torch.from_numpy(received)).numpy().astype(np.uint8)
        return Decoded(bits, np.full(len(bits), self.max_iterations, dtype=np.int16))


@lru_cache(maxsize=16)
def _sionna_decoder(settings: SionnaDecoder, info_bits: int, coded_bits: int, base_graph: int) -> Any:
    import torch

    # Importing Sionna reseeds torch's global generator, which belongs to the caller.
    with torch.random.fork_rng(devices=[]):
        from sionna.phy.fec.ldpc import LDPC5GDecoder, LDPC5GEncoder

    try:
        encoder = LDPC5GEncoder(info_bits, coded_bits, bg=f"bg{base_graph}", device="cpu")
    except ValueError as error:
        raise UserError(f"Sionna's decoder cannot take {info_bits} bits in {coded_bits}: {error}") from error
    return LDPC5GDecoder(
        encoder,
        cn_update=settings.check_node,
        cn_schedule=settings.schedule,
        num_iter=settings.max_iterations,
        llr_max=settings.llr_max,
        device="cpu",
    )
