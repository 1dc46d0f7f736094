"""Side information on the air: a few bytes as one transport block that must arrive reliably.

Both ends know the format from the length and the link's state. Where the lowest rate is not safe the block is repeated,
and the receiver adds up the LLRs.
"""

from dataclasses import dataclass
from functools import lru_cache
from math import log10

import torch

from simulator.channels import Received
from simulator.link.adaptation import Outlook, outlook
from simulator.link.contracts import LinkState
from simulator.phy.mcs import MCS_TABLE, Mcs
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import (
    TransportFormat,
    decode_transport_blocks,
    encode_transport_blocks,
    smallest_format,
)

_CRC_BITS = 16  # of a short transport block
_FASTEST_FIRST = tuple(mcs for mcs in reversed(MCS_TABLE) if mcs.bits_per_symbol == 2)
# Side information must arrive while the analogue part still makes a picture: at this much below the label, and there,
# over fading, in all but this share of the transmissions, if the lowest rate can do that.
SAFETY_MARGIN_DB = 1.0
OUTAGE_TARGET = 0.02
REPEATS = (2, 4, 8, 16)


@dataclass(frozen=True)
class Protection:
    """Format of a block of side information: one transport block of an MCS, sent `repeats` times."""

    mcs: Mcs
    form: TransportFormat
    repeats: int = 1

    @property
    def num_symbols(self) -> int:
        """Channel uses of all repeats."""
        return self.repeats * self.form.num_symbols


def protect(num_bytes: int, state: LinkState, start: int, room: int) -> Protection:
    """The shortest safe format for `num_bytes`, else the safest one: always 4-QAM, of power exactly one.

    It depends on the length because short codes are weak: a header of 5 bytes needs 2 dB more than a long block.

    Args:
        num_bytes: >= 1.
        state: of the link.
        start: the block's first symbol.
        room: channel uses that repeats may take at most; a single block may take more.
    """
    return _protect(num_bytes, state.channel, float(state.snr_db), start, room)


@lru_cache(maxsize=4096)
def _protect(num_bytes: int, channel: str, snr_db: float, start: int, room: int) -> Protection:
    ways = [Protection(mcs, smallest_format(num_bytes, mcs)) for mcs in _FASTEST_FIRST]
    ways += [Protection(ways[-1].mcs, ways[-1].form, repeats) for repeats in REPEATS]
    ways = [way for way in ways if way.repeats == 1 or way.num_symbols <= room]
    if channel == "awgn":
        safe = (_margin_db(way, num_bytes, snr_db) >= SAFETY_MARGIN_DB for way in ways)
    else:
        ahead = outlook(channel, snr_db - SAFETY_MARGIN_DB, start + max(way.num_symbols for way in ways), True)
        safe = (_outage(way, ahead, start) <= OUTAGE_TARGET for way in ways)
    return next((way for way, is_safe in zip(ways, safe, strict=True) if is_safe), ways[-1])


def _margin_db(way: Protection, num_bytes: int, snr_db: float) -> float:
    return snr_db + 10 * log10(way.repeats) - way.mcs.threshold_db(info_bits=8 * num_bytes + _CRC_BITS)


def _outage(way: Protection, ahead: Outlook, start: int) -> float:
    form = way.form
    return ahead.outage(way.mcs, form.num_blocks, form.block_bits, start, start + way.num_symbols, way.repeats)


def modulate_block(data: bytes, way: Protection) -> torch.Tensor:
    """`data` as complex64 symbols of unit power, all repeats of the block one after the other."""
    bits = encode_transport_blocks([data.ljust(way.form.payload_bytes, b"\0")], way.form)[0]
    return torch.from_numpy(map_bits(bits, way.form.bits_per_symbol)).repeat(way.repeats)


def demodulate_block(received: Received, start: int, way: Protection) -> bytes | None:
    """The payload of the block that starts at symbol `start`, padding included, or None when its CRC fails."""
    part = slice(start, start + way.num_symbols)
    if len(received.symbols[part]) < way.num_symbols:
        return None
    llrs = demap(
        received.symbols[part].cpu().numpy(),
        received.noise_variance[part].cpu().numpy(),
        way.form.bits_per_symbol,
        received.gain[part].cpu().numpy(),
    )
    together = llrs.reshape(way.repeats, -1).sum(axis=0)
    result = decode_transport_blocks(together[None], way.form)[0]
    return result.payload if result.ok else None
