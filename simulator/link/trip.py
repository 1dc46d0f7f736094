"""One trip over the air: images -> scheme -> symbols -> channel -> scheme -> images, with every use billed."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from simulator.channels import Channel, Realisation, Received
from simulator.channels.contract import announce, cross, draw
from simulator.errors import UserError
from simulator.link.audit import check_bill, check_control, check_shown, check_transmission
from simulator.randomness import derive_key, image_digest
from simulator.spec.plugins import load_plugin

# The receiver shows this grey when it could decode nothing: the mean level of natural photographs
# (ImageNet's channel means averaged), the constant with the least expected squared error.
OUTAGE_GREY = 0.449
MAX_SIDE = 2**15  # in pixels, of an image that a saved reception speaks of


@dataclass(frozen=True)
class SymbolLedger:
    """The bill of one image, in complex channel uses.

    The budget limits the data symbols, which the scheme bills. What the channel spends around them (pilots, guard bands
    and cyclic prefixes, `Received.overhead`) is billed on top, as `pilots`: `total` counts it, `data` does not.
    """

    payload: int = 0
    side_information: int = 0
    header: int = 0
    crc: int = 0
    padding: int = 0
    pilots: int = 0

    @property
    def total(self) -> int:
        """All channel uses that were spent."""
        return sum(asdict(self).values())

    @property
    def data(self) -> int:
        """The channel uses that the budget limits: all but what the channel spends around them."""
        return self.total - self.pilots

    @classmethod
    def apportion(cls, total: int, **weights: float) -> "SymbolLedger":
        """Split `total` channel uses over items in proportion to `weights` (bits, say), by largest remainder.

        Raises:
            ValueError: all weights are 0.
        """
        if not any(weights.values()):
            raise ValueError(f"{total} channel uses were spent on nothing")
        scale = total / sum(weights.values())
        shares = {item: int(weight * scale) for item, weight in weights.items()}
        by_remainder = sorted(weights, key=lambda item: shares[item] - weights[item] * scale)
        for item in by_remainder[: total - sum(shares.values())]:
            shares[item] += 1
        return cls(**shares)

    def __add__(self, other: "SymbolLedger") -> "SymbolLedger":
        return SymbolLedger(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class LinkState:
    """What both ends know before anything is sent: the channel's name and its average Es/N0.

    Over a channel with `announce` they only believe it.

    Attributes:
        realisations: gains and noise variance that each image of the batch is about to meet (not the noise: its key is
            0): given to `encode` of schemes that declare `genie = True`, empty for all others and for every receiver.
    """

    channel: str
    snr_db: float
    realisations: tuple[Realisation, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True)
class Transmission:
    """What a scheme puts on the air.

    Attributes:
        symbols: one complex64 [K_b] tensor per image, mean power <= 1 each.
        ledgers: what the K_b symbols of each image were spent on; `ledger.total == K_b`.
        control: one number in 0..31 per image that reaches the receiver beside the channel, neither lost nor billed, as
            NR's control channel brings the MCS; for genie schemes alone, empty for all others.
    """

    symbols: list[torch.Tensor]
    ledgers: list[SymbolLedger]
    control: tuple[int, ...] = ()


@dataclass(frozen=True)
class Reception:
    """All that a decoder gets: what crossed the channel, and what it may know for free (link state, image size).

    Attributes:
        received: per image: symbols, gain estimate and noise variance.
        image_size: (H, W) of the images of this batch.
        state: channel name and average SNR.
        control: what came beside the channel from a genie scheme, one number per image.
    """

    received: list[Received]
    image_size: tuple[int, int]
    state: LinkState
    control: tuple[int, ...] = ()

    def save(self, path: Path) -> None:
        """Write the reception to a .safetensors file, so that another process can decode it."""
        from safetensors.torch import save_file

        tensors: dict[str, torch.Tensor] = {}
        for index, one in enumerate(self.received):
            parts = {"symbols": torch.view_as_real(one.symbols), "gain": torch.view_as_real(one.gain)}
            parts |= {"noise_variance": one.noise_variance, "overhead": torch.tensor(one.overhead)}
            tensors |= {f"{index}.{name}": part.contiguous() for name, part in parts.items()}
        height, width = self.image_size
        metadata = {"channel": self.state.channel, "snr_db": repr(self.state.snr_db)}
        metadata |= {"size": f"{height}x{width}", "images": str(len(self.received))}
        metadata |= {"control": " ".join(map(str, self.control))}
        save_file(tensors, path, metadata=metadata)

    @classmethod
    def load(cls, path: Path) -> "Reception":
        """Read what `save` wrote.

        Raises:
            UserError: there is no such file, or it is no sound reception.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                received = [_read_received(file, index) for index in range(int(metadata["images"]))]
            height, width = (int(n) for n in metadata["size"].split("x"))
            state = LinkState(metadata["channel"], float(metadata["snr_db"]))
            control = tuple(map(int, metadata.get("control", "").split()))
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
            raise UserError(
                f"'{path}' is no saved reception ({error}); write one with transmit --save-reception"
            ) from None
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and math.isfinite(state.snr_db)):
            raise UserError(
                f"'{path}' says {height}x{width} pixels at {state.snr_db} dB, which cannot be; save it again"
            )
        return cls(received, (height, width), state, control)


def _read_received(file: Any, index: int) -> Received:
    """One image's part of a saved reception, held to what `Received` promises.

    Raises:
        ValueError: it does not keep it.
    """
    parts = {name: file.get_tensor(f"{index}.{name}") for name in ("symbols", "gain", "noise_variance", "overhead")}
    symbols, gain, variance = parts["symbols"], parts["gain"], parts["noise_variance"]
    shapes = [tuple(one.shape) for one in (symbols, gain, variance)]
    count = len(variance) if variance.dim() == 1 else -1
    numbers = (symbols, gain, variance)
    if shapes != [(count, 2), (count, 2), (count,)] or any(one.dtype != torch.float32 for one in numbers):
        raise ValueError(f"symbols, gains and noise variances of shapes {shapes}")
    if not all(one.isfinite().all() for one in numbers) or not (variance > 0).all():
        raise ValueError("values that are not finite, or a noise variance that is not positive")
    return Received(torch.view_as_complex(symbols), torch.view_as_complex(gain), variance, int(parts["overhead"]))


@dataclass(frozen=True)
class Decoded:
    """What the receiver shows.

    Attributes:
        images: float32 [B, 3, H, W] in [0, 1].
        outage: one flag per image: nothing could be decoded and the image is `outage_image`.
    """

    images: torch.Tensor
    outage: list[bool]


@runtime_checkable
class Scheme(Protocol):
    """A way to send images. The name is the full specification, such as `bpg-ldpc:16qam-1/2`.

    Four methods are optional: `supports(cbr: Fraction) -> str | None` gives the reason why the scheme cannot run at a
    bandwidth ratio (a sweep asks before it starts), `to(device: str)` moves its networks and returns the scheme,
    `compute_in(precision: str)` chooses "fp32" or "bf16" for whatever changes nothing on the air, and
    `inspect(image, reception) -> dict[str, Tensor]` makes pictures of what is inside for one image [3, H, W] and what
    was received of it: float32 [3, h, w] in [0, 1] each, of any size, by title. No result depends on it.

    A scheme with the attribute `genie = True` is told by `LinkState.realisations` what every image is about to meet.
    """

    name: str

    def fingerprint(self) -> str:
        """Identify everything beside the name that changes results (weights, tables, versions)."""
        ...

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Turn float32 images [B, 3, H, W] into at most `budget` complex symbols each."""
        ...

    def decode(self, reception: Reception) -> Decoded:
        """Rebuild the images from the reception alone."""
        ...


@runtime_checkable
class Bound(Protocol):
    """A limit rather than a system: told the capacity of each realisation, it sends nothing and decodes nothing."""

    name: str

    def fingerprint(self) -> str:
        """Identify everything beside the name that changes results."""
        ...

    def reconstruct(
        self, images: torch.Tensor, budget: int, realisations: Sequence[Realisation]
    ) -> tuple[Decoded, list[SymbolLedger]]:
        """Return what an ideal code over `budget` uses of each image's realisation would deliver, and its bill."""
        ...


@dataclass(frozen=True)
class Trip:
    """The outcome of one batch. A bound has no transmission and no reception.

    Attributes:
        snr_db: what Es/N0 came out at for each image: mean |gain|^2 / no over its symbols; NaN if none were sent.
    """

    decoded: Decoded
    ledgers: list[SymbolLedger]
    snr_db: list[float]
    transmission: Transmission | None = None
    reception: Reception | None = None


def load_scheme(spec: str) -> Scheme | Bound:
    """Build the scheme named `name[:option[:option...]]` (entry point group `simulator.schemes`).

    Raises:
        UserError: no such scheme, or an option it does not know.
    """
    return load_plugin("simulator.schemes", "scheme", spec)


def check_supported(scheme: Scheme | Bound, cbr: Fraction) -> None:
    """Ask a scheme that is made for some bandwidth ratios only (it has a method `supports`).

    Raises:
        UserError: it cannot run at this one, and why.
    """
    supports = getattr(scheme, "supports", None)
    if supports and (reason := supports(cbr)):
        raise UserError(f"scheme '{scheme.name}' cannot run at CBR {cbr}: {reason}")


def channel_uses(cbr: Fraction, image_size: tuple[int, int]) -> int:
    """Channel uses that a bandwidth ratio allows an H x W colour image: floor(cbr * 3 H W)."""
    height, width = image_size
    return int(cbr * 3 * height * width)


def bandwidth_ratio(uses: int, image_size: tuple[int, int]) -> float:
    """CBR = complex channel uses / (3 H W)."""
    height, width = image_size
    return uses / (3 * height * width)


def outage_image(image_size: tuple[int, int]) -> torch.Tensor:
    """The flat grey [3, H, W] shown when nothing could be decoded."""
    return torch.full((3, *image_size), OUTAGE_GREY)


def channel_key(image: torch.Tensor, channel: str, snr_db: float, realisation: int, seed: int) -> int:
    """Seed of the channel that one image meets; the scheme is not part of it, so all schemes meet the same."""
    return derive_key(image_digest(image), channel, float(snr_db), int(realisation), int(seed))


def transmit(
    scheme: Scheme | Bound,
    images: torch.Tensor,
    cbr: Fraction,
    channel: Channel,
    snr_db: float,
    realisation: int = 0,
    seed: int = 0,
) -> Trip:
    """Send a batch of images of one size over independent realisations of a channel.

    Args:
        scheme: what encodes and decodes.
        images: float32 [B, 3, H, W] in [0, 1], H and W >= 16.
        cbr: complex channel uses allowed per source value (3 H W of them).
        channel: what is between the two ends.
        snr_db: average Es/N0 per complex symbol, in dB.
        realisation: number of the channel draw.
        seed: seed of the whole experiment.

    Raises:
        SchemeError: the scheme exceeded power or budget, its bill does not add up, or it shows no finite images.
        UserError: the channel raised, or broke its contract.
    """
    size = (images.shape[-2], images.shape[-1])
    budget = channel_uses(cbr, size)
    state = LinkState(*announce(channel, snr_db))
    # By the name that both ends believe: what a wrong belief costs is told from draws that are otherwise the same.
    keys = [channel_key(image, state.channel, snr_db, realisation, seed) for image in images]
    genie = getattr(scheme, "genie", False)
    if isinstance(scheme, Bound):
        draws = [draw(channel, budget, snr_db, key) for key in keys]
        decoded, ledgers = scheme.reconstruct(images.clone(), budget, _without_noise(draws))
        for ledger in ledgers:
            check_bill(scheme.name, ledger, budget)
        check_shown(scheme.name, decoded, images)
        ledgers = [_with_overhead(bill, channel, one) for bill, one in zip(ledgers, draws, strict=True)]
        return Trip(decoded, ledgers, [one.snr_db for one in draws])
    known = _without_noise([draw(channel, budget, snr_db, key) for key in keys]) if genie else ()
    # A copy: who normalises in place would be scored against what it made of the images.
    transmission = scheme.encode(images.clone(), budget, replace(state, realisations=known))
    check_transmission(scheme.name, transmission, len(images), budget)
    check_control(scheme.name, transmission, genie)
    pairs = zip(transmission.symbols, keys, strict=True)
    realised = [draw(channel, len(symbols), snr_db, key) for symbols, key in pairs]
    received = [cross(channel, symbols, one) for symbols, one in zip(transmission.symbols, realised, strict=True)]
    bills = zip(transmission.ledgers, received, strict=True)
    ledgers = [ledger + SymbolLedger(pilots=one.overhead) for ledger, one in bills]
    reception = Reception(received, size, state, transmission.control)
    decoded = scheme.decode(reception)
    check_shown(scheme.name, decoded, images)
    return Trip(decoded, ledgers, [one.snr_db for one in realised], transmission, reception)


def _without_noise(realisations: Sequence[Realisation]) -> tuple[Realisation, ...]:
    """What a genie may be told: gains and noise variance. Who had the key could subtract the noise before it comes."""
    return tuple(replace(one, noise_key=0) for one in realisations)


def _with_overhead(bill: SymbolLedger, channel: Channel, realisation: Realisation) -> SymbolLedger:
    """The bill of a bound, with what the channel spends beside as many symbols."""
    sent = cross(channel, torch.zeros(bill.total, dtype=torch.complex64), realisation)
    return bill + SymbolLedger(pilots=sent.overhead)


def describe(ledger: SymbolLedger, image_size: tuple[int, int]) -> dict[str, Any]:
    """A bill as a flat record: every item in channel uses, and both bandwidth ratios."""
    return asdict(ledger) | {
        "cbr": bandwidth_ratio(ledger.total, image_size),
        "cbr_payload": bandwidth_ratio(ledger.payload, image_size),
    }
