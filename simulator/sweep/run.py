"""The grid: plan -> run -> store.

The plan is a list of rows, each with a key that hashes all that determines it; what the store already has is not
computed again. So a killed sweep goes on where it was, a changed configuration never meets old rows, and a larger
grid reuses a smaller one.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from simulator.analysis.plots import draw, remove_figures
from simulator.analysis.statistics import summarise
from simulator.analysis.tables import summary_csv, write_json, write_text
from simulator.channels import channel_identity
from simulator.devices import resolve_precision
from simulator.errors import UserError
from simulator.images import NamedImage, group_by_size
from simulator.link import Bound, Scheme
from simulator.metrics import MS_SSIM_MIN_SIDE
from simulator.results.gallery import Gallery, Keeper
from simulator.results.provenance import PROVENANCE, describes, environment, read_provenance, same_environment
from simulator.results.rows import ROW_FORMAT
from simulator.results.store import Results, Store, check_folder, explained
from simulator.sweep.executors import Executor, InProcess, LocalProcesses, RayCluster, cores
from simulator.sweep.inputs import Inputs, SweepConfig, load_inputs
from simulator.sweep.trials import Outcome, Task, Worker

MAX_ROWS = 5_000_000
SUMMARY = "summary.csv"
FIGURES = "figures"


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
        fresh: forget earlier rows, and their pictures.
        notify: is told in one line what the user should know (a scheme or a metric left out).
        progress: is told (rows done, rows planned) at the start and whenever rows were stored.
        outputs: what is made of the rows.

    Raises:
        UserError: bad configuration, unusable folder, full disk, dead worker; finished rows are kept.
    """
    check_folder(folder)
    # Here, once: the workers may be other kinds of machines.
    config = replace(config, precision=resolve_precision(config.precision, config.device))
    choose_executor(config, 1, notify)  # which is refused here, before any work
    inputs = load_inputs(config, notify)
    planned = plan(config, inputs)
    meta = _meta(config, inputs)
    with Store(folder, fresh) as store:
        store.set_plan([row.key for row in planned], meta)
        gallery = Gallery(folder)
        keeper = Keeper(gallery, config.keep_images)
        with explained(folder):
            if fresh:
                gallery.clear()
            if keeper.wanted:
                gallery.add_sources(inputs.images)
        finished = store.finished()
        without_picture = finished & _without_picture(store, keeper, config)  # faults are tried again anyway
        missing = [row for row in planned if row.key not in finished or row.key in without_picture]
        if finished:
            again = f", {len(without_picture)} of which are computed again for their pictures" * bool(without_picture)
            notify(f"{len(finished)} of {len(planned)} rows are there already{again}")
        progress(len(planned) - len(missing), len(planned))
        if missing:
            _note_small_images(inputs.images, notify)
        if missing or not describes(read_provenance(folder), meta):
            with explained(folder):
                outputs.remove(folder)  # never beside rows that they do not show
                _write_provenance(store, meta, {row.key for row in planned} - {row.key for row in missing}, notify)
        executor = choose_executor(config, len(missing), notify)
        make_worker = partial(Worker, config.device, inputs.lpips, config.precision, tuple(inputs.metrics))
        broken: set[str] = set()
        while missing:
            retried = executor.retried
            done = len(planned) - len(missing)
            try:
                with closing(executor.run(make_worker, tasks(config, inputs, missing))) as arriving:
                    for outcomes in arriving:
                        _write(outcomes, store, gallery, keeper)
                        _tell_faults(outcomes, broken, notify)
                        done += len(outcomes)
                        progress(done, len(planned))
            finally:
                if executor.retried > retried:
                    _record_retries(folder, executor.retried, notify)
            # Which realisation is the best may turn out only now, and it may be one of long ago.
            without_picture = _without_picture(store, keeper, config)
            missing = [row for row in planned if row.key in without_picture]
        results = store.results()
        if results.faults:
            broken_rows = f"{results.faults} of {len(results.rows)} rows are faults, scored as outages"
            notify(f"{broken_rows}; the same command tries them again")
        with explained(folder):
            outputs.write(results)
    return results


def _write_provenance(store: Store, meta: dict[str, Any], kept: set[str], notify: Callable[[str], None]) -> None:
    """Write what makes the plan's rows now, and where those that are kept come from, if from elsewhere."""
    now = environment()
    earlier = store.begin(now, read_provenance(store.folder), kept)
    write_json(store.folder / PROVENANCE, meta | now | {"retried_tasks": 0, "earlier": earlier})
    if others := sum(one["rows"] for one in earlier if not same_environment(one, now, but=("machine",))):
        notify(
            f"{others} of the rows were made by another commit or with other versions ({PROVENANCE} tells); "
            "--fresh makes them anew"
        )


def _without_picture(store: Store, keeper: Keeper, config: SweepConfig) -> set[str]:
    """Keys of the finished rows that should have a picture and have none."""
    return keeper.lacking(store.results().rows, config.realisations) if keeper.wanted else set()


def _write(outcomes: Sequence[Outcome], store: Store, gallery: Gallery, keeper: Keeper) -> None:
    """Write pictures, then their rows, then remove the pictures that better ones replace."""
    with explained(store.folder):
        replaced = [keeper.take(one.row, one.picture) for one in outcomes]
    store.add(one.row for one in outcomes)
    with explained(store.folder):
        for key in replaced:
            if key is not None:
                gallery.discard(key)


def _tell_faults(outcomes: Sequence[Outcome], broken: set[str], notify: Callable[[str], None]) -> None:
    """Tell the first fault of each scheme when it comes: who sees it may stop a sweep that is not worth its days."""
    for row in (one.row for one in outcomes):
        if row.fault is not None and row.scheme not in broken:
            broken.add(row.scheme)
            where = f"{row.channel}, {row.snr_db:g} dB, image {row.image}, realisation {row.realisation}"
            notify(
                f"'{row.scheme}' broke ({where}): {row.fault}; the sweep goes on, and `transmit` shows the traceback"
            )


def _record_retries(folder: Path, count: int, notify: Callable[[str], None]) -> None:
    notify(f"{count} units of work were begun again, as their workers died or hung")
    with explained(folder):
        provenance = json.loads((folder / PROVENANCE).read_text())
        write_json(folder / PROVENANCE, provenance | {"retried_tasks": count})


def choose_executor(config: SweepConfig, num_rows: int, notify: Callable[[str], None]) -> Executor:
    """A Ray cluster when it is asked for; else processes when they can help, this process when they cannot.

    Raises:
        UserError: Ray is not installed, or a share of a GPU has nobody to share it out.
    """
    kind, _, address = config.executor.partition(":")
    if kind == "ray":
        gpus = float(config.device.startswith("cuda")) if config.gpus_per_task is None else config.gpus_per_task
        return RayCluster(config.workers, address or None, gpus, config.timeout_s, notify)
    if config.gpus_per_task is not None:
        raise UserError("--gpus-per-task shares out the GPUs of a Ray cluster; use it with --executor ray")
    workers = min(config.workers or cores(), num_rows)
    if workers > 1 or config.timeout_s is not None:  # only a process can be ended
        return LocalProcesses(workers, config.timeout_s, notify)
    return InProcess()


def _note_small_images(images: list[NamedImage], notify: Callable[[str], None]) -> None:
    small = sum(min(image.size) < MS_SSIM_MIN_SIDE for image in images)
    if small:
        notify(f"no MS-SSIM for {small} of {len(images)} images: it needs sides of at least {MS_SSIM_MIN_SIDE} pixels")


def plan(config: SweepConfig, inputs: Inputs) -> list[PlannedRow]:
    """Every row of the grid, in the order in which results are reported.

    Raises:
        UserError: there are more than `MAX_ROWS`.
    """
    snrs = sum(len(config.snrs_of(spec)) for spec in inputs.schemes)
    points = snrs * len(inputs.channels) * len(config.cbrs)
    if (rows := points * len(inputs.images) * config.realisations) > MAX_ROWS:
        raise UserError(f"this grid has {rows} rows and at most {MAX_ROWS} fit; take fewer points or realisations")
    further = [part for spec, metric in inputs.metrics.items() for part in (spec, metric.fingerprint())]
    fingerprints = {spec: _identity(scheme, config) for spec, scheme in inputs.schemes.items()}
    media = {spec: channel_identity(channel) for spec, channel in inputs.channels.items()}
    return [
        PlannedRow(spec, channel_spec, cbr, snr_db, image, realisation, key)
        for spec, scheme in inputs.schemes.items()
        for channel_spec, medium in media.items()
        for cbr in config.cbrs
        for snr_db in config.snrs_of(spec)
        for image in inputs.images
        for realisation in range(config.realisations)
        for key in [
            row_key(
                *(ROW_FORMAT, scheme.name, fingerprints[spec], medium, snr_db, cbr, image.name, image.digest),
                *(realisation, config.seed, inputs.lpips, inputs.lpips_fingerprint, *further),
            )
        ]
    ]


def row_key(*parts: object) -> str:
    """SHA-256 (hex) of all that determines a row."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def _identity(scheme: Scheme | Bound, config: SweepConfig) -> str:
    """Fingerprint of a scheme; learned ones compute other last bits on another kind of device, or in bfloat16."""
    kind = config.device.partition(":")[0] if hasattr(scheme, "to") else "cpu"
    if hasattr(scheme, "compute_in") and resolve_precision(config.precision, config.device) == "bf16":
        kind += " bf16"
    return f"{scheme.fingerprint()} {kind}"


def tasks(config: SweepConfig, inputs: Inputs, missing: Sequence[PlannedRow]) -> list[Task]:
    """Units of work: the missing rows of up to `batch` images of one size at one point of the grid.

    Tasks on the same images form a group: what one of them caches (an encode, say) serves the next.
    """
    pictures = config.keep_images != "none"
    own = {spec: scheme.fingerprint() for spec, scheme in inputs.schemes.items()}
    batches = group_by_size(inputs.images, config.batch)
    batch_of = {image.name: index for index, batch in enumerate(batches) for image in batch}
    units: dict[tuple[int, str, str, Fraction, float, int], list[PlannedRow]] = {}
    for row in missing:
        unit = (batch_of[row.image.name], row.scheme, row.channel, row.cbr, row.snr_db, row.realisation)
        units.setdefault(unit, []).append(row)
    return [
        Task(
            *unit, config.seed, tuple(row.image for row in rows), tuple(row.key for row in rows), pictures, own[unit[1]]
        )
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
        "channels": [channel_identity(channel) for channel in inputs.channels.values()],
        "metrics": {metric.name: metric.fingerprint() for metric in inputs.metrics.values()},
        "images": [{"name": one.name, "size": list(one.size), "sha256": one.digest} for one in inputs.images],
    }
