"""DeepJSCC as a trainee: MSE through AWGN and fading, started from a linear codec."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn

from simulator.baselines.deepjscc.air import Observation, demodulate, modulate
from simulator.baselines.deepjscc.net import BLOCK_VALUES, DeepJsccNet, NetConfig
from simulator.baselines.deepjscc.starts import derive, linear_start
from simulator.errors import UserError
from simulator.models.training.constellation import NO_GRIDS, Grids, over_grid
from simulator.models.training.data import ImageStore
from simulator.models.training.entries import check_system, stage_loop, stage_release, stage_start
from simulator.models.training.fading import fading_strength
from simulator.models.training.identity import describe
from simulator.models.training.monitor import mosaic
from simulator.models.training.muon import parameter_groups
from simulator.models.training.session import Stage, System
from simulator.randomness import derive_key
from simulator.spec.configuration import build, check_keys, read_snr_range

TRAIN_SNR_DB = (0.0, 20.0)
# Errors above this count by their logarithm, as in an average of PSNRs; smaller ones count less, or plain skies would
# dominate.
EASY_MSE = 1e-3
LINEAR_LR_SCALE = 0.1
WEAKEST = 1e-6  # |h|^2 that a receiver still divides by
GRID_KEYS = ("qam", "qam_points", "qam_gradient")
STAGE_KEYS = ("uses", "start", "fading", "snr_db", *GRID_KEYS, "loop", "release")
OUTER_LAYERS = ("encoder.stem.", "encoder.head.", "decoder.head.")


@dataclass(frozen=True)
class Conditions:
    """What the images of a stage meet.

    Attributes:
        uses: channel uses per block, one of which is drawn for every batch.
        fading: share of images that meet fading.
        snr_db: lowest and highest average Es/N0.
        grids: of QAM that symbols are restricted to, and how often.
    """

    uses: tuple[int, ...]
    fading: float = 0.0
    snr_db: tuple[float, float] = TRAIN_SNR_DB
    grids: Grids = NO_GRIDS

    @classmethod
    def read(cls, options: Mapping[str, Any], number: int) -> "Conditions":
        """From the options of stage `number`; raises UserError where one is out of range."""
        where, uses = f"stage {number}", options.get("uses")
        ratios: list[Any] = uses if isinstance(uses, list) else [uses]
        most = BLOCK_VALUES // 2
        if not ratios or not all(isinstance(one, int) and 16 <= one <= most for one in ratios):
            raise UserError(f"'uses' of {where} must be channel uses per 16x16 block, 16 to {most}, not {uses}")
        fading = options.get("fading", 0.0)
        if type(fading) not in (int, float) or not 0 <= fading <= 1:  # `true` is an int, too
            raise UserError(f"'fading' of {where} must be a share of images from 0 to 1, not {fading}")
        snr_db = read_snr_range(options.get("snr_db", TRAIN_SNR_DB), f"'snr_db' of {where}")
        return cls(tuple(ratios), float(fading), snr_db, _grids(options, where))

    def draw(self, images: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, int]:
        """The average SNR of each image in dB, [B], and the channel uses per block of all."""
        low, high = self.snr_db
        snr_db = low + (high - low) * torch.rand(len(images), generator=generator, device=images.device)
        pick = torch.randint(len(self.uses), (), generator=generator, device=images.device)
        return snr_db, self.uses[int(pick)]

    @property
    def ratios(self) -> str:
        """The bandwidth ratios, for titles."""
        return ", ".join(str(Fraction(one, BLOCK_VALUES)) for one in self.uses)

    @property
    def met(self) -> str:
        """Channels and SNRs, for model cards."""
        met = f"AWGN, {self.fading:.0%} of the images on Rayleigh or Rician fading" if self.fading else "AWGN"
        if self.grids.share:
            met += f", {self.grids.share:.0%} over QAM of {', '.join(map(str, self.grids.points))} points"
        return f"{met}, at {self.snr_db[0]:g} to {self.snr_db[1]:g} dB"

    @property
    def identity(self) -> dict[str, Any]:
        """What of it makes two runs differ."""
        named = {"uses": list(self.uses), "fading": self.fading, "snr_db": self.snr_db}
        # Left out if unused, so that runs from before this option can be resumed.
        return named | ({"grids": self.grids} if self.grids.share else {})


class DeepJsccTrainee:
    """Trains every parameter of one `DeepJsccNet`, at its own bandwidth ratio or at several in turn."""

    def __init__(self, model: DeepJsccNet, conditions: Conditions) -> None:
        self.model, self.conditions = model, conditions
        low, high = conditions.snr_db
        self.validation_snrs_db = (low, (low + high) / 2, high)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return parameter_groups(self.model.named_parameters(), (".linear.",), OUTER_LAYERS, LINEAR_LR_SCALE)

    def loss(
        self, images: torch.Tensor, progress: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, float]]:
        snr_db, uses = self.conditions.draw(images, generator)
        decoded = over_channel(self.model, images, snr_db, uses, generator, self.conditions)
        mse = (decoded - images).square().mean(dim=(1, 2, 3))
        psnr_db = float((-10 * mse.detach().log10()).mean())
        return (mse + EASY_MSE).log().mean(), {"psnr_db": psnr_db}

    @property
    def measure(self) -> str:
        """What the score of `validate` is."""
        snrs = ", ".join(f"{snr_db:g}" for snr_db in self.validation_snrs_db)
        return f"PSNR, mean over AWGN at {snrs} dB (and {self.validation_snrs_db[1]:g} dB at other ratios)"

    def validate(self, model: nn.Module, images: torch.Tensor) -> dict[str, float]:
        assert isinstance(model, DeepJsccNet)
        own, middle = max(self.conditions.uses), self.validation_snrs_db[1]
        points = [(own, snr_db) for snr_db in self.validation_snrs_db]
        points += [(uses, middle) for uses in self.conditions.uses if uses != own]
        figures = {}
        for uses, snr_db in points:
            mse = (_send(model, images, snr_db, uses) - images).square().mean(dim=(1, 2, 3))
            figures[f"psnr_db_{uses}_uses_{snr_db:g}_db"] = float((-10 * mse.log10()).mean())
        score = sum(figures.values()) / len(figures)
        return {
            "score": score,
            "psnr_db": figures[f"psnr_db_{own}_uses_{middle:g}_db"],
            "cbr": own / BLOCK_VALUES,
            **figures,
        }

    def pictures(self, model: nn.Module, images: torch.Tensor) -> torch.Tensor:
        assert isinstance(model, DeepJsccNet)
        shown = images[:4]
        own = max(self.conditions.uses)
        rows = [shown, *(_send(model, shown, snr_db, own) for snr_db in self.validation_snrs_db)]
        return mosaic(rows)


def _send(model: DeepJsccNet, images: torch.Tensor, snr_db: float, uses: int) -> torch.Tensor:
    """Images as received at one SNR, with noise that is the same at every validation."""
    generator = torch.Generator(images.device).manual_seed(derive_key("validation", snr_db))
    snr = torch.full((len(images),), snr_db, device=images.device)
    return over_channel(model, images, snr, uses, generator).clamp(0, 1)


def over_channel(
    model: DeepJsccNet,
    images: torch.Tensor,
    snr_db: torch.Tensor,
    uses: int,
    generator: torch.Generator,
    conditions: Conditions | None = None,
) -> torch.Tensor:
    """Send images [B, 3, H, W] (sides multiples of 16) at `snr_db` [B] over `uses` channel uses per block.

    They cross AWGN; given `conditions`, a share of them meets Rayleigh or Rician fading, and a share QAM grids.
    Returns what is decoded, not clamped.
    """
    seen = observe(model.encoder(images, snr_db), snr_db, uses, generator, conditions)
    return model.decoder(seen.noisy, seen.variance, snr_db)


def observe(
    latents: torch.Tensor,
    snr_db: torch.Tensor,
    uses: int,
    generator: torch.Generator,
    conditions: Conditions | None = None,
) -> Observation:
    """What the decoder sees of an encoder's output, [B, 2 uses, h, w], that is sent as in `over_channel`."""
    fading, grids = (conditions.fading, conditions.grids) if conditions else (0.0, NO_GRIDS)
    symbols = modulate(latents, uses * latents.shape[2] * latents.shape[3])
    noise_variance = (10 ** (-snr_db / 10))[:, None].expand(symbols.shape)
    gain = torch.ones_like(symbols)
    if fading:  # a known phase changes nothing
        strength = fading_strength((symbols.shape[0], symbols.shape[1]), fading, generator)
        gain = strength.sqrt().to(symbols.dtype)
    noise = torch.randn((*symbols.shape, 2), generator=generator, device=latents.device)
    received = gain * symbols + torch.view_as_complex(noise) * (noise_variance / 2).sqrt()
    if grids.share:
        some, points = grids.draw(len(latents), generator)
        equalised = noise_variance / gain.abs().square().clamp(min=WEAKEST)
        seen_through, variance = over_grid(torch.view_as_real(symbols), equalised, points, grids.gradient, noise)
        received = torch.where(some[:, None], torch.view_as_complex(seen_through), received)
        noise_variance = torch.where(some[:, None], variance, noise_variance)
        gain = torch.where(some[:, None], torch.ones_like(gain), gain)
    shape = (latents.shape[1], latents.shape[2], latents.shape[3])
    return demodulate(received, gain, noise_variance, shape)


class DeepJsccSystem(System):
    """Trains one net at all bandwidth ratios in turn, then one net per ratio from it."""

    def runs_as(self, weights: Path, card: Mapping[str, Any]) -> tuple[str, Fraction]:
        """The scheme of all nets in the folder, at the ratio of this one."""
        return f"deepjscc:weights={weights.parent}", Fraction(card["model"]["uses"], BLOCK_VALUES)

    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Stages of a file like experiments/train/deepjscc.yaml; raises UserError for anything unknown in it."""
        check_system(config, "deepjscc", ("model",))
        sizes = config.get("model") or {}
        check_keys(sizes, [f.name for f in fields(NetConfig) if f.name != "uses"], "'model'")
        return [_stage(config, sizes, one, number) for number, one in enumerate(config["stages"], 1)]


def _grids(options: Mapping[str, Any], where: str) -> Grids:
    """What a stage says of QAM grids."""
    points = options.get("qam_points", list(NO_GRIDS.points))
    if not isinstance(points, list):
        raise UserError(f"'qam_points' of {where} is {points}; it must be a list such as [16, 64]")
    grids = Grids(options.get("qam", 0.0), tuple(points), options.get("qam_gradient", NO_GRIDS.gradient))
    grids.check(where)
    return grids


def _stage(config: Mapping[str, Any], sizes: Mapping[str, Any], options: Mapping[str, Any], number: int) -> Stage:
    check_keys(options, STAGE_KEYS, f"stage {number}")
    conditions = Conditions.read(options, number)
    net = build(NetConfig, {**sizes, "uses": max(conditions.uses)}, "'model'")
    start = stage_start(options, number, "deepjscc")

    def make(store: ImageStore, weights: Mapping[str, torch.Tensor] | None) -> DeepJsccTrainee:
        if start.weights is not None:
            weights, released = start.weights.load()
            theirs = released["model"]
            if other := [key for key, size in asdict(net).items() if key != "uses" and size != theirs.get(key)]:
                raise UserError(
                    f"'{start.said}' has {other[0]} {theirs.get(other[0])}; set the same in 'model' to start from it"
                )
        model = linear_start(net, store) if weights is None else derive(net, weights)
        return DeepJsccTrainee(model, conditions)

    limits = [
        f"trained for MSE on {conditions.met}; other channels and SNRs run, but were not trained for",
        "how long it was trained stands under 'training'; longer training and larger nets give more",
    ]
    return Stage(
        title=f"DeepJSCC at CBR {conditions.ratios}",
        make=make,
        loop=stage_loop(config, options),
        identity=describe(conditions.identity | {"model": net} | start.identity),
        start=start,
        release=stage_release(options, number),
        card={"system": "deepjscc", "model": asdict(net), "known_limits": limits},
    )
