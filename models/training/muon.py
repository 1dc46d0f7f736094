"""Muon (Jordan et al. 2024) for the weight matrices inside a network, AdamW for everything else.

A gradient is mostly noise along a few strong directions. Muon sets every singular value of its running mean to one, so
that the weak directions move as far as the strong ones: the same images teach more, at next to no cost.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from simulator.devices import training_precision

MOMENTUM = 0.95
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # a quintic that lifts small singular values fast and keeps them near one
ITERATIONS = 5
# Of a step, over the learning rate. AdamW's is 0.2 to 0.3 (Liu et al. 2025); what is left to AdamW here (biases, gates,
# the linear codec) jitters at a rate at which the matrices still only creep.
UPDATE_RMS = 0.6


def parameter_groups(
    named: Iterable[tuple[str, nn.Parameter]], linear: tuple[str, ...], outer: tuple[str, ...], linear_lr_scale: float
) -> list[dict[str, Any]]:
    """Parameter groups for `Muon`: matrices inside networks, a linear codec that moves more slowly, and the rest.

    Args:
        named: parameters by name, as `nn.Module.named_parameters` gives them.
        linear: parts of the names of a linear codec's layers. AdamW moves every weight by the same amount and would
            take them away from their optimum; most of the picture passes through them.
        outer: parts of the names of what is no matrix between features: first and last layers, embeddings, tables.
        linear_lr_scale: factor on the rate of the linear codec.
    """
    groups: dict[str, list[nn.Parameter]] = {"matrix": [], "linear": [], "rest": []}
    for name, parameter in named:
        inner = parameter.ndim in (2, 4) and not any(part in name for part in outer)
        kind = "linear" if any(part in name for part in linear) else "matrix" if inner else "rest"
        groups[kind].append(parameter)
    return [
        {"params": groups["matrix"], "matrix": True},
        {"params": groups["linear"], "lr_scale": linear_lr_scale},
        {"params": groups["rest"]},
    ]


class Muon(torch.optim.AdamW):
    """AdamW whose parameter groups with `matrix=True` take Muon's steps.

    Such a group holds weights of linear layers and convolutions, of which all dimensions but the first count as one.
    """

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take a step; the gradients of matrices are gone afterwards, as after `zero_grad`."""
        for group in self.param_groups:
            for parameter in group["params"] if group.get("matrix") else ():
                if parameter.grad is not None:
                    self._turn(parameter, parameter.grad, group["lr"], group["weight_decay"])
                    parameter.grad = None  # AdamW leaves it alone
        super().step()

    def _turn(self, parameter: Tensor, gradient: Tensor, rate: float, decay: float) -> None:
        state = self.state[parameter]
        if not state:
            state["step"], state["exp_avg"] = torch.zeros(()), torch.zeros_like(parameter)
        state["step"] += 1
        mean = state["exp_avg"].lerp_(gradient, 1 - MOMENTUM)
        ahead = gradient.lerp(mean, MOMENTUM).flatten(1)  # Nesterov
        update = orthogonalise(ahead).reshape(parameter.shape).to(parameter.dtype)
        parameter.mul_(1 - rate * decay).sub_(update, alpha=rate * UPDATE_RMS * math.sqrt(max(ahead.shape)))


def orthogonalise(matrix: Tensor) -> Tensor:
    """Set the singular values of a matrix [m, n] to about one (0.7 to 1.2), by Newton-Schulz iterations.

    In bfloat16 where the device has it: emulated, it would cost more than the rest of the step.
    """
    a, b, c = NEWTON_SCHULZ
    x = matrix.bfloat16() if training_precision("auto", matrix.device.type) == "bf16" else matrix.float()
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(ITERATIONS):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide if x.shape[0] <= x.shape[1] else wide.T
