"""The contracts of a link: schemes, bounds, and the data that they exchange with the link.

The decoder gets a `Reception` and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from simulator.channels import Realisation, Received
from simulator.devices import usual_torch
from simulator.errors import UserError
from simulator.link.ledger import SymbolLedger
from simulator.spec.plugins import load_plugin
from simulator.spec.shown import Brief

# The receiver shows this grey when it could decode nothing: the mean level of natural photographs
# (ImageNet's channel means averaged), the constant with the least expected squared error.
OUTAGE_GREY = 0.449


MAX_SIDE = 2**15  # in pixels, of an image in a saved reception


@dataclass(frozen=True)
class LinkState:
    """Knowledge of both ends before transmission: the channel's name and its average Es/N0.

    Over a channel with `announce` they only believe it.

    Attributes:
        realisations: gains and noise variance that each image of the batch will see (not the noise: its key is 0);
            given to `encode` of schemes that declare `genie = True`, empty for all others and for every receiver.
    """

    channel: str
    snr_db: float
    realisations: tuple[Realisation, ...] = field(default=(), compare=False, repr=False)

    def lowered(self, margin_db: float) -> "LinkState":
        """The same with an SNR that is lower by a margin in dB."""
        return replace(self, snr_db=self.snr_db - margin_db)


@dataclass(frozen=True, repr=False)
class Transmission(Brief):
    """Symbols and bill of a batch, as a scheme returns them from `encode`.

    Attributes:
        symbols: one complex64 [K_b] tensor per image, mean power <= 1 each.
        ledgers: what the K_b symbols of each image were spent on; `ledger.total == K_b`.
        control: one number in 0..31 per image that bypasses the channel, neither lost nor billed, as
            NR's control channel brings the MCS; for genie schemes alone, empty for all others.
    """

    symbols: list[torch.Tensor]
    ledgers: list[SymbolLedger]
    control: tuple[int, ...] = ()


@dataclass(frozen=True, repr=False)
class Reception(Brief):
    """Everything that a decoder gets: received symbols, and what it knows for free (link state, image size).

    Attributes:
        received: per image: symbols, gain estimate and noise variance.
        image_size: (H, W) of the images of this batch.
        state: channel name and average SNR.
        control: control numbers of a genie scheme, one per image.
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
            parts |= {"noise_variance": one.noise_variance}
            parts |= {"overhead": torch.tensor(one.overhead)}
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
            UserError: the file is missing or is not a valid reception.
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
                f"'{path}' is not a saved reception ({error}); write one with transmit --save-reception"
            ) from None
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE and math.isfinite(state.snr_db)):
            raise UserError(
                f"'{path}' says {height}x{width} pixels at {state.snr_db} dB, which is impossible; save it again"
            )
        return cls(received, (height, width), state, control)


def _read_received(file: Any, index: int) -> Received:
    """Read one image's part of a saved reception, and check it against the contract of `Received`.

    Raises:
        ValueError: it violates the contract.
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
    pair = torch.view_as_complex(symbols), torch.view_as_complex(gain)
    return Received(*pair, variance, int(parts["overhead"]))


@dataclass(frozen=True, repr=False)
class Decoded(Brief):
    """Images that the receiver shows.

    Attributes:
        images: float32 [B, 3, H, W] in [0, 1].
        outage: one flag per image: nothing could be decoded and the image is `outage_image`.
    """

    images: torch.Tensor
    outage: list[bool]

    @classmethod
    def of(cls, images: Sequence[torch.Tensor | None], size: tuple[int, int]) -> "Decoded":
        """From float32 [3, H, W] each; None is an outage."""
        grey = outage_image(size)
        return cls(torch.stack([grey if one is None else one for one in images]), [one is None for one in images])


@runtime_checkable
class Scheme(Protocol):
    """A way to send images. The name is the full specification, such as `bpg-ldpc:16qam-1/2`.

    `simulator.link.Capabilities` lists the methods and attributes that are optional.
    """

    name: str

    def fingerprint(self) -> str:
        """Identify everything besides the name that changes results (weights, tables, versions)."""
        ...

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Turn float32 images [B, 3, H, W] into at most `budget` complex symbols each."""
        ...

    def decode(self, reception: Reception) -> Decoded:
        """Rebuild the images from the reception alone."""
        ...


@runtime_checkable
class Bound(Protocol):
    """A limit rather than a system: it knows the capacity of each realisation, and sends and decodes nothing."""

    name: str

    def fingerprint(self) -> str:
        """Identify everything besides the name that changes results."""
        ...

    def reconstruct(
        self, images: torch.Tensor, budget: int, realisations: Sequence[Realisation]
    ) -> tuple[Decoded, list[SymbolLedger]]:
        """Return the images that an ideal code over `budget` uses of each realisation would deliver, and the bills."""
        ...


@usual_torch()
def load_scheme(spec: str) -> Scheme | Bound:
    """Build the scheme named `name[:option[:option...]]` (entry point group `simulator.schemes`).

    Raises:
        UserError: no such scheme, or an option it does not know.
    """
    return load_plugin("simulator.schemes", "scheme", spec)


def outage_image(image_size: tuple[int, int]) -> torch.Tensor:
    """The flat grey [3, H, W] shown when nothing could be decoded."""
    return torch.full((3, *image_size), OUTAGE_GREY)
