"""What the playground computes: a picture made ready, and one trip over the air, as `transmit` and `sweep` make it."""

from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

from simulator.channels import Channel, load_channel
from simulator.errors import SchemeError, UserError
from simulator.images import load_image
from simulator.images.pixels import scale_to, to_float, to_uint8
from simulator.link import Bound, Scheme, capabilities, check_supported, load_scheme, on_device
from simulator.link.delivery import Delivery, deliver
from simulator.metrics.backbones import backbone_file
from simulator.metrics.lpips import LpipsNet
from simulator.spec import grids
from simulator.spec.plugins import plugin_names

LONG_SIDE = 768  # a Kodak photograph's: seconds per press on a CPU
MAX_PIXELS = 2_100_000  # 1920 x 1080, which takes LRISC's U-Net about 5 GB
USUAL_CBRS = ("1/48", "1/32", "1/24", "1/16", "1/12", "1/8", "1/6", "1/4")
SHOWN_SYMBOLS = 1500
FROM_FILES = ("torch", "keras", "codec-ldpc", "codec-capacity")  # they run code of a file that the page names
LPIPS_NET = "alex"
_ONE_AT_A_TIME = Lock()  # Sionna draws from a generator of the whole process
FADES = 1e-6  # gains nearer to 1 than this are no fading


@dataclass(frozen=True)
class Machine:
    """Where and how learned schemes compute, as `--device` and `--precision` say it."""

    device: str = "cpu"
    precision: str = "auto"


@dataclass(frozen=True)
class Settings:
    """Everything except the picture that an outcome depends on.

    Attributes:
        scheme, channel: specifications, `name[:option...]`.
        cbr: channel uses allowed per source value.
        snr_db: average Es/N0.
        realisation, seed: of the channel draw.
        machine: what learned schemes run on.
    """

    scheme: str
    cbr: Fraction
    channel: str
    snr_db: float
    realisation: int = 0
    seed: int = 0
    machine: Machine = Machine()


@dataclass(frozen=True)
class Constellation:
    """Some of the symbols of a trip, evenly spaced over it, complex64 [n <= SHOWN_SYMBOLS] each.

    Attributes:
        sent, received: as they left and as they arrived.
        equalised: received / gain, with the gain that the receiver knows; None where the channel does not fade.
        count: how many symbols were sent in all.
    """

    sent: np.ndarray
    received: np.ndarray
    equalised: np.ndarray | None
    count: int


@dataclass(frozen=True)
class Outcome:
    """What became of the picture.

    Attributes:
        settings: the requested settings.
        scheme, channel: canonical names.
        source, received: uint8 [H, W, 3].
        record: quality, outage, bill and times, with the column names of `simulator.results.rows.Row`.
        constellation: None if nothing was sent.
    """

    settings: Settings
    scheme: str
    channel: str
    source: np.ndarray = field(repr=False)
    received: np.ndarray = field(repr=False)
    record: dict[str, Any]
    constellation: Constellation | None = field(repr=False)


@dataclass(frozen=True)
class Picture:
    """A picture as it will be sent.

    Attributes:
        rgb: uint8 [H, W, 3].
        original: (H, W) before it was scaled down.
    """

    rgb: np.ndarray
    original: tuple[int, int]

    @property
    def is_scaled(self) -> bool:
        """Whether it was scaled down."""
        return self.rgb.shape[:2] != self.original


def prepare(path: Path, scale_down: bool) -> Picture:
    """Read an image file; scale it to a long side of `LONG_SIDE` pixels (Lanczos) if it is larger and that is wanted.

    Raises:
        UserError: no usable image (by `simulator.images.load_image`), or too large to be sent without scaling.
    """
    try:
        rgb = load_image(path)
    except UserError as error:  # the path of an upload means nothing to the user
        raise UserError(str(error).replace(str(path), path.name)) from None
    height, width = original = (rgb.shape[0], rgb.shape[1])
    if scale_down and max(original) > LONG_SIDE:
        rgb = scale_to(rgb, LONG_SIDE)
    elif width * height > MAX_PIXELS:
        limit = f"{width}x{height} is more than {MAX_PIXELS / 1e6:g} megapixels"
        raise UserError(f"{path.name}: {limit}; let it be scaled down, or choose a smaller picture")
    return Picture(rgb, original)


def simulate(settings: Settings, rgb: np.ndarray, lpips: LpipsNet | None = None) -> Outcome:
    """Send one picture, uint8 [H, W, 3], over the air.

    The same picture, channel, SNR, CBR, realisation and seed give the numbers that `transmit` and `sweep` give.

    Raises:
        UserError: unknown scheme or channel or option, or a CBR or size that the scheme lacks.
        SchemeError: the scheme broke the link's contract.
    """
    channel = find_channel(settings.channel)
    scheme = find_scheme(settings.scheme, settings.machine)
    check_supported(scheme, settings.cbr)
    image = to_float(rgb)
    drawn = (settings.realisation, settings.seed)
    with _ONE_AT_A_TIME:
        delivery = deliver(scheme, image[None], settings.cbr, channel, settings.snr_db, *drawn, lpips=lpips)
    return Outcome(
        settings,
        scheme.name,
        channel.name,
        rgb,
        to_uint8(delivery.shown[0]),
        delivery.record(0) | {"encode_s": delivery.encode_s, "decode_s": delivery.decode_s},
        _constellation(delivery),
    )


def installed_schemes() -> tuple[str, ...]:
    """Schemes by entry point, without those that run any named file: other users of this machine can open the page."""
    return tuple(name for name in plugin_names("simulator.schemes") if name not in FROM_FILES)


@lru_cache(maxsize=6)
def find_scheme(spec: str, machine: Machine = Machine()) -> Scheme | Bound:
    """A scheme by specification; the last few stay loaded."""
    return on_device(load_scheme(spec), machine.device, machine.precision)


@lru_cache(maxsize=16)
def find_channel(spec: str) -> Channel:
    """A channel by specification; the last few keep what they computed once, such as an estimator's filter."""
    return load_channel(spec)


@lru_cache(maxsize=1)
def find_lpips() -> LpipsNet | None:
    """LPIPS if its backbone is on this machine; the playground downloads nothing."""
    return LpipsNet(LPIPS_NET) if backbone_file(LPIPS_NET) else None


def warm_up(machine: Machine) -> None:
    """Send a small picture with every scheme, so that the first press does not wait for Sionna and LPIPS."""
    grey = np.full((32, 32, 3), 128, np.uint8)
    for scheme in installed_schemes():
        with suppress(UserError, SchemeError):
            simulate(Settings(scheme, Fraction(1, 16), "awgn", 10.0, machine=machine), grey, find_lpips())


def supported_cbrs(scheme: Scheme | Bound | None) -> list[str]:
    """Which of the usual bandwidth ratios a scheme runs at; all of them if there is none to ask."""
    can = capabilities(scheme)
    return [text for text in USUAL_CBRS if not can.supports(Fraction(text))]


def read_settings(
    scheme: str, cbr: str, channel: str, snr_db: float, realisation: float | None, seed: float | None, machine: Machine
) -> Settings:
    """Settings from what the controls hold, refused as the command line refuses them.

    Raises:
        UserError: an invalid CBR, SNR or number.
    """
    numbers = (_whole(realisation, "realisation"), _whole(seed, "seed"))
    return Settings(scheme, grids.parse_cbr(str(cbr)), channel, grids.parse_snr(str(snr_db)), *numbers, machine)


def _whole(value: float | None, what: str) -> int:
    if value is None or value != int(value) or not 0 <= value < 2**63:
        raise UserError(f"the {what} must be a whole number of at least 0")
    return int(value)


def _constellation(delivery: Delivery) -> Constellation | None:
    """Some symbols of the only image of a delivery."""
    trip = delivery.trip
    if trip.transmission is None or trip.reception is None or not len(trip.transmission.symbols[0]):
        return None
    sent, received = trip.transmission.symbols[0], trip.reception.received[0]
    count = len(sent)
    picks = torch.linspace(0, count - 1, min(count, SHOWN_SYMBOLS), dtype=torch.float64).round().long()
    gain = received.gain[picks]
    fades = bool(((received.gain - 1).abs() > FADES).any())
    equalised = (received.symbols[picks] / gain).numpy() if fades else None
    return Constellation(sent[picks].numpy(), received.symbols[picks].numpy(), equalised, count)
