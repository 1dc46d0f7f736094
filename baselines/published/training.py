"""Training the published networks from random weights with the project's loop: `train swinjscc` and others."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from functools import partial
from typing import Any

import torch
from torch import Tensor

from simulator.baselines.published.families import FAMILIES
from simulator.baselines.published.library import find
from simulator.baselines.published.swinjscc import SwinConfig
from simulator.baselines.published.trainee import PublishedTrainee, StageConfig, start_network
from simulator.errors import UserError
from simulator.models.pretrained import build_network
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import check_system, stage_loop, stage_release, stage_start
from simulator.models.training.identity import describe
from simulator.models.training.session import Stage, System
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

_OWN = tuple(one.name for one in fields(StageConfig))


class PublishedSystem(System):
    """One published network, trained for squared error over AWGN and fading."""

    def __init__(self, system: str) -> None:
        self.system = system

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Stages of a file like experiments/train/swinjscc.yaml; raises UserError for anything unknown in it."""
        check_system(config, self.system, ("model",))
        net = build(FAMILIES[self.system].config, config.get("model") or {}, "'model'")
        return [self._stage(config, net, one, number) for number, one in enumerate(config["stages"], 1)]

    def _stage(self, config: Mapping[str, Any], net: Any, options: Mapping[str, Any], number: int) -> Stage:
        check_keys(options, (*_OWN, "start", "loop", "release"), f"stage {number}")
        own = build(StageConfig, {key: options[key] for key in _OWN if key in options}, f"stage {number}")
        if isinstance(net, SwinConfig) and net.rate_adaptive and max(own.rates) > net.widths[-1]:
            raise UserError(f"'rates' of stage {number} go up to {max(own.rates)}; the network has {net.widths[-1]}")
        start, family = stage_start(options, number, self.system, find), FAMILIES[self.system]

        def make(store: ImageStore, weights: Mapping[str, Tensor] | None) -> PublishedTrainee:
            torch.manual_seed(derive_key(self.system, number))
            if start.weights is not None:
                weights, _ = start.weights.load()
            if weights is None:
                model = start_network(family.make(net))
            else:
                model = build_network(lambda: family.make(net), weights, str(start.said))
            return PublishedTrainee(model, own)

        limits = [
            f"trained for MSE at {own.snr_db[0]:g} to {own.snr_db[1]:g} dB, {own.fading:.0%} of the images on fading",
            "how long it was trained stands under 'training'; these are not the authors' weights",
        ]
        return Stage(
            title=f"{family.title}, stage {number}",
            make=make,
            loop=stage_loop(config, options),
            identity=describe({"net": net, "stage": own, **start.identity}),
            start=start,
            release=stage_release(options, number),
            card={"system": self.system, "title": family.title, "model": asdict(net), "known_limits": limits},
        )


# Entry points of the group `simulator.trainers`.
swinjscc, witt, ntscc, adjscc = (partial(PublishedSystem, system) for system in ("swinjscc", "witt", "ntscc", "adjscc"))
