"""A trip over the air with its times and quality, for `sweep`, `transmit` and the playground."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import torch

from simulator.channels import Channel
from simulator.devices import usual_torch
from simulator.link import (
    Bound,
    Decoded,
    LinkState,
    Reception,
    Scheme,
    Transmission,
    Trip,
    capabilities,
    describe,
    transmit,
)
from simulator.metrics import LpipsNet, Metrics, measure
from simulator.spec.shown import Brief


@dataclass(frozen=True, repr=False)
class Delivery(Brief):
    """The outcome of a batch of images.

    Attributes:
        trip: what was sent, received and billed.
        shown: float32 [B, 3, H, W] in [0, 1], on the CPU.
        quality: of each image.
        encode_s, decode_s: seconds per image; None for a bound, which neither encodes nor decodes.
    """

    trip: Trip
    shown: torch.Tensor
    quality: list[Metrics]
    encode_s: float | None
    decode_s: float | None

    def measured(self, index: int) -> dict[str, float]:
        """Measurements of the channel for one image, such as EVM: further columns of results."""
        return self.trip.measured[index] if self.trip.measured else {}

    def record(self, index: int) -> dict[str, Any]:
        """The outcome of one image as a flat record, all but the times: columns of `simulator.results.rows.Row`."""
        size = (self.shown.shape[-2], self.shown.shape[-1])
        realised = self.trip.snr_db[index]
        return {
            "snr_db_realised": realised if math.isfinite(realised) else None,
            "outage": bool(self.trip.decoded.outage[index]),
            **asdict(self.quality[index]),
            **describe(self.trip.ledgers[index], size),
        }


def explain_outage(record: Mapping[str, Any]) -> str:
    """Why nothing could be decoded: the record of an outage shows whether anything of the image was sent."""
    if record["payload"] == 0:
        return "nothing was sent: not even the coarsest version of the picture fits into these channel uses at this SNR"
    return "a CRC failed: what was sent was damaged by the channel"


@usual_torch()
def deliver(
    scheme: Scheme | Bound,
    images: torch.Tensor,
    cbr: Fraction,
    channel: Channel,
    snr_db: float,
    realisation: int = 0,
    seed: int = 0,
    lpips: LpipsNet | None = None,
    stage: Callable[[str], None] = lambda name: None,
) -> Delivery:
    """Send a batch with `simulator.link.transmit`, which has the same arguments, and measure the received images.

    Args:
        lpips: network for LPIPS; None leaves it out.
        stage: receives "encoding", "crossing the channel", "decoding" and "measuring" when they begin.

    Raises:
        SchemeError: as `simulator.link.transmit` does.
    """
    timed = scheme if isinstance(scheme, Bound) else _Stopwatch(scheme, stage)
    with torch.inference_mode():
        trip = transmit(timed, images, cbr, channel, snr_db, realisation, seed)
    shown = trip.decoded.images.cpu()
    stage("measuring")
    quality = [measure(sent, got, lpips) for sent, got in zip(images, shown, strict=True)]
    seconds = timed.seconds(len(images)) if isinstance(timed, _Stopwatch) else (None, None)
    return Delivery(trip, shown, quality, *seconds)


class _Stopwatch:
    """A scheme wrapped to time `encode` and `decode`, and to report when they begin."""

    def __init__(self, scheme: Scheme, stage: Callable[[str], None] = lambda name: None) -> None:
        self._scheme = scheme
        self._stage = stage
        self.name = scheme.name
        self.genie = capabilities(scheme).genie
        self._spent = [0.0, 0.0]

    def fingerprint(self) -> str:
        return self._scheme.fingerprint()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        self._stage("encoding")
        start = time.perf_counter()
        transmission = self._scheme.encode(images, budget, state)
        self._spent[0] = time.perf_counter() - start
        self._stage("crossing the channel")
        return transmission

    def decode(self, reception: Reception) -> Decoded:
        self._stage("decoding")
        start = time.perf_counter()
        decoded = self._scheme.decode(reception)
        self._spent[1] = time.perf_counter() - start
        return decoded

    def seconds(self, num_images: int) -> tuple[float, float]:
        """Seconds per image of both halves."""
        return self._spent[0] / num_images, self._spent[1] / num_images
