"""A source codec behind the NR link: the file of an image in one transport block, LDPC code and QAM.

The budget is filled by one transport block per image (`frame.py`). The receiver derives the block's format from the
number of symbols and, with adaptive MCS, channel and average SNR; nothing is signalled. Only `adaptation=genie` gets
the MCS without crossing the channel.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from simulator.channels import Received
from simulator.errors import UserError
from simulator.images.pixels import to_uint8
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, adaptation
from simulator.phy.ldpc import LayeredDecoder, SionnaDecoder
from simulator.phy.mcs import MCS_TABLE, Mcs, thresholds
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import TransportFormat, decode_transport_blocks, encode_transport_blocks
from simulator.separation.files import compress, show
from simulator.separation.frame import bill, format_of, frame, header_bytes, limit_power, unframe
from simulator.source import SourceCodec
from simulator.spec.options import Choice, Option
from simulator.spec.shown import Named

_REVISION = 3  # of what this folder puts into a transport block, and of how it chooses the MCS

# The options of every chain.
LINK_OPTIONS: Mapping[str, Option] = {
    "mcs": Choice(("adaptive", *(mcs.name for mcs in MCS_TABLE)), "modulation and code rate"),
    "decoder": Choice(("layered", "sionna"), "LDPC decoder: ours, or Sionna's layered one"),
    "adaptation": Choice(("average", "genie"), "what the MCS follows: the average SNR, or each realisation"),
}


class DigitalChain(Named):
    """A source codec + 5G LDPC + QAM with the best MCS for the link, or a fixed one.

    An image is lost, as a whole, if a CRC fails or if not even the codec's coarsest file fits the transport block. The
    adaptive MCS aims at losing at most 0.1 % of pictures over AWGN, and at most 10 % over any fading channel whose
    average SNR allows it, which it knows by name and average SNR (`link.adaptation`). `adaptation=genie` knows
    the realisation of each image: the bound for a link that measures the channel before it sends.
    """

    def __init__(self, codec: SourceCodec, name: str, chosen: Mapping[str, Any], among_analog: bool = False) -> None:
        """Put a codec behind the link.

        Args:
            codec: writes and reads the files.
            name: full specification.
            chosen: value of each of `LINK_OPTIONS`; other keys are ignored.
            among_analog: analog symbols follow, so that a radio with a grid or amplifier spreads all symbols.

        Raises:
            UserError: a fixed MCS together with adaptation=genie.
        """
        self.name = name
        self.genie = chosen["adaptation"] == "genie"
        self._codec, self._among_analog = codec, among_analog
        self._mcs = {mcs.name: mcs for mcs in MCS_TABLE}.get(chosen["mcs"])
        if self._mcs and self.genie:
            raise UserError(f"scheme '{name}': adaptation=genie chooses the MCS itself; leave out '{self._mcs.name}'")
        self._decoder = SionnaDecoder() if chosen["decoder"] == "sionna" else LayeredDecoder()

    def fingerprint(self) -> str:
        """Digest of the codec's version, the decoder's settings, the framing and the thresholds that choose the MCS."""
        rules = None if self._mcs else (adaptation.REVISION, thresholds()["snr_db"])
        parts = (self._codec.version(), self._decoder, _REVISION, rules)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Fill `budget` symbols per image of float32 [B, 3, H, W] with its finest file that fits.

        Raises:
            SchemeError: the codec breaks its contract.
        """
        if not self.genie:
            symbols, ledgers = self._encode(images, budget, self._choose(budget, state))
            return Transmission(symbols, ledgers)
        chosen = [adaptation.choose_mcs_for(state.channel, state.snr_db, budget, one) for one in state.realisations]
        sent = [self._encode(image[None], budget, mcs) for image, mcs in zip(images, chosen, strict=True)]
        control = tuple(MCS_TABLE.index(mcs) for mcs in chosen)
        return Transmission([symbols[0] for symbols, _ in sent], [ledgers[0] for _, ledgers in sent], control)

    def _encode(self, images: torch.Tensor, budget: int, mcs: Mcs) -> tuple[list[torch.Tensor], list[SymbolLedger]]:
        """Symbols and bills of images that share an MCS."""
        form = format_of(budget, mcs)
        if form is None:
            return [torch.zeros(0, dtype=torch.complex64)] * len(images), [SymbolLedger()] * len(images)
        return _modulate([self._compress(image, form) for image in images], form)

    def send_file(self, image: torch.Tensor, budget: int, state: LinkState) -> tuple[bytes, torch.Tensor, SymbolLedger]:
        """The file of float32 [3, H, W] (empty if none fits), the symbols that carry it, and their bill.

        There are `budget` symbols, or none where no transport block is so short.

        For schemes whose transmitter needs the file. `read_files` is its inverse; adaptation is always "average".

        Raises:
            SchemeError: the codec breaks its contract.
        """
        form = format_of(budget, self._choose(budget, state))
        if form is None:
            return b"", torch.zeros(0, dtype=torch.complex64), SymbolLedger()
        file = self._compress(image, form)
        [symbols], [ledger] = _modulate([file], form)
        return file, symbols, ledger

    def _compress(self, image: torch.Tensor, form: TransportFormat) -> bytes:
        return compress(self._codec, to_uint8(image), form.payload_bytes - header_bytes(form), self.name)

    def decode(self, reception: Reception) -> Decoded:
        """Decode each image's transport block; its CRCs decide whether there is an image."""
        size, files = reception.image_size, self.read_files(reception)
        return Decoded.of([show(self._codec, file, size, self.name) if file else None for file in files], size)

    def read_files(self, reception: Reception) -> list[bytes]:
        """The file in each image's transport block; empty if a CRC fails, or if none was sent."""
        received, files = reception.received, [b""] * len(reception.received)
        alike: dict[tuple[int, int], list[int]] = {}
        for index, one in enumerate(received):
            signalled = reception.control[index] if self.genie else -1
            alike.setdefault((len(one.symbols), signalled), []).append(index)
        for (length, signalled), indices in alike.items():
            form = format_of(length, MCS_TABLE[signalled] if self.genie else self._choose(length, reception.state))
            if form is None:
                continue
            llrs = _demap([received[index] for index in indices], form)
            for index, result in zip(indices, decode_transport_blocks(llrs, form, self._decoder), strict=True):
                files[index] = unframe(result.payload, form) if result.ok else b""
        return files

    def _choose(self, num_symbols: int, state: LinkState) -> Mcs:
        """The MCS that both ends derive without signalling."""
        return self._mcs or adaptation.choose_mcs(state.channel, state.snr_db, num_symbols, self._among_analog)


def _modulate(files: list[bytes], form: TransportFormat) -> tuple[list[torch.Tensor], list[SymbolLedger]]:
    """Symbols complex64 [K] and bill of each file in a transport block of its own."""
    bits = encode_transport_blocks([frame(file, form) for file in files], form)
    symbols = torch.from_numpy(map_bits(bits, form.bits_per_symbol))
    return [limit_power(one) for one in symbols], [bill(file, form) for file in files]


def _demap(received: list[Received], form: TransportFormat) -> np.ndarray:
    """LLRs float32 [B, G] of the transport blocks."""
    symbols = torch.cat([one.symbols for one in received]).cpu().numpy()
    gain = torch.cat([one.gain for one in received]).cpu().numpy()
    noise_variance = torch.cat([one.noise_variance for one in received]).cpu().numpy()
    return demap(symbols, noise_variance, form.bits_per_symbol, gain).reshape(len(received), -1)
