"""What fills a transport block: the length of the file, the file, zeros; and its bill."""

import torch

from simulator.errors import UserError
from simulator.link import SymbolLedger
from simulator.phy.mcs import Mcs
from simulator.phy.transport import TransportFormat, transport_format


def format_of(num_symbols: int, mcs: Mcs) -> TransportFormat | None:
    """The transport block that fills `num_symbols`; None if none fits."""
    try:
        return transport_format(num_symbols, mcs)
    except UserError:
        return None


def header_bytes(form: TransportFormat) -> int:
    """Bytes that hold any length up to the payload's."""
    return -(-form.payload_bytes.bit_length() // 8)


def frame(file: bytes, form: TransportFormat) -> bytes:
    """Length, file, zeros: `form.payload_bytes` bytes. Length 0 means no image."""
    header = len(file).to_bytes(header_bytes(form), "big")
    return (header + file).ljust(form.payload_bytes, b"\0")


def unframe(payload: bytes, form: TransportFormat) -> bytes:
    """The file in a payload that passed its CRCs."""
    start = header_bytes(form)
    return payload[start : start + int.from_bytes(payload[:start], "big")]


def bill(file: bytes, form: TransportFormat) -> SymbolLedger:
    """The symbols in proportion to the information bits they carry: each item pays for the parity that protects it."""
    header = 8 * header_bytes(form)
    padding = form.payload_bits - header - 8 * len(file)
    return SymbolLedger.apportion(
        form.num_symbols, payload=8 * len(file), header=header, crc=form.crc_bits, padding=padding
    )


def limit_power(symbols: torch.Tensor) -> torch.Tensor:
    """Scale complex64 [K] down to mean power 1 if chance made it more: QAM has unit power only on average.

    The receiver does not know the scale: over the symbols of an image it is 1 within a few thousandths.
    """
    power = float(symbols.abs().double().square().mean())
    return symbols / max(power, 1.0) ** 0.5
