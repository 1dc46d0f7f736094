"""`bpg-capacity`: BPG behind an ideal channel code, the bound for every chain that sends BPG files."""

from collections.abc import Sequence

import torch

from simulator.baselines import bpg
from simulator.channels import Realisation
from simulator.images.pixels import to_float, to_uint8
from simulator.link import Decoded, SymbolLedger, outage_image
from simulator.spec.options import Choice, Declaration


class BpgCapacity:
    """The finest BPG file of at most floor(C) bits, C the Shannon capacity of the channel uses that the image meets.

    The code knows the realisation, needs no header and never fails; an outage is a C below BPG's coarsest file. Power
    is the same on every symbol, as in the schemes that send BPG files: without water-filling over subcarriers.
    """

    declaration = Declaration(
        "bpg-capacity",
        "BPG at Shannon's capacity of every realisation: a bound",
        {"chroma": Choice(("444", "420"), "chroma sampling")},
        standard=4,
    )

    def __init__(self, *options: str) -> None:
        """Options: those of `declaration`. Raises UserError for others."""
        chosen = self.declaration.read(options)
        self.name = self.declaration.spell(chosen)
        self._chroma = chosen["chroma"]

    def fingerprint(self) -> str:
        """The codec's version."""
        return bpg.identity()

    def reconstruct(
        self, images: torch.Tensor, budget: int, realisations: Sequence[Realisation]
    ) -> tuple[Decoded, list[SymbolLedger]]:
        """Compress each of float32 [B, 3, H, W] to its capacity; what the file leaves unused is billed as padding."""
        shown, outage, ledgers = [], [], []
        for image, realisation in zip(images, realisations, strict=True):
            capacity_bits = int(realisation.capacity_bits)
            try:
                data = bpg.encode_to_size(to_uint8(image), capacity_bits // 8, self._chroma).data
                shown.append(to_float(bpg.decode(data)))
            except bpg.BpgDoesNotFit:
                data = b""
                shown.append(outage_image((image.shape[-2], image.shape[-1])))
            outage.append(not data)
            padding_bits = max(capacity_bits - 8 * len(data), not data)
            ledgers.append(SymbolLedger.apportion(budget, payload=8 * len(data), padding=padding_bits))
        return Decoded(torch.stack(shown), outage), ledgers
