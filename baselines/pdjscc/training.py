"""The generator as a trainee: squared error, LRISC's perceptual distance, and a discriminator."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from simulator.baselines.deepjscc.net import BLOCK_VALUES, DeepJsccNet
from simulator.baselines.deepjscc.scheme import load_net, weights_name
from simulator.baselines.deepjscc.training import STAGE_KEYS, Conditions, observe
from simulator.baselines.pdjscc.net import USES, Generator, GeneratorConfig
from simulator.errors import UserError
from simulator.models.lrisc.losses import distortion_perception
from simulator.models.pretrained import Weights
from simulator.models.training.adversary import Discriminator, adversarial_losses, adversary_group
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import check_system, stage_loop, stage_release, stage_start
from simulator.models.training.identity import describe
from simulator.models.training.monitor import mosaic
from simulator.models.training.muon import parameter_groups
from simulator.models.training.perceptual import LpipsBatch, PerceptualConfig, PerceptualLoss
from simulator.models.training.session import Stage, System
from simulator.models.training.validation import SCORE_PER_LPIPS
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys

# Distances above this count by their logarithm. Otherwise the lowest bandwidth ratio, with five times the distances of
# the highest, would dominate the generator that serves both.
EASY = 0.02
VALIDATION_SNR_DB, LOW_SNR_DB = 10.0, 0.0
LOW_SNR_USES = 48  # CBR 1/16
OUTER_LAYERS, ENDS = ("enter.", "leave."), "ends."


@dataclass(frozen=True)
class LossConfig(PerceptualConfig):
    """What one stage optimises (the `loss:` section of its YAML); the terms are those of LRISC's training.

    Attributes:
        perception: eta of eq. (11), the weight of the perceptual distance; squared error has 1 - eta.
        sent_rate: learning rate of the additions to both ends of the nets in front, relative to that of the generator;
            0 leaves them as they are.
        adversary: weight of the discriminator's verdict, relative to LPIPS; 0 trains without one.
        adversary_from: until this progress only the discriminator learns, not the generator.
    """

    perception: float = 0.75
    sent_rate: float = 0.0
    adversary: float = 0.0
    adversary_from: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_shares("perception", "adversary_from")
        self.check_weights("adversary", "sent_rate")


class PdjsccTrainee:
    """Trains a generator behind DeepJSCC nets, with or without what both ends add to these, or a discriminator."""

    def __init__(
        self,
        model: Generator,
        in_front: Mapping[int, DeepJsccNet],
        conditions: Conditions,
        config: LossConfig,
        nets: Sequence[LpipsBatch] = (),
    ) -> None:
        """Args:
        model: the generator.
        in_front: the DeepJSCC net of every number of channel uses that the conditions name.
        conditions: channels and SNRs; one of the numbers of channel uses is drawn for every batch.
        config: the loss.
        nets: those of `config.nets`, or AlexNet alone; loaded when not given.
        """
        self.model, self.in_front, self.conditions, self.config = model, in_front, conditions, config
        self.perceptual = PerceptualLoss(config, nets)
        self._latents = 2 * max(net.config.uses for net in in_front.values())
        self.adversary = Discriminator(self._latents) if config.adversary else None
        low = LOW_SNR_USES if LOW_SNR_USES in in_front else max(in_front)
        self.validation_points = (*((uses, VALIDATION_SNR_DB) for uses in sorted(in_front)), (low, LOW_SNR_DB))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Those of the generator, and those of the discriminator and of both ends' additions if they learn."""
        own = ((name, one) for name, one in self.model.named_parameters() if not name.startswith(ENDS))
        groups = parameter_groups(own, (), OUTER_LAYERS, 1.0) + adversary_group(self.adversary)
        if self.config.sent_rate:
            groups.append({"params": list(self.model.ends.parameters()), "lr_scale": self.config.sent_rate})
        return groups

    def loss(self, images: Tensor, progress: float, generator: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """(1 - eta) d + eta d_p of LRISC's eq. (11), and the adversarial terms, on images [B, 3, H, W] in [0, 1]."""
        snr_db, uses = self.conditions.draw(images, generator)
        resting = self.adversary is not None and progress < self.config.adversary_from
        with torch.set_grad_enabled(not resting):
            decoded, latents = self._received(self.model, images, snr_db, uses, generator, self.conditions)
        mse = (decoded.detach() - images).square().mean(dim=(1, 2, 3))
        figures = {"psnr_db": float((-10 * mse.log10()).mean())}
        image, estimate = images * 2 - 1, decoded * 2 - 1
        loss = image.new_zeros(())
        if not resting:
            weight, eta = mse.new_ones(len(image)), mse.new_full((len(image),), self.config.perception)
            distance = partial(self.perceptual.distance, generator=generator)
            terms = distortion_perception(image, estimate, weight, eta, distance)
            loss, figures["distance"] = (terms + EASY).log().mean(), float(terms.detach().mean())
        if self.adversary is not None:
            fooling, telling = adversarial_losses(self.adversary, image, estimate, latents, generator)
            figures["discriminator"] = float(telling.detach().mean())
            loss = loss + telling.mean()
            if not resting:
                loss = loss + self.config.adversary * fooling.mean()
        return loss, figures

    def _received(
        self,
        model: Generator,
        images: Tensor,
        snr_db: Tensor,
        uses: int,
        generator: torch.Generator,
        conditions: Conditions | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the generator makes of images sent over AWGN or, given `conditions`, what they say.

        Returns:
            images, not clamped, and the received latents, as many at every bandwidth ratio: the rest are zero.
        """
        net = self.in_front[uses].to(images.device)
        with torch.set_grad_enabled(self.config.sent_rate > 0 and torch.is_grad_enabled()):
            seen = observe(model.encode(net, images, snr_db), snr_db, uses, generator, conditions)
            latents, reliability = model.estimate(net, seen, snr_db)
            image, detail = net.decoder.paint(latents, reliability)
        missing = self._latents - latents.shape[1]
        latents = nn.functional.pad(net.decoder.normalise(latents), (0, 0, 0, 0, 0, missing))
        return model(image, detail, reliability, snr_db, uses), latents

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        points = ", ".join(
            f"{Fraction(uses, BLOCK_VALUES)} at {snr_db:g} dB" for uses, snr_db in self.validation_points
        )
        return f"PSNR - {SCORE_PER_LPIPS} LPIPS, mean over AWGN and CBR {points}"

    @torch.no_grad()
    def validate(self, model: nn.Module, images: Tensor) -> dict[str, float]:
        """Means over the points of `measure`, and the figures of each."""
        figures, means = {}, {"psnr_db": 0.0, "lpips": 0.0}
        for uses, snr_db in self.validation_points:
            shown = self._shown(model, images, uses, snr_db)
            mse = (shown - images).square().mean(dim=(1, 2, 3))
            lpips = self.perceptual.measured(images * 2 - 1, shown * 2 - 1)
            for name, values in (("psnr_db", -10 * mse.log10()), ("lpips", lpips)):
                figures[f"{name}_{uses}_uses_{snr_db:g}_db"] = float(values.mean())
                means[name] += float(values.mean()) / len(self.validation_points)
        return {"score": means["psnr_db"] - SCORE_PER_LPIPS * means["lpips"], **means, **figures}

    @torch.no_grad()
    def pictures(self, model: nn.Module, images: Tensor) -> Tensor:
        """Four images, each above what is made of it at every point of `measure`."""
        rows = [images[:4], *(self._shown(model, images[:4], uses, snr_db) for uses, snr_db in self.validation_points)]
        return mosaic(rows)

    def _shown(self, model: nn.Module, images: Tensor, uses: int, snr_db: float) -> Tensor:
        """Images as received over AWGN, with noise that is the same at every validation."""
        assert isinstance(model, Generator)
        noise = torch.Generator(images.device).manual_seed(derive_key("validation", snr_db))
        snr = torch.full((len(images),), snr_db, device=images.device)
        return self._received(model, images, snr, uses, noise)[0].clamp(0, 1)


class PdjsccSystem(System):
    """Trains one generator for all bandwidth ratios: first without, then with a discriminator."""

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Stages of a file like experiments/train/pdjscc.yaml; raises UserError for anything unknown in it."""
        check_system(config, "pdjscc", ("model",))
        sizes = build(GeneratorConfig, config.get("model") or {}, "'model'")
        return [_stage(config, sizes, one, number) for number, one in enumerate(config["stages"], 1)]


def _stage(config: Mapping[str, Any], sizes: GeneratorConfig, options: Mapping[str, Any], number: int) -> Stage:
    check_keys(options, (*STAGE_KEYS, "loss"), f"stage {number}")
    conditions = Conditions.read(options, number)
    loss, loop = build(LossConfig, options.get("loss") or {}, f"'loss' of stage {number}"), stage_loop(config, options)
    loss.check_crop(loop.crop)
    if loss.sent_rate and not sizes.ends:
        raise UserError("'sent_rate' of 'loss' needs 'ends: true' in 'model'; set both or neither")
    start = stage_start(options, number, "pdjscc")
    in_front = _released(conditions, number)

    def make(store: ImageStore, weights: Mapping[str, Tensor] | None) -> PdjsccTrainee:
        torch.manual_seed(derive_key("pdjscc", "initial weights"))
        model = Generator(sizes)
        if start.weights is not None:
            weights, card = start.weights.load()
            theirs = build(GeneratorConfig, card["model"], f"the model card of '{start.said}'")
            if theirs not in (sizes, replace(sizes, ends=False)):
                raise UserError(f"'model' is not that of '{start.said}'; state its sizes to start from it")
        if weights is not None:  # weights without `ends` start with those that change nothing
            model.load_state_dict(model.state_dict() | dict(weights))
        nets = {uses: load_net(found, Fraction(uses, BLOCK_VALUES)) for uses, found in in_front.items()}
        if other := {net.config.detail_width for net in nets.values()} - {sizes.features}:
            raise UserError(f"'features' of 'model' is {sizes.features}; the nets in front have {other.pop()}")
        return PdjsccTrainee(model, nets, conditions, loss)

    limits = [
        f"trained for LPIPS and other perceptual terms on {conditions.met}; other channels and SNRs run, but were not "
        "trained for",
        "textures are plausible rather than true at low SNR and CBR: not for measurement or evidence",
    ]
    limits += [] if sizes.ends else ["the encoder is DeepJSCC's, which was trained for squared error"]
    hashes = {found.name: found.card()["sha256"] for found in in_front.values()}
    ends = "both ends learning, " if loss.sent_rate else ""
    beside = ends + ("with a discriminator" if loss.adversary else "without discriminator")
    named = {"model": sizes, "loss": loss, "in_front": hashes} | start.identity
    return Stage(
        title=f"perceptual DeepJSCC at CBR {conditions.ratios}, {beside}",
        make=make,
        loop=loop,
        identity=describe(conditions.identity | named),
        start=start,
        release=stage_release(options, number),
        card={"system": "pdjscc", "model": asdict(sizes), "in_front": hashes, "known_limits": limits},
    )


def _released(conditions: Conditions, number: int) -> dict[int, Weights]:
    """The released DeepJSCC weights of a stage's bandwidth ratios, by channel uses per block."""
    found = {}
    for uses in sorted(set(conditions.uses)):
        if uses not in USES:
            known = ", ".join(map(str, USES))
            raise UserError(f"'uses' of stage {number} has {uses}; the released nets of DeepJSCC have {known}")
        found[uses] = Weights(weights_name(Fraction(uses, BLOCK_VALUES)))
    return found
