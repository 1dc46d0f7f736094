"""Algorithm 1: the three stages that train LRISC.

Stage 1 trains g_e, h_e, h_d and the diffusion decoder without a channel; stage 2 trains f_e and f_d with the rest
frozen, first at 10 dB without the SNR module, then with it at every SNR; stage 3 fine-tunes everything at every SNR and
every bandwidth ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simulator.errors import UserError
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.pretrained import find_weights
from simulator.models.training.data import ImageStore, training_batch
from simulator.models.training.entries import Start, check_system, stage_loop, stage_start
from simulator.models.training.identity import Identity, describe
from simulator.models.training.learner import LoopConfig
from simulator.models.training.session import Stage, State, System
from simulator.models.training.trainee import TRAINED_MODULES, LriscTrainee, StageConfig
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

ALONE = {"psnr": "PSNR end", "perception": "perception end", "denoisers": "denoisers"}  # by what a stage trains
# Below it oneDNN's bf16 gradient of h_e's strided 5x5 convolutions reads memory that was never written.
SMALLEST_BF16_CROP = 64
STATISTICS_PIXELS = 2**24  # from which the linear starts take their axes and variances


@dataclass(frozen=True)
class _Entry:
    """One entry of the file's `stages`, checked."""

    number: int
    algorithm: int
    start: Start
    loss: StageConfig
    loop: LoopConfig


class LriscSystem(System):
    """The stages of a file like experiments/train/lrisc-compact.yaml."""

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Check the configuration; raises UserError for anything unknown in it."""
        check_system(config, "lrisc", ("model", "variant", "defaults"), named=True)
        base = _base_config(config)
        sizes, variant = build(LriscConfig, base["model"], "'model'"), build(Variant, base["variant"], "'variant'")
        defaults = dict(config.get("defaults") or {})
        check_keys(defaults, ("steps", "gamma", "sent_fidelity"), "'defaults'")
        sent_fidelity = defaults.pop("sent_fidelity", None)
        stages: list[Stage] = []
        for number, options in enumerate(config["stages"], 1):
            entry = _parse(config, options, number)
            if entry.loss.perception_end_only or entry.loss.denoisers_only:
                sizes = replace(sizes, own_denoiser=True)
            if entry.loss.sent_rate:
                sizes = replace(sizes, own_adapters=True)
            network = {
                "model": asdict(sizes),
                "variant": asdict(variant),
                "defaults": {"steps": 1, "gamma": 0.8, **defaults},
            }
            started = stages[entry.start.stage - 1].card if entry.start.stage else entry.start.card
            limits = known_limits(entry.algorithm, entry.loss, variant, (started or {}).get("known_limits", ()))
            identity = {"algorithm": entry.algorithm, "loss": entry.loss, "variant": variant, "model": sizes}
            stages.append(
                Stage(
                    title=f"LRISC, Algorithm 1, stage {entry.algorithm}",
                    make=partial(_make, entry, sizes, variant),
                    loop=entry.loop,
                    identity=_without_unused(describe(identity | entry.start.identity), entry.loss),
                    start=entry.start,
                    release=config["name"] if number == len(config["stages"]) else None,
                    card=_card(network, entry, sent_fidelity, limits) | _base(entry, started),
                )
            )
        return stages


def _card(
    network: Mapping[str, Any], entry: _Entry, sent_fidelity: float | None, limits: Sequence[str]
) -> dict[str, Any]:
    """The part of a model card other than the training record; sent_fidelity: None is that of the training."""
    sent = entry.loss if sent_fidelity is None else replace(entry.loss, sent_fidelity=sent_fidelity)
    config = {**network, "snr_db": list(sent.snr_db), "sent_fidelity": sent.sent_fidelity}
    return {"system": "lrisc", "config": config, "known_limits": list(limits)}


def _base(entry: _Entry, started: Mapping[str, Any] | None) -> dict[str, Any]:
    """Of weights that share all but the perception end with released ones: their file holds that end alone."""
    if not entry.loss.perception_end_only or started is None:
        return {}
    if "base" in started:
        return {"base": started["base"]}
    shipped = entry.start.weights is not None and entry.start.weights.folder is None
    return {"base": {"name": entry.start.said, "sha256": started["sha256"]}} if shipped else {}


def _base_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sections `model` and `variant`; a missing one comes from the released weights that the file starts from."""
    start = config["stages"][0].get("start")
    card = find_weights(start, "lrisc").card()["config"] if isinstance(start, str) else {}
    return {section: config.get(section) or card.get(section) or {} for section in ("model", "variant")}


def _without_unused(identity: Identity, loss: StageConfig) -> Identity:
    """Drop unused options that are younger than others, so that runs from before they existed can be resumed."""
    unused = [] if loss.qam else ["loss.qam", "loss.qam_points", "loss.qam_gradient"]
    unused += [] if loss.sent_rate else ["loss.sent_rate"]
    unused += [] if identity.options["model.own_adapters"] else ["model.own_adapters"]
    return Identity({name: one for name, one in identity.options.items() if name not in unused})


def known_limits(algorithm: int, loss: StageConfig, variant: Variant, before: Sequence[str] = ()) -> list[str]:
    """The limits on a model card whose last stage was this one; before: those of the weights that it started from."""
    cbrs = " to ".join(str(Fraction(cbr).limit_denominator(1000)) for cbr in loss.cbr)
    channel = "over AWGN"
    if loss.fading:
        channel = (
            f"over AWGN for {1 - loss.fading:.0%} and Rayleigh or Rician fading for {loss.fading:.0%} of the images"
        )
    if loss.qam:
        channel += f", {loss.qam:.0%} of the images over QAM of {', '.join(map(str, loss.qam_points))} points,"
    trained = f"trained {channel} at {loss.snr_db[0]:g} to {loss.snr_db[1]:g} dB and CBR {cbrs}"
    if loss.end in ALONE and before:
        alone = f"its {ALONE[loss.end]} went on alone, {trained}"
        return [*(limit for limit in before if limit != alone), alone]
    limits = [
        "trained without a channel: f_e and f_d are not"
        if algorithm == 1
        else f"{trained}; beyond them it runs, but was not trained for it",
        "how long it was trained stands under 'training'; the paper reports a million steps for stage 1 alone",
        "textures are plausible rather than true at low SNR and CBR: not for measurement or evidence",
    ]
    if not variant.snr_module:
        limits.append("an ablation: f_e and f_d bypass the SNR module")
    if variant.rates == "fixed":
        limits.append("an ablation: every vector gets the same rate, whatever its entropy")
    if not loss.perception:
        limits.append("an ablation: trained without LPIPS")
    return limits


def _parse(config: Mapping[str, Any], options: Mapping[str, Any], number: int) -> _Entry:
    """Check the keys `algorithm` (1, 2 or 3), `start`, `loss` and `loop` of an entry."""
    check_keys(options, ("algorithm", "start", "loss", "loop"), f"stage {number}")
    algorithm = options.get("algorithm")
    if not isinstance(algorithm, int) or algorithm not in TRAINED_MODULES:
        raise UserError(f"'algorithm' of stage {number} must be 1, 2 or 3, the stages of Algorithm 1, not {algorithm}")
    loss, loop = build(StageConfig, options.get("loss") or {}, f"'loss' of stage {number}"), stage_loop(config, options)
    if loss.end != "both" and algorithm != 3:
        raise UserError(
            f"stage {number} trains a part of the networks ({loss.end}) and needs 'algorithm: 3', not {algorithm}"
        )
    loss.check_crop(loop.crop)
    if loop.crop % STRIDE or loop.validation_crop % STRIDE:
        raise UserError(f"'crop' and 'validation_crop' of stage {number} must be multiples of {STRIDE}")
    if loop.precision != "fp32" and loop.crop < SMALLEST_BF16_CROP:
        raise UserError(f"crops of {loop.crop} are too small for bf16; use {SMALLEST_BF16_CROP} or more, or fp32")
    return _Entry(number, algorithm, stage_start(options, number, "lrisc"), loss, loop)


def _make(
    entry: _Entry, sizes: LriscConfig, variant: Variant, store: ImageStore, weights: State | None
) -> LriscTrainee:
    """Build a stage's trainee from the weights that it starts from, or from a linear codec fitted to the images."""
    torch.manual_seed(derive_key("lrisc", "initial weights"))
    model, before = Lrisc(sizes, variant), variant
    if entry.start.weights is not None:
        weights, released = entry.start.weights.load()
        before = build(Variant, released["config"].get("variant") or {}, "'variant'")
    weights = None if weights is None else _grown(weights, sizes)
    if weights is None:
        model.start_linear(_statistics_images(store, 128))
    elif {name: one.shape for name, one in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
        raise UserError(f"'model' is not that of the weights that stage {entry.number} starts from; leave out 'model'")
    else:
        model.load_state_dict(weights)
    if entry.algorithm == 2:
        model.start_jscc(_statistics_images(store, 256))
    elif before.rates != variant.rates:  # other vectors get each level now, with other variances
        model.measure_power(_statistics_images(store, 256))
    return LriscTrainee(model, entry.algorithm, entry.loss)


def _grown(weights: State, sizes: LriscConfig) -> State:
    """Weights in which the perception end has what is its own by `sizes`.

    Its denoiser begins as a copy of the shared one, its adapters at zero.
    """
    grown = dict(weights)
    if sizes.own_denoiser and not any(name.startswith("lifelike.") for name in weights):
        shared = [name for name in weights if name.startswith("denoiser.") and ".faithful." not in name]
        grown |= {"lifelike." + name.removeprefix("denoiser."): weights[name].clone() for name in shared}
    if sizes.own_adapters and not any(".perceptual." in name for name in weights):
        adapters = [name for name in weights if name.startswith(("encoder.", "decoder.")) and ".layer." in name]
        grown |= {name.replace(".layer.", ".perceptual."): torch.zeros_like(weights[name]) for name in adapters}
    return grown


def _statistics_images(store: ImageStore, crop: int) -> Tensor:
    """Crops in [-1, 1] for the linear starts."""
    crops = [
        training_batch(store.at_least(crop), 0, step, 16, crop) for step in range(STATISTICS_PIXELS // (16 * crop**2))
    ]
    return torch.cat(crops) * 2 - 1
