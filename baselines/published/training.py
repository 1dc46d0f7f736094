"""Training the published networks from random weights with the project's loop: `train swinjscc` and others."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor

from simulator.baselines.published.families import FAMILIES, describe
from simulator.baselines.published.library import find
from simulator.baselines.published.swinjscc import SwinConfig
from simulator.baselines.published.trainee import PublishedTrainee, StageConfig, start_network
from simulator.errors import UserError
from simulator.models.pretrained import build_network
from simulator.models.training.data import ImageStore
from simulator.models.training.identity import describe as describe_identity
from simulator.models.training.session import Stage, System, stage_loop, stage_start
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

_OWN = tuple(one.name for one in fields(StageConfig))


class PublishedSystem(System):
    """One published network, trained for squared error over AWGN and fading."""

    def __init__(self, system: str) -> None:
        self.system = system

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Stages of a file like experiments/train/swinjscc.yaml; raises UserError for anything unknown in it."""
        check_keys(config, ("system", "model", "loop", "stages"), "the configuration")
        if config.get("system") != self.system or not config.get("stages"):
            raise UserError(f"this configuration is not for {self.system}: write 'system: {self.system}' and 'stages'")
        net = FAMILIES[self.system].build_config(config.get("model") or {}, "'model'")
        return [self._stage(config, net, one, number) for number, one in enumerate(config["stages"], 1)]

    def _stage(self, config: Mapping[str, Any], net: Any, options: Mapping[str, Any], number: int) -> Stage:
        check_keys(options, (*_OWN, "start", "loop", "release"), f"stage {number}")
        own = build(StageConfig, {key: options[key] for key in _OWN if key in options}, f"stage {number}")
        if isinstance(net, SwinConfig) and net.rate_adaptive and max(own.rates) > net.widths[-1]:
            raise UserError(f"'rates' of stage {number} go up to {max(own.rates)}; the network has {net.widths[-1]}")
        start, family = stage_start(options, number), FAMILIES[self.system]
        weights_of_start = find(start, self.system) if isinstance(start, str) else None

        def make(store: ImageStore, weights: Mapping[str, Tensor] | None) -> PublishedTrainee:
            torch.manual_seed(derive_key(self.system, number))
            if weights_of_start is not None:
                weights, _ = weights_of_start.load()
            if weights is None:
                model = start_network(family.make(net))
            else:
                model = build_network(lambda: family.make(net), weights, str(start))
            return PublishedTrainee(model, own)

        limits = [
            f"trained for MSE at {own.snr_db[0]:g} to {own.snr_db[1]:g} dB, {own.fading:.0%} of the images on fading",
            "how long it was trained stands under 'training'; these are not the authors' weights",
        ]
        origin = None if weights_of_start is None else weights_of_start.card()
        return Stage(
            title=f"{family.title}, stage {number}",
            make=make,
            loop=stage_loop(config, options),
            identity=describe_identity(
                {"net": net, "stage": own, "start": start, "start_weights": origin and origin["sha256"]}
            ),
            start=start if isinstance(start, int) else None,
            release=options.get("release"),
            card={"system": self.system, "title": family.title, "model": describe(net), "known_limits": limits},
            origin=origin,
        )


def swinjscc() -> PublishedSystem:
    """SwinJSCC, for the entry point group `simulator.trainers`."""
    return PublishedSystem("swinjscc")


def witt() -> PublishedSystem:
    """WITT, for the entry point group `simulator.trainers`."""
    return PublishedSystem("witt")


def ntscc() -> PublishedSystem:
    """NTSCC, for the entry point group `simulator.trainers`."""
    return PublishedSystem("ntscc")


def adjscc() -> PublishedSystem:
    """ADJSCC, for the entry point group `simulator.trainers`."""
    return PublishedSystem("adjscc")
