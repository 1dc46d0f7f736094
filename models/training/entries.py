"""The sections of a training's YAML file that all systems share: its system, and each stage's budget and start."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from simulator.errors import UserError
from simulator.models.pretrained import Weights, find_weights
from simulator.models.training.learner import LoopConfig
from simulator.spec.configuration import build, check_keys, read_configuration


@dataclass(frozen=True)
class Start:
    """What a stage starts from.

    Attributes:
        said: number of an earlier stage, counted from 1, or the name of released weights; None is from nothing.
        weights, card: the released weights, if it names some, and their model card.
    """

    said: int | str | None = None
    weights: Weights | None = None
    card: Mapping[str, Any] | None = None

    @property
    def stage(self) -> int | None:
        """The number of the earlier stage, if it is one."""
        return self.said if isinstance(self.said, int) else None

    @property
    def identity(self) -> dict[str, Any]:
        """Its part of what makes two runs differ."""
        return {"start": self.said, "start_weights": self.card and self.card["sha256"]}


def read_config(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a training's YAML file, as `simulator.spec.configuration.read_configuration` does.

    Raises:
        UserError: what that says, or a file without stages.
    """
    config = read_configuration(path, overrides)
    if not isinstance(config.get("stages"), list) or not all(isinstance(one, dict) for one in config["stages"]):
        raise UserError(f"'{path}' needs a 'stages' list of mappings, one per training stage")
    return config


def check_system(config: Mapping[str, Any], system: str, keys: Sequence[str], named: bool = False) -> None:
    """Refuse a configuration of another system, or one with unknown keys.

    Args:
        config: as `read_config` returns it.
        system: what it must be for.
        keys: those of this system, in addition to `system`, `loop` and `stages`.
        named: whether it must have a `name`.

    Raises:
        UserError: it names an unknown key, or what is missing.
    """
    check_keys(config, ("system", *["name"] * named, *keys, "loop", "stages"), "the configuration")
    if config.get("system") != system or not config.get("stages") or (named and not config.get("name")):
        needed = ", 'name' and 'stages'" if named else " and 'stages'"
        raise UserError(f"this configuration is not for {system}: it needs 'system: {system}'{needed}")
    if named:
        _check_weights_name(config["name"], "'name'")


def stage_loop(config: Mapping[str, Any], stage: Mapping[str, Any]) -> LoopConfig:
    """The loop options of a stage: the file's `loop` section, overridden by the stage's own."""
    sections = [section.get("loop") or {} for section in (config, stage)]
    for section in sections:
        check_keys(section, [f.name for f in fields(LoopConfig)], "'loop'")
    return build(LoopConfig, sections[0] | sections[1], "'loop'")


def stage_release(stage: Mapping[str, Any], number: int) -> str | None:
    """The name under which the weights of stage `number` are released, or None; raises UserError if it is no name."""
    if (name := stage.get("release")) is not None:
        _check_weights_name(name, f"'release' of stage {number}")
    return name


def _check_weights_name(name: Any, what: str) -> None:
    if not isinstance(name, str) or name in ("", "..") or name != Path(name).name:
        raise UserError(f"{what} must be a name for files of weights, without folders, not {name!r}")


def share_minutes(loops: Sequence[LoopConfig], minutes: float) -> list[LoopConfig]:
    """Spread a wall-clock budget over stages, in proportion to their minutes or steps (equally if these are mixed)."""
    if not minutes > 0:
        raise UserError(f"--minutes {minutes} must be positive")
    for own in ([loop.minutes for loop in loops], [loop.steps for loop in loops], [1] * len(loops)):
        weights = [float(value) for value in own if value is not None]
        if len(weights) == len(loops):
            break
    return [
        replace(loop, minutes=minutes * weight / sum(weights), steps=None)
        for loop, weight in zip(loops, weights, strict=True)
    ]


def stage_start(
    stage: Mapping[str, Any], number: int, system: str, find: Callable[[str, str], Weights] = find_weights
) -> Start:
    """What stage `number` starts from.

    Args:
        stage: its section of the file.
        number: from 1.
        system: of released weights.
        find: finds released weights, given their name and the system.

    Raises:
        UserError: there is no such stage before it, or no such weights.
    """
    start = stage.get("start")
    if isinstance(start, str):
        weights = find(start, system)
        return Start(start, weights, weights.card())
    if start is None or (type(start) is int and 1 <= start < number):  # `true` is an int, too
        return Start(start)
    raise UserError(f"'start' of stage {number} must be an earlier stage or the name of released weights, not {start}")
