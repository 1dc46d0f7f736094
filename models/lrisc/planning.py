"""How the transmitter spends a budget: header, rate map and latents of one image."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from simulator.link import LinkState
from simulator.models.lrisc.airframe import (
    GRIDS,
    MAX_MAP_BYTES,
    NO_MAP,
    SIDE_SHARE,
    header_format,
    levels_without_map,
    map_format,
    pack_map,
    scale_format,
)
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE
from simulator.models.lrisc.rate import pool_tokens

PLANNING_ROUNDS = 6
USUAL_VECTORS, USUAL_CELL_BITS = 1536, 2.8  # of an image of 768 x 512 pixels, and of the map of its levels


@dataclass(frozen=True)
class Plan:
    """Levels of one image and the channel uses they cost.

    Attributes:
        levels: index into V, int64 [h, w], constant over cells of grid x grid.
        packed: their map; nothing where the receiver knows the levels without one.
        grid: side of the cells, or `NO_MAP`.
        latent_uses: of the vectors.
        side_uses: of header and map.
    """

    levels: Tensor
    packed: bytes
    grid: int
    latent_uses: int
    side_uses: int


def plan_transmission(model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
    """Choose what fills the budget; None when nothing fits.

    Args:
        model: chooses the levels.
        bits: -log2 p(z_i | y), float [h, w], on the CPU.
        budget: channel uses.
        state: of the link.
    """
    for grid in GRIDS:
        plan = _plan_on_grid(model, pool_tokens(bits[None], grid)[0], grid, budget, state)
        if plan is not None and plan.side_uses <= SIDE_SHARE * budget:
            return plan
    shape, header = (bits.shape[0], bits.shape[1]), header_format(state, budget).num_symbols
    return _plan_without_map(model.levels.cpu(), shape, budget, header)


@lru_cache(maxsize=4096)
def usual_grid(cbr: float, snr_db: float) -> int:
    """Side of the cells in which a photograph of usual size shares its levels over AWGN, estimated without the image.

    Training uses it as what the link will do at this bandwidth ratio and average Es/N0.
    """
    state, budget = LinkState("awgn", snr_db), int(cbr * 3 * STRIDE**2 * USUAL_VECTORS)
    for grid in GRIDS:
        num_bytes = round(USUAL_CELL_BITS * USUAL_VECTORS / grid**2 / 8)
        side_uses = header_format(state, budget).num_symbols + map_format(num_bytes, state, budget).num_symbols
        if side_uses <= SIDE_SHARE * budget:
            return grid
    return GRIDS[-1]


def plan_fixed(values: Tensor, shape: tuple[int, int], budget: int, state: LinkState) -> Plan | None:
    """The plan for [h, w] vectors that share a budget evenly, with no map; values: V, float [2^n]."""
    return _plan_without_map(values, shape, budget, scale_format(state, budget).num_symbols)


def _plan_without_map(values: Tensor, shape: tuple[int, int], budget: int, header: int) -> Plan | None:
    levels = levels_without_map(shape, budget - header, values)
    uses = int(values[levels].sum()) // 2
    return Plan(levels, b"", NO_MAP, uses, header) if header + uses <= budget else None


def _plan_on_grid(model: Lrisc, bits: Tensor, grid: int, budget: int, state: LinkState) -> Plan | None:
    """The fullest plan found within the budget. Map and levels depend on each other, so it iterates."""
    values, fixed = model.levels.cpu(), header_format(state, budget).num_symbols
    best, reserve = None, map_format(bits.numel() // (4 * grid**2), state, budget).num_symbols
    for _ in range(PLANNING_ROUNDS):
        room = budget - fixed - reserve
        if room <= 0:
            break
        mean_dimensions = torch.tensor([2 * room / bits.numel()])
        levels = model.share(bits[None].to(model.levels.device), mean_dimensions.to(model.levels.device))[0].cpu()
        uses = int(values[levels].sum()) // 2
        packed = pack_map(levels.numpy(), grid, len(values))
        needed = map_format(len(packed), state, budget).num_symbols
        if (
            len(packed) <= MAX_MAP_BYTES
            and uses + fixed + needed <= budget
            and (best is None or uses > best.latent_uses)
        ):
            best = Plan(levels, packed, grid, uses, fixed + needed)
        if needed == reserve:
            break
        reserve = needed
    return best
