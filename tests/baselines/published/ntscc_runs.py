"""Golden runs of NTSCC."""

import copy
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from simulator.baselines.published.channel import power_scale
from simulator.baselines.published.hyperprior import LEAST_LIKELIHOOD, REPORTED_SCALE
from simulator.baselines.published.ntscc import Latent, Ntscc, NtsccConfig
from tests.baselines.published import formulas
from tests.baselines.published.filling import cross, filled
from tests.baselines.published.golden import Recorder, tokens


@cache
def ntscc_network(side_info: bool) -> Ntscc:
    """Filled, float32."""
    net = filled(Ntscc(NtsccConfig(side_info=side_info)), ["ntscc"])
    assert isinstance(net, Ntscc)
    return net


def watch_ntscc(record: Recorder, net: Ntscc) -> None:
    """Record the stages of ga, gs, fe and fd."""

    def keep(name: str, value: Tensor) -> None:
        record(name, value)

    record.watch("ga.patch_embed", net.ga.patch_embed)
    for number, layer in enumerate(net.ga.layers, 1):
        record.watch(f"ga.stage{number}", layer)
        record.watch(f"ga.stage{number}.block0", layer.blocks[0])
    for number, layer in enumerate(net.gs.layers, 1):
        record.watch(f"gs.stage{number}", layer)
    record.watch("z", net.ha)
    record.watch("hs.out", net.hs)
    record.watch("fe.refine_mlp", net.fe.refine)
    record.watch("fe.blocks", net.fe.layers[0])
    record.watch("fe.norm", net.fe.norm)
    record.watch("fd.rate_adaption", net.fd.rate_adaption)
    record.watch("y_hat", net.fd.layers[0])
    if net.config.side_info:
        record.watch("side_info.refinement_mlp", net.hyprior_refinement)
    net.fe.layers[0].register_forward_pre_hook(lambda _m, inputs: keep("fe.before_blocks", inputs[0]))
    net.gs.register_forward_pre_hook(lambda _m, inputs: keep("gs.input", inputs[0]))


def ntscc_points(side_info: bool, run: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """All points of a run."""
    net, record = copy.deepcopy(ntscc_network(side_info)).to(dtype), Recorder()
    watch_ntscc(record, net)
    images, latent, ntc, analysed = _analysis(run["batch"], run["height"], run["width"], dtype)
    record.points |= analysed
    inputs = run["eta"] * net.wanted(latent)
    index = net.index(inputs)
    s, active = net.encode(latent, index)
    scale = power_scale(s, active, per_image=False)
    received = cross(record, s[active] / scale, run, "neighbours") * scale
    s_hat = torch.zeros_like(s)
    s_hat[active] = received
    output = record("output.raw", net.decode(s_hat, index, latent.z_hat))
    record("s_masked", s)
    record("s_hat", s_hat)
    points = {name: _shaped(name, value) for name, value in record.points.items()}
    points |= {"output.clamped": output.clamp(0, 1), "output.ntc": ntc, "power_scale": float(scale)}
    return points | _rates(net, latent, inputs, index, active) | _scores(images, output, ntc)


@cache
def _analysis(batch: int, height: int, width: int, dtype: torch.dtype) -> tuple[Tensor, Latent, Tensor, dict]:
    """Images, what is found in them, what gs makes of it unsent, and the points on the way: the same for both networks.

    Side information changes only what the receiver does before gs; all weights that both networks have are the same.
    """
    plain, other = (ntscc_network(side_info).state_dict() for side_info in (False, True))
    assert all(torch.equal(value, other[key]) for key, value in plain.items())
    net, record = copy.deepcopy(ntscc_network(False)).to(dtype), Recorder()
    images = record("input", formulas.images(batch, height, width)).to(dtype)
    watch_ntscc(record, net)
    latent = net.analyse(images)
    ntc = net.gs(torch.round(latent.y - latent.means) + latent.means)
    return images, latent, ntc, record.points


def _shaped(name: str, value: Tensor) -> Tensor:
    """Maps of ours as golden files have them: [B, L, C] for stages, [B, C, h, w] elsewhere."""
    if name in ("y_hat", "gs.input", "fd.rate_adaption"):
        return value.permute(0, 3, 1, 2)
    return tokens(value) if name.startswith(("ga.", "gs.", "fe.", "fd.", "side_info.")) else value


def gaussian_likelihood(y: Tensor, scale: Tensor, mean: Tensor) -> Tensor:
    """Probability of round(y - mean), as compressai reports it."""
    sigma, distance = scale.clamp_min(REPORTED_SCALE), torch.round(y - mean).abs()
    upper, lower = ((edge - distance) / sigma * math.sqrt(0.5) for edge in (0.5, -0.5))
    return (0.5 * (torch.erfc(-upper) - torch.erfc(-lower))).clamp_min(LEAST_LIKELIHOOD)


def _rates(net: Ntscc, latent: Latent, inputs: Tensor, index: Tensor, active: Tensor) -> dict[str, Any]:
    table = net.fe.rate_choice_tensor.to(inputs)
    distance = (inputs.flatten()[:, None] - table).abs().min()
    pixels = 256 * len(index) * index[0].numel()
    bpp_y = -gaussian_likelihood(latent.y, latent.scales, latent.means).log2().sum() / pixels
    bpp_z = -net.entropy_bottleneck.likelihood(latent.z_hat).log2().sum() / pixels
    return {
        "y": latent.y.permute(0, 3, 1, 2),
        "z_hat": latent.z_hat,
        "px": latent.probability.permute(0, 3, 1, 2),
        "symbol_num": inputs.flatten(),
        "index_map": index.flatten().tolist(),
        "min_distance_to_a_rate_boundary": float(distance),
        "active_reals": int(active.sum()),
        "cbr_y": float(active.sum()) / 2 / (3 * 256 * index[0].numel()),
        "bpp_y": float(bpp_y),
        "bpp_z": float(bpp_z),
    }


def _scores(images: Tensor, output: Tensor, ntc: Tensor) -> dict[str, float]:
    def mse255(shown: Tensor) -> float:
        return float(((shown - images) * 255).double().square().mean())

    return {"mse255": mse255(output.clamp(0, 1)), "mse255_ntc": mse255(ntc)}
