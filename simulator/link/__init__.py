"""One trip over the air: what a scheme is, what it pays, what arrives."""

from simulator.link.contracts import (
    OUTAGE_GREY,
    Bound,
    Decoded,
    LinkState,
    Reception,
    Scheme,
    Transmission,
    check_supported,
    load_scheme,
    outage_image,
)
from simulator.link.ledger import SymbolLedger, bandwidth_ratio, channel_uses, describe
from simulator.link.trip import Trip, channel_key, transmit

__all__ = [
    "OUTAGE_GREY",
    "Bound",
    "Decoded",
    "LinkState",
    "Reception",
    "Scheme",
    "SymbolLedger",
    "Transmission",
    "Trip",
    "bandwidth_ratio",
    "channel_key",
    "channel_uses",
    "check_supported",
    "describe",
    "load_scheme",
    "outage_image",
    "transmit",
]
