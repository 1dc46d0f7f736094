"""Checks of a scheme's symbols, bill and images. The link trusts no scheme's own accounting.

Everything here raises SchemeError.
"""

from dataclasses import asdict

import torch

from simulator.errors import SchemeError
from simulator.link.contracts import Decoded, Transmission
from simulator.link.ledger import SymbolLedger

POWER_TOLERANCE = 1e-4
CONTROL_VALUES = 32  # the five bits in which NR's downlink control information names an MCS (TS 38.212, 7.3.1.2.1)


def check_transmission(name: str, transmission: Transmission, num_images: int, budget: int) -> None:
    """Check that symbols keep power and budget, and that the bill sums to their number."""
    if not len(transmission.symbols) == len(transmission.ledgers) == num_images:
        raise SchemeError(f"{name}: {num_images} images in, {len(transmission.symbols)} transmissions out")
    for symbols, ledger in zip(transmission.symbols, transmission.ledgers, strict=True):
        if symbols.dtype != torch.complex64 or symbols.dim() != 1 or symbols.device.type != "cpu":
            found = f"{symbols.dtype} {tuple(symbols.shape)} on {symbols.device}"
            raise SchemeError(f"{name}: symbols must be complex64 [K] on the CPU, got {found}")
        if len(symbols) > budget:
            raise SchemeError(f"{name}: sent {len(symbols)} symbols with a budget of {budget}")
        check_bill(name, ledger, budget)
        if ledger.total != len(symbols):
            raise SchemeError(f"{name}: billed {ledger.total} channel uses but sent {len(symbols)}")
        power = float(symbols.abs().double().square().mean()) if len(symbols) else 0.0
        if not power <= 1 + POWER_TOLERANCE:
            raise SchemeError(f"{name}: mean symbol power is {power:.5f}, more than 1")


def check_bill(name: str, ledger: SymbolLedger, budget: int) -> None:
    """Check that a bill has ints (a database cannot store numpy's) and does not exceed the budget."""
    for item, uses in asdict(ledger).items():
        if type(uses) is not int or uses < 0:
            raise SchemeError(f"{name}: billed {uses!r} channel uses as {item}; it must be an int, 0 or more")
    if ledger.total > budget:
        raise SchemeError(f"{name}: billed {ledger.total} channel uses with a budget of {budget}")


def check_control(name: str, transmission: Transmission, genie: bool) -> None:
    """Check that only a genie sends control numbers, one MCS index per image."""
    control = transmission.control
    if len(control) != (len(transmission.symbols) if genie else 0):
        raise SchemeError(f"{name}: {len(control)} control numbers; a genie sends one per image, other schemes none")
    if not all(isinstance(one, int) and 0 <= one < CONTROL_VALUES for one in control):
        raise SchemeError(f"{name}: control numbers must be whole numbers in 0..{CONTROL_VALUES - 1}")


def check_shown(name: str, decoded: Decoded, images: torch.Tensor) -> None:
    """Check that there is one finite image of the right size, and one outage flag, per image sent."""
    if decoded.images.shape != images.shape or not decoded.images.isfinite().all():
        raise SchemeError(f"{name}: decoded images must be finite and {tuple(images.shape)}")
    if len(decoded.outage) != len(images):
        raise SchemeError(f"{name}: {len(images)} images, {len(decoded.outage)} outage flags")
