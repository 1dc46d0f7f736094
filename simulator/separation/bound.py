"""A source codec behind an ideal channel code: the bound for every chain that sends its files."""

from collections.abc import Sequence

import torch

from simulator.channels import Realisation
from simulator.errors import SchemeError
from simulator.images.pixels import to_uint8
from simulator.link import Decoded, SymbolLedger
from simulator.separation.files import compress, show
from simulator.source import SourceCodec
from simulator.spec.shown import Named


class CodecCapacity(Named):
    """The finest file of at most floor(C) bits, C the Shannon capacity of the image's channel uses.

    The code knows the realisation, needs no header and never fails; an outage is a C below the codec's coarsest file.
    Power is the same on every symbol, as in the chains that send such files: without water-filling over subcarriers.
    """

    def __init__(self, codec: SourceCodec, name: str) -> None:
        """codec: writes and reads the files; name: full specification."""
        self.name = name
        self._codec = codec

    def fingerprint(self) -> str:
        """The codec's version."""
        return self._codec.version()

    def reconstruct(
        self, images: torch.Tensor, budget: int, realisations: Sequence[Realisation]
    ) -> tuple[Decoded, list[SymbolLedger]]:
        """Compress each of float32 [B, 3, H, W] to its capacity; what the file leaves unused is billed as padding.

        Raises:
            SchemeError: the codec breaks its contract, or cannot read its own file.
        """
        size = (images.shape[-2], images.shape[-1])
        shown, ledgers = list[torch.Tensor | None](), []
        for image, realisation in zip(images, realisations, strict=True):
            capacity_bits = int(realisation.capacity_bits)
            file = compress(self._codec, to_uint8(image), capacity_bits // 8, self.name)
            decoded = show(self._codec, file, size, self.name) if file else None
            if file and decoded is None:
                raise SchemeError(f"{self.name}: decode cannot read the file that encode wrote")
            shown.append(decoded)
            padding_bits = max(capacity_bits - 8 * len(file), not file)
            ledgers.append(SymbolLedger.apportion(budget, payload=8 * len(file), padding=padding_bits))
        return Decoded.of(shown, size), ledgers
