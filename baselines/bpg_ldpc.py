"""`bpg-ldpc`: the classical chain of BPG, NR LDPC code and QAM.

The budget is filled by one transport block per image: the length of the BPG file, the file, zeros. The receiver
derives the block's format from the number of symbols and, with adaptive MCS, the link's SNR; nothing is signalled.
"""

import hashlib

import numpy as np
import torch

from baselines import bpg
from baselines.options import full_name, read_options
from simulator.channels import Received
from simulator.errors import UserError
from simulator.link import Decoded, LinkState, Reception, SymbolLedger, Transmission, outage_image
from simulator.phy.fading import Fading
from simulator.phy.ldpc import LayeredDecoder, SionnaDecoder
from simulator.phy.mcs import MCS_TABLE, select_mcs, thresholds
from simulator.phy.qam import demap, map_bits
from simulator.phy.transport import (
    TransportFormat,
    decode_transport_blocks,
    encode_transport_blocks,
    transport_format,
)
from simulator.randomness import to_float, to_uint8

_CHOICES = {
    "mcs": ("adaptive", *(mcs.name for mcs in MCS_TABLE)),
    "chroma": ("444", "420"),
    "decoder": ("layered", "sionna"),
}
_FADING: dict[str, Fading] = {"awgn": "none", "rayleigh": "block", "rayleigh-fast": "fast"}
_REVISION = 2  # of what this file puts into a transport block, and of how it chooses the MCS


class BpgLdpc:
    """BPG + 5G LDPC + QAM with the best MCS for the link's SNR, or a fixed one.

    An image is lost, as a whole, if a CRC fails or if not even BPG's coarsest file fits the transport block. The
    adaptive MCS knows the channel's name and average SNR: it keeps outages below 1 % over AWGN and about there over
    fast fading, and at 10 % over block fading, which is also assumed of any channel that it does not know.
    """

    def __init__(self, *options: str) -> None:
        """Options: an MCS such as `16qam-1/2` (default `adaptive`), `chroma=420`, `decoder=sionna`.

        Raises:
            UserError: unknown option.
        """
        chosen = read_options("bpg-ldpc", options, _CHOICES, bare="mcs")
        self.name = full_name("bpg-ldpc", chosen, _CHOICES, bare="mcs")
        self._mcs = {mcs.name: mcs for mcs in MCS_TABLE}.get(chosen["mcs"])
        self._chroma = chosen["chroma"]
        self._decoder = SionnaDecoder() if chosen["decoder"] == "sionna" else LayeredDecoder()

    def fingerprint(self) -> str:
        """Digest of the codec's version, the decoder's settings, the framing and the thresholds that choose the MCS."""
        parts = (bpg.identity(), self._decoder, _REVISION, None if self._mcs else thresholds()["snr_db"])
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def encode(self, images: torch.Tensor, budget: int, state: LinkState) -> Transmission:
        """Fill `budget` symbols per image of float32 [B, 3, H, W] with its finest BPG file that fits."""
        form = self._format(budget, state)
        if form is None:
            return Transmission([torch.zeros(0, dtype=torch.complex64)] * len(images), [SymbolLedger()] * len(images))
        files = [self._compress(to_uint8(image), form) for image in images]
        bits = encode_transport_blocks([_frame(file, form) for file in files], form)
        symbols = torch.from_numpy(map_bits(bits, form.bits_per_symbol))
        return Transmission([_limit_power(one) for one in symbols], [_bill(file, form) for file in files])

    def decode(self, reception: Reception) -> Decoded:
        """Decode each image's transport block; its CRCs decide whether there is an image."""
        size, received = reception.image_size, reception.received
        shown, outage = [outage_image(size)] * len(received), [True] * len(received)
        by_length: dict[int, list[int]] = {}
        for index, one in enumerate(received):
            by_length.setdefault(len(one.symbols), []).append(index)
        for length, indices in by_length.items():
            form = self._format(length, reception.state)
            if form is None:
                continue
            llrs = _demap([received[index] for index in indices], form)
            for index, result in zip(indices, decode_transport_blocks(llrs, form, self._decoder), strict=True):
                file = _unframe(result.payload, form) if result.ok else b""
                image = _show(file, size) if file else None
                if image is not None:
                    shown[index], outage[index] = image, False
        return Decoded(torch.stack(shown), outage)

    def _format(self, num_symbols: int, state: LinkState) -> TransportFormat | None:
        """The format that both ends derive; None if no transport block fits."""
        try:
            fading = _FADING.get(state.channel, "block")
            return transport_format(num_symbols, self._mcs or select_mcs(state.snr_db, num_symbols, fading))
        except UserError:
            return None

    def _compress(self, rgb: np.ndarray, form: TransportFormat) -> bytes:
        """The finest BPG file that fits beside the header, or nothing."""
        try:
            return bpg.encode_to_size(rgb, form.payload_bytes - _header_bytes(form), self._chroma).data
        except bpg.BpgDoesNotFit:
            return b""


def _header_bytes(form: TransportFormat) -> int:
    """Bytes that hold any length up to the payload's."""
    return -(-form.payload_bytes.bit_length() // 8)


def _frame(file: bytes, form: TransportFormat) -> bytes:
    """Length, file, zeros: `form.payload_bytes` bytes. Length 0 says that there is no image."""
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
