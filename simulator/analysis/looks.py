"""What a scheme looks like in every figure and report: one colour and one marker, chosen by its name alone.

Published schemes have the colours of Okabe and Ito (jfly.uni-koeln.de/color), their usual variants a lighter shade of
the same hue. Every other name is hashed into Paul Tol's "muted" scheme (personal.sron.nl/~pault), so that a scheme
has the same look in every figure. Only if two such names meet in one figure and
hash to the same colour does the second one take the next colour.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

HASHED = ("#332288", "#AA4499", "#44AA99", "#882255", "#999933", "#88CCEE", "#117733", "#CC6677", "#DDCC77")
CONDITIONS = ("#332288", "#44AA99", "#DDCC77", "#CC6677", "#88CCEE")  # of the same scheme, far apart
HASHED_BOUNDS = ("#7F7F7F", "#4D4D4D", "#A6A6A6")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
PLOTLY_SYMBOLS = {  # of Matplotlib's markers
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross"},
    **{"X": "x", "<": "triangle-left", ">": "triangle-right", "p": "pentagon"},
}


@dataclass(frozen=True)
class Look:
    """How one scheme is drawn.

    Attributes:
        colour: `#RRGGBB`.
        marker: in matplotlib's notation; empty for a bound, which is a line without measured points.
    """

    colour: str
    marker: str


LOOKS = {
    "lrisc": Look("#0072B2", "o"),
    "lrisc:gamma=0": Look("#7FB8D8", "P"),
    "lrisc-hybrid": Look("#56B4E9", "p"),
    "deepjscc": Look("#D55E00", "s"),
    "pdjscc": Look("#CC79A7", "<"),
    "bpg-ldpc": Look("#009E73", "D"),
    "bpg-ldpc:4qam-1/2": Look("#66C5AB", "v"),
    "bpg-ldpc:16qam-1/2": Look("#A3DCCB", "^"),
    "bpg-ldpc:adaptation=genie": Look("#66C5AB", "X"),
    "bpg-capacity": Look("#000000", ""),
    # In the colours that their names hash to; three of these names hash to one marker.
    "jpeg-ldpc": Look("#117733", "v"),
    "jpeg2000-ldpc": Look("#332288", "<"),
    "webp-ldpc": Look("#999933", "^"),
    "avif-ldpc": Look("#AA4499", "X"),
}


def looks_of(schemes: Iterable[tuple[str, bool]]) -> dict[str, Look]:
    """The look of each scheme of a figure, by name.

    Args:
        schemes: (name, whether it is a bound).
    """
    bound_of = dict(schemes)
    found = {name: LOOKS[name] for name in bound_of if name in LOOKS}
    taken = {look.colour for look in found.values()}
    for name in sorted(bound_of.keys() - found.keys()):  # sorted, so that the order of the curves changes no colour
        number, bound = zlib.crc32(name.encode()), bound_of[name]
        palette = HASHED_BOUNDS if bound else HASHED
        first = number % len(palette)
        turns = (*palette[first:], *palette[:first])
        colour = next((one for one in turns if one not in taken), turns[0])
        taken.add(colour)
        found[name] = Look(colour, "" if bound else MARKERS[number // len(palette) % len(MARKERS)])
    return found


def look_of_condition(number: int) -> Look:
    """The look of a condition, such as a channel, in a figure whose schemes are told apart by panels."""
    return Look(CONDITIONS[number % len(CONDITIONS)], MARKERS[number % len(MARKERS)])
