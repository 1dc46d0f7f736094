"""`bench all`: one table of ratios, each of two things measured in turns in one run on one machine.

A ratio says how many times better the first is; background load affects both equally. The engine's own parts are here.
Every other part is a function `(quick: bool) -> Iterator[Figure]` in the entry point group `simulator.benchmarks`.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulator.bench.turns import one_thread, take_turns
from simulator.disk import write_file
from simulator.errors import UserError
from simulator.images import load_image_set
from simulator.link import LinkState, Scheme, channel_uses, load_scheme, on_device, transmit
from simulator.results.provenance import commit_words, environment
from simulator.spec.plugins import find_plugin, plugin_names, standard_schemes

NAME = "benchmarks"
GROUP = "simulator.benchmarks"
KODAK_SIZE = (512, 768)
CBR, SNR_DB = Fraction(1, 16), 10.0


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Attributes:
        part: which benchmark it belongs to.
        what: what is measured.
        value, unit: how much.
        against: what it is compared with; empty for a figure without comparison.
        other: how much that is, in the same unit.
        ratio: how many times better `value` is than `other`: above 1 is in favour of `what`.
        note: what a reader must know about it.
    """

    part: str
    what: str
    value: float
    unit: str
    against: str = ""
    other: float | None = None
    ratio: float | None = None
    note: str = ""


def faster(part: str, what: str, rate: float, unit: str, against: str, other: float, note: str = "") -> Figure:
    """Two rates: more is better."""
    return Figure(part, what, rate, unit, against, other, rate / other, note)


def smaller(part: str, what: str, cost: float, unit: str, against: str, other: float, note: str = "") -> Figure:
    """Two costs: less is better."""
    return Figure(part, what, cost, unit, against, other, other / cost, note)


def kodak_sized_image() -> torch.Tensor:
    """A photograph of 768 x 512, float32 [3, 512, 768]: the first of `samples`, mirrored at its edges."""
    pixels = load_image_set("samples")[0].pixels.numpy()
    height, width = KODAK_SIZE
    padding = [(0, 0), (0, max(0, height - pixels.shape[1])), (0, max(0, width - pixels.shape[2]))]
    return torch.from_numpy(np.pad(pixels, padding, mode="symmetric")[:, :height, :width].copy())


def measure_ldpc(quick: bool) -> Iterator[Figure]:
    """Our decoder against Sionna's two, and against the package `ldpc` where that is installed."""
    from simulator.bench.phy import compare_decoders

    ours, *others = compare_decoders(*((64, 2) if quick else (2000, 96)))
    for one in others:
        note = f"k = 4096, n = 8192, 20 iterations; {one.disagreements} of {one.blocks} outcomes differ"
        rates = (ours.blocks_per_second, "blocks/s", one.decoder, one.blocks_per_second)
        yield faster("ldpc", "LDPC decoder", *rates, note)


def measure_demapper(quick: bool) -> Iterator[Figure]:
    """Our exact demapper against Sionna's."""
    from simulator.bench.phy import compare_demappers

    for one in compare_demappers(*((2000, 1) if quick else (50_000, 3))):
        name, note = f"demapper, {2**one.bits_per_symbol}-QAM", f"LLRs differ by {one.difference:.0e} at most"
        rates = (one.symbols_per_second, "symbols/s", "Sionna", one.sionna_symbols_per_second)
        yield faster("demapper", name, *rates, note)


def measure_schemes(quick: bool) -> Iterator[Figure]:
    """Seconds that each standard scheme takes to encode and to decode an image of Kodak's size."""
    image = kodak_sized_image()[:, :64, :96] if quick else kodak_sized_image()
    size = (image.shape[1], image.shape[2])
    from simulator.channels import load_channel

    channel, budget, state = load_channel("awgn"), channel_uses(CBR, size), LinkState("awgn", SNR_DB)
    for name in standard_schemes():
        scheme = on_device(load_scheme(name), "cpu")
        if not isinstance(scheme, Scheme):
            continue
        with one_thread(), torch.inference_mode():
            reception = transmit(scheme, image[None], CBR, channel, SNR_DB).reception
            assert reception is not None
            works = (partial(scheme.encode, image[None], budget, state), partial(scheme.decode, reception))
            encode, decode = take_turns(works, 3)
        note = f"{size[1]} x {size[0]}, one thread" + ", BPG file cached" * name.startswith("bpg")
        yield Figure("schemes", f"{name}: encode", encode, "s", note=note)
        yield Figure("schemes", f"{name}: decode", decode, "s", note=note)


def measure_costs_of_schemes(quick: bool) -> Iterator[Figure]:
    """What the networks of each standard scheme take; `measure_schemes` has the times."""
    from simulator import cost

    schemes = [name for name in standard_schemes() if name == "deepjscc" or not quick]
    for one in cost.measure_costs(schemes):
        note = f"{cost.CROP} x {cost.CROP}, CBR {cost.CBR}"
        yield Figure("cost", f"{one.scheme}: weights", one.weights / 1e6, "M", note=note)
        for name, half in (("encoder", one.encoder), ("decoder", one.decoder)):
            yield Figure("cost", f"{one.scheme}: {name}", half.macs_per_pixel / 1e3, "kMAC/pixel", note=note)
            yield Figure("cost", f"{one.scheme}: {name}, peak memory", half.peak_mib, "MiB", note=note)


def measure_workers(quick: bool) -> Iterator[Figure]:
    """How much of its workers a sweep gets to use, locally and on Ray where that is installed."""
    from importlib.util import find_spec

    from simulator.bench.sweep import efficiency, measure_speeds
    from simulator.sweep.inputs import SweepConfig

    snrs = (10.0, 15.0) if quick else tuple(map(float, range(0, 16)))
    crop, images = (32, 4) if quick else (256, 8)
    config = SweepConfig(snrs, (CBR,), ("bpg-ldpc",), crop=crop, limit=images, lpips="none")
    executors = ("local", "ray") if find_spec("ray") and not quick else ("local",)
    speeds = measure_speeds(config, 2, executors, 1 if quick else 2, lambda text: None)
    for one, share in zip(speeds, efficiency(speeds), strict=True):
        name, note = f"bpg-ldpc, {one.executor}, {one.workers} workers", f"efficiency {share:.0%}"
        alone = speeds[0].rows_per_second
        yield faster("workers", name, one.rows_per_second, "rows/s", "1 local worker", alone, note)


def measure_store(quick: bool) -> Iterator[Figure]:
    """What many rows cost."""
    import tempfile

    from simulator.bench.store import measure_growth

    for rows in (1000,) if quick else (10_000, 100_000):
        with tempfile.TemporaryDirectory() as folder:
            one = measure_growth(rows, Path(folder))
        yield Figure("store", f"{one.rows} rows: write", one.rows_per_second, "rows/s", note=f"{one.megabytes:.1f} MB")
        yield Figure("store", f"{one.rows} rows: plan a resumed sweep", one.plan_s, "s")


PARTS: dict[str, Callable[[bool], Iterator[Figure]]] = {
    "ldpc": measure_ldpc,
    "demapper": measure_demapper,
    "schemes": measure_schemes,
    "cost": measure_costs_of_schemes,
    "workers": measure_workers,
    "store": measure_store,
}


def part_names() -> tuple[str, ...]:
    """Parts of the engine, then those of installed packages (entry point group `simulator.benchmarks`)."""
    return (*PARTS, *(name for name in plugin_names(GROUP) if name not in PARTS))


def load_part(name: str) -> Callable[[bool], Iterator[Figure]]:
    """The function that measures a part; an installed one is imported now."""
    return PARTS.get(name) or find_plugin(GROUP, name)


def choose_parts(names: Iterable[str]) -> tuple[str, ...]:
    """Parts by name, each once; none means all.

    Raises:
        UserError: there is no such part.
    """
    known = part_names()
    chosen = tuple(dict.fromkeys(names)) or known
    for name in chosen:
        if name not in known:
            raise UserError(f"no benchmark '{name}'; known: {', '.join(known)}")
    return chosen


def run_parts(names: Iterable[str], quick: bool, report: Callable[[str], None] = lambda text: None) -> Iterator[Figure]:
    """Run parts one after the other.

    Args:
        names: as `part_names` gives them.
        quick: use sizes that only show that everything runs.
        report: receives one line per part.

    Raises:
        UserError: there is no such part.
    """
    chosen = choose_parts(names)
    for number, name in enumerate(chosen, 1):
        report(f"{number} of {len(chosen)}: {name}")
        yield from load_part(name)(quick)


def record(figures: Iterable[Figure], quick: bool) -> dict[str, Any]:
    """Figures and where they come from, JSON-serialisable."""
    return {"quick": quick, "load": os.getloadavg()[0], **environment(), "figures": [asdict(one) for one in figures]}


def markdown(measured: dict[str, Any]) -> str:
    """The table of a `record`, and the machine, load and versions below it."""
    machine, packages = measured["machine"], measured["packages"]
    lines = ["| what | value | against | value | ratio | |", "|---|--:|---|--:|--:|---|"]
    for entry in measured["figures"]:
        one = Figure(**entry)
        other = "" if one.other is None else f"{number(one.other)} {one.unit}"
        ratio = "" if one.ratio is None else f"**{one.ratio:.2f}**"
        lines.append(
            f"| {one.what} | {number(one.value)} {one.unit} | {one.against} | {other} | {ratio} | {one.note} |"
        )
    versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "sionna-no-rt", "numpy", "numba"))
    quick = "Quick: sizes at which no figure means anything.\n\n" if measured["quick"] else ""
    commit = commit_words(measured["commit"], 12) or "unknown"
    where = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, load {measured['load']:.1f}"
    origin = f"`{' '.join(measured['command'])}`, {measured['date']}, commit {commit}; {where}; {versions}."
    return f"# Benchmarks\n\n{quick}A ratio above 1 is in favour of the left. {origin}\n\n" + "\n".join(lines) + "\n"


def write(measured: dict[str, Any], folder: Path) -> list[Path]:
    """Write a `record` as JSON and Markdown; each file appears whole or not at all.

    Raises:
        UserError: the folder cannot be written.
    """
    texts = {f"{NAME}.json": json.dumps(measured, indent=2) + "\n", f"{NAME}.md": markdown(measured)}
    for name, text in texts.items():
        write_file(folder / name, text.encode(), "choose another --out")
    return [folder / name for name in texts]


def number(value: float) -> str:
    """A number with three significant digits, and commas."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
