"""NR transport blocks (TS 38.212, clauses 5.1, 5.2.2, 5.4.2 and 7.2): bytes to coded bits, and LLRs back to bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby

import numpy as np

from simulator.errors import UserError
from simulator.phy.basegraph import MAX_BLOCK_BITS
from simulator.phy.crc import append_crc, check_crc
from simulator.phy.ldpc import Decoder, LayeredDecoder, LdpcCode, encode, ldpc_code
from simulator.phy.mcs import Mcs
from simulator.phy.scrambling import scrambling_bits

CB_CRC_BITS = 24
# The smallest code block Sionna and the lifting tables take comfortably: 1 payload byte and its CRC.
_MIN_PAYLOAD_BITS = 8


@dataclass(frozen=True)
class TransportFormat:
    """How one transport block fills the channel uses granted to it. Both ends derive it from (symbols, MCS)."""

    bits_per_symbol: int  # Q_m
    base_graph: int  # 1 or 2
    payload_bits: int  # A, a multiple of 8
    block_bits: int  # K', info bits of each code block, CRCs included
    block_lengths: tuple[int, ...]  # E_r, coded bits of each code block

    @property
    def payload_bytes(self) -> int:
        """A / 8."""
        return self.payload_bits // 8

    @property
    def coded_bits(self) -> int:
        """G, the sum of E_r."""
        return sum(self.block_lengths)

    @property
    def num_symbols(self) -> int:
        """Channel uses, G / Q_m."""
        return self.coded_bits // self.bits_per_symbol

    @property
    def num_blocks(self) -> int:
        """C, the number of code blocks."""
        return len(self.block_lengths)

    @property
    def tb_crc(self) -> str:
        """Name of the transport block's CRC (7.2.1)."""
        return _tb_crc(self.payload_bits)

    @property
    def crc_bits(self) -> int:
        """Bits spent on the transport block's and the code blocks' CRCs."""
        return self.num_blocks * self.block_bits - self.payload_bits

    def codes(self) -> Iterator[tuple[LdpcCode, slice, slice]]:
        """Code blocks of equal length E_r together: (code, which blocks, which of the G coded bits)."""
        block = bit = 0
        for length, group in groupby(self.block_lengths):
            count = len(list(group))
            yield (
                ldpc_code(self.block_bits, length, self.base_graph),
                slice(block, block + count),
                slice(bit, bit + count * length),
            )
            block, bit = block + count, bit + count * length


@dataclass(frozen=True)
class TransportResult:
    """What the receiver makes of one transport block."""

    payload: bytes  # hard decisions, right when `ok`
    ok: bool  # every CRC holds
    block_errors: int  # code blocks whose CRC fails


def transport_format(num_symbols: int, mcs: Mcs) -> TransportFormat:
    """The largest payload that ``num_symbols`` channel uses carry at the MCS.

    The code rate K' / E_r of no code block exceeds the MCS's: every CRC is paid out of the payload. In place of the
    coarse sizes of TS 38.214, 5.1.3.2, the payload is the largest whole number of bytes for which, as with those sizes,
    all code blocks are equal and none is padded. Raises `UserError` if not one payload byte fits.
    """
    return _transport_format(num_symbols, mcs.bits_per_symbol, mcs.code_rate)


def smallest_format(payload_bytes: int, mcs: Mcs) -> TransportFormat:
    """The format with the fewest channel uses that carries ``payload_bytes`` (or a few more) at the MCS."""
    bits = 8 * payload_bytes + 16
    low, high = 0, 64 + int(2 * bits / (mcs.bits_per_symbol * mcs.code_rate))
    while high - low > 1:
        middle = (low + high) // 2
        if _payload_or_zero(middle, mcs) >= 8 * payload_bytes:
            high = middle
        else:
            low = middle
    return transport_format(high, mcs)


def _payload_or_zero(num_symbols: int, mcs: Mcs) -> int:
    try:
        return transport_format(num_symbols, mcs).payload_bits
    except UserError:
        return 0


@lru_cache(maxsize=1024)
def _transport_format(num_symbols: int, bits_per_symbol: int, code_rate: Fraction) -> TransportFormat:
    def block_bits(blocks: int) -> int:
        shortest = num_symbols // blocks * bits_per_symbol
        return int(shortest * code_rate) // 8 * 8

    # A single block of base graph 2 is what 7.2.2 takes for small or strongly coded transport blocks.
    single = block_bits(1)
    base_graph = base_graph_for(max(single - 16, 0), code_rate)
    limit = MAX_BLOCK_BITS[base_graph]
    blocks = 1
    while block_bits(blocks) > limit:
        blocks += 1
    size = block_bits(blocks)
    if blocks > 1 and _num_blocks(blocks * (size - CB_CRC_BITS), limit) < blocks:
        # The CRCs of one block more would cost more than the last bits of fewer, full blocks.
        blocks, size = blocks - 1, limit
    total = blocks * (size - CB_CRC_BITS) if blocks > 1 else size
    payload = total - (16 if total - 16 <= 3824 else 24)
    if payload < _MIN_PAYLOAD_BITS:
        raise UserError(
            f"{num_symbols} channel uses at {bits_per_symbol} x {code_rate} bits carry no transport block: "
            "grant more channel uses or take a higher MCS"
        )
    return segmentation(payload, num_symbols * bits_per_symbol, bits_per_symbol, code_rate)


def segmentation(payload_bits: int, coded_bits: int, bits_per_symbol: int, code_rate: Fraction) -> TransportFormat:
    """Segment a given payload as TS 38.212 does: 7.2.1 (CRC), 7.2.2 (base graph), 5.2.2 (blocks), 5.4.2.1 (E_r).

    ``payload_bits`` is A. Raises ``ValueError`` if the code blocks would not be equal whole bytes without filler.
    """
    total = payload_bits + (24 if _tb_crc(payload_bits) == "24A" else 16)
    base_graph = base_graph_for(payload_bits, code_rate)
    blocks = _num_blocks(total, MAX_BLOCK_BITS[base_graph])
    size = total // blocks + (CB_CRC_BITS if blocks > 1 else 0)
    if total % (8 * blocks) or coded_bits % bits_per_symbol:
        raise ValueError(f"{payload_bits} payload bits do not make {blocks} equal code blocks of whole bytes")
    symbols = coded_bits // bits_per_symbol
    short = blocks - symbols % blocks
    lengths = [bits_per_symbol * (symbols // blocks + (block >= short)) for block in range(blocks)]
    return TransportFormat(bits_per_symbol, base_graph, payload_bits, size, tuple(lengths))


def _tb_crc(payload_bits: int) -> str:
    return "24A" if payload_bits > 3824 else "16"


def base_graph_for(payload_bits: int, code_rate: Fraction) -> int:
    """LDPC base graph, 1 or 2, of a transport block of ``payload_bits`` (A) at a code rate (TS 38.212, 7.2.2)."""
    small = payload_bits <= 292 or (payload_bits <= 3824 and code_rate <= Fraction(67, 100))
    return 2 if small or code_rate <= Fraction(1, 4) else 1


def _num_blocks(total_bits: int, limit: int) -> int:
    return 1 if total_bits <= limit else -(-total_bits // (limit - CB_CRC_BITS))


def encode_transport_blocks(payloads: Sequence[bytes], form: TransportFormat) -> np.ndarray:
    """Encode transport blocks of one format: payloads of ``form.payload_bytes`` bytes each to uint8 0/1 ``[B, G]``.

    CRC, segmentation, LDPC, rate matching, bit interleaving, concatenation and scrambling. Raises ``ValueError`` for a
    payload of another length.
    """
    if any(len(payload) != form.payload_bytes for payload in payloads):
        raise ValueError(f"payloads must have {form.payload_bytes} bytes, got {sorted({len(p) for p in payloads})}")
    data = np.frombuffer(b"".join(payloads), dtype=np.uint8).reshape(len(payloads), form.payload_bytes)
    blocks = append_crc(data, form.tb_crc).reshape(len(payloads) * form.num_blocks, -1)
    if form.num_blocks > 1:
        blocks = append_crc(blocks, "24B")
    bits = np.unpackbits(blocks, axis=1).reshape(len(payloads), form.num_blocks, form.block_bits)
    coded = np.empty((len(payloads), form.coded_bits), dtype=np.uint8)
    for code, which, where in form.codes():
        words = encode(code, bits[:, which].reshape(-1, form.block_bits))
        # 5.4.2.2: written row by row into Q_m rows, read column by column.
        rows = words.reshape(len(words), form.bits_per_symbol, -1)
        coded[:, where] = rows.swapaxes(1, 2).reshape(len(payloads), -1)
    return coded ^ scrambling_bits(form.coded_bits)


def decode_transport_blocks(
    llrs: np.ndarray, form: TransportFormat, decoder: Decoder | None = None
) -> list[TransportResult]:
    """Decode transport blocks of one format from float32 LLRs ``[B, G]`` (log p(1) - log p(0)).

    ``decoder`` defaults to `LayeredDecoder`. All blocks of a call are decoded together; each result depends on its
    own LLRs alone. Raises ``ValueError`` for LLRs of another length.
    """
    if llrs.ndim != 2 or llrs.shape[1] != form.coded_bits:
        raise ValueError(f"LLRs must be [B, {form.coded_bits}], got {list(llrs.shape)}")
    decoder = decoder or LayeredDecoder()
    flips = 1 - 2 * scrambling_bits(form.coded_bits).astype(np.float32)
    received = np.asarray(llrs, dtype=np.float32) * flips
    bits = np.empty((len(llrs), form.num_blocks, form.block_bits), dtype=np.uint8)
    for code, which, where in form.codes():
        columns = received[:, where].reshape(-1, code.coded_bits // form.bits_per_symbol, form.bits_per_symbol)
        words = np.ascontiguousarray(columns.swapaxes(1, 2)).reshape(len(columns), -1)
        bits[:, which] = decoder.decode(code, words).bits.reshape(len(llrs), -1, form.block_bits)
    blocks = np.packbits(bits, axis=2)
    if form.num_blocks > 1:
        flat = blocks.reshape(-1, form.block_bits // 8)
        block_ok = check_crc(flat, "24B").reshape(len(llrs), form.num_blocks)
        blocks = blocks[:, :, : -CB_CRC_BITS // 8]
    transport = blocks.reshape(len(llrs), -1)
    tb_ok = check_crc(transport, form.tb_crc)
    if form.num_blocks == 1:
        block_ok = tb_ok[:, None]
    return [
        TransportResult(row[: form.payload_bytes].tobytes(), bool(ok and good.all()), int((~good).sum()))
        for row, ok, good in zip(transport, tb_ok, block_ok, strict=True)
    ]
