"""Experiments: what one YAML file asks a sweep for, and what shall be made of its rows (experiments/README.md)."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from simulator.analysis.curves import ROLES
from simulator.analysis.drawings import Choice
from simulator.analysis.statistics import METRICS
from simulator.analysis.words import BACKBONES
from simulator.errors import UserError
from simulator.results.gallery import KEEP
from simulator.spec.configuration import check_keys, read_configuration
from simulator.spec.grids import parse_cbr, parse_snrs
from simulator.sweep.inputs import SweepConfig

T = TypeVar("T")

SUFFIX = ".yaml"
PICTURES = "pictures"
CROPS = "crops"
_GRID = (
    *("images", "only", "crop", "schemes", "channels", "snr", "cbr", "realisations", "seed"),
    *("lpips", "metrics", "keep_images"),
)
_OUTPUTS = ("title", "x", "figures", "crops", "reference")
_SCHEME = ("scheme", "label", "snr")
_FIGURE = ("x", "y", "along", "by", "schemes", "snr", "cbr")


@dataclass(frozen=True)
class Experiment:
    """One file, read and checked; schemes, channels and images are looked up only when it runs.

    Attributes:
        name: of the file, and of the folder of its results.
        title: one line for people.
        grid: what to sweep.
        labels: by scheme specification, what figures call it.
        figures: what each figure shows; its panels are the columns `y`.
        pictures: whether to draw the grid of pictures.
        crops: whether to draw enlarged crops.
        corners: (left, top) of the crop, by image.
        reference: scheme that the others are compared with.
    """

    name: str
    title: str
    grid: SweepConfig
    labels: dict[str, str] = field(default_factory=dict)
    figures: tuple[Choice, ...] = ()
    pictures: bool = False
    crops: bool = False
    corners: dict[str, tuple[int, int]] = field(default_factory=dict)
    reference: str | None = None


def experiment_names() -> list[str]:
    """Names of the experiments that ship, in the order in which `all` runs them."""
    names = (path.name for path in (files("simulator.experiments") / "shipped").iterdir())
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def choose_experiments(names: Sequence[str]) -> list[Experiment]:
    """Read the experiments asked for, each once; `all` stands for those that ship.

    Raises:
        UserError: what `read_experiment` raises, or two files of one name, which would share a folder.
    """
    wanted = dict.fromkeys(one for name in names for one in (experiment_names() if name == "all" else [name]))
    chosen = [read_experiment(name) for name in wanted]
    for name, count in Counter(one.name for one in chosen).items():
        if count > 1:
            raise UserError(f"two experiments are called '{name}', and each needs its own folder; rename one file")
    return chosen


def read_experiment(name: str) -> Experiment:
    """Read an experiment by its name among those that ship, or a YAML file by its path.

    Raises:
        UserError: no such experiment, or a key or value that the format does not have.
    """
    if not name.endswith(SUFFIX) and name not in experiment_names():
        raise UserError(f"no experiment '{name}'; known: {', '.join(experiment_names())}, all, or a path to FILE.yaml")
    path = Path(name if name.endswith(SUFFIX) else f"experiments/{name}.yaml")
    config = read_configuration(path)
    where = f"'{path}'"
    check_keys(config, (*_OUTPUTS, *_GRID), where)
    for key in ("title", "schemes", "snr"):
        if key not in config:
            raise UserError(f"{where} needs '{key}'; experiments/README.md describes the format")
    schemes = [_scheme(one, where) for one in _list(config["schemes"], f"'schemes' in {where}")]
    for spec, count in Counter(one["scheme"] for one in schemes).items():
        if count > 1:
            raise UserError(f"'schemes' in {where} has '{spec}' {count} times; name it once")
    drawn = _list(config.get("figures", []), f"'figures' in {where}", empty=True)
    x = _choice(config.get("x", "snr"), ("snr", "cbr"), f"'x' in {where}")
    grid, reference = _grid(config, schemes, where), config.get("reference")
    figures = tuple(_figure(one, x, f"'figures' in {where}") for one in drawn if one not in (PICTURES, CROPS))
    if unknown := {scheme for one in figures for scheme in one.schemes} - set(grid.schemes):
        raise UserError(f"'figures' in {where} has scheme '{min(unknown)}'; it must be among its schemes")
    if reference is not None:
        _check_reference(reference, grid, where)
    return Experiment(
        name=path.stem,
        title=_text(config["title"], f"'title' in {where}"),
        grid=grid,
        labels={one["scheme"]: _text(one["label"], f"'label' in {where}") for one in schemes if "label" in one},
        figures=figures,
        pictures=PICTURES in drawn,
        crops=CROPS in drawn,
        corners=_corners(config.get("crops", {}), f"'crops' in {where}"),
        reference=reference,
    )


def _check_reference(reference: Any, grid: SweepConfig, where: str) -> None:
    """A comparison that cannot be made is refused before the sweep, not after it."""
    if reference not in grid.schemes:
        raise UserError(f"'reference' in {where} is '{reference}'; it must be among its schemes")
    own = set(grid.snrs_of(reference))
    if all(own.isdisjoint(grid.snrs_of(scheme)) for scheme in grid.schemes if scheme != reference):
        raise UserError(f"'reference' in {where} is '{reference}', but no other scheme shares an SNR with it; add one")


def _grid(config: dict[str, Any], schemes: list[dict[str, Any]], where: str) -> SweepConfig:
    def texts(key: str, default: list[str]) -> tuple[str, ...]:
        return tuple(
            _text(one, f"'{key}' in {where}") for one in _list(config.get(key, default), f"'{key}' in {where}")
        )

    def whole(key: str, minimum: int) -> int:
        return _whole(config.get(key, minimum), minimum, f"'{key}' in {where}")

    cbrs = _cbrs(config.get("cbr", ["1/16"]), where)
    return SweepConfig(
        snrs_db=_snrs(config["snr"], f"'snr' in {where}"),
        cbrs=tuple(sorted(cbrs)),
        cbr_snrs_db={cbr: snrs for cbr, snrs in cbrs.items() if snrs is not None},
        schemes=tuple(one["scheme"] for one in schemes),
        channels=texts("channels", ["awgn"]),
        own_snrs_db={one["scheme"]: _snrs(one["snr"], f"'snr' in {where}") for one in schemes if "snr" in one},
        images=_text(config.get("images", "kodak"), f"'images' in {where}"),
        crop=whole("crop", 16) if "crop" in config else None,
        only=texts("only", []) if "only" in config else (),
        realisations=whole("realisations", 1),
        seed=whole("seed", 0),
        lpips=_choice(config.get("lpips", "alex"), (*BACKBONES, "none"), f"'lpips' in {where}"),
        metrics=texts("metrics", []) if "metrics" in config else (),
        keep_images=_choice(config.get("keep_images", "none"), KEEP, f"'keep_images' in {where}"),
    )


def scaled_down(experiment: Experiment, images: str | None, limit: int | None) -> Experiment:
    """The same experiment on other images, on the first few of them only, or both."""
    grid = replace(experiment.grid, limit=limit)
    if images is not None:
        grid = replace(grid, images=images, only=())
    return replace(experiment, grid=grid)


def _scheme(entry: Any, where: str) -> dict[str, Any]:
    """A scheme is its specification, or a mapping that says more about it."""
    if isinstance(entry, str):
        return {"scheme": entry}
    check_keys(entry, _SCHEME, f"a scheme in {where}")
    if not isinstance(entry.get("scheme"), str):
        raise UserError(f"a scheme in {where} lacks its name; write {{scheme: lrisc, label: LRISC}}")
    return entry


def _cbrs(value: Any, where: str) -> dict[Fraction, tuple[float, ...] | None]:
    """Bandwidth ratios, each with SNRs of its own or None: an entry is a ratio, or a mapping that says both."""
    found: dict[Fraction, tuple[float, ...] | None] = {}
    for entry in _list(value, f"'cbr' in {where}"):
        own = entry if isinstance(entry, dict) else {"cbr": entry}
        check_keys(own, ("cbr", "snr"), f"a CBR in {where}")
        cbr = _explained(parse_cbr, _text(own.get("cbr"), f"'cbr' in {where}"), f"'cbr' in {where}")
        found[cbr] = _snrs(own["snr"], f"'snr' of a CBR in {where}") if "snr" in own else None
    return found


def _snrs(value: Any, where: str) -> tuple[float, ...]:
    # YAML 1.1 reads an unquoted 5:15 as a number to the base of 60.
    if isinstance(value, int | float):
        raise UserError(
            f'{where} is the number {value}; write a list such as [0, 5, 10], or a range in quotes, "0:15:5"'
        )
    text = value if isinstance(value, str) else ",".join(str(one) for one in _list(value, where))
    return _explained(parse_snrs, text, where)


def _explained(parse: Callable[[str], T], text: str, where: str) -> T:
    try:
        return parse(text)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _figure(entry: Any, x: str, where: str) -> Choice:
    """A list of columns side by side, or a mapping that also says against what, where and along what."""
    own = entry if isinstance(entry, dict) else {"y": entry}
    check_keys(own, _FIGURE, f"an entry of {where}")
    by = own.get("by", {})
    if not isinstance(by, dict):
        raise UserError(f"'by' of an entry of {where} is {by!r}; write a mapping such as {{snr: panels}}")
    return Choice(
        x=_column(own.get("x", x), where),
        y=tuple(_column(one, where) for one in _list(own.get("y"), f"an entry of {where}")),
        schemes=tuple(_text(one, where) for one in own.get("schemes", [])),
        snrs_db=_snrs(own["snr"], f"'snr' of {where}") if "snr" in own else (),
        cbrs=tuple(float(cbr) for cbr in _cbrs(own["cbr"], where)) if "cbr" in own else (),
        by={_text(key, where): _choice(role, ROLES, f"'by' of {where}") for key, role in by.items()},
        along=_text(own["along"], where) if "along" in own else None,
    )


def _column(value: Any, where: str) -> str:
    """The name of a column; which further metrics there are is known when the experiment runs."""
    if not isinstance(value, str) or not re.fullmatch("[a-z][a-z0-9_]*", value):
        raise UserError(f"an entry of {where} is {value!r}; known: {', '.join(METRICS)}, and columns of 'metrics'")
    return value


def _corners(value: Any, where: str) -> dict[str, tuple[int, int]]:
    if not isinstance(value, dict):
        raise UserError(f"{where} must map images to corners, such as {{kodim05: [300, 200]}}")
    found = {}
    for image, corner in value.items():
        pair = _list(corner, f"'{image}' of {where}")
        if len(pair) != 2:
            raise UserError(f"'{image}' of {where} has {len(pair)} numbers; write [left, top] in pixels")
        left, top = (_whole(one, 0, f"a corner of {where}") for one in pair)
        found[str(image)] = (left, top)
    return found


def _list(value: Any, where: str, empty: bool = False) -> Sequence[Any]:
    if not isinstance(value, list) or not (value or empty):
        raise UserError(f"{where} must be a list, such as [first, second]")
    return value


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{where} is {value!r}; it must be text, in quotes where it looks like a number")
    return value


def _whole(value: Any, minimum: int, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise UserError(f"{where} is {value!r}; it must be a whole number of at least {minimum}")
    return value


def _choice(value: Any, choices: Sequence[str], where: str) -> str:
    if value not in choices:
        raise UserError(f"{where} is {value!r}; known: {', '.join(choices)}")
    return value
