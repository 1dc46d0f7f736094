"""`bpg-ldpc`: the classical chain of BPG, NR LDPC code and QAM.

The budget is filled by one transport block per image: the length of the BPG file, the file, zeros. The receiver
derives the block's format from the number of symbols and, with adaptive MCS, channel and average SNR; nothing is
signalled. Only `adaptation=genie` gets the MCS without crossing the channel.
"""

import hashlib

import numpy as np
import torch

from simulator.baselines import bpg
from simulator.channels import Received
from simulator.errors import UserError
from simulator.images.pixels import to_float, to_uint8
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, adaptation, outage_image
from simulator.phy.ldpc import LayeredDecoder, SionnaDecoder
from simulator.phy.mcs import MCS_TABLE, Mcs, thresholds
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import (
    TransportFormat,
    decode_transport_blocks,
    encode_transport_blocks,
    transport_format,
)
from simulator.spec.options import Choice, Declaration

_REVISION = 3  # of what this file puts into a transport block, and of how it chooses the MCS


class BpgLdpc:
    """BPG + 5G LDPC + QAM with the best MCS for the link, or a fixed one.

    An image is lost, as a whole, if a CRC fails or if not even BPG's coarsest file fits the transport block. The
    adaptive MCS keeps outages below 1 % over AWGN, and at 10 % or less over any fading channel whose average SNR allows
    it, which it knows by name and average SNR (`link.adaptation`). `adaptation=genie` is told what each image is
    about to meet: the bound for a link that measures the channel before it sends.
    """

    declaration = Declaration(
        "bpg-ldpc",
        "BPG, NR LDPC code and QAM with the best MCS for the link, or a fixed one",
        {
            "mcs": Choice(("adaptive", *(mcs.name for mcs in MCS_TABLE)), "modulation and code rate"),
            "chroma": Choice(("444", "420"), "chroma sampling"),
            "decoder": Choice(("layered", "sionna"), "LDPC decoder: ours, or Sionna's flooding"),
            "adaptation": Choice(("average", "genie"), "what the MCS follows: the average SNR, or each realisation"),
        },
        bare="mcs",
        standard=1,
        opening=2,
    )

    def __init__(self, *options: str) -> None:
        """Options: an MCS such as `16qam-1/2` (default `adaptive`), `chroma=420`, `decoder=sionna`, `adaptation=genie`.

        Raises:
            UserError: unknown option, or a fixed MCS that shall be adapted.
        """
        chosen = self.declaration.read(options)
        self.name = self.declaration.spell(chosen)
        self.genie = chosen["adaptation"] == "genie"
        self._mcs = {mcs.name: mcs for mcs in MCS_TABLE}.get(chosen["mcs"])
        if self._mcs and self.genie:
            raise UserError(f"scheme 'bpg-ldpc': adaptation=genie chooses the MCS itself; leave out '{self._mcs.name}'")
        self._chroma = chosen["chroma"]
        self._decoder = SionnaDecoder() if chosen["decoder"] == "sionna" else LayeredDecoder()

    def fingerprint(self) -> str:
        """Digest of the codec's version, the decoder's settings, the framing and the thresholds that choose the MCS."""
        rules = None if self._mcs else (adaptation.REVISION, thresholds()["snr_db"])
        parts = (bpg.identity(), self._decoder, _REVISION, rules)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Fill `budget` symbols per image of float32 [B, 3, H, W] with its finest BPG file that fits."""
        if not self.genie:
            symbols, ledgers = self._encode(images, budget, self._choose(budget, state))
            return Transmission(symbols, ledgers)
        chosen = [adaptation.choose_mcs_for(state.channel, state.snr_db, budget, one) for one in state.realisations]
        sent = [self._encode(image[None], budget, mcs) for image, mcs in zip(images, chosen, strict=True)]
        control = tuple(MCS_TABLE.index(mcs) for mcs in chosen)
        return Transmission([symbols[0] for symbols, _ in sent], [ledgers[0] for _, ledgers in sent], control)

    def _encode(self, images: torch.Tensor, budget: int, mcs: Mcs) -> tuple[list[torch.Tensor], list[SymbolLedger]]:
        """Symbols and bills of images that share an MCS."""
        form = _format(budget, mcs)
        if form is None:
            return [torch.zeros(0, dtype=torch.complex64)] * len(images), [SymbolLedger()] * len(images)
        files = [self._compress(to_uint8(image), form) for image in images]
        bits = encode_transport_blocks([_frame(file, form) for file in files], form)
        symbols = torch.from_numpy(map_bits(bits, form.bits_per_symbol))
        return [_limit_power(one) for one in symbols], [_bill(file, form) for file in files]

    def decode(self, reception: Reception) -> Decoded:
        """Decode each image's transport block; its CRCs decide whether there is an image."""
        size, received = reception.image_size, reception.received
        shown, outage = [outage_image(size)] * len(received), [True] * len(received)
        alike: dict[tuple[int, int], list[int]] = {}
        for index, one in enumerate(received):
            signalled = reception.control[index] if self.genie else -1
            alike.setdefault((len(one.symbols), signalled), []).append(index)
        for (length, signalled), indices in alike.items():
            form = _format(length, MCS_TABLE[signalled] if self.genie else self._choose(length, reception.state))
            if form is None:
                continue
            llrs = _demap([received[index] for index in indices], form)
            for index, result in zip(indices, decode_transport_blocks(llrs, form, self._decoder), strict=True):
                file = _unframe(result.payload, form) if result.ok else b""
                image = _show(file, size) if file else None
                if image is not None:
                    shown[index], outage[index] = image, False
        return Decoded(torch.stack(shown), outage)

    def _choose(self, num_symbols: int, state: LinkState) -> Mcs:
        """The MCS that both ends derive without signalling."""
        return self._mcs or adaptation.choose_mcs(state.channel, state.snr_db, num_symbols)

    def _compress(self, rgb: np.ndarray, form: TransportFormat) -> bytes:
        """The finest BPG file that fits beside the header, or nothing."""
        try:
            return bpg.encode_to_size(rgb, form.payload_bytes - _header_bytes(form), self._chroma).data
        except bpg.BpgDoesNotFit:
            return b""


def _format(num_symbols: int, mcs: Mcs) -> TransportFormat | None:
    """The transport block that fills `num_symbols`; None if none fits."""
    try:
        return transport_format(num_symbols, mcs)
    except UserError:
        return None


def _header_bytes(form: TransportFormat) -> int:
    """Bytes that hold any length up to the payload's."""
    return -(-form.payload_bytes.bit_length() // 8)


def _frame(file: bytes, form: TransportFormat) -> bytes:
    """Length, file, zeros: `form.payload_bytes` bytes. Length 0 means no image."""
    header = len(file).to_bytes(_header_bytes(form), "big")
    return (header + file).ljust(form.payload_bytes, b"\0")


def _unframe(payload: bytes, form: TransportFormat) -> bytes:
    """The file in a payload that passed its CRCs."""
    start = _header_bytes(form)
    return payload[start : start + int.from_bytes(payload[:start], "big")]


def _bill(file: bytes, form: TransportFormat) -> SymbolLedger:
    """The symbols in proportion to the information bits they carry: parity is paid for by what it protects."""
    header = 8 * _header_bytes(form)
    padding = form.payload_bits - header - 8 * len(file)
    return SymbolLedger.apportion(
        form.num_symbols, payload=8 * len(file), header=header, crc=form.crc_bits, padding=padding
    )


def _limit_power(symbols: torch.Tensor) -> torch.Tensor:
    """Scale complex64 [K] down to mean power 1 if chance made it more: QAM has unit power only on average.

    The receiver is not told: over the symbols of an image the scale is 1 within a few thousandths.
    """
    power = float(symbols.abs().double().square().mean())
    return symbols / max(power, 1.0) ** 0.5


def _demap(received: list[Received], form: TransportFormat) -> np.ndarray:
    """LLRs float32 [B, G] of the transport blocks."""
    symbols = torch.cat([one.symbols for one in received]).cpu().numpy()
    gain = torch.cat([one.gain for one in received]).cpu().numpy()
    noise_variance = torch.cat([one.noise_variance for one in received]).cpu().numpy()
    return demap(symbols, noise_variance, form.bits_per_symbol, gain).reshape(len(received), -1)


def _show(file: bytes, image_size: tuple[int, int]) -> torch.Tensor | None:
    """Decode a file whose CRCs hold, to float32 [3, H, W].

    Returns None when it is no BPG file of that size: one damaged short block in 2^16 passes its CRC by accident.
    """
    try:
        rgb = bpg.decode(file)
    except bpg.BpgError:
        return None
    return to_float(rgb) if rgb.shape[:2] == image_size else None
