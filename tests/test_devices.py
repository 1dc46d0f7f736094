"""Which arithmetic learned schemes compute in, and that rows know it."""

import platform
import subprocess
import sys
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from simulator import devices as precision
from simulator.devices import resolve_precision
from simulator.link import load_scheme, on_device, transmit
from simulator.sweep import plan
from simulator.sweep.inputs import SweepConfig, load_inputs


@dataclass
class Choosy:
    """A scheme that has a choice."""

    name: str = "choosy"
    precision: str = "unset"

    def compute_in(self, precision: str) -> None:
        self.precision = precision


@pytest.mark.parametrize(("native", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_depends_on_the_processor_alone(monkeypatch, native, expected):
    monkeypatch.setattr(precision, "has_native_bf16", lambda: native)
    assert resolve_precision("auto", "cpu") == expected
    assert resolve_precision("auto", "cuda:1") == "fp32"
    assert [resolve_precision(one, "cpu") for one in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_capabilities_decide(monkeypatch):
    for capabilities, expected in (
        ({"avx512_f": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({}, False),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=capabilities: found, raising=False)
        assert precision.has_native_bf16() is expected


def test_schemes_are_told(monkeypatch):
    monkeypatch.setattr(precision, "has_native_bf16", lambda: True)
    choosy = Choosy()
    on_device(choosy, "cpu")  # type: ignore[arg-type]
    assert choosy.precision == "bf16"
    on_device(choosy, "cpu", "fp32")  # type: ignore[arg-type]
    assert choosy.precision == "fp32"


def test_rows_know_the_precision_where_there_is_a_choice(photographs):
    config = SweepConfig(
        (10.0,), schemes=("lrisc", "deepjscc"), images=str(photographs), crop=32, lpips="none", precision="fp32"
    )
    inputs = load_inputs(config, print)
    exact, coarse = (plan(replace(config, precision=one), inputs) for one in ("fp32", "bf16"))
    assert {row.scheme for row, other in zip(exact, coarse, strict=True) if row.key != other.key} == {"lrisc"}


@pytest.mark.parametrize("snr_db", [0.0, 10.0])
def test_bfloat16_is_not_to_be_seen(snr_db):
    from simulator.channels import load_channel
    from simulator.images import load_image_set
    from simulator.images.pixels import to_uint8
    from simulator.metrics import psnr_db as measure

    image = load_image_set("samples", crop=96)[0].pixels
    trips = []
    for one in ("fp32", "bf16"):
        scheme = on_device(load_scheme("lrisc"), "cpu", one)
        with torch.inference_mode():
            trips.append(transmit(scheme, image[None], Fraction(1, 16), load_channel("awgn"), snr_db))
    sent = [trip.transmission.symbols[0] for trip in trips if trip.transmission]
    assert torch.equal(sent[0], sent[1])
    shown = [to_uint8(trip.decoded.images[0]) for trip in trips]
    assert not (shown[0] == shown[1]).all(), "bfloat16 was not used"
    exact, coarse = (measure(to_uint8(image), one) for one in shown)
    assert abs(exact - coarse) < 0.02
    assert measure(shown[0], shown[1]) > 45


def test_command_line(capsys, tmp_path: Path, photographs):
    from simulator.__main__ import main

    picture = str(next(photographs.iterdir()))
    command = ["transmit", picture, "--scheme", "lrisc", "--lpips", "none", "--json", "--precision"]
    assert main([*command, "fp32"]) == 0
    assert main([*command, "bf16"]) == 0
    exact, coarse = capsys.readouterr().out.splitlines()
    assert '"psnr_db"' in exact
    assert exact != coarse
    with pytest.raises(SystemExit):
        main([*command, "fp16"])


REPEATED = """
import resource, torch
from simulator.devices import keep_freed_memory
def touched():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(40):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
first = touched()
keep_freed_memory()
print(first, touched())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the setting is glibc's")
def test_large_blocks_are_reused():
    run = subprocess.run([sys.executable, "-c", REPEATED], capture_output=True, text=True, check=True, timeout=300)
    returned, kept = map(int, run.stdout.split())
    assert kept < returned / 3
