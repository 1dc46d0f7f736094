"""Quality against SNR of the current picture."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from simulator.analysis.looks import PLOTLY_SYMBOLS, looks_of
from simulator.app.session import Outcome, Settings, find_scheme
from simulator.app.views import AXIS, INK, LAYOUT
from simulator.link import Bound

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

SNRS_DB = (0.0, 5.0, 10.0, 15.0, 20.0)
METRICS = (("PSNR (dB), higher is better", "psnr_db"), ("LPIPS, lower is better", "lpips"))


def snrs_of(settings: Settings) -> list[float]:
    """The SNRs of a curve, and that of the settings among them."""
    return sorted({*SNRS_DB, settings.snr_db})


def measure(settings: Sequence[Settings], send: Callable[[Settings], Outcome]) -> Iterator[tuple[int, Outcome]]:
    """Send with every setting at every SNR of its curve; yields (number of the setting, outcome) as they arrive."""
    for number, one in enumerate(settings):
        for snr_db in snrs_of(one):
            yield number, send(replace(one, snr_db=snr_db))


def draw(curves: Sequence[Sequence[Outcome]], chosen_db: float) -> "Figure":
    """Every metric that was measured as a panel, every curve in its scheme's colour; a line marks the chosen SNR."""
    from plotly.graph_objects import Scatter
    from plotly.subplots import make_subplots

    metrics = [one for one in METRICS if any(point.record[one[1]] is not None for curve in curves for point in curve)]
    figure = make_subplots(1, len(metrics), horizontal_spacing=0.12)
    firsts = [curve[0] for curve in curves]
    is_bound = {one.scheme: isinstance(find_scheme(one.settings.scheme, one.settings.machine), Bound) for one in firsts}
    looks = looks_of(is_bound.items())
    for number, curve in enumerate(curves):
        look = looks[curve[0].scheme]
        name = curve[0].scheme + (f", CBR {curve[0].settings.cbr}" if len(curves) > 1 else "")
        dash = "dash" if number and curve[0].scheme == curves[0][0].scheme else None
        for column, (label, metric) in enumerate(metrics, 1):
            figure.add_trace(
                Scatter(
                    x=[point.settings.snr_db for point in curve],
                    y=[point.record[metric] for point in curve],
                    name=name,
                    legendgroup=str(number),
                    showlegend=column == 1,
                    mode="lines+markers",
                    line={"color": INK if look.colour == "#000000" else look.colour, "dash": dash},
                    marker={"symbol": PLOTLY_SYMBOLS.get(look.marker, "circle"), "size": 8 if look.marker else 1},
                    text=["outage" if point.record["outage"] else "" for point in curve],
                    hovertemplate=f"%{{x:g}} dB: %{{y:.4g}} %{{text}}<extra>{label}</extra>",
                ),
                row=1,
                col=column,
            )
            figure.update_yaxes(title={"text": label, "standoff": 8}, row=1, col=column, **AXIS)
    figure.update_xaxes(title={"text": "SNR (dB)", "standoff": 8}, **AXIS)
    figure.add_vline(x=chosen_db, line={"color": INK, "dash": "dot", "width": 1})
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    figure.update_layout(**LAYOUT, showlegend=True, legend=legend)
    return figure
