"""Argument types and groups that several verbs share; every error is one line."""

import argparse
import math
import re
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from simulator.cli.verbosity import is_quiet
from simulator.disk import user_path
from simulator.errors import UserError, in_one_line
from simulator.spec import grids

T = TypeVar("T")

KEEP_IMAGES = ("none", "best", "all")
LPIPS_NETS = ("alex", "vgg", "squeeze", "none")
PRECISIONS = ("auto", "fp32", "bf16")  # as simulator.devices, which needs torch
MIN_SIDE = 16

_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def _argument(parse: Callable[[str], T]) -> Callable[[str], T]:
    """Wrap a parser for argparse, which then names the option in the error."""

    def parse_argument(text: str) -> T:
        try:
            return parse(text)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse_argument


path = _argument(user_path)
snr_db = _argument(grids.parse_snr)
snr_grid = _argument(grids.parse_snrs)
cbr = _argument(grids.parse_cbr)
cbr_list = _argument(grids.parse_cbrs)


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas, each once, in the order given; `keras:ENCODER,DECODER` is one name."""
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if names and names[-1].startswith("keras:") and "," not in names[-1] and part:
            names[-1] += f",{part}"
        else:
            names.append(part)
    if "" in names:
        raise argparse.ArgumentTypeError(f"'{text}' has an empty name; separate names by single commas")
    return tuple(dict.fromkeys(names))


def whole_number(minimum: int, refusal: str, below: int = 2**63) -> Callable[[str], int]:
    """Make a parser of whole numbers from `minimum` on and below `below`; errors read "'TEXT' is not `refusal`"."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,19}", text.strip()) or not minimum <= int(text) < below:
            raise argparse.ArgumentTypeError(f"'{text}' is not {refusal}")
        return int(text)

    return parse


positive_int = whole_number(1, "a whole number of at least 1")
seed = whole_number(0, "a whole number of at least 0")  # of a draw, or its number
crop_side = whole_number(MIN_SIDE, f"a crop: a side of at least {MIN_SIDE} pixels")


def device(text: str) -> str:
    """Parse a torch device name; the device is looked up when it is used."""
    if not _DEVICE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"'{text}' is not a device; write cpu, cuda, cuda:0 or mps")
    return text


class ExtendUnique(argparse.Action):
    """Collect comma lists of a repeated option: `--scheme a,b --scheme c` is (a, b, c)."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option: str | None = None) -> None:
        """Replace the default by the first list, extend it by the next ones."""
        seen = getattr(namespace, f"_given_{self.dest}", ())
        merged = tuple(dict.fromkeys((*seen, *values)))
        setattr(namespace, f"_given_{self.dest}", merged)
        setattr(namespace, self.dest, merged)


def add_list(parser: argparse.ArgumentParser, option: str, text: str, default: tuple[str, ...] = ()) -> None:
    """Add an option that takes names, separated by commas or by repeating it."""
    parser.add_argument(option, type=name_list, action=ExtendUnique, default=default, metavar="NAME", help=text)


def add_images(parser: argparse.ArgumentParser) -> None:
    """Add --images and --crop."""
    text = "samples (photographs that ship with scikit-image), kodak, or a file, folder or glob (default: samples)"
    parser.add_argument("--images", default="samples", metavar="SET", help=text)
    text = f"centre-crop every image to N x N pixels (N >= {MIN_SIDE})"
    parser.add_argument("--crop", type=crop_side, metavar="N", help=text)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add --device."""
    text = "where the learned schemes run: cpu, cuda, cuda:N or mps (default: cpu)"
    parser.add_argument("--device", type=device, default="cpu", help=text)


def add_precision(parser: argparse.ArgumentParser) -> None:
    """Add --precision."""
    text = "arithmetic of LRISC's diffusion decoder; auto is bf16 on processors that have it, else fp32 (default: auto)"
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help=text)


def add_workers(parser: argparse.ArgumentParser) -> None:
    """Add --workers, --batch, --executor, --gpus-per-task and --timeout."""
    text = "number of processes (default: one per core, or as many as a Ray cluster has room for); changes no result"
    parser.add_argument("--workers", type=positive_int, metavar="N", help=text)
    text = "images per unit of work (default: 1); changes no result on a CPU"
    parser.add_argument("--batch", type=positive_int, default=1, metavar="N", help=text)
    text = (
        "where workers run: local, ray (a cluster on this machine) or ray:ADDRESS (default: local); changes no result"
    )
    parser.add_argument("--executor", type=executor, default="local", metavar="KIND", help=text)
    text = "with --executor ray, the share of a GPU that a worker gets (default: 1 with --device cuda, else 0)"
    parser.add_argument("--gpus-per-task", type=positive_float, metavar="SHARE", help=text)
    text = "stop a unit of work that takes longer, retry it once, then end the sweep (default: no limit)"
    parser.add_argument("--timeout", type=positive_float, metavar="SECONDS", help=text)


def execution(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_device` and `add_workers`, as keyword arguments of SweepConfig."""
    names = ("device", "precision", "workers", "batch", "executor", "gpus_per_task")
    return {name: getattr(args, name) for name in names} | {"timeout_s": args.timeout}


def executor(text: str) -> str:
    """Parse where workers run."""
    if text not in ("local", "ray") and not re.fullmatch(r"ray:\S+", text):
        raise argparse.ArgumentTypeError(f"'{text}' is not an executor; write local, ray, ray:auto or ray:HOST:PORT")
    return text


def positive_number(refusal: str, below: float = math.inf) -> Callable[[str], float]:
    """Make a parser of numbers between 0 and `below`; errors read "'TEXT' is not `refusal`"."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value < below:
            raise argparse.ArgumentTypeError(f"'{text}' is not {refusal}")
        return value

    return parse


positive_float = positive_number("a positive number")


def add_lpips(parser: argparse.ArgumentParser) -> None:
    """Add --lpips."""
    text = "backbone of LPIPS, or none to leave it out (default: alex)"
    parser.add_argument("--lpips", choices=LPIPS_NETS, default="alex", help=text)


def add_keep_images(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add --keep-images; without a default the value is None, and the experiment's setting applies."""
    text = "reconstructions to keep in OUT/images: all, the best of each image's realisations, or none"
    said = "the experiment's setting" if default is None else default
    parser.add_argument("--keep-images", choices=KEEP_IMAGES, default=default, help=f"{text} (default: {said})")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument("--seed", type=seed, default=0, help="seed of every channel draw (default: 0)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print the figures as JSON for machines")


def note(text: str) -> None:
    """Print a one-line note on stderr, unless -q is given."""
    if not is_quiet():
        print(f"note: {in_one_line(text)}", file=sys.stderr)
