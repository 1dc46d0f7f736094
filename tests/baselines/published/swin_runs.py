"""Golden runs of SwinJSCC and WITT."""

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from simulator.baselines.published.channel import power_scale
from simulator.baselines.published.modnet import modulation
from simulator.baselines.published.swinjscc import SwinConfig, SwinJscc, Ties
from tests.baselines.published import formulas
from tests.baselines.published.filling import cross, filled
from tests.baselines.published.golden import Recorder, tokens

MODE_NAMES = {"w/o_SAandRA": "base", "w/_SAandRA": "sa-ra", "w/_SA": "sa", "w/_RA": "ra"}
CIFAR = {"widths": (128, 256), "depths": (2, 4), "heads": (4, 8), "window": 2}


def swin_config(name: str) -> SwinConfig:
    """The network that a golden file calls so."""
    if "WITT" in name:
        mode = "base" if "W/O" in name else "sa"
        return SwinConfig(mode, 16, **CIFAR) if "CIFAR" in name else SwinConfig(mode, 96)
    mode = next(ours for theirs, ours in MODE_NAMES.items() if theirs in name)
    return SwinConfig(mode, 96 if mode in ("base", "sa") else None)


@cache
def swin_network(config: SwinConfig) -> SwinJscc:
    """Filled, float32."""
    net = filled(SwinJscc(config), ["witt-cifar" if len(config.widths) == 2 else "swinjscc"])
    assert isinstance(net, SwinJscc)
    return net


def watch_swin(record: Recorder, net: SwinJscc) -> None:
    """Record the stages of encoder and decoder."""
    record.watch("enc.patch_embed", net.encoder.patch_embed)
    record.watch("enc.norm", net.encoder.norm)
    for end, layers in (("enc", net.encoder.layers), ("dec", net.decoder.layers)):
        for number, layer in enumerate(layers, 1):
            record.watch(f"{end}.stage{number}", layer)
            record.watch(f"{end}.stage{number}.block0", layer.blocks[0])
    if not net.config.rate_adaptive:
        record.watch("dec.head", net.decoder.head_list)


def swin_points(
    config: SwinConfig,
    run: Mapping[str, Any],
    dtype: torch.dtype,
    net: SwinJscc | None = None,
    ties: Ties = "legacy",
) -> dict[str, Any]:
    """All points of a run of SwinJSCC or WITT; of the filled network unless another is given."""
    net = copy.deepcopy(net or swin_network(config)).to(dtype)
    record = Recorder()
    watch_swin(record, net)
    images = record("input", formulas.images(run["batch"], run["height"], run["width"])).to(dtype)
    snr_db = torch.full((len(images),), float(run["snr_db"]), dtype=dtype)
    encoded = net.encoder(images, snr_db, run.get("rate", 0), ties)
    feature = record("feature", encoded.feature)
    active = encoded.kept[:, None, None].expand_as(feature)
    scale = power_scale(feature, active, per_image=False)
    restored = cross(record, (feature / scale).flatten(), run, "halves").view_as(feature) * scale
    record("channel.restored", restored)
    record("output.raw", net.decoder(restored * active, snr_db))
    return _finish_swin(net, record, encoded, images, snr_db) | {
        "power_scale": float(scale),
        "cbr": _cbr(active, images),
    }


def _cbr(active: Tensor, images: Tensor) -> float:
    return float(active.sum()) / 2 / images.numel()


def _finish_swin(net: SwinJscc, record: Recorder, encoded: Any, images: Tensor, snr_db: Tensor) -> dict[str, Any]:
    points: dict[str, Any] = dict(record.points)
    clamped = points["output.raw"].clamp(0, 1)
    points["output.clamped"] = clamped
    points["mse255"] = float(((clamped.double() - images.double()) * 255).square().mean())
    encoder, config = net.encoder, net.config
    x = points["enc.norm"]
    if config.snr_adaptive:
        lists = (encoder.sm_list1, encoder.bm_list1) if config.mode == "sa-ra" else (encoder.sm_list, encoder.bm_list)
        points["enc.snr_mod"] = modulation(x, snr_db, *lists)
        x = x * points["enc.snr_mod"]
        before = points.get("dec.head", points["channel.restored"] * encoded.kept[:, None, None])
        points["dec.snr_mod"] = modulation(before, snr_db, net.decoder.sm_list, net.decoder.bm_list)
    if config.rate_adaptive:
        rate = torch.full_like(snr_db, float(encoded.kept[0].sum()))
        points["enc.rate_mod"] = modulation(x, rate, encoder.sm_list, encoder.bm_list)
        points["enc.rate_scores"] = encoded.scores
        points["mask_channels"] = [row.nonzero().flatten().tolist() for row in encoded.kept]
        ordered = encoded.scores.sort(1, descending=True).values
        cut = int(encoded.kept[0].sum())
        points["score_gap_at_cut"] = (ordered[:, cut - 1] - ordered[:, cut]).tolist()
    return {name: tokens(value) if name.startswith(("enc.", "dec.")) and torch.is_tensor(value) and value.dim() == 4
            else tokens(value) if name in ("feature", "channel.restored") else value
            for name, value in points.items()}  # fmt: skip
