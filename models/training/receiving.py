"""The stages that train the learned receiver."""

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import torch

from simulator.baselines.bpg.codec import identity as bpg_identity
from simulator.errors import UserError
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import LriscConfig
from simulator.models.pretrained import build_network, load_pretrained, read_card
from simulator.models.receiver.codec import GAMMA
from simulator.models.receiver.net import PERCEPTION_GAMMA, Receiver, ReceiverConfig
from simulator.models.training.companion import REVISION, Companion
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import Start, check_system, stage_loop, stage_start
from simulator.models.training.fitting import crops, fit_last_layers
from simulator.models.training.identity import describe
from simulator.models.training.pairs import HIGHEST_QP, LOWEST_QP, pair_up
from simulator.models.training.restoring import ReceiverTrainee, RestoringConfig
from simulator.models.training.session import Stage, State, System, tell
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

TOLD_EVERY = 100  # pictures
COMPANION = "lrisc-compact"  # the weights that make LRISC's pictures beside the coded ones
CROP_MULTIPLE = 16


class ReceiverSystem(System):
    """The stages of a file like experiments/train/receiver.yaml."""

    def runs_as(self, weights: Path, card: Mapping[str, Any]) -> tuple[str, Fraction]:
        """Behind BPG and LDPC codes."""
        return f"bpg-ldpc:receiver=diffusion:weights={weights}", Fraction(1, 16)

    def material(self, config: Mapping[str, Any], images: ImageStore) -> ImageStore:
        """Code pictures with BPG and show how far that is; files of an earlier run come from the cache."""
        pictures = _pictures(config)

        def show(done: int, total: int) -> None:
            if done % TOLD_EVERY == 0 or done == total:
                tell(f"coded {done} of {total} pictures with BPG (kept in the cache)")

        return pair_up(images, pictures, show)

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Check the configuration; raises UserError for anything unknown in it."""
        check_system(config, "receiver", ("model", "gamma", "pictures"), named=True)
        sizes = build(ReceiverConfig, config.get("model") or {}, "'model'")
        return [_stage(config, options, number, sizes) for number, options in enumerate(config["stages"], 1)]


def _gamma(config: Mapping[str, Any]) -> float:
    """At which validation measures the perception end."""
    gamma = config.get("gamma", GAMMA)
    if not isinstance(gamma, int | float) or not 0 < gamma <= PERCEPTION_GAMMA:
        raise UserError(f"'gamma' is {gamma}; it must be above 0 and at most {PERCEPTION_GAMMA}")
    return float(gamma)


def _pictures(config: Mapping[str, Any]) -> int:
    pictures = config.get("pictures", 2400)
    if type(pictures) is not int or pictures < 2:
        raise UserError(f"'pictures' is {pictures}; it must be the number of pictures to code, 2 or more")
    return pictures


def _stage(config: Mapping[str, Any], options: Mapping[str, Any], number: int, sizes: ReceiverConfig) -> Stage:
    check_keys(options, ("start", "loss", "loop"), f"stage {number}")
    loss, loop = (
        build(RestoringConfig, options.get("loss") or {}, f"'loss' of stage {number}"),
        stage_loop(config, options),
    )
    loss.check_crop(loop.crop)
    if loop.crop % CROP_MULTIPLE or loop.validation_crop % CROP_MULTIPLE:
        raise UserError(f"'crop' and 'validation_crop' of stage {number} must be multiples of {CROP_MULTIPLE}")
    start, gamma = stage_start(options, number, "receiver"), _gamma(config)
    identity = describe(
        {"loss": loss, "model": sizes, "gamma": gamma, "pictures": _pictures(config), "coder": bpg_identity()}
        | ({"companion": (REVISION, read_card(COMPANION)["sha256"])} if loss.latent_share else {})
        | start.identity
    )
    return Stage(
        title="learned receiver, " + ("perception end" if loss.perception else "PSNR end"),
        make=partial(
            _make, sizes, loss, gamma, start, loop.crop, loss.perception > 0 and _trained_psnr_end(config, start.stage)
        ),
        loop=loop,
        identity=identity,
        start=start,
        release=config["name"] if number == len(config["stages"]) else None,
        card={
            "system": "receiver",
            "config": {"model": asdict(sizes)},
            "known_limits": [
                f"trained on pictures coded by BPG 4:4:4 (x265) at QP {LOWEST_QP} to {HIGHEST_QP}; other files run, "
                "but were not trained for",
                "how long it was trained stands under 'training'; longer training gives more",
                "textures at gamma above 0 are plausible rather than true: not for measurement or evidence",
            ],
        },
    )


def _trained_psnr_end(config: Mapping[str, Any], stage: int | None) -> bool:
    """Whether a stage trained the PSNR end, so that the other end is still untrained after it."""
    return stage is not None and (config["stages"][stage - 1].get("loss") or {}).get("perception") == 0


def _make(
    sizes: ReceiverConfig,
    loss: RestoringConfig,
    gamma: float,
    start: Start,
    crop: int,
    copied: bool,
    store: ImageStore,
    weights: State | None,
) -> ReceiverTrainee:
    """Build a stage's trainee from the weights that it starts from; copied: both ends begin as the PSNR end."""
    torch.manual_seed(derive_key("receiver", "initial weights"))
    model = Receiver(sizes)
    if start.weights is not None:
        weights, _ = start.weights.load()
    if weights is None:
        fit_last_layers(model.faithful, crops(store, crop))
    elif {name: one.shape for name, one in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
        raise UserError(f"'model' is not that of the weights of '{start.said}'; leave out 'start' or change 'model'")
    else:
        model.load_state_dict(weights)
    if copied or weights is None:
        model.lively.load_state_dict(model.faithful.state_dict())
    return ReceiverTrainee(model, loss, gamma, companion=companion() if loss.latent_share else None)


def companion() -> Companion:
    """The released LRISC, as `lrisc-hybrid` runs it."""
    state, card = load_pretrained(COMPANION)
    config = card["config"]
    model = build_network(lambda: Lrisc(build(LriscConfig, config["model"], "'model'")), state, COMPANION)
    return Companion(model, config["sent_fidelity"], config["defaults"]["gamma"])
