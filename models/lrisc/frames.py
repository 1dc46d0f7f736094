"""Framing of an image on the air: header and rate map before the latents, or (an ablation) a header alone."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.models.lrisc.airframe import (
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
class Head:
    """The data that a receiver reads before the latents.

    Attributes:
        levels: index into V of every vector, int64 [h, w].
        scale_db: transmitted over original amplitude of the components, in dB.
        uses: symbols before the first latent.
    """

    levels: Tensor
    scale_db: float
    uses: int


class Frame(Protocol):
    """A transmitter's plan and symbols, and the receiver that reads them."""

    def plan(self, model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
        """Spend a budget on vectors worth `bits` [h, w]; None when nothing fits."""
        ...

    def modulate(self, plan: Plan, scale_db: float, state: LinkState, budget: int) -> tuple[Tensor, SymbolLedger]:
        """Symbols before the latents, complex64 of unit power, and their bill."""
        ...

    def read(self, received: Received, shape: tuple[int, int], values: Tensor, state: LinkState) -> Head | None:
        """Read the symbols before latents of [h, w] vectors; None when a CRC fails."""
        ...


class MappedFrame:
    """Entropy guides the rates: a header, then the rate map."""

    def plan(self, model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
        """As `Frame` says."""
        return plan_transmission(model, bits, budget, state)

    def modulate(self, plan: Plan, scale_db: float, state: LinkState, budget: int) -> tuple[Tensor, SymbolLedger]:
        """As `Frame` says."""
        return modulate_side_information(plan.packed, plan.grid, scale_db, state, budget)

    def read(self, received: Received, shape: tuple[int, int], values: Tensor, state: LinkState) -> Head | None:
        """As `Frame` says."""
        read = demodulate_side_information(received, shape, values, state)
        return None if read is None else Head(torch.from_numpy(read[0].levels), read[0].scale_db, read[1])


class ScaleFrame:
    """Fixed rates, which follow from the budget: a header with the transmit scale alone."""

    def plan(self, model: Lrisc, bits: Tensor, budget: int, state: LinkState) -> Plan | None:
        """As `Frame` says."""
        return plan_fixed(model.levels.cpu(), (bits.shape[0], bits.shape[1]), budget, state)

    def modulate(self, plan: Plan, scale_db: float, state: LinkState, budget: int) -> tuple[Tensor, SymbolLedger]:
        """As `Frame` says."""
        return modulate_scale(scale_db, state, budget)

    def read(self, received: Received, shape: tuple[int, int], values: Tensor, state: LinkState) -> Head | None:
        """As `Frame` says."""
        plan = plan_fixed(values, shape, len(received.symbols), state)
        scale_db = None if plan is None else demodulate_scale(received, state)
        return None if plan is None or scale_db is None else Head(plan.levels, scale_db, plan.side_uses)


FRAMES: dict[str, Frame] = {"entropy": MappedFrame(), "fixed": ScaleFrame()}  # by `Variant.rates`


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
