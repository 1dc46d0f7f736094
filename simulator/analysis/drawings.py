"""What figures are made of: sources of points, curves, what the user chose, and one drawing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.analysis.statistics import Point


@dataclass(frozen=True)
class Source:
    """The points of one results folder, with what figures need to know about them.

    Attributes:
        name: of the folder.
        points: one per (scheme, channel, SNR, CBR).
        bounds: names of the schemes that are bounds.
        backbones: networks of LPIPS.
        directions: of metrics that the program does not know, by name: whether higher is better.
        missing: metrics that were asked for and could not be measured.
        names: of schemes by their specification in the sweep, where the two may differ.
    """

    name: str
    points: Sequence[Point]
    bounds: Sequence[str] = ()
    backbones: frozenset[str] = frozenset()
    directions: Mapping[str, bool] = field(default_factory=dict)
    missing: Sequence[str] = ()
    names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Curve:
    """One line of a figure: a scheme's points, and how it differs from the others.

    Attributes:
        scheme: its specification.
        label: what the legend calls it.
        bound: whether it is a bound.
        colour, marker: its look, by its name.
        points: in the order in which the line connects them.
        line: line style, as matplotlib takes it.
        condition: the meaning of the line style; empty if it has none.
        panel: the panel that it is drawn in.
    """

    scheme: str
    label: str
    bound: bool
    colour: str
    marker: str
    points: list[Point]
    line: Any = "-"
    condition: str = ""
    panel: str = ""


@dataclass(frozen=True)
class Choice:
    """What a user wants to see.

    Attributes:
        x: column of the horizontal axis; None takes the billed CBR where there are several CBRs at one SNR, else SNR.
        y: columns of the vertical axes; empty takes every metric that there is.
        schemes, channels, snrs_db, cbrs: what to draw; empty takes all.
        by: the role of a dimension: "lines" (line styles), "panels" (side by side) or "figures" (a file each).
        along: "snr", "cbr" or an option of a scheme or channel such as "gamma": what a curve connects where `x` is a
            metric or cost.
        labels: what the legend calls a scheme, by its specification.
    """

    x: str | None = None
    y: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    snrs_db: tuple[float, ...] = ()
    cbrs: tuple[float, ...] = ()
    by: Mapping[str, str] = field(default_factory=dict)
    along: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Drawing:
    """What one figure shows.

    Attributes:
        x, along: column of the horizontal axis, and what its curves connect.
        curves: in the order of the legend.
        fixed: values of the dimensions that are the same in the whole figure, by dimension.
    """

    x: str
    along: str
    curves: list[Curve]
    fixed: dict[str, Any]

    @property
    def panels(self) -> list[str]:
        """Titles of the panels."""
        return list(dict.fromkeys(curve.panel for curve in self.curves))
