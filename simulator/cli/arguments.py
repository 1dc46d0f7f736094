"""Types and groups of arguments that several verbs share; every refusal is one line."""

import argparse
import math
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

LPIPS_NETS = ("alex", "vgg", "squeeze", "none")
MAX_CBR = Fraction(1, 2)
MAX_ABS_SNR_DB = 100
MAX_GRID_POINTS = 1000
MIN_SIDE = 16

_RATIO = re.compile(r"\d{1,12}(/0*[1-9]\d{0,11}|\.\d{0,18})?|\.\d{1,18}")
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


def snr_db(text: str) -> float:
    """Parse one SNR in dB, such as `10` or `-2.5`."""
    return float(_decimal(text))


def snr_grid(text: str) -> tuple[float, ...]:
    """Parse SNRs in dB: `0:15` (inclusive, step 1), `0:15:0.5`, `0,5,10`, or a mix such as `0:4,10`; sorted."""
    values = {value for part in text.split(",") for value in _span(part)}
    if len(values) > MAX_GRID_POINTS:
        raise argparse.ArgumentTypeError(f"'{text}' has {len(values)} points; give at most {MAX_GRID_POINTS}")
    return tuple(sorted(values))


def _span(text: str) -> list[float]:
    """The points of `a`, `a:b` or `a:b:step`."""
    parts = [_decimal(part) for part in text.split(":")]
    if len(parts) > 3:
        raise argparse.ArgumentTypeError(f"'{text}' is not a range; write FIRST:LAST[:STEP], such as 0:15 or 0:15:0.5")
    first, last = parts[0], parts[min(1, len(parts) - 1)]
    step = parts[2] if len(parts) == 3 else Decimal(1)
    if step <= 0:
        raise argparse.ArgumentTypeError(f"step {step} in '{text}' must be more than 0, such as 0:15:0.5")
    if last < first:
        raise argparse.ArgumentTypeError(f"range '{text}' is empty; write the lower SNR first, such as {last}:{first}")
    count = int((last - first) / step) + 1
    if count > MAX_GRID_POINTS:
        raise argparse.ArgumentTypeError(f"'{text}' has {count} points; give at most {MAX_GRID_POINTS}")
    return [float(first + index * step) + 0.0 for index in range(count)]


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"'{text}' is not an SNR in dB; write a number such as 10 or -2.5") from None
    if not math.isfinite(value) or abs(value) > MAX_ABS_SNR_DB or value != round(value, 6):
        limits = f"-{MAX_ABS_SNR_DB}..{MAX_ABS_SNR_DB} dB, with at most six decimals"
        raise argparse.ArgumentTypeError(f"SNR '{text}' must lie in {limits}")
    return value


def cbr(text: str) -> Fraction:
    """Parse one bandwidth ratio, channel uses per source value: `1/16` or `0.0625`, in (0, 1/2]."""
    if not _RATIO.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(f"'{text}' is not a bandwidth ratio; write 1/16 or 0.0625, in (0, 1/2]")
    value = Fraction(text.strip())
    if not 0 < value <= MAX_CBR:
        raise argparse.ArgumentTypeError(f"bandwidth ratio '{text}' must lie in (0, 1/2]; the usual one is 1/16")
    return value


def cbr_list(text: str) -> tuple[Fraction, ...]:
    """Parse bandwidth ratios separated by commas; sorted, each once."""
    return tuple(sorted({cbr(part) for part in text.split(",")}))


def name_list(text: str) -> tuple[str, ...]:
    """Parse names separated by commas, each once, in the order given."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if "" in names:
        raise argparse.ArgumentTypeError(f"'{text}' has an empty name; separate names by single commas")
    return names


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    return _integer(text, 1, "a whole number of at least 1")


def seed(text: str) -> int:
    """Parse a seed, or the number of a draw: a whole number in 0 .. 2^63 - 1."""
    return _integer(text, 0, "a whole number of at least 0")


def crop_side(text: str) -> int:
    """Parse the side of a centre crop in pixels."""
    return _integer(text, MIN_SIDE, f"a crop: a side of at least {MIN_SIDE} pixels")


def _integer(text: str, minimum: int, expected: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,19}", text.strip()) or not minimum <= int(text) < 2**63:
        raise argparse.ArgumentTypeError(f"'{text}' is not {expected}")
    return int(text)


def device(text: str) -> str:
    """Parse a torch device name; whether it is there is found out when it is used."""
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


def add_lpips(parser: argparse.ArgumentParser) -> None:
    """Add --lpips."""
    text = "backbone of LPIPS, or none to leave it out (default: alex)"
    parser.add_argument("--lpips", choices=LPIPS_NETS, default="alex", help=text)


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Add --seed."""
    parser.add_argument("--seed", type=seed, default=0, help="seed of every channel draw (default: 0)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print the figures as JSON for machines")
