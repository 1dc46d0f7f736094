"""The channels of 3GPP TR 38.901 by name: `tdl-a` ... `tdl-e`, `cdl-a` ... `cdl-e`, `umi`, `uma`, `rma`."""

from functools import partial
from typing import Any

from simulator.channels.estimation import Estimator
from simulator.channels.grid import ResourceGrid
from simulator.channels.ofdm import OfdmChannel
from simulator.channels.paths import Cdl, PathModel, SystemLevel, Tdl
from simulator.errors import UserError
from simulator.spec.options import Choice, Known, Number, full_name, read_options

_GRID: Known = {
    "subcarriers": Number(288, 12, 3300, step=12),  # 275 resource blocks at most, TS 38.211, 4.4.2
    "spacing_khz": Choice(("30", "15", "60", "120")),
    "pilots": Choice(("dmrs", "kronecker")),
    "csi": Choice(("perfect", "ls", "lmmse")),
}
_SPEED_KMH = Number(3, 0, 1000)


def _motion(highest_ghz: float) -> Known:
    """Speed and carrier; RMa is defined up to 30 GHz, all else up to 100 (TR 38.901, 7.2 and 7.7)."""
    return {"speed_kmh": _SPEED_KMH, "carrier_ghz": Number(3.5, 0.5, highest_ghz)}


_LINK: Known = {"delay_spread_ns": Number(300, 0, 10_000), **_motion(100), **_GRID}


def _link(kind: type[Tdl] | type[Cdl], name: str, letter: str, *options: str) -> OfdmChannel:
    """A link-level model: one profile whose delays are scaled to a delay spread."""
    chosen = read_options(name, options, _LINK)
    speed_m_s, carrier_hz = _moving(chosen)
    if speed_m_s == 0 and any(option.startswith("carrier_ghz=") for option in options):
        raise UserError(f"channel '{name}': at speed_kmh=0 no carrier frequency matters; leave out carrier_ghz")
    model = kind(letter, chosen["delay_spread_ns"] * 1e-9, speed_m_s, carrier_hz)
    return _channel(full_name(name, chosen, _LINK), model, chosen)


def _system(name: str, highest_ghz: float, *options: str) -> OfdmChannel:
    """A system-level model: the place of the terminal, and with it all delays, are drawn per realisation."""
    known: Known = {**_motion(highest_ghz), **_GRID}
    chosen = read_options(name, options, known)
    return _channel(full_name(name, chosen, known), SystemLevel(name, *_moving(chosen)), chosen)


def _moving(chosen: dict[str, Any]) -> tuple[float, float]:
    """Speed in m/s and carrier in Hz."""
    return chosen["speed_kmh"] / 3.6, chosen["carrier_ghz"] * 1e9


def _channel(name: str, model: PathModel, chosen: dict[str, Any]) -> OfdmChannel:
    grid = ResourceGrid(int(chosen["subcarriers"]), float(chosen["spacing_khz"]) * 1e3, chosen["pilots"])
    estimator = None if chosen["csi"] == "perfect" else Estimator(model, grid, chosen["csi"])
    return OfdmChannel(name, model, grid, estimator)


tdl_a, tdl_b, tdl_c, tdl_d, tdl_e = (partial(_link, Tdl, f"tdl-{letter}", letter.upper()) for letter in "abcde")
cdl_a, cdl_b, cdl_c, cdl_d, cdl_e = (partial(_link, Cdl, f"cdl-{letter}", letter.upper()) for letter in "abcde")
umi, uma, rma = partial(_system, "umi", 100), partial(_system, "uma", 100), partial(_system, "rma", 30)
