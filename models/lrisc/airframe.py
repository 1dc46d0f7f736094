"""What LRISC puts on the air around its JSCC symbols: a header and the rate map, both sent by the digital link.

| part | content | protection |
|---|---|---|
| header | transmit scale (int16, 1/100 dB), map grid (uint8), map length (uint16) | transport block, 4-QAM, safe rate |
| rate map | levels of all latent vectors, or of cells of grid x grid | transport block, 4-QAM, safe rate |
| latents | v_q real components of every vector, two to a symbol | none: analogue |

The receiver knows the format of the header block from the SNR, of the map block from the SNR and the header. Where all
rates are fixed there is no map, and the header is the scale alone.
"""

import struct
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from models.lrisc.ratemap import decode_map, encode_map
from simulator.adaptation import outlook
from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.phy.mcs import MCS_TABLE, Mcs
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import (
    TransportFormat,
    decode_transport_blocks,
    encode_transport_blocks,
    smallest_format,
)

GRIDS = (1, 2, 4)
_HEADER = struct.Struct(">hBH")
_SCALE = struct.Struct(">h")
MAX_MAP_BYTES = 2**16 - 1  # what the header can say; coarser grids serve larger images
_CRC_BITS = 16  # of a short transport block
_CANDIDATES = tuple(mcs for mcs in MCS_TABLE if mcs.bits_per_symbol == 2)
# The map must arrive when the latents still make a picture: this much below the label, and there, over fading, in all
# but this share of the transmissions, as far as the lowest rate can do that.
SAFETY_MARGIN_DB = 1.0
OUTAGE_TARGET = 0.02


@dataclass(frozen=True)
class SideInformation:
    """What the receiver must know before it can read the latents.

    Attributes:
        levels: int64 [h, w], constant over cells of grid x grid.
        grid: side of these cells.
        scale_db: transmitted over original amplitude of the components, in dB (a multiple of 0.01).
    """

    levels: np.ndarray
    grid: int
    scale_db: float


def safe_mcs(num_bytes: int, state: LinkState, start: int = 0) -> Mcs:
    """The MCS that carries `num_bytes` from symbol `start` on: the fastest 4-QAM (of power exactly one) that is safe.

    It depends on the length because short codes are weak: a header of 5 bytes needs 2 dB more than a long block.
    """
    if state.channel != "awgn":
        return _safe_over_fading(num_bytes, state.channel, state.snr_db, start)
    needed = {mcs: mcs.threshold_db(info_bits=8 * num_bytes + _CRC_BITS) for mcs in _CANDIDATES}
    usable = [mcs for mcs in _CANDIDATES if needed[mcs] + SAFETY_MARGIN_DB <= state.snr_db]
    return max(usable or _CANDIDATES[:1], key=lambda mcs: mcs.spectral_efficiency)


@lru_cache(maxsize=4096)
def _safe_over_fading(num_bytes: int, channel: str, snr_db: float, start: int) -> Mcs:
    """The fastest 4-QAM whose outage is at most `OUTAGE_TARGET`, or else the one of least outage."""
    forms = {mcs: smallest_format(num_bytes, mcs) for mcs in _CANDIDATES}
    ahead = outlook(channel, snr_db - SAFETY_MARGIN_DB, start + max(form.num_symbols for form in forms.values()))
    outage = {
        mcs: ahead.outage(mcs, form.num_blocks, form.block_bits, start, start + form.num_symbols)
        for mcs, form in forms.items()
    }
    usable = [mcs for mcs in _CANDIDATES if outage[mcs] <= OUTAGE_TARGET]
    if not usable:
        return min(_CANDIDATES, key=lambda mcs: outage[mcs])
    return max(usable, key=lambda mcs: mcs.spectral_efficiency)


def header_format(state: LinkState) -> TransportFormat:
    """The transport block of the header."""
    return smallest_format(_HEADER.size, safe_mcs(_HEADER.size, state))


def scale_format(state: LinkState) -> TransportFormat:
    """The transport block of a header without a map."""
    return smallest_format(_SCALE.size, safe_mcs(_SCALE.size, state))


def map_format(num_bytes: int, state: LinkState) -> TransportFormat:
    """The transport block of a map of `num_bytes`."""
    num_bytes = max(1, num_bytes)
    return smallest_format(num_bytes, safe_mcs(num_bytes, state, start=header_format(state).num_symbols))


def pack_map(side_levels: np.ndarray, grid: int, num_levels: int) -> bytes:
    """Entropy-code one level per grid cell."""
    return encode_map(side_levels[::grid, ::grid], num_levels)


def modulate_side_information(
    packed: bytes, grid: int, scale_db: float, state: LinkState
) -> tuple[torch.Tensor, SymbolLedger]:
    """Header and map as complex64 symbols of unit power, and their bill.

    Args:
        packed: the map, as `pack_map` makes it of levels that are constant over cells of grid x grid.
        grid: side of these cells.
        scale_db: as in `SideInformation`.
        state: of the link.
    """
    header = _HEADER.pack(round(scale_db * 100), grid, len(packed))
    first, second = header_format(state), map_format(len(packed), state)
    symbols = torch.cat([_modulate(header, first), _modulate(packed, second)])
    bill = SymbolLedger.apportion(first.num_symbols, header=8 * len(header), crc=first.crc_bits)
    spare = second.payload_bits - 8 * len(packed)
    return symbols, bill + SymbolLedger.apportion(
        second.num_symbols, side_information=8 * len(packed), crc=second.crc_bits, padding=spare
    )


def demodulate_side_information(
    received: Received, shape: tuple[int, int], num_levels: int, state: LinkState
) -> tuple[SideInformation, int] | None:
    """Read header and map of an image with latents [h, w].

    Returns:
        The side information and the number of symbols it took, or None when a CRC fails.
    """
    first = header_format(state)
    header = _demodulate(received, 0, first)
    if header is None:
        return None
    scale, grid, num_bytes = _HEADER.unpack(header[: _HEADER.size])
    second = map_format(num_bytes, state)
    packed = _demodulate(received, first.num_symbols, second)
    if packed is None or grid not in GRIDS:
        return None
    cells = (-(-shape[0] // grid), -(-shape[1] // grid))
    try:
        levels = decode_map(packed[:num_bytes], cells, num_levels)
    except ValueError:  # both CRCs held by accident
        return None
    levels = levels.repeat(grid, axis=0).repeat(grid, axis=1)[: shape[0], : shape[1]]
    return SideInformation(levels, grid, scale / 100), first.num_symbols + second.num_symbols


def modulate_scale(scale_db: float, state: LinkState) -> tuple[torch.Tensor, SymbolLedger]:
    """A header without a map, as complex64 symbols of unit power, and its bill."""
    form = scale_format(state)
    spare = form.payload_bits - 8 * _SCALE.size
    bill = SymbolLedger.apportion(form.num_symbols, header=8 * _SCALE.size, crc=form.crc_bits, padding=spare)
    return _modulate(_SCALE.pack(round(scale_db * 100)), form), bill


def demodulate_scale(received: Received, state: LinkState) -> float | None:
    """The scale in dB of a header without a map, or None when its CRC fails."""
    header = _demodulate(received, 0, scale_format(state))
    return None if header is None else _SCALE.unpack(header[: _SCALE.size])[0] / 100


def _modulate(data: bytes, form: TransportFormat) -> torch.Tensor:
    bits = encode_transport_blocks([data.ljust(form.payload_bytes, b"\0")], form)[0]
    return torch.from_numpy(map_bits(bits, form.bits_per_symbol))


def _demodulate(received: Received, start: int, form: TransportFormat) -> bytes | None:
    part = slice(start, start + form.num_symbols)
    if len(received.symbols[part]) < form.num_symbols:
        return None
    llrs = demap(
        received.symbols[part].cpu().numpy(),
        received.noise_variance[part].cpu().numpy(),
        form.bits_per_symbol,
        received.gain[part].cpu().numpy(),
    )
    result = decode_transport_blocks(llrs[None], form)[0]
    return result.payload if result.ok else None
