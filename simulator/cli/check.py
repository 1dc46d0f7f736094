"""`check`: report the environment and compare the physics with theory."""

import argparse
import json
import shutil
import textwrap
from collections import Counter
from typing import Any

from simulator.cli.arguments import add_json
from simulator.cli.examples import add_examples

EXAMPLES = (
    ("is this installation sound?", "simulator check"),
    ("the same for a bug report", "simulator check --json"),
)


def configure(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb."""
    parser = subparsers.add_parser("check", help="report the environment and run physics self-tests")
    add_json(parser)
    add_examples(parser, *EXAMPLES)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if a self-test failed."""
    from dataclasses import asdict

    from simulator.selftest import run_all

    report = environment()
    if args.json:
        checks = list(run_all())
        print(json.dumps({"environment": report, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for name, value in report.items():
            print(_wrapped(f"{name:17}", _plain(value)))
        print()
        checks = []
        for check in run_all():
            checks.append(check)
            mark = "known" if check.known else {True: "pass", False: "FAIL", None: "skip"}[check.passed]
            text = f"{check.name}: {check.measured} (expected {check.expected})"
            print(_wrapped(f"{mark:6}", text), flush=True)
        counts = Counter("known" if check.known else check.passed for check in checks)
        faults = f", {counts['known']} known faults of this release" if counts["known"] else ""
        print(f"\n{counts[True]} passed, {counts[False]} failed, {counts[None]} skipped{faults}")
    return int(any(check.passed is False and not check.known for check in checks))


def environment() -> dict[str, Any]:
    """Versions, processor, threads, devices, folders, and which Kodak images and LPIPS backbones are present."""
    import os

    import torch

    from simulator.disk import cache_dir
    from simulator.images import kodak_folder
    from simulator.metrics.backbones import BACKBONES, backbone_file
    from simulator.phy.kernels import num_threads
    from simulator.results import provenance
    from simulator.spec.plugins import plugin_names

    origin = provenance.environment()
    kodak = kodak_folder()
    count = len(list(kodak.glob("kodim*.png"))) if kodak.is_dir() else 0
    devices = ["cpu", *(f"cuda:{index} ({name})" for index, name in enumerate(origin["machine"]["gpus"]))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {
        "program": origin["program"],
        "commit": provenance.commit_words(origin["commit"]) or None,
        "python": origin["python"],
        "packages": origin["packages"],
        "system": origin["machine"]["system"],
        "processor": f"{origin['machine']['processor']}, {os.cpu_count()} cores",
        "threads": {"torch": torch.get_num_threads(), "kernels": num_threads()},
        "devices": devices,
        "cache": str(cache_dir()),
        "kodak": f"{count} of 24 images in {kodak}" + (", the rest is downloaded when used" if count < 24 else ""),
        "lpips backbones": {name: str(backbone_file(name) or "not here, downloaded when used") for name in BACKBONES},
        "schemes": plugin_names("simulator.schemes"),
        "channels": plugin_names("simulator.channels"),
    }


def _wrapped(head: str, text: str) -> str:
    """A line in the width of the terminal; what does not fit follows below the text, and paths stay whole."""
    width, indent = max(40, shutil.get_terminal_size().columns), " " * len(head)
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(text, width, initial_indent=head, subsequent_indent=indent, **options)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return ", ".join(value) if isinstance(value, list) else str(value)
