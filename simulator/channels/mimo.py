"""`mimo`: several antennas over flat Rayleigh fading, or over TDL and CDL of TR 38.901 on the OFDM grid.

A scheme sees the same as over any channel, y = gain * s + n: gain^2 / no is the signal-to-noise-and-interference ratio
of its symbol after the receiver.
"""

from collections.abc import Sequence
from typing import Any

from simulator.channels.antennas import Antennas
from simulator.channels.estimation import Estimator
from simulator.channels.grid import ResourceGrid
from simulator.channels.mimo_flat import MimoChannel
from simulator.channels.mimo_ofdm import MimoOfdmChannel
from simulator.channels.paths import Cdl, PathModel, Tdl
from simulator.channels.tr38901 import DELAY_SPREAD, NUMEROLOGY, motion, moving
from simulator.errors import UserError
from simulator.spec.options import Choice, Declaration, Number, declares

_MODELS = tuple(f"{family}-{letter}" for family in ("tdl", "cdl") for letter in "abcde")
_MULTIPATH = {"delay_spread_ns": DELAY_SPREAD, **motion(100), **NUMEROLOGY}
_MIMO = Declaration(
    "mimo",
    "several antennas over flat Rayleigh fading, or over TDL or CDL on an OFDM grid",
    {
        "tx": Number(2, 1, 8, whole=True, help="transmit antennas"),
        "rx": Number(2, 1, 8, whole=True, help="receive antennas"),
        "receiver": Choice(("lmmse", "zf"), help="linear receiver of spatial streams"),
        "precoding": Choice(
            ("none", "svd", "alamouti"), help="a stream per antenna, SVD with water-filling, or a code"
        ),
        "fading": Choice(("block", "fast"), help="flat: one channel matrix per image, or one per use"),
        "correlation": Number(0, 0, 0.99, help="between neighbouring antennas of either end (Kronecker model)"),
        "csi": Choice(("perfect", "estimated", "ls"), help="channel knowledge of the receiver; pilots are billed"),
        "model": Choice(("flat", *_MODELS), help="multipath model; flat for none"),
        **_MULTIPATH,
    },
)


@declares(_MIMO)
def mimo(*options: str) -> MimoChannel | MimoOfdmChannel:
    """Spatial multiplexing, SVD or Alamouti over up to 8 x 8 antennas.

    Raises:
        UserError: streams that cannot be separated, precoding for a channel that the transmitter does not know, or an
            option that the model does not have.
    """
    chosen = _MIMO.read(options)
    _check_antennas(chosen)
    _check_model(chosen, [option.partition("=")[0] for option in options])
    antennas = Antennas(chosen["tx"], chosen["rx"], chosen["precoding"], chosen["receiver"])
    name = _MIMO.spell(chosen)
    if chosen["model"] == "flat":
        fast, estimated = chosen["fading"] == "fast", chosen["csi"] == "estimated"
        return MimoChannel(name, antennas, chosen["correlation"], fast, estimated)
    return _over_grid(name, antennas, chosen)


def _over_grid(name: str, antennas: Antennas, chosen: dict[str, Any]) -> MimoOfdmChannel:
    spacing_hz = float(chosen["spacing_khz"]) * 1e3
    grid = ResourceGrid(int(chosen["subcarriers"]), spacing_hz, "dmrs", antennas.tx, antennas.uses)
    family, letter = chosen["model"].split("-")
    profile = (letter.upper(), chosen["delay_spread_ns"] * 1e-9, *moving(chosen))
    ends = (antennas.tx, antennas.rx)
    model: PathModel = Tdl(*profile, ends, chosen["correlation"]) if family == "tdl" else Cdl(*profile, ends)
    if chosen["csi"] == "perfect":
        return MimoOfdmChannel(name, model, grid, antennas)
    between_two = Tdl(*profile) if family == "tdl" else Cdl(*profile)
    method = Estimator(between_two, grid, "ls" if chosen["csi"] == "ls" else "lmmse")
    return MimoOfdmChannel(name, model, grid, antennas, method)


def _check_antennas(chosen: dict[str, Any]) -> None:
    streams, rx = chosen["tx"], chosen["rx"]
    if chosen["precoding"] == "none" and streams > rx and chosen["receiver"] == "zf":
        raise UserError(
            f"'mimo': zf cannot separate {streams} streams at {rx} antennas; use receiver=lmmse or rx={streams}"
        )
    if chosen["precoding"] != "none" and chosen["receiver"] == "zf":
        raise UserError("'mimo': receiver=zf applies to streams without precoding; leave out receiver or precoding")
    if chosen["precoding"] == "svd" and chosen["csi"] != "perfect":
        raise UserError("'mimo': svd needs the channel at the transmitter, which pilots do not give; use csi=perfect")
    if chosen["precoding"] == "alamouti" and streams != 2:
        raise UserError(f"'mimo': Alamouti's code has two transmit antennas, not {streams}; use tx=2")


def _check_model(chosen: dict[str, Any], given: Sequence[str]) -> None:
    model = chosen["model"]
    if model == "flat":
        if idle := [key for key in given if key in _MULTIPATH]:
            raise UserError(f"'mimo': {idle[0]} applies to multipath; add model=tdl-c, or leave it out")
        if chosen["csi"] == "ls":
            raise UserError("'mimo': csi=ls interpolates between pilots of a grid; add model=tdl-c or use estimated")
        if chosen["csi"] == "estimated" and chosen["fading"] == "fast":
            raise UserError("'mimo': pilots cannot follow a channel that changes with every use; use fading=block")
        return
    if "fading" in given:
        raise UserError(f"'mimo': over {model} speed_kmh sets how fast the channel changes; leave out fading")
    if chosen["correlation"] and model not in ("tdl-a", "tdl-b", "tdl-c"):
        raise UserError(f"'mimo': {model} correlates antennas by its own angles; leave out correlation, or use tdl-c")
    if chosen["speed_kmh"] == 0 and "carrier_ghz" in given:
        raise UserError("'mimo': at speed_kmh=0 no carrier frequency matters; leave out carrier_ghz")
