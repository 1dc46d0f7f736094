"""One trip over the air: images -> scheme -> symbols -> channel -> scheme -> images, with every use billed."""

from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch

from simulator.channels import Channel, Realisation
from simulator.channels import capabilities as channel_capabilities
from simulator.channels.contract import announce, cross, draw
from simulator.errors import UserError
from simulator.images.pixels import image_digest
from simulator.link.audit import check_bill, check_control, check_shown, check_transmission
from simulator.link.contracts import Bound, Decoded, LinkState, Reception, Scheme, Transmission
from simulator.link.ledger import SymbolLedger, channel_uses
from simulator.link.optional import capabilities
from simulator.randomness import derive_key
from simulator.spec.shown import Brief


@dataclass(frozen=True, repr=False)
class Trip(Brief):
    """The outcome of one batch. A bound has no transmission and no reception.

    Attributes:
        snr_db: realised Es/N0 of each image: mean |gain|^2 / no over its symbols; NaN if none were sent.
        measured: the channel's measurements of each transmission (`Received.measured`); empty for a bound.
    """

    decoded: Decoded
    ledgers: list[SymbolLedger]
    snr_db: list[float]
    measured: list[dict[str, float]] = field(default_factory=list)
    transmission: Transmission | None = None
    reception: Reception | None = None


def channel_key(image: torch.Tensor, channel: str, snr_db: float, realisation: int, seed: int) -> int:
    """Seed of the channel for one image; it does not depend on the scheme, so all schemes see the same channel."""
    return derive_key(image_digest(image), channel, float(snr_db), int(realisation), int(seed))


def _check_images(images: torch.Tensor) -> None:
    """Raises UserError unless images are floats in [0, 1]: any other range would make every number wrong."""
    if not isinstance(images, torch.Tensor) or images.dim() != 4 or images.shape[1] != 3 or not images.numel():
        found = list(images.shape) if hasattr(images, "shape") else ""
        raise UserError(f"images must be a torch tensor [B, 3, H, W], not {type(images).__name__} {found}".rstrip())
    if not images.is_floating_point():
        raise UserError(f"images must be float32 in [0, 1], not {images.dtype}; divide 8-bit samples by 255")
    low, high = (float(one) for one in images.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise UserError(f"images must lie in [0, 1], not in [{low:g}, {high:g}]; scale them first")


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
        scheme: encodes and decodes.
        images: float32 [B, 3, H, W] in [0, 1], H and W >= 16.
        cbr: complex channel uses allowed per source value (3 H W of them).
        channel: carries the symbols.
        snr_db: average Es/N0 per complex symbol, in dB.
        realisation: number of the channel draw.
        seed: seed of the whole experiment.

    Raises:
        SchemeError: the scheme exceeded power or budget, its bill does not add up, or it shows no finite images.
        UserError: images of another range or type, or the channel raised or broke its contract.
    """
    _check_images(images)
    size = (images.shape[-2], images.shape[-1])
    budget = channel_uses(cbr, size)
    state = LinkState(*announce(channel, snr_db))
    # Keyed by the assumed channel, so that a wrong assumption is compared with a right one over the same draws.
    carries = channel_capabilities(channel)
    draws_as = carries.draws_as or state.channel
    keys = [channel_key(image, draws_as, snr_db, realisation, seed) for image in images]
    genie = capabilities(scheme).genie
    if isinstance(scheme, Bound):
        draws = [draw(channel, budget, snr_db, key) for key in keys]
        decoded, ledgers = scheme.reconstruct(images.clone(), budget, tuple(one.without_noise() for one in draws))
        for ledger in ledgers:
            check_bill(scheme.name, ledger, budget)
        check_shown(scheme.name, decoded, images)
        ledgers = [_with_overhead(bill, channel, one) for bill, one in zip(ledgers, draws, strict=True)]
        return Trip(decoded, ledgers, [one.snr_db for one in draws])
    known = tuple(draw(channel, budget, snr_db, key).without_noise() for key in keys) if genie else ()
    # A copy, because a scheme that normalises in place would change the images that it is scored against.
    transmission = scheme.encode(images.clone(), budget, replace(state, realisations=known))
    check_transmission(scheme.name, transmission, len(images), budget)
    check_control(scheme.name, transmission, genie)
    pairs = zip(transmission.symbols, keys, strict=True)
    realised = [draw(channel, len(symbols), snr_db, key) for symbols, key in pairs]
    received = [cross(channel, symbols, one) for symbols, one in zip(transmission.symbols, realised, strict=True)]
    bills = zip(transmission.ledgers, received, strict=True)
    ledgers = [ledger.over_streams(carries.streams) + SymbolLedger(pilots=one.overhead) for ledger, one in bills]
    measured = [dict(one.measured) for one in received]
    received = [replace(one, measured={}) for one in received]
    reception = Reception(received, size, state, transmission.control)
    decoded = scheme.decode(reception)
    check_shown(scheme.name, decoded, images)
    return Trip(decoded, ledgers, [one.snr_db for one in realised], measured, transmission, reception)


def _with_overhead(bill: SymbolLedger, channel: Channel, realisation: Realisation) -> SymbolLedger:
    """Add the channel's overhead for as many symbols to the bill of a bound."""
    sent = cross(channel, torch.zeros(bill.total, dtype=torch.complex64), realisation)
    return bill.over_streams(channel_capabilities(channel).streams) + SymbolLedger(pilots=sent.overhead)
