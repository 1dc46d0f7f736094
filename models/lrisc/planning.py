"""How the transmitter spends a budget: header, rate map and latents of one image."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.lrisc.airframe import GRIDS, MAX_MAP_BYTES, header_format, map_format, pack_map, scale_format
from models.lrisc.codec import Lrisc
from models.lrisc.rate import fixed_levels, pool_tokens
from simulator.link import LinkState

MAP_SHARE = 0.08  # of the budget, above which neighbouring vectors share a level
PLANNING_ROUNDS = 6


@dataclass(frozen=True)
class Plan:
    """Levels of one image and the channel uses they cost.

    Attributes:
        levels: index into V, int64 [h, w], constant over cells of grid x grid.
        packed: their map; None where the receiver knows the levels without one.
        grid: side of the cells.
        latent_uses: of the vectors.
        side_uses: of header and map.
    """

    levels: Tensor
    packed: bytes | None
    grid: int
    latent_uses: int
    side_uses: int


def plan_transmission(model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
    """Choose what fills the budget; None when nothing fits.

    Args:
        model: its variant says whether entropy guides the rates.
        bits: -log2 p(z_i | y), float [h, w], on the CPU.
        budget: channel uses.
        state: of the link.
    """
    if model.variant.rates == "fixed":
        return plan_fixed(model, (bits.shape[0], bits.shape[1]), budget, state)
    coarsest = None
    for grid in GRIDS:
        plan = _plan_on_grid(model, pool_tokens(bits[None], grid)[0], grid, budget, state)
        if plan is not None and plan.side_uses <= MAP_SHARE * budget:
            return plan
        coarsest = plan or coarsest
    return coarsest


def plan_fixed(model: Lrisc, shape: tuple[int, int], budget: int, state: LinkState) -> Plan | None:
    """The plan without a map for [h, w] vectors: a function of what both ends know."""
    header = scale_format(state).num_symbols
    values = model.levels.cpu()
    levels = fixed_levels(shape, torch.tensor([2 * max(0, budget - header)]), values)[0]
    uses = int(values[levels].sum()) // 2
    return Plan(levels, None, 1, uses, header) if header + uses <= budget else None


def _plan_on_grid(model: Lrisc, bits: Tensor, grid: int, budget: int, state: LinkState) -> Plan | None:
    """The fullest plan found within the budget. Map and levels depend on each other, hence the rounds."""
    values, fixed = model.levels.cpu(), header_format(state).num_symbols
    best, reserve = None, map_format(bits.numel() // (4 * grid**2), state).num_symbols
    for _ in range(PLANNING_ROUNDS):
        room = budget - fixed - reserve
        if room <= 0:
            break
        mean_dimensions = torch.tensor([2 * room / bits.numel()])
        levels = model.share(bits[None].to(model.levels.device), mean_dimensions.to(model.levels.device))[0].cpu()
        uses = int(values[levels].sum()) // 2
        packed = pack_map(levels.numpy(), grid, len(values))
        needed = map_format(len(packed), state).num_symbols
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
