"""Modulation and coding schemes, and the SNR each needs (measured: ``data/thresholds.json``)."""

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache
from importlib.resources import files
from math import ceil, sqrt

import numpy as np
from scipy.special import ndtr, ndtri

from simulator.errors import UserError
from simulator.phy.basegraph import MAX_BLOCK_BITS

# Code rates per bits per symbol; their thresholds lie about 0.5 dB apart.
CODE_RATES = {
    2: ("1/5", "1/4", "1/3", "3/8", "2/5", "9/20", "1/2", "3/5", "2/3", "3/4"),
    4: ("2/5", "9/20", "1/2", "11/20", "3/5", "2/3", "7/10", "3/4"),
    6: ("9/20", "1/2", "11/20", "3/5", "2/3", "7/10", "3/4", "5/6"),
    8: ("3/5", "2/3", "7/10", "3/4", "5/6", "9/10"),
}

# Over AWGN, adaptive links shall lose at most this share of pictures. A picture needs all of its code blocks.
PICTURE_LOSS = 1e-3
# So an MCS is used from this far above its threshold for BLER 1e-3. By the fits, the least safe one then loses 0.04 %
# of Kodak's pictures at CBR 1/12. Below that is an error floor of the decoder, which the fits do not show and no margin
# removes. Of blocks of 8376 bits of 64qam-7/10, 1 of 44096 failed at 14.7 dB, its requirement, and 1 of 69760 at 15 dB,
# where the fits say 2e-7 and 3e-14: 0.07 % of pictures of 37 such blocks, CBR 1/16 (95 % interval: 0.01 to 0.23 %).
MARGIN_DB = 0.2
# The code blocks of an image have at least about half the largest size.
_TYPICAL_INFO_BITS = 4096


@dataclass(frozen=True)
class Mcs:
    """A constellation and a code rate (info bits per coded bit of a code block, CRCs counted as info)."""

    bits_per_symbol: int
    code_rate: Fraction

    @property
    def name(self) -> str:
        """As the command line spells it: ``16qam-1/2``."""
        return f"{2**self.bits_per_symbol}qam-{self.code_rate}"

    @property
    def spectral_efficiency(self) -> float:
        """Info bits per channel use."""
        return float(self.bits_per_symbol * self.code_rate)

    def num_blocks(self, num_symbols: int) -> int:
        """How many code blocks a transport block over ``num_symbols`` channel uses has, to within one."""
        limit = MAX_BLOCK_BITS[2 if self.code_rate <= Fraction(1, 4) else 1]
        return ceil(max(1.0, num_symbols * self.spectral_efficiency) / limit)

    def block_bits(self, num_symbols: int) -> int:
        """About how many info bits each code block has when a transport block fills ``num_symbols`` channel uses."""
        return ceil(max(1.0, num_symbols * self.spectral_efficiency) / self.num_blocks(num_symbols))

    def required_snr_db(self, info_bits: int = _TYPICAL_INFO_BITS) -> float:
        """Es/N0 in dB from which adaptive links use the MCS: its threshold for BLER 1e-3 and `MARGIN_DB`."""
        return self.threshold_db(1e-3, info_bits) + MARGIN_DB

    def block_error_rate(self, snr_db: np.ndarray, info_bits: int) -> np.ndarray:
        """BLER of a code block of ``info_bits`` over AWGN at each Es/N0 in dB: Q((SNR - middle) / width).

        The finite-length scaling law (`simulator.phy.waterfall`) through both measured thresholds.
        """
        common, rare = (self.threshold_db(bler, info_bits) for bler in (1e-2, 1e-3))
        width = (rare - common) / float(ndtri(1e-2) - ndtri(1e-3))
        return ndtr((common - snr_db) / width + float(ndtri(1e-2)))

    def threshold_db(self, bler: float = 1e-3, info_bits: int = _TYPICAL_INFO_BITS) -> float:
        """Es/N0 in dB at which a code block of ``info_bits`` has ``bler`` (0.01 or 0.001) over AWGN.

        Between the measured lengths the threshold is linear in 1/sqrt(length), as finite-length scaling has it; above
        the longest it is the longest's. Raises ``ValueError`` for another ``bler``.
        """
        table = thresholds()
        if bler not in table["bler"]:
            raise ValueError(f"no threshold was measured for a BLER of {bler}: expected one of {table['bler']}")
        column = table["bler"].index(bler)
        lengths, needed = table["info_bits"], [row[column] for row in table["snr_db"][self.name]]
        position = 1 / sqrt(min(info_bits, lengths[-1]))
        upper = next((i for i, length in enumerate(lengths) if i and length >= info_bits), len(lengths) - 1)
        near, far = 1 / sqrt(lengths[upper]), 1 / sqrt(lengths[upper - 1])
        share = (position - near) / (far - near)
        return needed[upper] + share * (needed[upper - 1] - needed[upper])


MCS_TABLE = tuple(Mcs(bits, Fraction(rate)) for bits, rates in CODE_RATES.items() for rate in rates)


def parse_mcs(name: str) -> Mcs:
    """The MCS of that name, such as ``4qam-1/3``. Raises `UserError` naming all of them when there is none."""
    for mcs in MCS_TABLE:
        if mcs.name == name.strip().lower():
            return mcs
    raise UserError(f"unknown MCS '{name}': expected one of {', '.join(mcs.name for mcs in MCS_TABLE)}")


def select_mcs(snr_db: float, num_symbols: int | None = None, most_bits: int = 8) -> Mcs:
    """The MCS of highest spectral efficiency whose required SNR is at most ``snr_db`` (Es/N0 over AWGN).

    ``num_symbols``: channel uses of the transport block; short blocks need more SNR. Without it, blocks of image size
    are assumed. ``most_bits``: per symbol, of the largest constellation. Below the lowest required SNR the most robust
    MCS is returned: the caller's outage is then likely.
    """
    needed = _required_snrs_db(num_symbols)
    usable = [mcs for mcs in MCS_TABLE if needed[mcs.name] <= snr_db and mcs.bits_per_symbol <= most_bits]
    if not usable:
        return min(MCS_TABLE, key=lambda mcs: needed[mcs.name])
    return max(usable, key=lambda mcs: (mcs.spectral_efficiency, -needed[mcs.name]))


@lru_cache(maxsize=256)
def _required_snrs_db(num_symbols: int | None) -> dict[str, float]:
    """What each MCS requires, by name, as `select_mcs` takes it."""
    return {
        mcs.name: mcs.required_snr_db(_TYPICAL_INFO_BITS if num_symbols is None else mcs.block_bits(num_symbols))
        for mcs in MCS_TABLE
    }


@cache
def thresholds() -> dict:
    """The threshold table as `bench mcs --write` leaves it.

    Keys: ``bler`` (columns), ``info_bits`` (rows), ``snr_db`` and ``standard_error_db`` (dB, by MCS name: rows of
    columns), ``origin``.
    """
    return json.loads((files("simulator.phy") / "data" / "thresholds.json").read_text())
