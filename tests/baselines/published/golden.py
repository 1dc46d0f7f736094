"""Golden values of the published networks: how a run is repeated, and how a recorded point is held against it.

`python -m tests.baselines.published.golden FILE...` holds the networks to every run of golden files of this format.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

GOLDEN = Path("tests/golden/published")
RELATIVE = 1e-9  # of float64
DEVIATIONS = 10  # of the stated deviation, for float32


class Recorder:
    """Collects points by name, from forward hooks and by hand."""

    def __init__(self) -> None:
        self.points: dict[str, Tensor] = {}

    def __call__(self, name: str, value: Tensor) -> Tensor:
        self.points[name] = value.detach()
        return value

    def watch(self, name: str, module: nn.Module) -> None:
        module.register_forward_hook(lambda _module, _inputs, out: self.points.__setitem__(name, out.detach()))


def tokens(value: Tensor) -> Tensor:
    """[B, H, W, C] as [B, L, C]."""
    return value.flatten(1, 2)


def recorded(value: Tensor) -> dict[str, Any]:
    """Mean, standard deviation and entries of a tensor, as golden files have them."""
    flat = value.detach().cpu().flatten().numpy().astype(np.complex128 if value.is_complex() else np.float64)
    stats: dict[str, Any] = {"shape": list(value.shape)}
    if value.is_complex():
        picked = flat[_indices(len(flat), 8)]
        return stats | {
            "mean_re": flat.real.mean(), "mean_im": flat.imag.mean(), "power": (np.abs(flat) ** 2).mean(),
            "re": picked.real, "im": picked.imag,
        }  # fmt: skip
    return stats | {"mean": flat.mean(), "std": flat.std(), "flat": flat}


def _indices(count: int, wanted: int) -> np.ndarray:
    return np.arange(count) if count < wanted else np.arange(wanted) * (count - 1) // (wanted - 1)


def deviations(point: Any, value: Any) -> Iterator[tuple[str, float, float]]:
    """(what, largest difference, largest magnitude) of one recorded point against a value of ours."""
    if isinstance(point, (int, float)):
        yield "value", abs(float(value) - point), abs(point)
        return
    if isinstance(point, list) and not isinstance(point[0], float):
        assert np.array_equal(np.array(point), np.array(value)), "another choice"
        return
    if isinstance(point, list):
        yield "value", float(np.abs(np.array(point) - value).max()), float(np.abs(point).max())
        return
    ours = recorded(value)
    if "entries" in point:
        ours["entries"] = ours["flat"][_indices(len(ours["flat"]), len(point["entries"]))]
    assert ours["shape"] == point["shape"], f"shape {ours['shape']} instead of {point['shape']}"
    for name in point.keys() & {"mean", "std", "entries", "mean_re", "mean_im", "power", "re", "im"}:
        theirs = np.array(point[name])
        size = max(float(np.abs(theirs).max()), point.get("std", 0.0), point.get("power", 0.0) ** 0.5)
        yield name, float(np.abs(theirs - ours[name]).max()), size


def check(points: Mapping[str, Any], ours: Mapping[str, Any], exact: bool) -> list[str]:
    """What is wrong with our points; empty when all hold. Every recorded point must be among ours."""
    wrong = []
    for name, point in points.items():
        if name not in ours:
            wrong.append(f"{name}: not computed")
            continue
        try:
            found = list(deviations(point, ours[name]))
        except AssertionError as error:
            wrong.append(f"{name}: {error}")
            continue
        stated = point.get("float32_max_abs_dev") if isinstance(point, dict) else None
        for what, difference, size in found:
            allowed = RELATIVE * size if exact else _float32_limit(stated, size)
            if not difference <= allowed:
                wrong.append(f"{name}.{what}: off by {difference:.2e}, allowed {allowed:.2e}")
    return wrong


def _float32_limit(stated: float | None, size: float) -> float:
    return 1e-4 * max(size, 1.0) if stated is None else DEVIATIONS * stated + 1e-12 * size


def key_table(name: str) -> dict[str, Any]:
    """One of the committed tables of keys."""
    return json.loads((GOLDEN / f"keys-{name}.json").read_text())


def main(files: list[str], runner: Callable[[str, Mapping[str, Any], torch.dtype], dict[str, Any]]) -> int:
    """Hold the networks to golden files; the number of runs that fail."""
    failed = 0
    for path in files:
        golden = json.loads(Path(path).read_text())
        models = golden.get("models") or {Path(path).stem: golden}
        for model, body in models.items():
            for run, record in body["runs"].items():
                if "points" not in record:
                    continue
                for dtype in (torch.float64, torch.float32):
                    ours = runner(f"{model} {run}", record, dtype)
                    wrong = check(record["points"], ours, dtype == torch.float64)
                    failed += bool(wrong)
                    print(f"{model} {run} {dtype}: {wrong or 'holds'}")
    return failed


if __name__ == "__main__":
    from tests.baselines.published.runs import run_by_name

    sys.exit(main(sys.argv[1:], run_by_name) != 0)
