"""The channels of 3GPP TR 38.901 by name: `tdl-a` ... `tdl-e`."""

from functools import partial
from typing import cast

from simulator.channels.grid import Pilots, ResourceGrid
from simulator.channels.ofdm import OfdmChannel
from simulator.channels.options import Choice, Known, Number, full_name, read_options
from simulator.channels.paths import PathModel, Tdl
from simulator.errors import UserError

_GRID: Known = {
    "subcarriers": Number(288, 12, 3300, step=12),  # 275 resource blocks at most, TS 38.211, 4.4.2
    "spacing_khz": Choice(("30", "15", "60", "120")),
    "pilots": Choice(("dmrs", "kronecker")),
}
_MOTION: Known = {"speed_kmh": Number(3, 0, 1000), "carrier_ghz": Number(3.5, 0.5, 100)}
_LINK: Known = {"delay_spread_ns": Number(300, 0, 10_000), **_MOTION, **_GRID}


def _link(kind: type[Tdl], name: str, letter: str, *options: str) -> OfdmChannel:
    """A link-level model: one profile whose delays are scaled to a delay spread."""
    chosen = read_options(name, options, _LINK)
    if chosen["speed_kmh"] == 0 and any(option.startswith("carrier_ghz=") for option in options):
        raise UserError(f"channel '{name}': at speed_kmh=0 no carrier frequency matters; leave out carrier_ghz")
    speed_m_s, carrier_hz = float(chosen["speed_kmh"]) / 3.6, float(chosen["carrier_ghz"]) * 1e9
    model = kind(letter, float(chosen["delay_spread_ns"]) * 1e-9, speed_m_s, carrier_hz)
    return _channel(full_name(name, chosen, _LINK), model, chosen)


def _channel(name: str, model: PathModel, chosen: dict[str, float | str]) -> OfdmChannel:
    pilots = cast(Pilots, chosen["pilots"])
    grid = ResourceGrid(int(chosen["subcarriers"]), float(chosen["spacing_khz"]) * 1e3, pilots)
    return OfdmChannel(name, model, grid)


tdl_a, tdl_b, tdl_c, tdl_d, tdl_e = (partial(_link, Tdl, f"tdl-{letter}", letter.upper()) for letter in "abcde")
