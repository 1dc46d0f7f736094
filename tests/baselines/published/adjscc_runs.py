"""Golden runs of ADJSCC and PDJSCC."""

import copy
import zlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from simulator.baselines.published.adjscc import Adjscc, AdjsccConfig
from simulator.baselines.published.channel import power_scale
from tests.baselines.published import formulas
from tests.baselines.published.discriminator import Discriminator, as_published
from tests.baselines.published.filling import cross, filled
from tests.baselines.published.golden import Recorder, key_table


class Pdjscc(nn.Module):
    """Generator and discriminator under the names of a checkpoint."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        generator = Adjscc(AdjsccConfig(channels))
        self.Encoder, self.Decoder = generator.Encoder, generator.Decoder
        self.Discriminator = Discriminator(channels)


@cache
def adjscc_network(channels: int) -> Pdjscc:
    """Filled, float32."""
    table = key_table("adjscc")
    changed = {key: {"scale": one["fill_scale"]} for key, one in table["differences_C2"].items() if "fill_scale" in one}
    net = filled(Pdjscc(channels), ["adjscc"], changed if channels == 2 else None)
    assert isinstance(net, Pdjscc)
    for name in ("d_conv_head", "d_conv_0", "d_conv_1", "d_conv_a"):
        _fill_spectral(f"Discriminator.{name}", net.Discriminator.get_submodule(name))
    return net


def _fill_spectral(key: str, layer: nn.Module) -> None:
    weight = layer.weight_orig.detach().double().flatten(1)
    u = torch.from_numpy(formulas.signed(len(weight), zlib.crc32(f"{key}.weight_u".encode())))
    v = F.normalize(weight.T @ F.normalize(u, dim=0), dim=0)
    layer.weight_v.copy_(v.float())
    layer.weight_u.copy_(F.normalize(weight @ v, dim=0).float())


def watch_adjscc(record: Recorder, net: Pdjscc) -> None:
    """Record convolutions, GDNs, blocks and AF modules."""
    for end, module, prefix, count in (("enc", net.Encoder, "conv_block", 5), ("dec", net.Decoder, "upconv_block", 5)):
        for number in range(1, count + 1):
            block = module.get_submodule(f"{prefix}{number}")
            record.watch(f"{end}.block{number}.conv", block[0])
            record.watch(f"{end}.block{number}.gdn", block[1])
            if len(block) == 3:
                record.watch(f"{end}.block{number}", block)
                attention = module.get_submodule(f"attention{number}")
                record.watch(f"{end}.af{number}", attention)
                record.watch(f"{end}.af{number}.fc2", attention.fc2)
    record.watch("dec.out_conv", net.Decoder.conv_block_out[1])


def adjscc_points(name: str, run: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """All points of a run."""
    channels, perceptual = (8, True) if "PDJSCC" in name else (2, False)
    net, record = copy.deepcopy(adjscc_network(channels)).to(dtype), Recorder()
    watch_adjscc(record, net)
    images = record("input", formulas.images(run["batch"], run["height"], run["width"])).to(dtype)
    height, width = images.shape[2:]
    padded = record("input.padded", F.pad(images, (0, -width % 4, 0, -height % 4), mode="reflect"))
    snr_db = torch.full((len(images),), float(run["snr_db"]), dtype=dtype)
    feature = record("feature", net.Encoder(padded, snr_db))
    scale = power_scale(feature, torch.ones_like(feature), per_image=False)
    sent = (feature / scale).flatten() if perceptual else (feature / scale).flatten(1)
    received = cross(record, sent, run, "halves" if perceptual else "neighbours")
    made = net.Decoder(record("dec.input", received.view_as(feature)), snr_db)
    points: dict[str, Any] = {**record.points, "output": made[..., :height, :width], "power_scale": float(scale)}
    points["cbr"] = feature.numel() / 2 / images.numel()
    for key in [key for key in points if key.endswith(".fc2")]:
        points[key.removesuffix(".fc2") + ".factors"] = torch.sigmoid(points.pop(key))
    if perceptual:
        logits = net.Discriminator(padded, feature)
        points |= {"disc.logits(input,feature)": logits, "disc.prob(input,feature)": torch.sigmoid(logits)}
        shown = F.pad(made[..., :height, :width], (0, -width % 4, 0, -height % 4), mode="reflect")
        real, generated = as_published(net.Discriminator, padded, shown, feature)
        points |= {"disc.gan_path.real_logits": real.flatten(), "disc.gan_path.gen_logits": generated.flatten()}
    return points
