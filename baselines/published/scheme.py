"""What the published schemes share: options, weights from the library, device, precision, images one by one.

The networks receive the link's SNR at the transmitter, and the image's own SNR at the receiver.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from simulator.baselines.published.families import FAMILIES
from simulator.baselines.published.frame import REVISION, received_snr_db, told_snr_db
from simulator.baselines.published.library import find, imported, there_are
from simulator.baselines.published.swin import lowered
from simulator.channels import Received
from simulator.devices import keep_freed_memory
from simulator.errors import UserError
from simulator.images.pixels import pad_to_multiple
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, adaptation
from simulator.models.pretrained import build_network
from simulator.phy.mcs import thresholds
from simulator.spec.configuration import build
from simulator.spec.options import Declaration, Number, Text
from simulator.spec.shown import Named

SNR = Number(None, -30, 60, help="Es/N0 in dB given to the networks instead of the link's")
# Modules that compute in float32 at any surrounding precision: ModNets, and what NTSCC allots rates by.
EXACT = ("sm_list", "bm_list", "sm_list1", "bm_list1", "ha", "hs")


@dataclass(frozen=True)
class ImportedWeights(Text):
    """The option `weights=` of a published scheme; it shows which names are imported."""

    system: str = ""

    def __str__(self) -> str:
        try:
            names = [card["name"] for card in imported() if card["system"] == self.system]
        except UserError as error:  # a list of all schemes needs no home folder
            return f"{self.form}; {error}"
        return f"{self.form}; imported: {', '.join(names) or 'none'}"


def weights_of(system: str) -> ImportedWeights:
    """The option that names the weights of a system."""
    return ImportedWeights("NAME", "imported weights, or a folder that `train` exported; required", system=system)


class PublishedScheme(Named, ABC):
    """One network with imported weights. One image at a time, so that a batch never changes a result."""

    declaration: ClassVar[Declaration]
    multiple: int  # pixels: what both sides of an image are padded to
    stride: int  # pixels per latent cell and side
    pad_mode = "replicate"

    def __init__(self, *options: str) -> None:
        """Options: those of `declaration`.

        Raises:
            UserError: no such weights, or an option or value that the scheme does not know.
        """
        self.options: dict[str, Any] = self.declaration.read(options)
        self.name = self.declaration.spell(self.options)
        system, weights = self.declaration.name, self.options["weights"]
        if weights is None:
            raise UserError(f"'{system}' needs weights=NAME; {there_are(system)}")
        state, card = find(weights, system).load()
        family, what = FAMILIES[system], f"the model card of '{weights}'"
        self.config: Any = build(family.config, card.get("model", ()), what)
        net = build_network(lambda: family.make(self.config), state, weights)
        self.net: nn.Module = net.eval().requires_grad_(False)
        self._exact = self.net
        self._told = self.options["snr"] if self.options["snr"] is not None else card.get("snr_db")
        self._identity = json.dumps([card["sha256"], card.get("model"), card.get("snr_db")])
        self.device, self.precision = torch.device("cpu"), "fp32"
        keep_freed_memory()

    def to(self, device: str) -> Self:
        """Compute on another torch device; returns the scheme."""
        self.device = torch.device(device)
        self.net, self._exact = (one.to(self.device) for one in (self.net, self._exact))
        return self

    def compute_in(self, precision: str) -> Self:
        """Run the networks in "fp32" or "bf16"; returns the scheme.

        Mask and rates are computed in float32 either way, and cross the link, so that both ends agree on them.
        """
        self.precision = precision
        self.net = lowered(self._exact, EXACT) if precision == "bf16" else self._exact
        return self

    def fingerprint(self) -> str:
        """Hash of the weights and their sizes, what protects side information, and how frames are made."""
        protection = hashlib.sha256(repr((thresholds()["snr_db"], adaptation.REVISION)).encode()).hexdigest()
        return f"{hashlib.sha256(self._identity.encode()).hexdigest()[:32]}:{protection[:16]}:frame{REVISION}"

    @torch.inference_mode()
    def encode(self, images: Tensor, budget: int, state: LinkState) -> Transmission:
        """Send float32 images [B, 3, H, W] in at most `budget` symbols each."""
        sent = [self._encode_one(image, budget, state) for image in images]
        return Transmission([symbols for symbols, _ in sent], [ledger for _, ledger in sent])

    @torch.inference_mode()
    def decode(self, reception: Reception) -> Decoded:
        """Rebuild each image; one whose side information is lost is an outage."""
        size = reception.image_size
        return Decoded.of([self._decode_one(one, size, reception.state) for one in reception.received], size)

    @abstractmethod
    def _encode_one(self, image: Tensor, budget: int, state: LinkState) -> tuple[Tensor, SymbolLedger]: ...

    @abstractmethod
    def _decode_one(self, received: Received, size: tuple[int, int], state: LinkState) -> Tensor | None: ...

    def told(self, received: Received | None, state: LinkState) -> Tensor:
        """The SNR that the networks receive, [1]: fixed, or the link's, or that of the received image."""
        if self._told is not None:
            snr_db = float(self._told)
        else:
            snr_db = told_snr_db(state.snr_db) if received is None else received_snr_db(received)
        return torch.tensor([snr_db], device=self.device)

    def cells(self, size: tuple[int, int]) -> tuple[int, int]:
        """Latent cells (h, w) of an image (H, W), with those that padding adds."""
        height, width = (-(-side // self.multiple) * self.multiple // self.stride for side in size)
        return height, width

    def padded(self, image: Tensor) -> Tensor:
        """[3, H, W] as [1, 3, H', W'] on the network's device, both sides multiples of `multiple`."""
        padded = pad_to_multiple(image[None].to(self.device), self.multiple, self.pad_mode)
        return padded.to(memory_format=torch.channels_last)

    def arithmetic(self) -> AbstractContextManager[Any]:
        """The precision in which networks run."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")


def shown(images: Tensor, size: tuple[int, int]) -> Tensor:
    """The first of images [1, 3, H', W'], cropped to (H, W) and clamped: float32 on the CPU."""
    return images[0, :, : size[0], : size[1]].float().clamp(0, 1).cpu().contiguous()


def nothing(budget: int) -> tuple[Tensor, SymbolLedger]:
    """What is sent where not even side information fits: silence, which the receiver shows as an outage."""
    return torch.zeros(budget, dtype=torch.complex64), SymbolLedger(padding=budget)
