"""Modulation and coding schemes and the SNR each needs."""

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib.resources import files

from simulator.errors import UserError

# Code rates per modulation, ~0.5 dB apart; `bench mcs` measures what each needs.
CODE_RATES = {
    2: ("1/5", "1/4", "1/3", "3/8", "2/5", "9/20", "1/2", "3/5", "2/3", "3/4"),
    4: ("2/5", "9/20", "1/2", "11/20", "3/5", "2/3", "7/10", "3/4"),
    6: ("9/20", "1/2", "11/20", "3/5", "2/3", "7/10", "3/4", "5/6"),
    8: ("3/5", "2/3", "7/10", "3/4", "5/6", "9/10"),
}


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


MCS_TABLE = tuple(Mcs(bits, Fraction(rate)) for bits, rates in CODE_RATES.items() for rate in rates)
