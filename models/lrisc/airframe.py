"""What LRISC puts on the air around its JSCC symbols: a header and the rate map, both sent by the digital link.

| part | content | protection |
|---|---|---|
| header | transmit scale (int16, 1/100 dB), map grid (uint8), map length (uint16) | transport block, 4-QAM, safe rate |
| rate map | levels of all latent vectors, or of cells of grid x grid | transport block, 4-QAM, safe rate |
| latents | v_q real components of every vector, two to a symbol | none: analogue |

The receiver knows the format of the header block from the SNR, of the map block from the SNR and the header. Where the
lowest rate is not safe, blocks are repeated and the receiver adds up their LLRs. Where a map would cost too much the
header says grid 0: all vectors have the same share. A network of fixed rates has a header of the scale alone.
"""

import struct
from dataclasses import dataclass

import numpy as np
import torch

from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.link.blocks import Protection, demodulate_block, modulate_block, protect
from simulator.models.lrisc.rate import fixed_levels
from simulator.models.lrisc.ratemap import decode_map, encode_map

GRIDS = (1, 2, 4)
_HEADER = struct.Struct(">hBH")
_SCALE = struct.Struct(">h")
MAX_MAP_BYTES = 2**16 - 1  # what the header can say; coarser grids serve larger images
# Of the budget: to keep a map below it, neighbouring vectors share a level; in the end all do.
SIDE_SHARE = 0.08
NO_MAP = 0  # in place of a grid


@dataclass(frozen=True)
class Head:
    """What the receiver must know before it can read the latents.

    Attributes:
        levels: index into V of every vector, int64 [h, w].
        scale_db: transmitted over original amplitude of the components, in dB (a multiple of 0.01).
        uses: symbols before the first latent.
    """

    levels: torch.Tensor
    scale_db: float
    uses: int


def header_format(state: LinkState, budget: int) -> Protection:
    """How the header is sent in a budget of channel uses."""
    return protect(_HEADER.size, state, 0, int(SIDE_SHARE * budget))


def scale_format(state: LinkState, budget: int) -> Protection:
    """How a header that never announces a map is sent in a budget of channel uses."""
    return protect(_SCALE.size, state, 0, int(SIDE_SHARE * budget))


def map_format(num_bytes: int, state: LinkState, budget: int) -> Protection:
    """How a map of `num_bytes` is sent in a budget of channel uses."""
    first = header_format(state, budget).num_symbols
    return protect(max(1, num_bytes), state, first, int(SIDE_SHARE * budget) - first)


def pack_map(side_levels: np.ndarray, grid: int, num_levels: int) -> bytes:
    """Entropy-code one level per grid cell."""
    return encode_map(side_levels[::grid, ::grid], num_levels)


def modulate_side_information(
    packed: bytes, grid: int, scale_db: float, state: LinkState, budget: int
) -> tuple[torch.Tensor, SymbolLedger]:
    """Header and map as complex64 symbols of unit power, and their bill.

    Args:
        packed: the map, as `pack_map` makes it of levels that are constant over cells of grid x grid; or nothing.
        grid: side of these cells, or `NO_MAP`.
        scale_db: as in `Head`.
        state: of the link.
        budget: channel uses of the image.
    """
    # Without a map the levels follow from the budget: then its last 16 bits stand where the length would.
    length = budget & MAX_MAP_BYTES if grid == NO_MAP else len(packed)
    header = _HEADER.pack(round(scale_db * 100), grid, length)
    first = header_format(state, budget)
    symbols = modulate_block(header, first)
    bill = SymbolLedger.apportion(first.num_symbols, header=8 * len(header), crc=first.form.crc_bits)
    if grid == NO_MAP:
        return symbols, bill
    second = map_format(len(packed), state, budget)
    spare = second.form.payload_bits - 8 * len(packed)
    return torch.cat([symbols, modulate_block(packed, second)]), bill + SymbolLedger.apportion(
        second.num_symbols, side_information=8 * len(packed), crc=second.form.crc_bits, padding=spare
    )


def demodulate_side_information(
    received: Received, shape: tuple[int, int], values: torch.Tensor, state: LinkState
) -> Head | None:
    """Read header and map of an image with latents [h, w]; None when a CRC fails.

    Args:
        received: all symbols of the image.
        shape: (h, w).
        values: V, float [2^n].
        state: of the link.
    """
    budget = len(received.symbols)
    first = header_format(state, budget)
    header = demodulate_block(received, 0, first)
    if header is None:
        return None
    scale, grid, num_bytes = _HEADER.unpack(header[: _HEADER.size])
    if grid == NO_MAP:
        if num_bytes != budget & MAX_MAP_BYTES:  # part of the transmission is missing
            return None
        levels = levels_without_map(shape, budget - first.num_symbols, values)
        return Head(levels, scale / 100, first.num_symbols)
    if grid not in GRIDS:  # a CRC passed by accident
        return None
    second = map_format(num_bytes, state, budget)
    packed = demodulate_block(received, first.num_symbols, second)
    if packed is None:
        return None
    cells = (-(-shape[0] // grid), -(-shape[1] // grid))
    try:
        cell_levels = decode_map(packed[:num_bytes], cells, len(values))
    except ValueError:  # both CRCs passed by accident
        return None
    upsampled = cell_levels.repeat(grid, axis=0).repeat(grid, axis=1)[: shape[0], : shape[1]]
    return Head(torch.from_numpy(upsampled), scale / 100, first.num_symbols + second.num_symbols)


def levels_without_map(shape: tuple[int, int], room: int, values: torch.Tensor) -> torch.Tensor:
    """Levels int64 [h, w] that share out `room` channel uses evenly: what both ends know without a map."""
    return fixed_levels(shape, torch.tensor([2 * max(0, room)]), values)[0]


def modulate_scale(scale_db: float, state: LinkState, budget: int) -> tuple[torch.Tensor, SymbolLedger]:
    """A header that never announces a map, as complex64 symbols of unit power, and its bill."""
    way = scale_format(state, budget)
    spare = way.form.payload_bits - 8 * _SCALE.size
    bill = SymbolLedger.apportion(way.num_symbols, header=8 * _SCALE.size, crc=way.form.crc_bits, padding=spare)
    return modulate_block(_SCALE.pack(round(scale_db * 100)), way), bill


def demodulate_scale(received: Received, state: LinkState) -> float | None:
    """The scale in dB of a header that never announces a map, or None when its CRC fails."""
    header = demodulate_block(received, 0, scale_format(state, len(received.symbols)))
    return None if header is None else _SCALE.unpack(header[: _SCALE.size])[0] / 100
