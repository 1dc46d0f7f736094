"""Styles of figures: for a page of two columns, for a single IEEE column, for slides."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

_COMMON: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.3,
    "lines.markersize": 4,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.edgecolor": "none",
    "legend.handlelength": 1.6,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.0,
    "legend.framealpha": 0.7,
    "pdf.fonttype": 42,
    "svg.hashsalt": "simulator",  # the same results give the same bytes
    "figure.dpi": 200,
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Style:
    """Sizes and fonts of a figure.

    Attributes:
        width, height: of one panel, in inches.
        most: panels beside each other.
        settings: of matplotlib, on top of its own defaults; the user's matplotlibrc is ignored.
    """

    width: float
    height: float
    most: int
    settings: Mapping[str, Any] = field(default_factory=dict)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw in this style inside the block."""
        import matplotlib

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            settings: Any = _COMMON | dict(self.settings)  # matplotlib's type has each key as a literal
            matplotlib.rcParams.update(settings)
            yield


_FONT = ("font.size", "axes.labelsize", "axes.titlesize", "xtick.labelsize", "ytick.labelsize", "legend.title_fontsize")
STYLES = {
    "paper": Style(3.5, 2.8, 3),
    # IEEE's column is 3.5 inches wide and set in Times; STIX has its letters and ships with matplotlib.
    "ieee": Style(
        *(3.5, 2.3, 1),
        dict.fromkeys(_FONT, 8)
        | {"font.family": ["STIXGeneral"], "mathtext.fontset": "stix", "legend.fontsize": 7, "lines.linewidth": 1.0},
    ),
    # A slide of 16:9 is 13.3 inches wide; two panels fill it.
    "slides": Style(
        *(6.2, 4.6, 2),
        dict.fromkeys(_FONT, 16)
        | {"legend.fontsize": 14, "lines.linewidth": 2.6, "lines.markersize": 8, "grid.linewidth": 1.0},
    ),
}
