"""The plan of a sweep: its rows, each with a key that hashes everything that determines it, and the units of work.

A changed configuration never reuses old rows, and a larger grid reuses the rows of a smaller one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simulator.channels import channel_identity
from simulator.devices import resolve_precision
from simulator.errors import UserError
from simulator.images import NamedImage, group_by_size
from simulator.link import Bound, Scheme, capabilities
from simulator.results.rows import ROW_FORMAT
from simulator.sweep.inputs import Inputs, SweepConfig
from simulator.sweep.trials import Task

MAX_ROWS = 5_000_000


@dataclass(frozen=True)
class PlannedRow:
    """Identity of one row: its point on the grid, and its key."""

    scheme: str
    channel: str
    cbr: Fraction
    snr_db: float
    image: NamedImage
    realisation: int
    key: str


def plan(config: SweepConfig, inputs: Inputs) -> list[PlannedRow]:
    """Every row of the grid, in the order in which results are reported.

    Raises:
        UserError: there are more than `MAX_ROWS`.
    """
    snrs = sum(len(config.snrs_of(spec, cbr)) for spec in inputs.schemes for cbr in config.cbrs)
    points = snrs * len(inputs.channels)
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
        for snr_db in config.snrs_of(spec, cbr)
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
    """SHA-256 (hex) of everything that determines a row."""
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()


def _identity(scheme: Scheme | Bound, config: SweepConfig) -> str:
    """Fingerprint of a scheme; learned ones differ in last bits between kinds of devices, and in bfloat16."""
    can = capabilities(scheme)
    kind = "cpu" if can.to is None else config.device.partition(":")[0]
    if can.compute_in is not None and resolve_precision(config.precision, config.device) == "bf16":
        kind += " bf16"
    return f"{scheme.fingerprint()} {kind}"


def tasks(config: SweepConfig, inputs: Inputs, missing: Sequence[PlannedRow]) -> list[Task]:
    """Units of work: the missing rows of up to `batch` images of one size at one point of the grid.

    Tasks on the same images form a group: the next one reuses what one of them caches, such as an encode.
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


def meta(config: SweepConfig, inputs: Inputs) -> dict[str, Any]:
    """Metadata of the results, JSON-serialisable."""
    schemes, shown = inputs.schemes.values(), inputs.shown
    return {
        "config": config.record(),
        "schemes": {shown[scheme.name]: scheme.fingerprint() for scheme in schemes},
        "names": {shown[spec]: shown[scheme.name] for spec, scheme in inputs.schemes.items()},
        "bounds": [shown[scheme.name] for scheme in schemes if isinstance(scheme, Bound)],
        "lpips": {"net": inputs.lpips, "fingerprint": inputs.lpips_fingerprint},
        "channels": [channel_identity(channel) for channel in inputs.channels.values()],
        "metrics": {metric.name: metric.fingerprint() for metric in inputs.metrics.values()},
        "directions": {metric.name: metric.higher_is_better for metric in inputs.metrics.values()},
        "images": [{"name": one.name, "size": list(one.size), "sha256": one.digest} for one in inputs.images],
    }
