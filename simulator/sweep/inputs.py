"""The configuration of a sweep, and everything that it names, loaded and checked before any work is done."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from simulator.channels import Channel, load_channel
from simulator.devices import check_device
from simulator.errors import UserError
from simulator.images import NamedImage, load_image_set
from simulator.link import Bound, Scheme, check_supported, load_scheme, on_device
from simulator.metrics import LpipsNet, LpipsUnavailable, Metric, load_metric
from simulator.results.provenance import without_place
from simulator.results.rows import PUBLIC_COLUMNS, SUMMARY_COLUMNS
from simulator.results.written import is_listed
from simulator.spec.plugins import SCHEMES, declarations, standard_schemes

MAX_DEPTH = 32  # of folders that tell two files apart
Named = TypeVar("Named", Channel, Scheme | Bound)


@dataclass(frozen=True)
class SweepConfig:
    """What to simulate. `workers`, `batch` and where they run change the time it takes, never a result.

    Attributes:
        snrs_db, cbrs, schemes, channels: the axes of the grid; no schemes means every standard one.
        own_snrs_db: by scheme, SNRs in place of `snrs_db`: finer ones around a cliff, say.
        cbr_snrs_db: by CBR, SNRs in place of all others, so that a grid may be a cross.
        images, crop: image set and side of the centre crop, as `simulator.images.load_image_set` takes them.
        only: names of the images to take; none means all.
        limit: take no more images than this.
        realisations: channel draws per image.
        seed: seed of all channel draws.
        device, precision: where learned schemes run, and in which arithmetic (`simulator.devices`).
        lpips: backbone of LPIPS, or "none".
        metrics: specifications of further metrics (`simulator.metrics.load_metric`).
        workers: processes; None is one per core, or as many as a Ray cluster has room for.
        batch: images per unit of work, and per call of a scheme that runs on an accelerator.
        keep_images: which reconstructions to keep as pictures: "all", "best" (of an image's realisations) or "none".
        executor: where workers run: "local", "ray" (a cluster on this machine) or "ray:ADDRESS".
        gpus_per_task: share of a GPU that a worker on a Ray cluster gets; None is 1 if the device is one, else 0.
        timeout_s: seconds after which a unit of work is stopped and retried once; None waits.
    """

    snrs_db: tuple[float, ...]
    cbrs: tuple[Fraction, ...] = (Fraction(1, 16),)
    schemes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ("awgn",)
    own_snrs_db: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    cbr_snrs_db: Mapping[Fraction, tuple[float, ...]] = field(default_factory=dict)
    images: str = "samples"
    crop: int | None = None
    only: tuple[str, ...] = ()
    limit: int | None = None
    realisations: int = 1
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    lpips: str = "alex"
    metrics: tuple[str, ...] = ()
    workers: int | None = 1
    batch: int = 1
    keep_images: str = "none"
    executor: str = "local"
    gpus_per_task: float | None = None
    timeout_s: float | None = None

    def snrs_of(self, scheme: str, cbr: Fraction | None = None) -> tuple[float, ...]:
        """The SNRs in dB of a scheme, at a CBR that may have its own."""
        own = None if cbr is None else self.cbr_snrs_db.get(cbr)
        return self.own_snrs_db.get(scheme, self.snrs_db) if own is None else own

    def record(self) -> dict[str, Any]:
        """The configuration, JSON-serialisable."""
        kind = self.executor.partition(":")[0]  # the address of the cluster is private
        by_cbr = {str(cbr): snrs for cbr, snrs in self.cbr_snrs_db.items()}
        record = asdict(self) | {"cbrs": [str(cbr) for cbr in self.cbrs], "cbr_snrs_db": by_cbr, "executor": kind}
        own = {without_place(spec): snrs for spec, snrs in self.own_snrs_db.items()}
        placed = {name: [without_place(spec) for spec in record[name]] for name in ("schemes", "metrics")}
        return record | placed | {"images": without_place(self.images), "own_snrs_db": own}


@dataclass(frozen=True)
class Inputs:
    """The inputs of a configuration, loaded and checked.

    Attributes:
        schemes, channels: by specification, which may differ from the name in results.
        images: in the order of the set.
        lpips: backbone, or "none".
        lpips_fingerprint: digest of its weights.
        metrics: further ones, by specification.
    """

    schemes: dict[str, Scheme | Bound]
    channels: dict[str, Channel]
    images: list[NamedImage]
    lpips: str
    lpips_fingerprint: str
    metrics: dict[str, Metric] = field(default_factory=dict)

    @cached_property
    def shown(self) -> dict[str, str]:
        """Names of schemes in results, by specification and name: paths lose folders that distinguish nothing."""
        texts = {*self.schemes, *(scheme.name for scheme in self.schemes.values())}
        for depth in range(1, MAX_DEPTH):
            shown = {text: without_place(text, depth) for text in texts}
            if len(set(shown.values())) == len(texts):
                return shown
        return {text: text for text in texts}


def load_inputs(config: SweepConfig, notify: Callable[[str], None]) -> Inputs:
    """Load and check everything that a configuration names, before any work is done.

    Raises:
        UserError: unknown scheme, channel or image set, a missing device, or a CBR that a scheme does not support.
    """
    # On a cluster the workers compute; this machine only plans and may have no GPU.
    config = config if config.executor == "local" else replace(config, device="cpu")
    check_device(config.device)
    channels = _unique({spec: load_channel(spec) for spec in config.channels})
    images = choose_images(config, notify)
    schemes = _unique(_load_schemes(config, notify))
    return Inputs(schemes, channels, images, *_find_lpips(config.lpips, notify), _load_metrics(config.metrics))


def choose_images(config: SweepConfig, notify: Callable[[str], None] = lambda note: None) -> list[NamedImage]:
    """The images that a configuration selects, in the order of the set.

    Reconstructions and figures that this program wrote to a results folder are never part of a set.

    Raises:
        UserError: no such set, or no such image in it.
    """
    listed: dict[Path, dict[str, set[str]]] = {}
    images = load_image_set(config.images, config.crop, lambda path: is_listed(path, listed), notify)
    if missing := sorted(set(config.only) - {image.name for image in images}):
        there = ", ".join(image.name for image in images[:30])
        raise UserError(f"image set '{config.images}' has no image '{missing[0]}'; it has: {there}")
    chosen = [image for image in images if not config.only or image.name in config.only][: config.limit]
    _note_copies(chosen, notify)
    return chosen


def _note_copies(images: Sequence[NamedImage], notify: Callable[[str], None]) -> None:
    """Report pictures that are in the set more than once: they narrow intervals without adding information."""
    names: dict[str, list[str]] = {}
    for image in images:
        names.setdefault(image.digest, []).append(image.name)
    if copies := [" = ".join(same) for same in names.values() if len(same) > 1]:
        more = f" and {len(copies) - 3} more" * (len(copies) > 3)
        notify(f"the same picture under several names: {'; '.join(copies[:3])}{more}; each counts")


def _unique(loaded: dict[str, Named]) -> dict[str, Named]:
    """Of several specifications that mean the same, the first."""
    first: dict[str, tuple[str, Named]] = {}
    for spec, one in loaded.items():
        first.setdefault(one.name, (spec, one))
    return dict(first.values())


def _load_schemes(config: SweepConfig, notify: Callable[[str], None]) -> dict[str, Scheme | Bound]:
    """The requested schemes, else the standard ones that have their weights and support every CBR."""
    if config.schemes:
        return {spec: _load(spec, config) for spec in config.schemes}
    for one in declarations(SCHEMES):
        if one.broken:  # a standard one may be named too
            notify(f"left out {one.name}: {one.broken}")
    schemes = {}
    for name in standard_schemes():
        try:
            schemes[name] = _load(name, config)
        except (UserError, ImportError) as error:
            notify(f"left out {name}: {error}")
    if not schemes:
        raise UserError("no standard scheme can run this; name one with --scheme, or install the package again")
    return schemes


def _load(spec: str, config: SweepConfig) -> Scheme | Bound:
    scheme = on_device(load_scheme(spec), config.device, config.precision)
    for cbr in config.cbrs:
        check_supported(scheme, cbr)
    return scheme


def _load_metrics(specs: Sequence[str]) -> dict[str, Metric]:
    """Load the further metrics and check that their columns are distinct.

    Raises:
        UserError: what `load_metric` raises, or two columns of one name.
    """
    metrics = {spec: load_metric(spec) for spec in specs}
    taken = {*SUMMARY_COLUMNS, *PUBLIC_COLUMNS}
    for spec, metric in metrics.items():
        columns = {f"{metric.name}{suffix}" for suffix in ("", "_lo", "_hi")}
        if not taken.isdisjoint(columns):
            raise UserError(f"metric '{spec}' is called '{metric.name}', a column that already exists; rename it")
        taken |= columns
    return metrics


def _find_lpips(name: str, notify: Callable[[str], None]) -> tuple[str, str]:
    """Backbone and fingerprint; ("none", "none") with a note if it is unavailable."""
    if name == "none":
        return ("none", "none")
    try:
        return (name, LpipsNet(name).fingerprint)
    except LpipsUnavailable as error:
        notify(f"the LPIPS column stays empty: {error}")
        return ("none", "none")
