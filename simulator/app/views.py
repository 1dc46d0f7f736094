"""Outcomes for the eye: numbers and bills as HTML, constellations as Plotly figures."""

from collections.abc import Sequence
from dataclasses import fields
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from simulator.app.session import Constellation, Outcome
from simulator.link import SymbolLedger
from simulator.link.delivery import explain_outage

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

ITEMS = tuple(item.name for item in fields(SymbolLedger))
# What a number is called, its column, its format, its unit, and whether more is better (None: neither).
NUMBERS: tuple[tuple[str, str, str, str, bool | None], ...] = (
    ("PSNR", "psnr_db", ".2f", " dB", True),
    ("MS-SSIM", "ms_ssim", ".4f", "", True),
    ("LPIPS", "lpips", ".4f", "", False),
    ("CBR billed", "cbr", ".5f", "", False),
    ("CBR payload", "cbr_payload", ".5f", "", None),
    ("Realised Es/N0", "snr_db_realised", ".2f", " dB", None),
    ("Encode", "encode_s", ".2f", " s", None),
    ("Decode", "decode_s", ".2f", " s", None),
)
WHY_NOT = {
    "ms_ssim": "needs sides of at least 161 pixels",
    "lpips": "no AlexNet weights on this machine",
    "snr_db_realised": "nothing was sent",
    "encode_s": "a bound encodes nothing",
    "decode_s": "a bound decodes nothing",
}
INK = "#8a8f98"  # legible on white and on near-black
AXIS = {
    "color": INK,
    "gridcolor": "rgba(138,143,152,0.25)",
    "zerolinecolor": "rgba(138,143,152,0.6)",
    "zerolinewidth": 1,
}
LAYOUT = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"color": INK, "size": 12},
    "margin": {"l": 52, "r": 12, "t": 36, "b": 44},
    "height": 330,
    "modebar": {"remove": ["select2d", "lasso2d", "autoScale2d"], "color": INK, "bgcolor": "rgba(0,0,0,0)"},
}
COLOURS = {"sent": "#2F8FD8", "received": "#E0701A", "equalised": "#12A37D"}


def headline(outcome: Outcome) -> str:
    """What was sent over what, and whether it arrived."""
    settings, (height, width) = outcome.settings, outcome.source.shape[:2]
    where = f"{outcome.channel} at {_text(settings.snr_db, 'g', ' dB')}, CBR {settings.cbr}"
    draw = f"realisation {settings.realisation}, seed {settings.seed}"
    text = f"<strong>{escape(outcome.scheme)}</strong> over {escape(where)} · {width}×{height} · {draw}"
    return f'<p class="headline">{text}</p>{_outage([("", outcome)])}'


def same_draw(first: Outcome, second: Outcome) -> str:
    """What two outcomes have in common, and which of them did not arrive."""
    settings, (height, width) = first.settings, first.source.shape[:2]
    where = f"<strong>{escape(first.channel)}</strong> at {_text(settings.snr_db, 'g', ' dB')}"
    draw = f"realisation {settings.realisation}, seed {settings.seed}"
    lost = _outage([("A: ", first), ("B: ", second)])
    return f'<p class="headline">Same picture, same draw of {where} · {width}×{height} · {draw}</p>{lost}'


def refusal(message: str) -> str:
    """One line in place of an outcome."""
    return f'<p class="notice" role="alert">{escape(message)}</p>'


def hint(message: str) -> str:
    """What to do next."""
    return f'<p class="headline">{escape(message)}</p>'


def numbers(outcome: Outcome) -> str:
    """Quality, bandwidth and time as a row of figures."""
    return f'<dl class="numbers">{"".join(_number(outcome, *number[:4]) for number in NUMBERS)}</dl>'


def _number(outcome: Outcome, name: str, column: str, form: str, unit: str) -> str:
    value = outcome.record[column]
    reason = "" if value is not None else f'<span class="why">{WHY_NOT.get(column, "")}</span>'
    return f"<div><dt>{name}</dt><dd {_data(column, value)}>{_text(value, form, unit)}{reason}</dd></div>"


def bill(outcome: Outcome) -> str:
    """What the channel uses were spent on: a bar, and a table with shares."""
    total = sum(outcome.record[item] for item in ITEMS)
    spent = [(item, outcome.record[item], outcome.record[item] / max(total, 1)) for item in ITEMS]
    parts = "".join(f'<i class="{item}" style="width:{share:.3%}"></i>' for item, uses, share in spent if uses)
    rows = "".join(
        f'<tr><th scope="row"><i class="{item}"></i>{_label(item)}</th>'
        f"<td {_data(item, uses)}>{uses:,}</td><td>{share:.2%}</td></tr>"
        for item, uses, share in spent
        if uses
    )
    head = '<tr><th scope="col">Item</th><th scope="col">Channel uses</th><th scope="col">Share</th></tr>'
    foot = f'<tr><th scope="row">Total</th><td {_data("total", total)}>{total:,}</td><td></td></tr>'
    bar = f'<div class="bar" aria-hidden="true">{parts}</div>'
    table = f"<thead>{head}</thead><tbody>{rows}</tbody><tfoot>{foot}</tfoot>"
    return f'<div class="bill">{bar}<table class="ledger">{table}</table></div>'


def comparison(first: Outcome, second: Outcome) -> str:
    """Two outcomes number by number, the better one in bold, and then item by item of their bills."""
    pair = (first, second)
    rows = [_compared(pair, *number) for number in NUMBERS]
    rows.append('<tr class="section"><th scope="rowgroup" colspan="4">Channel uses</th></tr>')
    rows += [_compared(pair, _label(item), item, ",", "", None) for item in ITEMS if any(o.record[item] for o in pair)]
    labels = "".join(f'<th scope="col">{key}: {escape(one.scheme)}</th>' for key, one in zip("AB", pair, strict=True))
    head = f'<tr><th scope="col"></th>{labels}<th scope="col">B − A</th></tr>'
    table = f'<table class="ledger"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'
    return f'<div class="wide">{table}</div>'


def _compared(pair: Sequence[Outcome], name: str, column: str, form: str, unit: str, more: bool | None) -> str:
    values = [one.record[column] for one in pair]
    known = [value for value in values if value is not None]
    best = None
    if more is not None and len(known) == 2 and known[0] != known[1]:
        best = max(known) if more else min(known)
    cells = "".join(
        f"<td {_data(column, value)}{' class=best' if best is not None and value == best else ''}>"
        f"{_text(value, form, unit)}</td>"
        for value in values
    )
    difference = f"{known[1] - known[0]:+{form}}{unit}" if len(known) == 2 else "–"
    return f'<tr><th scope="row">{name}</th>{cells}<td>{difference.replace("-", "−")}</td></tr>'


def _outage(named: Sequence[tuple[str, Outcome]]) -> str:
    return "".join(
        f'<p class="notice" data-outage>{name}outage: {explain_outage(one.record)}; the receiver shows grey</p>'
        for name, one in named
        if one.record["outage"]
    )


def _text(value: float | None, form: str, unit: str) -> str:
    return "–" if value is None else f"{value:{form}}{unit}".replace("-", "−")


def _data(column: str, value: float | None) -> str:
    """The number in full, for programs that read the page."""
    return f'data-column="{column}" data-value="{"" if value is None else repr(value)}"'


def _label(item: str) -> str:
    return "CRC" if item == "crc" else item.replace("_", " ").capitalize()


def constellations(shown: Constellation) -> dict[str, "Figure"]:
    """Sent, received and, over fading, equalised symbols: one figure each, on axes of one reach."""
    kinds = {"sent": shown.sent, "received": shown.received}
    if shown.equalised is not None:
        kinds["equalised"] = shown.equalised
    reach = max(_reach(symbols) for symbols in kinds.values())
    return {kind: _scatter(symbols, COLOURS[kind], reach) for kind, symbols in kinds.items()}


def side_by_side(*shown: Constellation | None) -> list["Figure | None"]:
    """What each receiver works with: equalised symbols, or those received where nothing fades; on axes of one reach."""
    used = [None if one is None else one.received if one.equalised is None else one.equalised for one in shown]
    reach = max((_reach(symbols) for symbols in used if symbols is not None), default=1.0)
    pairs = zip(used, (COLOURS["sent"], COLOURS["received"]), strict=True)
    return [None if symbols is None else _scatter(symbols, colour, reach) for symbols, colour in pairs]


def _reach(symbols: np.ndarray) -> float:
    """Where the axes end: 99.5 % of the symbols lie within, so that a few in a deep fade do not shrink the rest."""
    parts = np.abs(np.concatenate([symbols.real, symbols.imag]))
    return max(1.2, 1.15 * float(np.quantile(parts, 0.995)))


def _scatter(symbols: np.ndarray, colour: str, reach: float) -> "Figure":
    from plotly.graph_objects import Figure, Scatter

    marker = {"size": 5, "color": colour, "opacity": 0.5}
    hover = "I %{x:.3f}<br>Q %{y:.3f}<extra></extra>"
    points = Scatter(
        x=symbols.real.round(4), y=symbols.imag.round(4), mode="markers", marker=marker, hovertemplate=hover
    )
    axis = {"range": [-reach, reach], "constrain": "domain", "nticks": 5, **AXIS}
    axes = {
        "xaxis": {**axis, "title": {"text": "In-phase", "standoff": 8}},
        "yaxis": {**axis, "title": {"text": "Quadrature", "standoff": 8}, "scaleanchor": "x"},
    }
    return Figure(points, {**LAYOUT, **axes, "showlegend": False})
