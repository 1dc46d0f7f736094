"""Filled networks and the authors' channel, which all golden runs share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from simulator.baselines.published.channel import pair, unpair
from tests.baselines.published import formulas
from tests.baselines.published.golden import Recorder, key_table


def filled(net: nn.Module, tables: list[str], renamed: Mapping[str, Any] | None = None) -> nn.Module:
    """The network with every parameter filled by its formula."""
    rules = {key: row for table in tables for key, row in key_table(table)["keys"].items()}
    state = {}
    for key, value in net.state_dict().items():
        _, _, kind, scale, offset, _ = rules[key]
        if kind and not kind.startswith("spectral"):
            rule = {"kind": kind, "scale": scale, "offset": offset} | (renamed or {}).get(key, {})
            state[key] = formulas.fill(key, tuple(value.shape), rule)
    _, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    return net.eval().requires_grad_(False)


def cross(record: Recorder, values: Tensor, run: Mapping[str, Any], how: Any) -> Tensor:
    """Send reals [..., 2K] of complex energy one over the authors' channel."""
    sent = record("channel.in", pair(values, how))
    gain = torch.ones(sent.shape, dtype=torch.float64)
    if run.get("channel") == "rayleigh":
        gain = torch.from_numpy(formulas.gains(sent.numel())).view(sent.shape)
    received = sent * gain.to(values.dtype)
    if run["noise"] == "formula":
        received = received + torch.from_numpy(formulas.noise(sent.numel(), run["snr_db"])).view(sent.shape).to(
            sent.dtype
        )
    return unpair(record("channel.out", received), how)
