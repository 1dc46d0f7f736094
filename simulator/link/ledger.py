"""The bill of an image, item by item in channel uses, and bandwidth ratios (CBR)."""

from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class SymbolLedger:
    """The bill of one image, in complex channel uses.

    The budget limits the data symbols, which the scheme bills. What the channel spends around them (pilots, guard bands
    and cyclic prefixes, `Received.overhead`) is billed on top, as `pilots`: `total` counts it, `data` does not.
    """

    payload: int = 0
    side_information: int = 0
    header: int = 0
    crc: int = 0
    padding: int = 0
    pilots: int = 0

    @property
    def total(self) -> int:
        """All channel uses."""
        return sum(asdict(self).values())

    @property
    def data(self) -> int:
        """The channel uses that the budget limits: everything except the channel's overhead."""
        return self.total - self.pilots

    def over_streams(self, streams: int) -> "SymbolLedger":
        """The bill in channel uses where each use carries a symbol per stream: K symbols take ceil(K / streams)."""
        items = asdict(self)
        return SymbolLedger.apportion(-(-self.total // streams), **items) if streams > 1 and self.total else self

    @classmethod
    def apportion(cls, total: int, **weights: float) -> "SymbolLedger":
        """Split `total` channel uses over items in proportion to `weights` (bits, say), by largest remainder.

        Raises:
            ValueError: all weights are 0.
        """
        if not any(weights.values()):
            raise ValueError(f"{total} channel uses were spent on nothing")
        scale = total / sum(weights.values())
        shares = {item: int(weight * scale) for item, weight in weights.items()}
        by_remainder = sorted(weights, key=lambda item: shares[item] - weights[item] * scale)
        for item in by_remainder[: total - sum(shares.values())]:
            shares[item] += 1
        return cls(**shares)

    def __add__(self, other: "SymbolLedger") -> "SymbolLedger":
        return SymbolLedger(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def channel_uses(cbr: Fraction, image_size: tuple[int, int]) -> int:
    """Channel uses that a bandwidth ratio allows an H x W colour image: floor(cbr * 3 H W)."""
    height, width = image_size
    return int(cbr * 3 * height * width)


def bandwidth_ratio(uses: int, image_size: tuple[int, int]) -> float:
    """CBR = complex channel uses / (3 H W)."""
    height, width = image_size
    return uses / (3 * height * width)


def describe(ledger: SymbolLedger, image_size: tuple[int, int]) -> dict[str, Any]:
    """A bill as a flat record: every item in channel uses, and both bandwidth ratios."""
    return asdict(ledger) | {
        "cbr": bandwidth_ratio(ledger.total, image_size),
        "cbr_payload": bandwidth_ratio(ledger.payload, image_size),
    }
