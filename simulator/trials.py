"""The work of one process: send images over the air at one point of the grid, and measure what arrives."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch

from simulator.channels import Channel, load_channel
from simulator.errors import UserError
from simulator.images import NamedImage
from simulator.link import Bound, Decoded, LinkState, Reception, Scheme, Transmission, describe, load_scheme, transmit
from simulator.metrics import LpipsNet, measure
from simulator.store import Row


@dataclass(frozen=True)
class Task:
    """Images of one size at one point of the grid.

    Attributes:
        group: tasks of a group concern the same images.
        scheme, channel: specifications.
        images, keys: one each per row to make.
    """

    group: int
    scheme: str
    channel: str
    cbr: Fraction
    snr_db: float
    realisation: int
    seed: int
    images: tuple[NamedImage, ...]
    keys: tuple[str, ...]


class Worker:
    """Turns tasks into rows; keeps schemes, channels and the LPIPS network between them."""

    def __init__(self, device: str, lpips: str) -> None:
        """device: where learned schemes run; lpips: backbone or "none"."""
        self._device = device
        self._lpips = None if lpips == "none" else LpipsNet(lpips)
        self._scheme = cache(lambda spec: on_device(load_scheme(spec), device))
        self._channel = cache(load_channel)

    def __call__(self, task: Task) -> list[Row]:
        """One row per image of the task."""
        scheme, channel = self._scheme(task.scheme), self._channel(task.channel)
        # On a CPU a batch gains nothing, and would change last bits: images go one at a time.
        step = 1 if self._device == "cpu" or not hasattr(scheme, "to") else len(task.images)
        starts = range(0, len(task.images), step)
        return [row for start in starts for row in self._send(task, scheme, channel, slice(start, start + step))]

    def _send(self, task: Task, scheme: Scheme | Bound, channel: Channel, part: slice) -> Iterator[Row]:
        named = task.images[part]
        images = torch.stack([one.pixels for one in named])
        timed = scheme if isinstance(scheme, Bound) else _Stopwatch(scheme)
        with torch.inference_mode():
            trip = transmit(timed, images, task.cbr, channel, task.snr_db, task.realisation, task.seed)
        shown = trip.decoded.images.cpu()
        seconds = timed.seconds(len(named)) if isinstance(timed, _Stopwatch) else dict.fromkeys(_TIMES)
        for index, (one, key) in enumerate(zip(named, task.keys[part], strict=True)):
            quality = measure(images[index], shown[index], self._lpips)
            yield Row(
                key=key,
                scheme=scheme.name,
                channel=channel.name,
                snr_db=task.snr_db,
                cbr_target=float(task.cbr),
                image=one.name,
                realisation=task.realisation,
                snr_db_realised=trip.snr_db[index] if math.isfinite(trip.snr_db[index]) else None,
                psnr_db=quality.psnr_db,
                ms_ssim=quality.ms_ssim,
                lpips=quality.lpips,
                outage=bool(trip.decoded.outage[index]),
                **describe(trip.ledgers[index], one.size),
                **seconds,
            )


def check_device(device: str) -> None:
    """Refuse a torch device that this machine lacks.

    Raises:
        UserError: it is not there.
    """
    kind, _, index = device.partition(":")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if int(index or 0) >= present.get(kind, 0):
        there = ", ".join(name for name, count in present.items() if count)
        raise UserError(f"device '{device}' is not there; this machine has: {there}")


def on_device(scheme: Scheme | Bound, device: str) -> Scheme | Bound:
    """Move a scheme that can be moved (one with a method `to(device)`); the others compute on the CPU anyway."""
    move = getattr(scheme, "to", None)
    if move is not None:
        move(device)
    return scheme


_TIMES = ("encode_s", "decode_s")


class _Stopwatch:
    """A scheme that takes the time of its two halves."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self.name = scheme.name
        self.genie = getattr(scheme, "genie", False)
        self._spent = [0.0, 0.0]

    def fingerprint(self) -> str:
        return self._scheme.fingerprint()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        start = time.perf_counter()
        transmission = self._scheme.encode(images, budget, state)
        self._spent[0] = time.perf_counter() - start
        return transmission

    def decode(self, reception: Reception) -> Decoded:
        start = time.perf_counter()
        decoded = self._scheme.decode(reception)
        self._spent[1] = time.perf_counter() - start
        return decoded

    def seconds(self, num_images: int) -> dict[str, float]:
        """Seconds per image, by column."""
        return {name: spent / num_images for name, spent in zip(_TIMES, self._spent, strict=True)}
