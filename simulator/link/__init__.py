"""One trip over the air: the contract of a scheme, its bill and its result."""

from simulator.link.contracts import (
    OUTAGE_GREY,
    Bound,
    Decoded,
    LinkState,
    Reception,
    Scheme,
    Transmission,
    load_scheme,
    outage_image,
)
from simulator.link.ledger import SymbolLedger, bandwidth_ratio, channel_uses, describe
from simulator.link.optional import Capabilities, capabilities, check_supported, on_device
from simulator.link.trip import Trip, channel_key, transmit

__all__ = [
    "OUTAGE_GREY",
    "Bound",
    "Capabilities",
    "Decoded",
    "LinkState",
    "Reception",
    "Scheme",
    "SymbolLedger",
    "Transmission",
    "Trip",
    "bandwidth_ratio",
    "capabilities",
    "channel_key",
    "channel_uses",
    "check_supported",
    "describe",
    "load_scheme",
    "on_device",
    "outage_image",
    "transmit",
]
