"""Experiments: the sweep that one YAML file describes, and the outputs made from its rows (experiments/README.md)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simulator.analysis.drawings import Choice
from simulator.errors import UserError
from simulator.experiments.format import WORDS, ExperimentFile, FigureEntry
from simulator.experiments.names import SUFFIX, experiment_names
from simulator.spec.configuration import read_configuration, read_section
from simulator.sweep.inputs import SweepConfig


@dataclass(frozen=True)
class Experiment:
    """One file, read and checked; schemes, channels and images are looked up only when it runs.

    Attributes:
        name: of the file, and of the folder of its results.
        title: one line for people.
        grid: what to sweep.
        labels: by scheme specification, what figures call it.
        figures: what each figure shows; its panels are the columns `y`.
        special: figures that are no curves, by their words in the format.
        corners: (left, top) of the crop, by image.
        references: schemes that all others are compared with.
    """

    name: str
    title: str
    grid: SweepConfig
    labels: dict[str, str] = field(default_factory=dict)
    figures: tuple[Choice, ...] = ()
    special: tuple[str, ...] = ()
    corners: dict[str, tuple[int, int]] = field(default_factory=dict)
    references: tuple[str, ...] = ()

    def naming(self, names: Mapping[str, str]) -> "Experiment":
        """The same with the names of schemes, as results have them, in place of these specifications."""
        return replace(
            self,
            labels={names.get(spec, spec): label for spec, label in self.labels.items()},
            figures=tuple(replace(one, schemes=tuple(names.get(s, s) for s in one.schemes)) for one in self.figures),
            references=tuple(names.get(spec, spec) for spec in self.references),
        )


def choose_experiments(names: Sequence[str]) -> list[Experiment]:
    """Read the requested experiments, each once; `all` means those that ship.

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
    where = f"'{path}'"
    file = read_section(ExperimentFile, read_configuration(path), where)
    for spec, count in Counter(one.scheme for one in file.schemes).items():
        if count > 1:
            raise UserError(f"'schemes' in {where} has '{spec}' {count} times; name it once")
    grid = _grid(file)
    figures = tuple(_figure(one, file.x) for one in file.figures if isinstance(one, FigureEntry))
    if unknown := {scheme for one in figures for scheme in one.schemes} - set(grid.schemes):
        raise UserError(f"'figures' in {where} has scheme '{min(unknown)}'; it must be among its schemes")
    for reference in file.reference:
        _check_reference(reference, grid, where)
    return Experiment(
        name=path.stem,
        title=file.title,
        grid=grid,
        labels={one.scheme: one.label for one in file.schemes if one.label is not None},
        figures=figures,
        special=tuple(word for word in WORDS if word in file.figures),
        corners=file.crops,
        references=file.reference,
    )


def _check_reference(reference: str, grid: SweepConfig, where: str) -> None:
    """Refuse a comparison that cannot be made before the sweep, not after it."""
    if reference not in grid.schemes:
        raise UserError(f"'reference' in {where} is '{reference}'; it must be among its schemes")
    own = set(grid.snrs_of(reference))
    if all(own.isdisjoint(grid.snrs_of(scheme)) for scheme in grid.schemes if scheme != reference):
        raise UserError(f"'reference' in {where} is '{reference}', but no other scheme shares an SNR with it; add one")


def _grid(file: ExperimentFile) -> SweepConfig:
    same = ("channels", "images", "only", "crop", "realisations", "seed", "lpips", "metrics", "keep_images")
    return SweepConfig(
        snrs_db=file.snr,
        cbrs=tuple(sorted({one.cbr for one in file.cbr})),
        cbr_snrs_db={one.cbr: one.snr for one in file.cbr if one.snr is not None},
        schemes=tuple(one.scheme for one in file.schemes),
        own_snrs_db={one.scheme: one.snr for one in file.schemes if one.snr is not None},
        **{key: getattr(file, key) for key in same},
    )


def _figure(entry: FigureEntry, x: str) -> Choice:
    cbrs = tuple(float(one.cbr) for one in entry.cbr)
    return Choice(entry.x or x, entry.y, entry.schemes, snrs_db=entry.snr, cbrs=cbrs, by=entry.by, along=entry.along)


def scaled_down(experiment: Experiment, images: str | None, limit: int | None) -> Experiment:
    """The same experiment on other images, on the first few of them only, or both."""
    grid = replace(experiment.grid, limit=limit)
    if images is not None:
        grid = replace(grid, images=images, only=())
    return replace(experiment, grid=grid)
