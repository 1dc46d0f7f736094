"""Perceptual DeepJSCC as a trainee: squared error, LRISC's perceptual distance, and a discriminator."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from simulator.baselines.deepjscc.net import BLOCK_VALUES, NetConfig
from simulator.baselines.deepjscc.starts import State, check_growth, derive, grow
from simulator.baselines.deepjscc.training import (
    STAGE_KEYS,
    Conditions,
    DeepJsccTrainee,
    observe,
    read_sizes,
    send_for_validation,
)
from simulator.baselines.pdjscc.net import PdjsccNet
from simulator.errors import UserError
from simulator.models.lrisc.losses import distortion_perception
from simulator.models.pretrained import Weights, find_weights
from simulator.models.training.adversary import Discriminator, adversarial_losses, adversary_group
from simulator.models.training.data import ImageStore
from simulator.models.training.identity import describe
from simulator.models.training.perceptual import LpipsBatch, PerceptualConfig, PerceptualLoss
from simulator.models.training.session import Stage, System, stage_loop, stage_start
from simulator.models.training.validation import SCORE_PER_LPIPS
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

VALIDATION_SNR_DB, LOW_SNR_DB = 10.0, 0.0
LOW_SNR_USES = 48  # CBR 1/16


@dataclass(frozen=True)
class LossConfig:
    """What one stage optimises (the `loss:` section of its YAML); the terms are those of LRISC's training.

    Attributes:
        perception: eta of eq. (11), the weight of the perceptual distance; squared error has 1 - eta.
        nets: LPIPS of these nets in turn, each time at another pixel phase; without any, AlexNet's at one phase.
        structure: what 1 - SSIM of luma and colours weighs beside LPIPS.
        lattice: what the energy of regular patterns weighs beside LPIPS.
        adversary: what the discriminator's verdict weighs beside LPIPS; 0 trains without one.
        adversary_from: progress until which the discriminator learns alone, encoder and generator resting.
    """

    perception: float = 0.75
    nets: tuple[str, ...] = ()
    structure: float = 0.0
    lattice: float = 0.0
    adversary: float = 0.0
    adversary_from: float = 0.0

    def __post_init__(self) -> None:
        for name in ("perception", "adversary_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"'{name}' of 'loss' is {getattr(self, name)}; it must be from 0 to 1")
        if not 0 <= self.adversary < math.inf:
            raise UserError(f"'adversary' of 'loss' is {self.adversary}; it must be 0 or more")
        self.perceptual  # noqa: B018 - checks its own part

    @property
    def perceptual(self) -> PerceptualConfig:
        """What the perceptual distance is made of."""
        return PerceptualConfig(self.nets, self.structure, self.lattice)


class PdjsccTrainee(DeepJsccTrainee):
    """Trains every parameter of a `PdjsccNet` at several bandwidth ratios in turn, with or without a discriminator."""

    def __init__(
        self, model: PdjsccNet, conditions: Conditions, config: LossConfig, nets: Sequence[LpipsBatch] = ()
    ) -> None:
        """nets: those of `config.nets`, or AlexNet alone; loaded when not given."""
        super().__init__(model, conditions.uses, conditions.fading, conditions.snr_db, conditions.grids)
        self.config = config
        self.perceptual = PerceptualLoss(config.perceptual, nets)
        self.adversary = Discriminator(2 * model.config.uses) if config.adversary else None
        low = LOW_SNR_USES if LOW_SNR_USES in self.uses else max(self.uses)
        points = [(uses, VALIDATION_SNR_DB) for uses in sorted(set(self.uses))]
        self.validation_points = (*points, (low, LOW_SNR_DB))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of the net, and that of the discriminator if there is one."""
        return super().parameter_groups() + adversary_group(self.adversary)

    def loss(self, images: Tensor, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """(1 - eta) d + eta d_p of LRISC's eq. (11), and the adversarial terms, on images [B, 3, H, W] in [0, 1]."""
        resting = self.adversary is not None and progress < self.config.adversary_from
        decoder, figures = self.model.decoder, {}
        snr_db, uses = self.draw(images, generator)
        with torch.set_grad_enabled(not resting):
            seen = observe(self.model, images, snr_db, uses, generator, self.fading, self.grids)
            latents, reliability = decoder.estimate(seen.noisy, seen.variance, snr_db)
            decoded = decoder.picture(latents, reliability)
        mse = (decoded.detach() - images).square().mean(dim=(1, 2, 3))
        figures["psnr_db"] = float((-10 * mse.log10()).mean())
        image, estimate = images * 2 - 1, decoded * 2 - 1
        loss = image.new_zeros(())
        if not resting:
            weight, eta = mse.new_ones(len(image)), mse.new_full((len(image),), self.config.perception)
            distance = partial(self.perceptual.distance, generator=generator)
            loss = distortion_perception(image, estimate, weight, eta, distance).mean()
            figures["faithful"] = float(loss.detach())
        if self.adversary is not None:
            hint = decoder.normalise(latents)
            fooling, telling = adversarial_losses(self.adversary, image, estimate, hint, generator)
            figures["discriminator"] = float(telling.detach().mean())
            loss = loss + telling.mean()
            if not resting:
                loss = loss + self.config.adversary * self.config.perception * fooling.mean()
        return loss, figures

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        points = ", ".join(f"{uses}/{BLOCK_VALUES} at {snr_db:g} dB" for uses, snr_db in self.validation_points)
        return f"PSNR - {SCORE_PER_LPIPS} LPIPS, mean over AWGN and CBR {points}"

    @torch.no_grad()
    def validate(self, model: nn.Module, images: Tensor) -> dict[str, float]:
        """Means over the points of `measure`, and the figures of each."""
        assert isinstance(model, PdjsccNet)
        figures, means = {}, {"psnr_db": 0.0, "lpips": 0.0}
        for uses, snr_db in self.validation_points:
            shown = send_for_validation(model, images, snr_db, uses)
            mse = (shown - images).square().mean(dim=(1, 2, 3))
            lpips = self.perceptual.measured(images * 2 - 1, shown * 2 - 1)
            for name, values in (("psnr_db", -10 * mse.log10()), ("lpips", lpips)):
                figures[f"{name}_{uses}_uses_{snr_db:g}_db"] = float(values.mean())
                means[name] += float(values.mean()) / len(self.validation_points)
        return {"score": means["psnr_db"] - SCORE_PER_LPIPS * means["lpips"], **means, **figures}


class PdjsccSystem(System):
    """Trains one net for all bandwidth ratios: first without, then with a discriminator."""

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Stages of a file like experiments/train/pdjscc.yaml; raises UserError for anything unknown in it."""
        sizes = read_sizes(config, "pdjscc", "perceptual DeepJSCC")
        return [_stage(config, sizes, one, number) for number, one in enumerate(config["stages"], 1)]


def _stage(config: Mapping[str, Any], sizes: Mapping[str, Any], options: Mapping[str, Any], number: int) -> Stage:
    check_keys(options, (*STAGE_KEYS, "loss"), f"stage {number}")
    conditions = Conditions.read(options, number)
    net = build(NetConfig, {**sizes, "uses": max(conditions.uses)}, "'model'")
    loss, loop = build(LossConfig, options.get("loss") or {}, f"'loss' of stage {number}"), stage_loop(config, options)
    loss.perceptual.check_crop(loop.crop)
    start = stage_start(options, number)
    if start is None:
        raise UserError(
            f"stage {number} needs a 'start': perceptual DeepJSCC goes on from DeepJSCC's or its own weights"
        )
    released = _find(start) if isinstance(start, str) else None
    origin = released.card() if released else None

    def make(store: ImageStore, weights: State | None) -> PdjsccTrainee:
        torch.manual_seed(derive_key("pdjscc", "initial weights"))
        model = PdjsccNet(net)
        if released:
            weights, card = released.load()
            theirs = replace(check_growth(net, card["model"], released.name), uses=net.uses)
            weights = derive(theirs, weights).state_dict() if card["system"] == "deepjscc" else weights
        assert weights is not None
        grow(model, weights)
        return PdjsccTrainee(model, conditions, loss)

    limits = [
        f"trained for LPIPS and other perceptual terms on {conditions.met}; other channels and SNRs run, but were not "
        "trained for",
        "textures are plausible rather than true at low SNR and CBR: not for measurement or evidence",
        "how long it was trained stands under 'training'; longer training and larger nets give more",
    ]
    beside = "with a discriminator" if loss.adversary else "without discriminator"
    named = {"model": net, "loss": loss, "start": start, "start_weights": origin and origin["sha256"]}
    return Stage(
        title=f"perceptual DeepJSCC at CBR {conditions.ratios}, {beside}",
        make=make,
        loop=loop,
        identity=describe(conditions.identity | named),
        start=start if isinstance(start, int) else None,
        release=options.get("release"),
        card={"system": "pdjscc", "model": asdict(net), "known_limits": limits},
        origin=origin,
    )


def _find(start: str) -> Weights:
    """Released weights of perceptual DeepJSCC or of DeepJSCC."""
    try:
        return find_weights(start, "pdjscc")
    except UserError:
        return find_weights(start, "deepjscc")
