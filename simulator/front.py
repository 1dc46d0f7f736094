"""The Python front door: send a picture or run a grid from a script or a notebook in a few lines."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simulator.channels import Channel, load_channel
from simulator.devices import PRECISIONS, check_device, usual_torch
from simulator.errors import UserError, did_you_mean
from simulator.images import load_image as read_image
from simulator.images import to_float
from simulator.images.reading import MIN_SIDE, read_opened
from simulator.link import Bound, Scheme, check_supported, on_device
from simulator.link import load_scheme as find_scheme
from simulator.link.delivery import deliver
from simulator.metrics import LpipsNet
from simulator.received import Received
from simulator.results.gallery import KEEP
from simulator.results.store import Results
from simulator.results.store import load_results as read_results
from simulator.spec.grids import MAX_ABS_SNR_DB, parse_cbr, parse_snrs

__all__ = ["load_channel", "load_image", "load_results", "load_scheme", "send", "sweep"]

Ratio = str | float | Fraction
_LEAST = dict.fromkeys(("realisations", "workers", "batch", "limit"), 1) | {
    "seed": 0,
    "realisation": 0,
    "crop": MIN_SIDE,
}
_OR_NONE = ("workers", "limit", "crop")


@usual_torch()
def load_image(image: Any) -> torch.Tensor:
    """Turn a picture into what the simulator works on.

    Args:
        image: a path; a PIL image; a NumPy array, uint8 in 0 .. 255 or float in [0, 1], [H, W, 3], [3, H, W] or grey
            [H, W]; or a tensor of these kinds. A fourth axis in front makes it a batch.

    Returns:
        float32 [3, H, W], or [B, 3, H, W] of a batch, in [0, 1].

    Raises:
        UserError: `image` is of another kind, or smaller than 16 x 16.
    """
    if isinstance(image, str | Path):
        return to_float(read_image(image))
    if hasattr(image, "convert") and hasattr(image, "getbands"):  # a PIL image; avoids importing PIL
        image = read_opened(image, "image")
    pixels = _tensor(image)
    if pixels.dtype == torch.uint8:
        pixels = pixels.float() / 255
    if not pixels.is_floating_point():
        raise UserError(f"image has values of type {pixels.dtype}; give uint8 in 0 .. 255 or floats in [0, 1]")
    if pixels.ndim == 2:
        pixels = pixels.expand(3, -1, -1)
    if pixels.ndim in (3, 4) and pixels.shape[-3] != 3 and pixels.shape[-1] == 3:
        pixels = pixels.movedim(-1, -3)
    if pixels.ndim not in (3, 4) or pixels.shape[-3] != 3 or min(pixels.shape[-2:]) < MIN_SIDE:
        raise UserError(f"image has the shape {tuple(image.shape)}; give [H, W, 3] or [3, H, W], sides of 16 at least")
    if not bool(torch.isfinite(pixels).all()) or pixels.min() < 0 or pixels.max() > 1:
        raise UserError("image has values outside of [0, 1]; divide by 255, or give uint8")
    return pixels.float().contiguous()


def _tensor(image: Any) -> torch.Tensor:
    """An array or a tensor as a dense tensor of the CPU."""
    if not isinstance(image, np.ndarray | torch.Tensor):
        raise UserError(f"image={type(image).__name__} is not a picture; use a path, a PIL image, an array or a tensor")
    if isinstance(image, torch.Tensor):
        if image.is_meta or not image.numel():
            raise UserError(f"image of shape {tuple(image.shape)} holds no values; give one with pixels")
        return image.detach().to_dense().cpu() if image.layout != torch.strided else image.detach().cpu()
    if image.dtype.kind not in "buifc" or not image.size:
        raise UserError(f"image of type {image.dtype} and shape {image.shape} has no pixels; give uint8 or floats")
    return torch.from_numpy(image.astype(image.dtype.newbyteorder("=")))


@usual_torch()
def load_scheme(scheme: str, device: str = "cpu", precision: str = "auto") -> Scheme | Bound:
    """Build a scheme, such as `bpg-ldpc`, `lrisc:gamma=0` or `torch:FILE.py:CLASS`.

    Args:
        scheme: `name[:option[:option...]]`; `python -m simulator list schemes` shows what there is.
        device, precision: where its networks run, and in which arithmetic (auto, fp32 or bf16).

    Raises:
        UserError: no such scheme, option or device.
    """
    check_device(device)
    _option("precision", precision)
    return on_device(find_scheme(scheme), device, precision)


def load_results(folder: str | Path) -> Results:
    """Read the folder that a sweep wrote.

    Raises:
        UserError: no such folder, or no results in it.
    """
    return read_results(Path(folder))


@usual_torch()
def send(
    image: Any,
    scheme: str | Scheme | Bound = "bpg-ldpc",
    channel: str | Channel = "awgn",
    snr_db: float = 10.0,
    cbr: Ratio = "1/16",
    *,
    realisation: int = 0,
    seed: int = 0,
    lpips: str = "none",
) -> Any:
    """Send a picture over the air.

    Args:
        image: what `load_image` takes.
        scheme, channel: specifications, or what `load_scheme` and `load_channel` return.
        snr_db: average Es/N0 in dB.
        cbr: channel uses per source value: `"1/16"`, 0.0625 or a Fraction, in (0, 1/2].
        realisation, seed: which draw of the channel.
        lpips: backbone of LPIPS (alex, vgg or squeeze), or none.

    Returns:
        A `Received`; of a batch, a list of them.

    Raises:
        UserError: an invalid argument; the message names it or its value.
    """
    pixels = load_image(image)
    ratio, snr = _cbr(cbr), _number("snr_db", snr_db)
    realisation, seed = _whole("realisation", realisation), _whole("seed", seed)
    sender = find_scheme(scheme) if isinstance(scheme, str) else scheme
    medium = load_channel(channel) if isinstance(channel, str) else channel
    check_supported(sender, ratio)
    net = None if lpips == "none" else LpipsNet(lpips)
    batch = pixels if pixels.ndim == 4 else pixels[None]
    delivery = deliver(sender, batch, ratio, medium, snr, realisation, seed, net)
    label = f"{sender.name} over {medium.name} at {snr:g} dB"
    received = [Received(label, batch[i], delivery.shown[i], delivery.record(i)) for i in range(len(batch))]
    return received if pixels.ndim == 4 else received[0]


@usual_torch()
def sweep(
    snr_db: str | float | Iterable[float],
    *,
    out: str | Path,
    schemes: str | Sequence[str] = (),
    channels: str | Sequence[str] = "awgn",
    cbr: Ratio | Sequence[Ratio] = "1/16",
    images: str | Path = "samples",
    workers: int | None = 1,
    progress: bool = True,
    **options: Any,
) -> Results:
    """Run a grid, or what is missing of it, and write rows, summary and figures into a folder.

    Args:
        snr_db: a range such as `"0:15:5"`, a number, or several.
        out: results folder; an earlier sweep in it is resumed.
        schemes, channels: one specification or several; no scheme takes the standard ones.
        cbr: one bandwidth ratio or several, as `send` takes them.
        images: an image set, a file or a folder, as `sweep --images` takes it.
        workers: processes; None is one per core. With several, a script must call this under
            `if __name__ == "__main__":`, as each of them imports the script; a notebook need not.
        progress: whether to show a progress bar.
        options: further fields of `simulator.sweep.SweepConfig`, such as `crop=256` or `realisations=20`.

    Raises:
        UserError: an argument is not what it must be.
    """
    from dataclasses import fields

    from simulator.analysis.outputs import SUMMARY_AND_FIGURES
    from simulator.progress import shown_progress
    from simulator.sweep.inputs import SweepConfig
    from simulator.sweep.run import run_sweep

    own = ("snr_db", "cbr", "schemes", "channels", "images", "workers")
    further = [one.name for one in fields(SweepConfig) if one.name not in (*own, "snrs_db", "cbrs")]
    if wrong := sorted(options.keys() - {*further}):
        known = (*own, *further)
        hint = did_you_mean(wrong[0], known)
        raise UserError(f"{wrong[0]} is not an argument of sweep; known: {', '.join(known)}{hint}")
    options = {name: _option(name, value) for name, value in options.items()}
    config = SweepConfig(
        snrs_db=_snrs(snr_db),
        cbrs=tuple(sorted({_cbr(one) for one in _several(cbr)})),
        schemes=_specifications("schemes", schemes),
        channels=_specifications("channels", channels),
        images=str(images),
        workers=_option("workers", workers),
        **options,
    )
    for name, axis in (("snr_db", config.snrs_db), ("cbr", config.cbrs), ("channels", config.channels)):
        if not axis:
            raise UserError(f"{name} is empty; give at least one")
    with shown_progress(progress) as (notify, tell):
        return run_sweep(config, Path(out), False, notify, tell, SUMMARY_AND_FIGURES)


def _cbr(cbr: Any) -> Fraction:
    # The ratio that was meant: 1/48 as a float is a little less, which would take a channel use off.
    near = isinstance(cbr, float) and np.isfinite(cbr)
    text = str(Fraction(cbr).limit_denominator(10**6) if near else cbr)
    try:
        return parse_cbr(text)
    except UserError as error:
        raise UserError(f"cbr={cbr!r}: {error}") from None


def _number(name: str, value: Any) -> float:
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not abs(value) <= MAX_ABS_SNR_DB:
        raise UserError(f"{name}={value!r} is not a number of dB from -{MAX_ABS_SNR_DB} to {MAX_ABS_SNR_DB}")
    return float(value)


def _whole(name: str, value: Any) -> int:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not _LEAST[name] <= value < 2**63:
        raise UserError(f"{name}={value!r} is not a whole number of at least {_LEAST[name]}")
    return int(value)


def _option(name: str, value: Any) -> Any:
    """An option of a sweep as the command line would give it."""
    if name in _LEAST and not (value is None and name in _OR_NONE):
        return _whole(name, value)
    if name == "keep_images" and value not in KEEP:
        raise UserError(f"{name}={value!r} is none of {', '.join(KEEP)}")
    if name == "precision" and value not in PRECISIONS:
        raise UserError(f"{name}={value!r} is none of {', '.join(PRECISIONS)}")
    return _specifications(name, value) if name in ("metrics", "only") else value


def _specifications(name: str, value: Any) -> tuple[str, ...]:
    found = _several(value)
    if wrong := [one for one in found if not isinstance(one, str)]:
        raise UserError(f"{name}={wrong[0]!r} is no text such as 'bpg-ldpc' or 'awgn'; give one, or several in a list")
    return found


def _snrs(snr_db: Any) -> tuple[float, ...]:
    if isinstance(snr_db, str):
        try:
            return parse_snrs(snr_db)
        except UserError as error:
            raise UserError(f"snr_db={snr_db!r}: {error}") from None
    return tuple(sorted({_number("snr_db", one) for one in _several(snr_db)}))


def _several(value: Any) -> tuple[Any, ...]:
    """One value, or several, as a tuple; a text is one."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else (value,)
