"""Algorithm 1: the three stages that train LRISC.

Stage 1 trains g_e, h_e, h_d and the diffusion decoder without a channel; stage 2 trains f_e and f_d with the rest
frozen, first at 10 dB without the SNR module, then with it at every SNR; stage 3 fine-tunes everything at every SNR and
every bandwidth ratio.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from simulator.errors import UserError
from simulator.metrics.lpips import LpipsNet
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE, LriscConfig, Variant
from simulator.models.pretrained import find_weights
from simulator.models.training.data import ImageStore, training_batch
from simulator.models.training.identity import describe
from simulator.models.training.session import Stage, State, System, stage_loop, stage_start
from simulator.models.training.trainee import TRAINED_MODULES, LriscTrainee, StageConfig
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

# Below it oneDNN's bf16 gradient of h_e's strided 5x5 convolutions reads memory that was never written.
SMALLEST_BF16_CROP = 64


class LriscSystem(System):
    """The stages of a file like experiments/train/lrisc-compact.yaml."""

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Check the configuration; raises UserError for anything unknown in it."""
        check_keys(
            config, ("system", "name", "notes", "model", "variant", "defaults", "loop", "stages"), "the configuration"
        )
        if config.get("system") != "lrisc" or not config.get("stages") or not config.get("name"):
            raise UserError("this configuration is not one for LRISC: it needs 'system: lrisc', 'name' and 'stages'")
        base = _base_config(config)
        model, variant = LriscConfig.from_mapping(base["model"]), Variant.from_mapping(base["variant"])
        defaults = config.get("defaults") or {}
        check_keys(defaults, ("steps", "gamma"), "'defaults'")
        card = {
            "system": "lrisc",
            "config": {
                "model": model.to_mapping(),
                "variant": asdict(variant),
                "defaults": {"steps": 1, "gamma": 0.8, **defaults},
            },
            "notes": list(config.get("notes") or ()),
        }
        stages: list[Stage] = []
        for options in config["stages"]:
            release = config["name"] if len(stages) + 1 == len(config["stages"]) else None
            stages.append(_stage(config, model, variant, options, stages, release, card))
        return stages


def _base_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The sections `model` and `variant`: what the file leaves out is that of the released weights it starts from."""
    start = config["stages"][0].get("start")
    card = find_weights(start, "lrisc").card()["config"] if isinstance(start, str) else {}
    return {section: config.get(section) or card.get(section) or {} for section in ("model", "variant")}


def known_limits(algorithm: int, loss: StageConfig, variant: Variant, before: Sequence[str] = ()) -> list[str]:
    """What a model card says of weights whose last stage was this one; before: what those it started from say."""
    cbrs = " to ".join(str(Fraction(cbr).limit_denominator(1000)) for cbr in loss.cbr)
    channel = "over AWGN"
    if loss.fading:
        channel = (
            f"over AWGN for {1 - loss.fading:.0%} and Rayleigh or Rician fading for {loss.fading:.0%} of the images"
        )
    trained = f"trained {channel} at {loss.snr_db[0]:g} to {loss.snr_db[1]:g} dB and CBR {cbrs}"
    if loss.psnr_end_only and before:
        alone = f"its PSNR end went on alone, {trained}"
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


def _stage(
    config: Mapping[str, Any],
    model_config: LriscConfig,
    variant: Variant,
    options: Mapping[str, Any],
    earlier: Sequence[Stage],
    release: str | None,
    card: Mapping[str, Any],
) -> Stage:
    """The entry of the file's `stages` after `earlier`: `algorithm` (1, 2 or 3), `start`, `loss` and `loop`."""
    number = len(earlier) + 1
    check_keys(options, ("algorithm", "start", "loss", "loop"), f"stage {number}")
    algorithm, start = options.get("algorithm"), stage_start(options, number)
    if not isinstance(algorithm, int) or algorithm not in TRAINED_MODULES:
        raise UserError(f"'algorithm' of stage {number} must be 1, 2 or 3, the stages of Algorithm 1, not {algorithm}")
    loss, loop = build(StageConfig, options.get("loss") or {}, f"'loss' of stage {number}"), stage_loop(config, options)
    if loss.psnr_end_only and algorithm != 3:
        raise UserError(
            f"'psnr_end_only' of stage {number} needs 'algorithm: 3', not {algorithm}: it spans all networks"
        )
    if loop.crop % STRIDE or loop.validation_crop % STRIDE:
        raise UserError(f"'crop' and 'validation_crop' of stage {number} must be multiples of {STRIDE}")
    if loop.precision == "bf16" and loop.crop < SMALLEST_BF16_CROP:
        raise UserError(f"crops of {loop.crop} are too small for bf16; use {SMALLEST_BF16_CROP} or more, or fp32")

    def make(store: ImageStore, weights: State | None) -> LriscTrainee:
        torch.manual_seed(derive_key("lrisc", "initial weights"))
        model = Lrisc(model_config, variant)
        before = variant
        if isinstance(start, str):
            weights, released = find_weights(start, "lrisc").load()
            before = Variant.from_mapping(released["config"].get("variant") or {})
        if weights is None:
            model.start_linear(_statistics_images(store, 128))
        elif {name: one.shape for name, one in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
            raise UserError(f"'model' is not that of the weights that stage {number} starts from; leave out 'model'")
        else:
            model.load_state_dict(weights)
        if algorithm == 2:
            model.start_jscc(_statistics_images(store, 256))
        elif before.rates != variant.rates:  # vectors of a level are others now, and so are their variances
            model.measure_power(_statistics_images(store, 256))
        return LriscTrainee(model, algorithm, loss, LpipsNet("alex"))

    origin = find_weights(start, "lrisc").card() if isinstance(start, str) else None
    started = origin if origin is not None else earlier[start - 1].card if isinstance(start, int) else None
    limits = known_limits(algorithm, loss, variant, (started or {}).get("known_limits", ()))
    described = card["config"] | {"snr_db": list(loss.snr_db)}
    identity = {"algorithm": algorithm, "loss": loss, "variant": variant, "model": model_config}
    return Stage(
        title=f"LRISC, Algorithm 1, stage {algorithm}",
        make=make,
        loop=loop,
        identity=describe(identity | {"start": start, "start_weights": origin and origin["sha256"]}),
        start=start if isinstance(start, int) else None,
        release=release,
        card=dict(card) | {"config": described, "known_limits": limits},
        origin=origin,
    )


def _statistics_images(store: ImageStore, crop: int) -> Tensor:
    """Crops in [-1, 1] from which the linear starts take their axes and variances."""
    crops = [training_batch(store.at_least(crop), 0, step, 16, crop) for step in range(2**17 // crop**2 * 8)]
    return torch.cat(crops) * 2 - 1
