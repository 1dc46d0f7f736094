"""The work of one process: send images at one point of the grid, and measure the received images."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import torch

from simulator.channels import Channel, load_channel
from simulator.devices import check_device
from simulator.errors import SchemeError, UserError, explain, is_the_machines
from simulator.images import NamedImage
from simulator.images.pixels import to_uint8
from simulator.link import (
    Bound,
    Scheme,
    SymbolLedger,
    capabilities,
    channel_uses,
    describe,
    load_scheme,
    on_device,
    outage_image,
)
from simulator.link.delivery import deliver
from simulator.metrics import LpipsNet, load_metric, measure, measure_further
from simulator.results.gallery import encode_png
from simulator.results.rows import Row, write_further


@dataclass(frozen=True)
class Task:
    """Images of one size at one point of the grid.

    Attributes:
        group: tasks of a group concern the same images.
        scheme, channel: specifications.
        images, keys: one each per row to make.
        pictures: whether the reconstructions themselves are wanted.
        fingerprint: of the scheme, when the keys were made; None skips the check.
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
    fingerprint: str | None = None

    def __str__(self) -> str:
        names = ", ".join(image.name for image in self.images[:3]) + ", ..." * (len(self.images) > 3)
        return f"{self.scheme} over {self.channel} at {self.snr_db:g} dB and CBR {self.cbr}, {names}"


@dataclass(frozen=True)
class Outcome:
    """The outcome of one image: its row, and the reconstruction as a PNG file if requested.

    Attributes:
        late: names of files that the row depends on but its key does not cover.
    """

    row: Row
    picture: bytes | None = None
    late: tuple[str, ...] = ()


class Worker:
    """Turns tasks into outcomes; keeps schemes, channels and the LPIPS network between them."""

    def __init__(self, device: str, lpips: str, precision: str = "auto", metrics: Sequence[str] = ()) -> None:
        """device and precision: where and how learned schemes compute; lpips: backbone or "none"; metrics: further."""
        check_device(device)
        self._device = device
        self._lpips = None if lpips == "none" else LpipsNet(lpips)
        self._metrics = [load_metric(spec) for spec in metrics]
        self._precision = precision
        self._scheme = cache(self._load)
        self._channel = cache(load_channel)

    def __call__(self, task: Task) -> list[Outcome]:
        """One outcome per image of the task."""
        scheme, channel = self._scheme(task.scheme, task.fingerprint), self._channel(task.channel)
        # On a CPU a batch is no faster and changes last bits, so images are sent one at a time.
        step = 1 if self._device == "cpu" or capabilities(scheme).to is None else len(task.images)
        starts = range(0, len(task.images), step)
        return [one for start in starts for one in self._send(task, scheme, channel, slice(start, start + step))]

    def _load(self, spec: str, fingerprint: str | None) -> Scheme | Bound:
        """Load a scheme; refuse it if its fingerprint differs from that in the keys of its rows."""
        scheme = on_device(load_scheme(spec), self._device, self._precision)
        if fingerprint is not None and scheme.fingerprint() != fingerprint:
            cause = "its files changed meanwhile, or it draws random weights without a seed"
            raise UserError(f"scheme '{spec}' is not the one that the sweep began with: {cause}; run the sweep again")
        return scheme

    def _send(self, task: Task, scheme: Scheme | Bound, channel: Channel, part: slice) -> list[Outcome]:
        """Outcomes of some of a task's images; an error in the scheme becomes a fault in the row of its image.

        Raises:
            UserError: bad input, or an error that does not belong to one row.
        """
        named, keys = task.images[part], task.keys[part]
        images = torch.stack([one.pixels for one in named])
        point = (task.cbr, channel, task.snr_db, task.realisation, task.seed)
        try:
            delivery = deliver(scheme, images, *point, lpips=self._lpips)
        except UserError:
            raise
        except Exception as error:
            if is_the_machines(error):
                raise UserError(f"{explain(error, SchemeError)} (at {task}); finished rows are kept") from error
            if len(named) == 1:
                return [self._fault(task, scheme, channel, part.start, error)]
            each = range(part.start, part.start + len(named))
            return [one for index in each for one in self._send(task, scheme, channel, slice(index, index + 1))]
        times = {"encode_s": delivery.encode_s, "decode_s": delivery.decode_s}
        return [
            self._outcome(
                *(task, scheme, channel, one, key, delivery.shown[index]),
                *(delivery.record(index) | times, delivery.measured(index)),
            )
            for index, (one, key) in enumerate(zip(named, keys, strict=True))
        ]

    def _fault(self, task: Task, scheme: Scheme | Bound, channel: Channel, index: int, error: Exception) -> Outcome:
        """An outage with a note: the receiver shows grey, and the whole budget is billed as padding."""
        image = task.images[index]
        shown = outage_image(image.size)
        bill = describe(SymbolLedger(padding=channel_uses(task.cbr, image.size)), image.size)
        record = (
            asdict(measure(image.pixels, shown, self._lpips))
            | bill
            | {"outage": True, "fault": explain(error, SchemeError)}
        )
        record |= dict.fromkeys(("snr_db_realised", "encode_s", "decode_s"))
        return self._outcome(task, scheme, channel, image, task.keys[index], shown, record)

    def _outcome(
        self,
        task: Task,
        scheme: Scheme | Bound,
        channel: Channel,
        image: NamedImage,
        key: str,
        shown: torch.Tensor,
        record: dict[str, Any],
        measured: dict[str, float] | None = None,
    ) -> Outcome:
        """Build the outcome from a row's point on the grid and its measured `record`."""
        row = Row(
            key=key,
            scheme=scheme.name,
            channel=channel.name,
            snr_db=task.snr_db,
            cbr_target=float(task.cbr),
            image=image.name,
            realisation=task.realisation,
            further=write_further((measured or {}) | measure_further(self._metrics, image.pixels, shown)),
            **record,
        )
        late = {path.name for one in (scheme, *self._metrics) for path in getattr(one, "late_imports", ())}
        return Outcome(row, encode_png(to_uint8(shown)) if task.pictures else None, tuple(sorted(late)))
