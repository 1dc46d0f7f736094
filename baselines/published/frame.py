"""What the published schemes put on the air: protected side information, then analogue symbols.

The papers give the receiver the power of the feature, the mask and the map of rates for free. Here they cross the link:

| part | content | protection |
|---|---|---|
| head | transmit scale (int16, 1/100 dB), SwinJSCC's mask, lengths of the tail | transport block, 4-QAM, safe rate |
| tail | NTSCC's map of rates, and z where the network needs it | transport block, 4-QAM, safe rate |
| payload | the feature's reals, two to a symbol | none: analogue |

Where the budget has no room for everything, evenly spread symbols of the payload are not sent, first those that only
padding of the image made, and the receiver reads zeros in their place.
"""

import math

import numpy as np
import torch
from torch import Tensor

from simulator.channels import Received
from simulator.link import LinkState, SymbolLedger
from simulator.link.blocks import Protection, demodulate_block, modulate_block, protect

REVISION = 1  # of what the published schemes put on the air and take from it
SIDE_SHARE = 0.08  # of the payload, which repeats of a block may take
TOLD_SNR_DB = (-5.0, 25.0)  # beyond these no network was trained
_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
_WEAKEST = 1e-6  # |h|^2 + no of a symbol without information


def formats(head: int, tail: int, payload: int, state: LinkState) -> list[Protection]:
    """How a head and a tail of so many bytes are sent beside so many payload symbols; both ends know it."""
    blocks: list[Protection] = []
    for size in (head, tail):
        if size:
            start = sum(one.num_symbols for one in blocks)
            blocks.append(protect(size, state, start, int(SIDE_SHARE * payload)))
    return blocks


def send_side(head: bytes, tail: bytes, payload: int, state: LinkState) -> tuple[Tensor, SymbolLedger]:
    """Head and tail as complex64 symbols of power one, and their bill; both may be empty."""
    symbols, bill = [torch.zeros(0, dtype=torch.complex64)], SymbolLedger()
    parts = [part for part in (head, tail) if part]
    for part, way in zip(parts, formats(len(head), len(tail), payload, state), strict=True):
        symbols.append(modulate_block(part, way))
        spare = way.form.payload_bits - 8 * len(part)
        bill += SymbolLedger.apportion(
            way.num_symbols, side_information=8 * len(part), crc=way.form.crc_bits, padding=spare
        )
    return torch.cat(symbols), bill


def read_part(received: Received, sizes: tuple[int, int], payload: int, state: LinkState) -> bytes | None:
    """The last part of side information whose (head, tail) have so many bytes; None when its CRC fails."""
    ways = formats(*sizes, payload, state)
    start = sum(way.num_symbols for way in ways[:-1])
    data = demodulate_block(received, start, ways[-1])
    return None if data is None else data[: sizes[1] or sizes[0]]


def side_symbols(sizes: tuple[int, int], payload: int, state: LinkState) -> int:
    """Channel uses of a head and a tail of so many bytes."""
    return sum(way.num_symbols for way in formats(*sizes, payload, state))


def kept_symbols(worth: np.ndarray, room: int) -> np.ndarray:
    """Which payload symbols are sent in `room` channel uses: sorted indices.

    Args:
        worth: [K, 2] per symbol: the shares of its two reals that belong to the image itself and not to padding.
        room: channel uses; K or more keeps all.
    """
    count = len(worth)
    if room >= count:
        return np.arange(count)
    spread = np.modf(np.arange(count) * _GOLDEN_RATIO)[0]
    return np.sort(np.argsort((worth > 0).sum(1) + spread, kind="stable")[count - max(0, room) :])


def scale_to_unit_power(symbols: Tensor) -> float:
    """The scale in dB, a multiple of 0.01, that brings symbols [K] to a mean power of at most one."""
    power = float(symbols.abs().square().double().mean()) if len(symbols) else 1.0
    return max(-math.ceil(1000 * math.log10(max(power, 1e-12))) / 100, -300.0)


def equalise(received: Received, part: slice) -> Tensor:
    """MMSE estimates of the symbols in `part`, scaled so that a gain of one changes nothing: complex64."""
    gain, noise = received.gain[part], received.noise_variance[part]
    strength = gain.abs().square()
    return received.symbols[part] * gain.conj() * (1 + noise) / (strength + noise).clamp_min(_WEAKEST)


def received_snr_db(received: Received) -> float:
    """Es/N0 that one image met, as the receiver estimates it: the mean of |gain|^2 / no."""
    if not len(received.symbols):
        return TOLD_SNR_DB[0]
    ratio = (received.gain.abs().square().double() / received.noise_variance.double()).mean()
    return told_snr_db(10 * math.log10(max(float(ratio), 1e-9)))


def told_snr_db(snr_db: float) -> float:
    """The SNR as the networks receive it, within the range that they were trained for."""
    return min(max(snr_db, TOLD_SNR_DB[0]), TOLD_SNR_DB[1])


def true_share(size: tuple[int, int], cells: tuple[int, int], stride: int) -> Tensor:
    """Of every latent cell [h, w] the share of its pixels that belong to the image (H, W) itself and not to padding."""
    sides = [
        (torch.arange(count) * -stride + length).clamp(0, stride) / stride
        for length, count in zip(size, cells, strict=True)
    ]
    return sides[0][:, None] * sides[1][None, :]


def payload_bill(worth: np.ndarray) -> SymbolLedger:
    """The bill of sent payload symbols, given the shares of their reals that belong to the image itself, [K, 2].

    What belongs to pixels that only padding added is padding.
    """
    share = float(worth.mean()) if worth.size else 1.0
    return SymbolLedger.apportion(worth.size // 2, payload=share, padding=1 - share)
