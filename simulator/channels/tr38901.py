"""The channels of 3GPP TR 38.901 by name: `tdl-a` ... `tdl-e`, `cdl-a` ... `cdl-e`, `umi`, `uma`, `rma`."""

from functools import partial
from typing import Any

from simulator.channels.estimation import Estimator
from simulator.channels.grid import ResourceGrid
from simulator.channels.ofdm import OfdmChannel
from simulator.channels.paths import Cdl, LinkLevel, PathModel, SystemLevel, Tdl
from simulator.errors import UserError
from simulator.spec.options import Choice, Declaration, Number, Option, declares

NUMEROLOGY: dict[str, Option] = {
    # 275 resource blocks at most, TS 38.211, 4.4.2
    "subcarriers": Number(288, 12, 3300, step=12, help="subcarriers of the resource grid"),
    "spacing_khz": Choice(("30", "15", "60", "120"), "subcarrier spacing in kHz"),
}
_GRID: dict[str, Option] = NUMEROLOGY | {
    "pilots": Choice(("dmrs", "kronecker"), "pilot pattern"),
    "csi": Choice(("perfect", "ls", "lmmse"), "channel knowledge of the receiver: exact, or estimated from pilots"),
}
DELAY_SPREAD = Number(300, 0, 10_000, help="RMS delay spread in ns")


def motion(highest_ghz: float) -> dict[str, Option]:
    """Speed and carrier; RMa is defined up to 30 GHz, all else up to 100 (TR 38.901, 7.2 and 7.7)."""
    return {
        "speed_kmh": Number(3, 0, 1000, help="speed of the terminal in km/h"),
        "carrier_ghz": Number(3.5, 0.5, highest_ghz, help="carrier frequency in GHz"),
    }


def _link(kind: type[LinkLevel], letter: str) -> "partial[OfdmChannel]":
    """Factory of a link-level model: one profile whose delays are scaled to a delay spread."""
    family = kind.__name__.upper()
    said = Declaration(
        f"{family.lower()}-{letter.lower()}",
        f"{family}-{letter} of TR 38.901 on an OFDM grid",
        {"delay_spread_ns": DELAY_SPREAD, **motion(100), **_GRID},
    )
    return declares(said)(partial(_make_link, kind, letter, said))


def _make_link(kind: type[LinkLevel], letter: str, said: Declaration, *options: str) -> OfdmChannel:
    chosen = said.read(options)
    speed_m_s, carrier_hz = moving(chosen)
    if speed_m_s == 0 and any(option.startswith("carrier_ghz=") for option in options):
        raise UserError(f"channel '{said.name}': at speed_kmh=0 no carrier frequency matters; leave out carrier_ghz")
    return _channel(said.spell(chosen), kind(letter, chosen["delay_spread_ns"] * 1e-9, speed_m_s, carrier_hz), chosen)


def _system(name: str, scenario: str, highest_ghz: float) -> "partial[OfdmChannel]":
    """Factory of a system-level model: the place of the terminal, and with it all delays, are drawn per realisation."""
    summary = f"{scenario} of TR 38.901 on an OFDM grid; the terminal's place is drawn"
    said = Declaration(name, summary, {**motion(highest_ghz), **_GRID})
    return declares(said)(partial(_make_system, said))


def _make_system(said: Declaration, *options: str) -> OfdmChannel:
    chosen = said.read(options)
    return _channel(said.spell(chosen), SystemLevel(said.name, *moving(chosen)), chosen)


def moving(chosen: dict[str, Any]) -> tuple[float, float]:
    """Speed in m/s and carrier in Hz."""
    return chosen["speed_kmh"] / 3.6, chosen["carrier_ghz"] * 1e9


def _channel(name: str, model: PathModel, chosen: dict[str, Any]) -> OfdmChannel:
    grid = ResourceGrid(int(chosen["subcarriers"]), float(chosen["spacing_khz"]) * 1e3, chosen["pilots"])
    estimator = None if chosen["csi"] == "perfect" else Estimator(model, grid, chosen["csi"])
    return OfdmChannel(name, model, grid, estimator)


tdl_a, tdl_b, tdl_c, tdl_d, tdl_e = (_link(Tdl, letter) for letter in "ABCDE")
cdl_a, cdl_b, cdl_c, cdl_d, cdl_e = (_link(Cdl, letter) for letter in "ABCDE")
umi, uma, rma = (
    _system("umi", "urban micro", 100),
    _system("uma", "urban macro", 100),
    _system("rma", "rural macro", 30),
)
