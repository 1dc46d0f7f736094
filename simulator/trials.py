"""The work of one process: send images over the air at one point of the grid, and measure what arrives."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch

from simulator.channels import Channel, load_channel
from simulator.delivery import deliver
from simulator.errors import UserError
from simulator.gallery import encode_png
from simulator.images import NamedImage
from simulator.link import Bound, Scheme, load_scheme
from simulator.metrics import LpipsNet
from simulator.randomness import to_uint8
from simulator.store import Row


@dataclass(frozen=True)
class Task:
    """Images of one size at one point of the grid.

    Attributes:
        group: tasks of a group concern the same images.
        scheme, channel: specifications.
        images, keys: one each per row to make.
        pictures: whether the reconstructions themselves are wanted.
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
    pictures: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one image: its row, and the reconstruction as a PNG file if it is wanted."""

    row: Row
    picture: bytes | None = None


class Worker:
    """Turns tasks into outcomes; keeps schemes, channels and the LPIPS network between them."""

    def __init__(self, device: str, lpips: str) -> None:
        """device: where learned schemes run; lpips: backbone or "none"."""
        self._device = device
        self._lpips = None if lpips == "none" else LpipsNet(lpips)
        self._scheme = cache(lambda spec: on_device(load_scheme(spec), device))
        self._channel = cache(load_channel)

    def __call__(self, task: Task) -> list[Outcome]:
        """One outcome per image of the task."""
        scheme, channel = self._scheme(task.scheme), self._channel(task.channel)
        # On a CPU a batch gains nothing, and would change last bits: images go one at a time.
        step = 1 if self._device == "cpu" or not hasattr(scheme, "to") else len(task.images)
        starts = range(0, len(task.images), step)
        return [one for start in starts for one in self._send(task, scheme, channel, slice(start, start + step))]

    def _send(self, task: Task, scheme: Scheme | Bound, channel: Channel, part: slice) -> Iterator[Outcome]:
        named = task.images[part]
        images = torch.stack([one.pixels for one in named])
        delivery = deliver(
            scheme, images, task.cbr, channel, task.snr_db, task.realisation, task.seed, lpips=self._lpips
        )
        for index, (one, key) in enumerate(zip(named, task.keys[part], strict=True)):
            row = Row(
                key=key,
                scheme=scheme.name,
                channel=channel.name,
                snr_db=task.snr_db,
                cbr_target=float(task.cbr),
                image=one.name,
                realisation=task.realisation,
                encode_s=delivery.encode_s,
                decode_s=delivery.decode_s,
                **delivery.record(index),
            )
            yield Outcome(row, encode_png(to_uint8(delivery.shown[index])) if task.pictures else None)


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
