"""From a YAML file to trained and released weights: the stages of a system, one after the other.

A `System` (entry point group `simulator.trainers`) turns a configuration into `Stage`s; each runs in its own folder
`RUN/stage-N`, starts from the best weights of an earlier one, and may be released under a name.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import torch
import yaml

from simulator.disk import file_sha256, json_text, set_aside, write_file
from simulator.errors import UserError
from simulator.link import Scheme, load_scheme
from simulator.models.pretrained import release
from simulator.models.training.checkpoint import Checkpoint, load_checkpoint, load_record
from simulator.models.training.data import ImageStore, load_images
from simulator.models.training.entries import Start, read_config, share_minutes
from simulator.models.training.identity import Identity, check_record
from simulator.models.training.learner import LoopConfig, Trainee
from simulator.models.training.loop import BEST, CHECKPOINT, RunResult, check_continuation, run

ORIGIN = "origin.json"
State = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Stage:
    """One training run.

    Attributes:
        title: what it does, in a few words.
        make: builds the trainee from the training images and the weights of the stage it starts from (or None).
        loop: budget and hyper-parameters.
        identity: what is optimised, and `start.identity`.
        start: what it starts from.
        release: name of the released weights; None for an intermediate stage.
        card: the part of the model card other than the training record ("model", "known_limits", ...).
    """

    title: str
    make: Callable[[ImageStore, State | None], Trainee]
    loop: LoopConfig
    identity: Identity
    start: Start = field(default_factory=Start)
    release: str | None = None
    card: Mapping[str, Any] | None = None


class System(ABC):
    """A scheme that can be trained; a subclass says what its stages are."""

    @abstractmethod
    def stages(self, config: Mapping[str, Any]) -> list[Stage]:
        """Check the whole configuration (unknown keys are a UserError) and return its stages."""

    def runs_as(self, weights: Path, card: Mapping[str, Any]) -> tuple[str, Fraction]:
        """The scheme that runs exported weights, and a CBR at which it does: there its cost is measured."""
        return f"{card['system']}:weights={weights}", Fraction(1, 16)

    def material(self, config: Mapping[str, Any], images: ImageStore) -> ImageStore:
        """Make what the stages train on from the images of `--data`; by default these images."""
        return images

    def train(
        self,
        config_file: Path,
        data: Sequence[Path],
        run_dir: Path,
        overrides: Sequence[str] = (),
        stage: int | None = None,
        minutes: float | None = None,
        resume: str = "auto",
        limit: int | None = None,
    ) -> list[RunResult]:
        """Run one stage, or all that are not finished yet.

        Args:
            config_file: YAML, as `read_config` takes it.
            data: folders, tar shards or images.
            run_dir: the run's folder; one more per stage in it.
            overrides: `key=value` changes of the configuration.
            stage: number from 1; None runs all in order.
            minutes: replaces the budget; several stages share it in proportion to their own.
            resume: "auto" or "never".
            limit: use this many images only.

        Raises:
            UserError: the configuration is invalid, or the run folder is of another one; it is not changed.
        """
        config = read_config(config_file, overrides)
        stages = self.stages(config)
        if stage is not None and not 1 <= stage <= len(stages):
            raise UserError(f"there is no stage {stage}; this configuration has stages 1 to {len(stages)}")
        chosen = range(1, len(stages) + 1) if stage is None else [stage]
        budgets = [stages[number - 1].loop for number in chosen]
        if minutes is not None:
            budgets = share_minutes(budgets, minutes)
        _check_run(stages, run_dir)
        for number, budget in zip(chosen, budgets, strict=True):
            folder = run_dir / f"stage-{number}"
            check_continuation(folder, budget, resume, _identity(stages[number - 1], folder))
            before = stages[number - 1].start.stage
            if before is not None and before not in chosen:
                _best_file(run_dir, before)  # raises before images are loaded
        store = self.material(config, load_images(data, limit))
        training, _ = store.split()
        tell(f"{len(store)} images, {len(training)} of them for training; run folder {run_dir}")
        _keep_config(run_dir / "config.yaml", config)
        results = []
        for number, budget in zip(chosen, budgets, strict=True):
            one, folder = stages[number - 1], run_dir / f"stage-{number}"
            weights = None if one.start.stage is None else best_weights(run_dir, one.start.stage).part("ema")
            tell(f"stage {number}: {one.title}")
            _keep_origin(one, folder)
            results.append(run(one.make(training, weights), store, budget, folder, resume, _identity(one, folder)))
        return results

    def export(self, config_file: Path, run_dir: Path, folder: Path, overrides: Sequence[str] = ()) -> list[Path]:
        """Release the best weights of every stage that has a name and was trained; returns the files.

        Raises:
            UserError: there is nothing to release, or the run is of another configuration; nothing is written.
        """
        stages = self.stages(read_config(config_file, overrides))
        _check_run(stages, run_dir)
        written = []
        for number, stage in enumerate(stages, 1):
            if stage.release is not None and (run_dir / f"stage-{number}" / BEST).exists():
                card = dict(stage.card or {}) | training_record(stages, number, run_dir)
                _make_room(folder / f"{stage.release}.safetensors")
                written.append(release(folder, stage.release, best_weights(run_dir, number).part("ema"), card))
        if not written:
            raise UserError(f"'{run_dir}' holds no validated stage that is released; train first")
        for weights in written:
            card = json.loads(weights.with_suffix(".json").read_text())
            _add_cost(weights, card, *self.runs_as(weights, card))
        return written


def _make_room(weights: Path) -> None:
    """Rename weights and a card of the user; those of an earlier export, as the card's hash proves, are replaced."""
    card = weights.with_suffix(".json")
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(card.read_text())["sha256"] == file_sha256(weights):
            return
    for path in (weights, card):
        if os.path.lexists(path):
            tell(f"'{path}' is not as an export wrote it; it is kept as '{set_aside(path).name}'")


def _add_cost(weights: Path, card: Mapping[str, Any], spec: str, cbr: Fraction) -> None:
    """Measure what exported weights cost to run, and write it into their card; times are the machine's and left out."""
    from simulator.cost import measure_cost  # loads the channels' library

    try:
        found = measure_cost(cast("Scheme", load_scheme(spec)), cbr).record()
    except UserError as error:
        return tell(f"no cost in the card of '{weights.stem}': {error}")
    kept = {key: round(value, 1) for key, value in found.items() if key != "scheme" and "seconds" not in key}
    write_file(weights.with_suffix(".json"), json_text({**card, "cost": kept}).encode(), "choose another folder")


def training_record(stages: Sequence[Stage], number: int, run_dir: Path) -> dict[str, Any]:
    """What a model card says of the training: data, budget and figures, with the stages that led there."""
    history: list[dict[str, Any]] = []
    step: int | None = number
    while step is not None:
        record = load_record(run_dir / f"stage-{step}" / CHECKPOINT)
        options = {key: value for key, value in record["config"].items() if not key.endswith("_every_s")}
        history.insert(0, {"stage": stages[step - 1].title, **_figures(record), "loop": options})
        if (origin := run_dir / f"stage-{step}" / ORIGIN).exists():
            history = json.loads(origin.read_text())["training"] + history
        step = stages[step - 1].start.stage
    best = load_record(run_dir / f"stage-{number}" / BEST)
    return {
        "data": {"images": best["training_images"], "sha256": best["data"], "held_out": "1 in 64 by hash"},
        "hours": round(sum(entry["hours"] for entry in history), 3),
        "hardware": best["hardware"],
        "validation": best["best"],
        "measure": best["measure"],
        "training": history,
    }


def _check_run(stages: Sequence[Stage], run_dir: Path) -> None:
    """Check a whole run folder against the configuration: a card describes a stage and all earlier ones.

    Raises:
        UserError: a stage was trained as something else.
    """
    for number, stage in enumerate(stages, 1):
        folder = run_dir / f"stage-{number}"
        for path in (folder / CHECKPOINT, folder / BEST):
            if path.exists():
                check_record(path, load_record(path), _identity(stage, folder))


def _identity(stage: Stage, folder: Path) -> Identity:
    """The stage's identity when it began: by now, the name of its start may be that of weights trained further."""
    if stage.start.card is None or not (folder / CHECKPOINT).exists() or not (folder / ORIGIN).exists():
        return stage.identity
    kept = json.loads((folder / ORIGIN).read_text())
    before, since = (card.get("training", []) for card in (kept, stage.start.card))
    if len(since) <= len(before) or since[: len(before)] != before:
        return stage.identity
    return replace(stage.identity, options={**stage.identity.options, "start_weights": kept["sha256"]})


def _keep_config(path: Path, config: Mapping[str, Any]) -> None:
    """Write what is trained; a file of the user that says the same stays, and one that says otherwise is renamed."""
    with suppress(OSError, ValueError, yaml.YAMLError):
        if yaml.safe_load(path.read_text()) == config:
            return
    if path.exists() and not any(path.parent.glob("stage-*")):
        tell(f"'{path}' does not belong to a training; it is kept as '{set_aside(path).name}'")
    write_file(path, yaml.safe_dump(config, sort_keys=False).encode(), "choose another --out")


def _keep_origin(stage: Stage, folder: Path) -> None:
    """Keep the card of the weights that a stage starts from: a release of the same name will replace it."""
    if (folder / CHECKPOINT).exists():
        return  # the card of its start is kept already, and the file may have changed since
    if stage.start.card is None:
        (folder / ORIGIN).unlink(missing_ok=True)
    else:
        write_file(folder / ORIGIN, json.dumps(stage.start.card).encode(), "choose another --out")


def _figures(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "training_images": record["training_images"],
        "steps": record["step"],
        "skipped": record["skipped"],
        "images": record["images"],
        "hours": round(record["elapsed_s"] / 3600, 3),
    }


def best_weights(run_dir: Path, number: int) -> Checkpoint:
    """The best EMA weights of a stage.

    Raises:
        UserError: it has not been trained.
    """
    return load_checkpoint(_best_file(run_dir, number))


def _best_file(run_dir: Path, number: int) -> Path:
    path = run_dir / f"stage-{number}" / BEST
    if not path.exists():
        raise UserError(f"stage {number} has not been trained in '{run_dir}'; run it first (--stage {number})")
    return path


def tell(message: str) -> None:
    """Print a line, once however many processes train."""
    if os.environ.get("RANK", "0") == "0":
        print(message, flush=True)
