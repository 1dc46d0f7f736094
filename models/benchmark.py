"""What LRISC's sizes and arithmetic cost: compact against paper-size network, bfloat16 against float32.

`python -m simulator.models.benchmark CONFIG SIDE REPEATS` runs one network in a separate process, whose
largest resident set then is that network's (Linux).
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import torch

from simulator.bench.table import Figure, faster, kodak_sized_image, smaller
from simulator.bench.turns import one_thread, take_turns
from simulator.channels import load_channel
from simulator.devices import has_native_bf16
from simulator.link import transmit
from simulator.metrics import LpipsNet, LpipsUnavailable, measure
from simulator.models.lrisc.codec import Lrisc
from simulator.models.lrisc.config import STRIDE, LriscConfig
from simulator.models.lrisc.scheme import LriscScheme
from simulator.models.lrisc.signals import LatentEstimate
from simulator.models.training.monitor import count_flops
from simulator.spec.configuration import build, read_configuration

COMPACT, PAPER = "lrisc-compact", "lrisc-paper"
SNRS_DB = (0.0, 10.0)


def measure_lrisc(quick: bool) -> Iterator[Figure]:
    """Cost of the networks: compact against paper size, bfloat16 against float32."""
    yield from _compare_sizes(64 if quick else 256, 1 if quick else 2)
    yield from _compare_precisions(quick)


def _compare_sizes(side: int, repeats: int) -> Iterator[Figure]:
    """g_d at one step on an image of side x side: seconds, GFLOP and memory of the compact and of the paper's sizes."""
    runs = {name: _run_alone(name, side, repeats) for name in (COMPACT, PAPER)}
    for name, run in runs.items():
        model = network(name)
        with torch.inference_mode():
            run["gflop"] = count_flops(_decoding(model, side)) / 1e9
        run["millions"] = sum(p.numel() for p in model.parameters()) / 1e6
    note = f"{side} x {side}, 1 step, float32, one thread, random weights; each in a separate process"
    for what, key, unit in (
        ("decoder, time", "seconds", "s"),
        ("decoder, work", "gflop", "GFLOP"),
        ("decoder, peak memory", "megabytes", "MB"),
    ):
        said = "largest resident set over that of the imports" if key == "megabytes" else note
        yield smaller("lrisc", f"LRISC compact {what}", runs[COMPACT][key], unit, "paper size", runs[PAPER][key], said)
    millions = [runs[name]["millions"] for name in (COMPACT, PAPER)]
    yield smaller("lrisc", "LRISC compact parameters", millions[0], "M", "paper size", millions[1])


def _run_alone(name: str, side: int, repeats: int) -> dict[str, float]:
    command = [sys.executable, "-m", "simulator.models.benchmark", name, str(side), str(repeats)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _compare_precisions(quick: bool) -> Iterator[Figure]:
    """Decoding in bfloat16 against float32: time, and what it changes in the picture."""
    image = kodak_sized_image()[:, :96, :96] if quick else kodak_sized_image()
    exact, coarse, channel = LriscScheme(), LriscScheme().compute_in("bf16"), load_channel("awgn")
    lpips = _lpips()
    native = "native" if has_native_bf16() else "emulated"
    for snr_db in SNRS_DB:
        with one_thread(), torch.inference_mode():
            trip = transmit(exact, image[None], Fraction(1, 16), channel, snr_db)
            reception = trip.reception
            assert reception is not None
            if snr_db == SNRS_DB[-1]:
                works = [lambda s=one, r=reception: s.decode(r) for one in (coarse, exact)]
                times = take_turns(works, 1 if quick else 5)
                note = f"{image.shape[2]} x {image.shape[1]}, one thread, bfloat16 is {native} here"
                yield faster("lrisc", "LRISC decode, bf16", 1 / times[0], "images/s", "fp32", 1 / times[1], note)
            shown = coarse.decode(reception).images[0]
        first, second = measure(image, trip.decoded.images[0], lpips), measure(image, shown, lpips)
        name, note = f"LRISC bf16 less fp32 at {snr_db:g} dB", "one image; tolerated: 0.02 dB, 0.002"
        yield Figure("lrisc", f"{name}, PSNR", second.psnr_db - first.psnr_db, "dB", note=note)
        if first.lpips is not None and second.lpips is not None:
            yield Figure("lrisc", f"{name}, LPIPS", second.lpips - first.lpips, "", note=note)


def _lpips() -> LpipsNet | None:
    try:
        return LpipsNet("alex")
    except LpipsUnavailable:
        return None


def network(name: str) -> Lrisc:
    """A shipped training file's networks with random weights."""
    config = build(LriscConfig, read_configuration(Path(f"experiments/train/{name}.yaml"))["model"], "'model'")
    return Lrisc(config).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _decoding(model: Lrisc, side: int) -> Callable[[], torch.Tensor]:
    """g_d at one step on an image of side x side."""
    shape = (1, model.config.latent_channels, side // STRIDE, side // STRIDE)
    z, start = LatentEstimate.exact(torch.randn(shape)), torch.randn(1, 3, side, side)
    return lambda: model.generate(z, start, 1)


def _resident_mb(key: str) -> float:
    """Resident memory of this process, now (`VmRSS`) or at most so far (`VmHWM`), in 10^6 bytes. Linux alone."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) * 1024 / 1e6


def run_alone(name: str, side: int, repeats: int) -> dict[str, float]:
    """One network's g_d at one step: `seconds`, and `megabytes` of memory on top of the imports."""
    Path("/proc/self/clear_refs").write_text("5")  # forgets the high-water mark of the imports
    before = _resident_mb("VmRSS")
    with one_thread(), torch.inference_mode():
        (seconds,) = take_turns([_decoding(network(name), side)], repeats)
    return {"seconds": seconds, "megabytes": _resident_mb("VmHWM") - before}


if __name__ == "__main__":
    print(json.dumps(run_alone(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
