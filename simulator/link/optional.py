"""What a scheme can do beyond its contract: the only place that looks up its optional methods and attributes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from typing import Any, TypeVar

import torch

from simulator.devices import resolve_precision
from simulator.errors import UserError
from simulator.link.contracts import Bound, Reception, Scheme

Anything = TypeVar("Anything")


@dataclass(frozen=True)
class Capabilities:
    """The optional methods and attributes of a scheme or bound, by name. Those that it lacks have the defaults here.

    Attributes:
        supports: the reason why the scheme cannot run at a bandwidth ratio, or None when it can. A sweep asks before
            it starts.
        to: moves the networks to a torch device. A scheme without it computes on the CPU, one image at a time.
        compute_in: chooses "fp32" or "bf16" for all that the two ends need not agree on.
        inspect: pictures of what is inside for one image [3, H, W] and what was received of it, by title: float32
            [3, h, w] in [0, 1] each, of any size. No result depends on it.
        genie: the scheme receives in `LinkState.realisations` the channel that every image will see.
        settings: values of the declared options whose default the weights decide.
    """

    supports: Callable[[Fraction], str | None] = lambda cbr: None
    to: Callable[[str], Any] | None = None
    compute_in: Callable[[str], Any] | None = None
    inspect: Callable[[torch.Tensor, Reception], dict[str, torch.Tensor]] = lambda image, reception: {}
    genie: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)


def capabilities(scheme: object) -> Capabilities:
    """What a scheme or bound can do beyond its contract."""
    found = {one.name: getattr(scheme, one.name, None) for one in fields(Capabilities)}
    return Capabilities(**{name: one for name, one in found.items() if one is not None})


def check_supported(scheme: Scheme | Bound, cbr: Fraction) -> None:
    """Refuse a bandwidth ratio at which a scheme cannot run.

    Raises:
        UserError: it cannot run at this one, and why.
    """
    if reason := capabilities(scheme).supports(cbr):
        raise UserError(f"scheme '{scheme.name}' cannot run at CBR {cbr}: {reason}")


def on_device(scheme: Anything, device: str, precision: str = "auto") -> Anything:
    """Move a scheme that can be moved, and choose the arithmetic of one that has a choice.

    The others compute on the CPU, in their own arithmetic.

    Args:
        scheme: is changed, and returned.
        device: as torch names it.
        precision: one of `simulator.devices.PRECISIONS`.

    Raises:
        UserError: bf16 is asked for on a GPU that lacks it.
    """
    can, resolved = capabilities(scheme), resolve_precision(precision, device)
    if can.to is not None:
        can.to(device)
    if can.compute_in is not None:
        can.compute_in(resolved)
    return scheme
