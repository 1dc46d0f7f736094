"""The grid: plan -> run -> store.

The plan is a list of rows, each with a key that hashes all that determines it; what the store already has is not
computed again. So a killed sweep goes on where it was, a changed configuration never meets old rows, and a larger
grid reuses a smaller one.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from simulator.channels import Channel, load_channel
from simulator.errors import UserError
from simulator.executors import Executor, InProcess, LocalProcesses
from simulator.images import NamedImage, group_by_size, load_image_set
from simulator.link import Bound, Scheme, check_supported, load_scheme
from simulator.metrics import MS_SSIM_MIN_SIDE, LpipsNet, LpipsUnavailable
from simulator.plots import draw, remove_figures
from simulator.plugins import plugin_names
from simulator.provenance import environment
from simulator.statistics import summarise
from simulator.store import ROW_FORMAT, Results, Store, check_folder, explained
from simulator.tables import summary_csv, write_json, write_text
from simulator.trials import Task, Worker, check_device, on_device

Named = TypeVar("Named", Channel, Scheme | Bound)

BUILT_IN = ("bpg-ldpc", "deepjscc", "lrisc", "bpg-capacity")
MAX_ROWS = 5_000_000
SUMMARY = "summary.csv"
PROVENANCE = "provenance.json"
FIGURES = "figures"


@dataclass(frozen=True)
class SweepConfig:
    """What to simulate. `workers` and `batch` change the time it takes, never a result.

    Attributes:
        snrs_db, cbrs, schemes, channels: the axes of the grid; no schemes means every built-in one that is there.
        own_snrs_db: by scheme, SNRs in place of `snrs_db`: finer ones around a cliff, say.
        images, crop: image set and side of the centre crop, as `simulator.images.load_image_set` takes them.
        only: names of the images to take; none means all.
        limit: take no more images than this.
        realisations: channel draws per image.
        seed: seed of all channel draws.
        device: where learned schemes run.
        lpips: backbone of LPIPS, or "none".
        workers: processes.
        batch: images per unit of work, and per call of a scheme that runs on an accelerator.
    """

    snrs_db: tuple[float, ...]
    cbrs: tuple[Fraction, ...] = (Fraction(1, 16),)
    schemes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("awgn",)
    own_snrs_db: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    images: str = "samples"
    crop: int | None = None
    only: tuple[str, ...] = ()
    limit: int | None = None
    realisations: int = 1
    seed: int = 0
    device: str = "cpu"
    lpips: str = "alex"
    workers: int = 1
    batch: int = 1

    def snrs_of(self, scheme: str) -> tuple[float, ...]:
        """The SNRs in dB at which a scheme is sent."""
        return self.own_snrs_db.get(scheme, self.snrs_db)

    def record(self) -> dict[str, Any]:
        """The configuration, JSON-serialisable."""
        return asdict(self) | {"cbrs": [str(cbr) for cbr in self.cbrs]}


@dataclass(frozen=True)
class Inputs:
    """What a configuration names, loaded and checked.

    Attributes:
        schemes, channels: by specification, which may differ from the name that results bear.
        images: in the order of the set.
        lpips: backbone, or "none".
        lpips_fingerprint: digest of its weights.
    """

    schemes: dict[str, Scheme | Bound]
    channels: dict[str, Channel]
    images: list[NamedImage]
    lpips: str
    lpips_fingerprint: str


@dataclass(frozen=True)
class PlannedRow:
    """Identity of one row: where on the grid it stands, and its key."""

    scheme: str
    channel: str
    cbr: Fraction
    snr_db: float
    image: NamedImage
    realisation: int
    key: str


@dataclass(frozen=True)
class Outputs:
    """What is made of a sweep's rows.

    Attributes:
        remove: deletes from a folder what belongs to rows that are about to change.
        write: writes into the results' folder what shall be read and looked at.
    """

    remove: Callable[[Path], None]
    write: Callable[[Results], None]


def _remove_summary_and_figures(folder: Path) -> None:
    (folder / SUMMARY).unlink(missing_ok=True)
    remove_figures(folder / FIGURES)


def _write_summary_and_figures(results: Results) -> None:
    write_text(results.folder / SUMMARY, summary_csv(summarise(results.rows)))
    draw([results], results.folder / FIGURES)


SUMMARY_AND_FIGURES = Outputs(_remove_summary_and_figures, _write_summary_and_figures)


def run_sweep(
    config: SweepConfig,
    folder: Path,
    fresh: bool = False,
    notify: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    outputs: Outputs = SUMMARY_AND_FIGURES,
) -> Results:
    """Run what is missing of a sweep and write summary, figures and provenance into `folder`.

    Args:
        config: what to simulate.
        folder: results folder; made when missing, resumed when not.
        fresh: forget earlier rows.
        notify: is told in one line what the user should know (a scheme or a metric left out).
        progress: is told (rows done, rows planned) at the start and whenever rows were stored.
        outputs: what is made of the rows.

    Raises:
        UserError: bad configuration, unusable folder, full disk, dead worker; finished rows are kept.
    """
    check_folder(folder)
    inputs = load_inputs(config, notify)
    planned = plan(config, inputs)
    with Store(folder, fresh) as store:
        store.set_plan([row.key for row in planned], _meta(config, inputs))
        finished = store.finished()
        missing = [row for row in planned if row.key not in finished]
        done = len(planned) - len(missing)
        if done:
            notify(f"{done} of {len(planned)} rows are there already")
        progress(done, len(planned))
        if missing:
            _note_small_images(inputs.images, notify)
            with explained(folder):
                outputs.remove(folder)  # never beside rows that they do not show
                write_json(folder / PROVENANCE, _meta(config, inputs) | environment())
        executor = choose_executor(config, len(missing))
        make_worker = partial(Worker, config.device, inputs.lpips)
        with closing(executor.run(make_worker, tasks(config, inputs, missing))) as arriving:
            for rows in arriving:
                store.add(rows)
                done += len(rows)
                progress(done, len(planned))
        results = store.results()
        with explained(folder):
            outputs.write(results)
    return results


def choose_executor(config: SweepConfig, num_rows: int) -> Executor:
    """Processes when they can help, this process when they cannot."""
    return LocalProcesses(config.workers) if min(config.workers, num_rows) > 1 else InProcess()


def load_inputs(config: SweepConfig, notify: Callable[[str], None]) -> Inputs:
    """Load and check everything that a configuration names, before any work is done.

    Raises:
        UserError: unknown scheme, channel or image set, a device that is not there, a CBR that a scheme lacks.
    """
    check_device(config.device)
    channels = _unique({spec: load_channel(spec) for spec in config.channels})
    images = choose_images(config)
    schemes = _unique(_load_schemes(config, notify))
    return Inputs(schemes, channels, images, *_find_lpips(config.lpips, notify))


def choose_images(config: SweepConfig) -> list[NamedImage]:
    """The images of the set that a configuration asks for, in the order of the set.

    Raises:
        UserError: no such set, or no such image in it.
    """
    images = load_image_set(config.images, config.crop)
    if missing := sorted(set(config.only) - {image.name for image in images}):
        there = ", ".join(image.name for image in images[:30])
        raise UserError(f"image set '{config.images}' has no image '{missing[0]}'; it has: {there}")
    return [image for image in images if not config.only or image.name in config.only][: config.limit]


def _unique(loaded: dict[str, Named]) -> dict[str, Named]:
    """Of several specifications that mean the same, the first."""
    first: dict[str, tuple[str, Named]] = {}
    for spec, one in loaded.items():
        first.setdefault(one.name, (spec, one))
    return dict(first.values())


def _load_schemes(config: SweepConfig, notify: Callable[[str], None]) -> dict[str, Scheme | Bound]:
    """The schemes asked for, else the built-in ones that are installed, have their weights and support every CBR."""
    if config.schemes:
        return {spec: _load(spec, config) for spec in config.schemes}
    schemes = {}
    for name in BUILT_IN:
        if name in plugin_names("simulator.schemes"):
            try:
                schemes[name] = _load(name, config)
            except (UserError, ImportError) as error:
                notify(f"left out {name}: {error}")
    if not schemes:
        raise UserError("no built-in scheme can run this; name one with --scheme, or install the package again")
    return schemes


def _load(spec: str, config: SweepConfig) -> Scheme | Bound:
    scheme = on_device(load_scheme(spec), config.device)
    for cbr in config.cbrs:
        check_supported(scheme, cbr)
    return scheme


def _note_small_images(images: list[NamedImage], notify: Callable[[str], None]) -> None:
    small = sum(min(image.size) < MS_SSIM_MIN_SIDE for image in images)
    if small:
        notify(f"no MS-SSIM for {small} of {len(images)} images: it needs sides of at least {MS_SSIM_MIN_SIDE} pixels")


def _find_lpips(name: str, notify: Callable[[str], None]) -> tuple[str, str]:
    """Backbone and fingerprint; ("none", "none") with a note when it cannot be had."""
    if name == "none":
        return ("none", "none")
    try:
        return (name, LpipsNet(name).fingerprint)
    except LpipsUnavailable as error:
        notify(f"the LPIPS column stays empty: {error}")
        return ("none", "none")


def plan(config: SweepConfig, inputs: Inputs) -> list[PlannedRow]:
    """Every row of the grid, in the order in which results are reported.

    Raises:
        UserError: there are more than `MAX_ROWS`.
    """
    snrs = sum(len(config.snrs_of(spec)) for spec in inputs.schemes)
    points = snrs * len(inputs.channels) * len(config.cbrs)
    if (rows := points * len(inputs.images) * config.realisations) > MAX_ROWS:
        raise UserError(f"this grid has {rows} rows and at most {MAX_ROWS} fit; take fewer points or realisations")
    fingerprints = {spec: _identity(scheme, config.device) for spec, scheme in inputs.schemes.items()}
    return [
        PlannedRow(spec, channel_spec, cbr, snr_db, image, realisation, key)
        for spec, scheme in inputs.schemes.items()
        for channel_spec, channel in inputs.channels.items()
        for cbr in config.cbrs
        for snr_db in config.snrs_of(spec)
        for image in inputs.images
        for realisation in range(config.realisations)
        for key in [
            row_key(
                *(ROW_FORMAT, scheme.name, fingerprints[spec], channel.name, snr_db, cbr, image.name, image.digest),
                *(realisation, config.seed, inputs.lpips, inputs.lpips_fingerprint),
            )
        ]
    ]


def row_key(*parts: object) -> str:
    """SHA-256 (hex) of all that determines a row."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()


def _identity(scheme: Scheme | Bound, device: str) -> str:
    """Fingerprint of a scheme; learned ones compute other last bits on another kind of device."""
    kind = device.partition(":")[0] if hasattr(scheme, "to") else "cpu"
    return f"{scheme.fingerprint()} {kind}"


def tasks(config: SweepConfig, inputs: Inputs, missing: Sequence[PlannedRow]) -> list[Task]:
    """Units of work: the missing rows of up to `batch` images of one size at one point of the grid.

    Tasks on the same images form a group: what one of them caches (an encode, say) serves the next.
    """
    batches = group_by_size(inputs.images, config.batch)
    batch_of = {image.name: index for index, batch in enumerate(batches) for image in batch}
    units: dict[tuple[int, str, str, Fraction, float, int], list[PlannedRow]] = {}
    for row in missing:
        unit = (batch_of[row.image.name], row.scheme, row.channel, row.cbr, row.snr_db, row.realisation)
        units.setdefault(unit, []).append(row)
    return [
        Task(*unit, config.seed, tuple(row.image for row in rows), tuple(row.key for row in rows))
        for unit, rows in units.items()
    ]


def _meta(config: SweepConfig, inputs: Inputs) -> dict[str, Any]:
    """What results need beside their rows, JSON-serialisable."""
    schemes = inputs.schemes.values()
    return {
        "config": config.record(),
        "schemes": {scheme.name: scheme.fingerprint() for scheme in schemes},
        "names": {spec: scheme.name for spec, scheme in inputs.schemes.items()},
        "bounds": [scheme.name for scheme in schemes if isinstance(scheme, Bound)],
        "lpips": {"net": inputs.lpips, "fingerprint": inputs.lpips_fingerprint},
        "images": [{"name": one.name, "size": list(one.size), "sha256": one.digest} for one in inputs.images],
    }
