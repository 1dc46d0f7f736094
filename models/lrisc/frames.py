"""Framing of an image on the air: header and rate map before the latents, or (an ablation) a header alone."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.models.lrisc.airframe import (
    Head,
    demodulate_scale,
    demodulate_side_information,
    modulate_scale,
    modulate_side_information,
)
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.jscc import WEAKEST, effective_snr_db, sent_mask
from simulator.models.lrisc.planning import Plan, plan_fixed, plan_transmission
from simulator.models.lrisc.signals import Equalised


@dataclass(frozen=True)
class Frame:
    """What precedes the latents, at both ends.

    Attributes:
        plan: spends a budget on vectors worth `bits` [h, w], on the CPU; None when nothing fits.
        modulate: symbols before the latents at a scale in dB, complex64 of unit power, and their bill.
        read: reads these symbols before latents of [h, w] vectors, given V; None when a CRC fails.
    """

    plan: Callable[[Lrisc, Tensor, int, LinkState], Plan | None]
    modulate: Callable[[Plan, float, LinkState, int], tuple[Tensor, SymbolLedger]]
    read: Callable[[Received, tuple[int, int], Tensor, LinkState], Head | None]


def _modulate_map(plan: Plan, scale_db: float, state: LinkState, budget: int) -> tuple[Tensor, SymbolLedger]:
    return modulate_side_information(plan.packed, plan.grid, scale_db, state, budget)


def _plan_evenly(model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
    return plan_fixed(model.levels.cpu(), (bits.shape[0], bits.shape[1]), budget, state)


def _modulate_scale(plan: Plan, scale_db: float, state: LinkState, budget: int) -> tuple[Tensor, SymbolLedger]:
    return modulate_scale(scale_db, state, budget)


def _read_scale(received: Received, shape: tuple[int, int], values: Tensor, state: LinkState) -> Head | None:
    plan = plan_fixed(values, shape, len(received.symbols), state)
    scale_db = None if plan is None else demodulate_scale(received, state)
    return None if plan is None or scale_db is None else Head(plan.levels, scale_db, plan.side_uses)


FRAMES = {  # by `Variant.rates`
    # Entropy guides the rates: a header, then the rate map.
    "entropy": Frame(plan_transmission, _modulate_map, demodulate_side_information),
    # Fixed rates, which follow from the budget: a header with the transmit scale alone.
    "fixed": Frame(_plan_evenly, _modulate_scale, _read_scale),
}


def equalise(received: Received, head: Head, values: Tensor) -> Equalised | None:
    """Undo channel and transmit scale of the latents' symbols; None when some are missing (a CRC passed by accident).

    Args:
        received: all symbols of the image.
        head: of the same image.
        values: V, float [2^n].
    """
    levels = head.levels[None]
    mask = sent_mask(levels.flatten(1), values)
    part = slice(head.uses, head.uses + int(mask.sum()) // 2)
    if part.stop > len(received.symbols):
        return None
    strength = received.gain[part].abs().square().clamp_min(WEAKEST)
    equalised = received.symbols[part] * received.gain[part].conj() / strength
    variance = received.noise_variance[part] / strength  # per complex symbol of unit power
    scale = 10 ** (head.scale_db / 20)
    components, relative = torch.zeros(mask.shape), torch.zeros(mask.shape)
    components[mask] = torch.view_as_real(equalised / scale).flatten()
    relative[mask] = variance.repeat_interleave(2)
    return Equalised(components, relative / 2 / scale**2, effective_snr_db(relative, mask), levels)
