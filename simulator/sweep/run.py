"""A sweep: prepare -> execute -> finish.

Rows that the store already has are not computed again, so a killed sweep resumes where it was.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from simulator.devices import resolve_precision, usual_torch
from simulator.errors import UserError
from simulator.images import NamedImage
from simulator.metrics import MS_SSIM_MIN_SIDE
from simulator.results.gallery import Gallery, Keeper
from simulator.results.outputs import ROWS_ONLY, Outputs
from simulator.results.provenance import (
    PROVENANCE,
    describes,
    environment,
    read_provenance,
    same_environment,
    without_places,
)
from simulator.results.rows import Row
from simulator.results.store import Results, Store
from simulator.results.trouble import check_folder, explained
from simulator.results.written import Written
from simulator.sweep.executors import Executor, InProcess, LocalProcesses, RayCluster, cores
from simulator.sweep.inputs import Inputs, SweepConfig, load_inputs
from simulator.sweep.plan import PlannedRow, meta, plan, tasks
from simulator.sweep.trials import Outcome, Worker

LOG = logging.getLogger(__name__)


@usual_torch()
def run_sweep(
    config: SweepConfig,
    folder: Path,
    fresh: bool = False,
    notify: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    outputs: Outputs = ROWS_ONLY,
) -> Results:
    """Run the missing rows of a sweep and write rows, pictures, provenance and `outputs` to `folder`.

    Args:
        config: what to simulate.
        folder: results folder; made when missing, resumed when not.
        fresh: discard earlier rows and their pictures.
        notify: receives one-line notes for the user (such as a scheme or a metric that is left out).
        progress: receives (rows done, rows planned) at the start and whenever rows were stored.
        outputs: files to write from the rows, such as `simulator.analysis.outputs.SUMMARY_AND_FIGURES`.

    Raises:
        UserError: bad configuration, unusable folder, full disk, dead worker; finished rows are kept.
    """
    check_folder(folder)
    # Resolved once, because the workers may be other kinds of machines.
    config = replace(config, precision=resolve_precision(config.precision, config.device))
    choose_executor(config, 1, notify)  # raises on a bad choice before any work
    inputs = load_inputs(config, notify)
    _log_inputs(inputs)
    planned = plan(config, inputs)
    with Store(folder, fresh) as store:
        written = store.written(notify)
        keeper = Keeper(Gallery(folder, written), config.keep_images)
        sweep = _Sweep(config, inputs, planned, store, written, keeper, notify, progress)
        missing = sweep.prepare(outputs)
        sweep.execute(missing)
        return sweep.finish(outputs, renewed=bool(missing))


@dataclass(frozen=True)
class _Sweep:
    """A sweep with its folder open: prepare, execute, finish."""

    config: SweepConfig
    inputs: Inputs
    planned: list[PlannedRow]
    store: Store
    written: Written
    keeper: Keeper
    notify: Callable[[str], None]
    progress: Callable[[int, int], None]

    def prepare(self, outputs: Outputs) -> list[PlannedRow]:
        """Store the plan, remove outdated outputs, and return the missing rows."""
        store, gallery, description = self.store, self.keeper.gallery, meta(self.config, self.inputs)
        store.set_plan([row.key for row in self.planned], description)
        store.rename(self._renamed())
        with explained(store.folder):
            if self.keeper.wanted:
                gallery.add_sources(self.inputs.images)
        if late := store.forget_late():
            self.notify(f"{late}; they are computed again")
        finished = store.finished()
        without_picture = finished & self._without_picture()  # faults are retried anyway
        missing = [row for row in self.planned if row.key not in finished or row.key in without_picture]
        if finished:
            again = f"; {len(without_picture)} of them are computed again for their pictures" * bool(without_picture)
            self.notify(f"{len(finished)} of {len(self.planned)} rows are finished already{again}")
        if missing:
            _note_small_images(self.inputs.images, self.notify)
        if missing or not describes(read_provenance(store.folder), description):
            with explained(store.folder):
                outputs.remove(self.written)
                kept = {row.key for row in self.planned} - {row.key for row in missing}
                _write_provenance(store, self.written, description, kept, self.notify)
        return missing

    def execute(self, missing: list[PlannedRow]) -> None:
        """Compute the missing rows and store them as they arrive."""
        config, total = self.config, len(self.planned)
        self.progress(total - len(missing), total)
        executor = choose_executor(config, len(missing), self.notify)
        metrics = tuple(self.inputs.metrics)
        make_worker = partial(Worker, config.device, self.inputs.lpips, config.precision, metrics)
        broken: set[str] = set()
        late: set[str] = set()
        while missing:
            retried = executor.retried
            done = total - len(missing)
            try:
                with closing(executor.run(make_worker, tasks(config, self.inputs, missing))) as arriving:
                    for outcomes in arriving:
                        outcomes = [replace(one, row=self._as_shown(one.row)) for one in outcomes]
                        _write(outcomes, self.store, self.keeper)
                        _tell_faults(outcomes, broken, self.notify)
                        _tell_late(outcomes, late, self.notify)
                        done += len(outcomes)
                        self.progress(done, total)
            finally:
                if executor.retried > retried:
                    _record_retries(self.written, executor.retried, self.notify)
            # The best realisation is known only now, and it may be an earlier row without a picture.
            without_picture = self._without_picture()
            missing = [row for row in self.planned if row.key in without_picture]

    def finish(self, outputs: Outputs, renewed: bool) -> Results:
        """Make the outputs of all finished rows; `renewed` if some of them are new."""
        results = self.store.results()
        if results.faults:
            broken_rows = f"{results.faults} of {len(results.rows)} rows are faults, scored as outages"
            self.notify(f"{broken_rows}; rerun the same command to retry them")
        with explained(self.store.folder):
            if renewed:
                outputs.remove(self.written)  # files that came without a database and are not written again
            outputs.write(results, self.written)
            self.written.write_provenance(read_provenance(self.store.folder))
        return results

    def _as_shown(self, row: Row) -> Row:
        """The row without folders of the user in its scheme's name and its fault."""
        fault = None if row.fault is None else without_places(row.fault)
        return replace(row, scheme=self.inputs.shown[row.scheme], fault=fault)

    def _renamed(self) -> dict[str, str]:
        """By key of a planned row the scheme's name in results, if it differs."""
        names = {spec: scheme.name for spec, scheme in self.inputs.schemes.items()}
        shown = {spec: self.inputs.shown[name] for spec, name in names.items() if self.inputs.shown[name] != name}
        return {row.key: shown[row.scheme] for row in self.planned if row.scheme in shown}

    def _without_picture(self) -> set[str]:
        """Keys of the finished rows that should have a picture and have none."""
        rows = self.store.results().rows if self.keeper.wanted else []
        return self.keeper.lacking(rows, self.config.realisations)


def _log_inputs(inputs: Inputs) -> None:
    """Say what was loaded, under -v."""
    for scheme in inputs.schemes.values():
        LOG.info("scheme %s, fingerprint %s", scheme.name, scheme.fingerprint()[:16])
    LOG.info("channels %s", ", ".join(channel.name for channel in inputs.channels.values()))
    LOG.info("LPIPS %s, weights %s", inputs.lpips, inputs.lpips_fingerprint[:16])
    LOG.info("images %s", ", ".join(f"{one.name} {one.size[1]}x{one.size[0]}" for one in inputs.images))


def _write_provenance(
    store: Store, written: Written, meta: dict[str, Any], kept: set[str], notify: Callable[[str], None]
) -> None:
    """Record the environment of this run, and that of kept rows that another environment made."""
    now = environment()
    earlier = store.begin(now, kept)
    written.adopt()  # files that came without a database stay until they are replaced
    written.write_provenance(meta | now | {"retried_tasks": 0, "earlier": earlier})
    if others := sum(one["rows"] for one in earlier if not same_environment(one, now, but=("machine",))):
        notify(
            f"{others} of the rows come from another commit or other versions (see {PROVENANCE}); "
            "--fresh computes them again"
        )


def _write(outcomes: Sequence[Outcome], store: Store, keeper: Keeper) -> None:
    """Write pictures, then their rows, then remove the pictures that better ones replace."""
    with explained(store.folder):
        replaced = [keeper.take(one.row, one.picture) for one in outcomes]
    for row in (one.row for one in outcomes):
        quality = f"{row.psnr_db:.2f} dB" + " (outage)" * row.outage
        LOG.info("%s, %s, %g dB, CBR %.4f, %s: %s", row.scheme, row.channel, row.snr_db, row.cbr, row.image, quality)
    store.add([one.row for one in outcomes], {one.row.key: one.late for one in outcomes if one.late})
    with explained(store.folder):
        for key in replaced:
            if key is not None:
                keeper.gallery.discard(key)


def _tell_faults(outcomes: Sequence[Outcome], broken: set[str], notify: Callable[[str], None]) -> None:
    """Report the first fault of each scheme immediately, so that the user can stop a long sweep."""
    for row in (one.row for one in outcomes):
        if row.fault is not None and row.scheme not in broken:
            broken.add(row.scheme)
            where = f"{row.channel}, {row.snr_db:g} dB, image {row.image}, realisation {row.realisation}"
            notify(
                f"'{row.scheme}' broke ({where}): {row.fault}; the sweep continues, and `transmit` shows the traceback"
            )


def _tell_late(outcomes: Sequence[Outcome], known: set[str], notify: Callable[[str], None]) -> None:
    """Report once for each scheme why its rows cannot be reused."""
    for one in outcomes:
        if one.late and one.row.scheme not in known:
            known.add(one.row.scheme)
            notify(
                f"'{one.row.scheme}' uses {', '.join(one.late)} only while it runs, where a change would go unnoticed, "
                "so its rows are not reused; import or read that when the object is made, or in its fingerprint()"
            )


def _record_retries(written: Written, count: int, notify: Callable[[str], None]) -> None:
    notify(f"{count} units of work were retried because their workers died or hung")
    with explained(written.folder):
        written.write_provenance(read_provenance(written.folder) | {"retried_tasks": count})


def choose_executor(config: SweepConfig, num_rows: int, notify: Callable[[str], None]) -> Executor:
    """Choose a Ray cluster if requested, else local processes if they help, else this process.

    Raises:
        UserError: Ray is not installed, or a share of a GPU is requested without Ray.
    """
    kind, _, address = config.executor.partition(":")
    if kind == "ray":
        gpus = float(config.device.startswith("cuda")) if config.gpus_per_task is None else config.gpus_per_task
        return RayCluster(config.workers, address or None, gpus, config.timeout_s, notify)
    if config.executor != "local":
        raise UserError(f"executor '{config.executor}' is unknown; use local, ray or ray:ADDRESS")
    if config.gpus_per_task is not None:
        raise UserError("--gpus-per-task applies to the GPUs of a Ray cluster; use it with --executor ray")
    workers = min(config.workers or cores(), num_rows)
    if workers > 1 or config.timeout_s is not None:  # only a process can be stopped
        return LocalProcesses(workers, config.timeout_s, notify)
    return InProcess()


def _note_small_images(images: list[NamedImage], notify: Callable[[str], None]) -> None:
    small = sum(min(image.size) < MS_SSIM_MIN_SIDE for image in images)
    if small:
        notify(f"no MS-SSIM for {small} of {len(images)} images: it needs sides of at least {MS_SSIM_MIN_SIDE} pixels")
