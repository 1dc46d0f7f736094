"""Which curves a figure has: the points of results folders, chosen and grouped as the user requests."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from simulator.analysis.drawings import Choice, Curve, Drawing, Source
from simulator.analysis.looks import look_of_condition, looks_of
from simulator.analysis.missing import unmeasured
from simulator.analysis.statistics import METRICS, Estimate, Point, further_names, summarise
from simulator.analysis.words import scheme_words, value_words
from simulator.errors import UserError
from simulator.results.store import Results

LINES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
COSTS = ("cbr", "cbr_data", "cbr_payload", "outage_rate", "encode_s", "decode_s")
AXES = ("snr_db", "cbr", "cbr_data", "cbr_payload")  # columns that the grid sets
DIMENSIONS = ("scheme", "channel", "snr", "cbr", "results")
ROLES = ("lines", "panels", "figures")
_ALIASES = {"psnr": "psnr_db", "snr": "snr_db", "outage": "outage_rate"}


def source_of(results: Results) -> Source:
    """Summarise the rows of a results folder."""
    return described(results.name, summarise(results.rows), results.meta)


def described(name: str, points: Sequence[Point], meta: Mapping[str, Any]) -> Source:
    """Points with what the description of their results says about them."""
    backbones = frozenset({str(meta.get("lpips", {}).get("net", "none"))} - {"none"})
    bounds, directions, names = meta.get("bounds", ()), meta.get("directions", {}), meta.get("names", {})
    return Source(name, points, bounds, backbones, directions, unmeasured(meta), names)


def column_named(name: str, points: Sequence[Point]) -> str:
    """The column that a user's word stands for, such as `psnr` for `psnr_db`.

    Raises:
        UserError: there is no such column.
    """
    known = (*METRICS, *further_names(points), *COSTS, "snr_db")
    column = _ALIASES.get(name, name)
    column = column if column in known else column.replace("-", "_")
    if column not in known:
        raise UserError(f"no column '{name}' to draw; known: {', '.join(known)}")
    return column


def estimate_of(point: Point, column: str) -> Estimate | None:
    """A column of a point, with its interval where it has one."""
    if column == "outage_rate":
        return Estimate(point.outage_rate, point.outage_rate_lo, point.outage_rate_hi)
    if column in COSTS or column == "snr_db":
        value = getattr(point, column)
        return None if value is None else Estimate(value, None, None)
    return point.metrics.get(column)


def make_curves(results: Sequence[Results]) -> list[Curve]:
    """One curve per scheme and results folder, all points of it; the folder is named where a scheme has several."""
    sources = [source_of(one) for one in results]
    found = [(name, one) for one in sources for name in dict.fromkeys(point.scheme for point in one.points)]
    looks = looks_of((name, name in one.bounds) for name, one in found)
    names = [name for name, _ in found]
    curves = []
    for name, one in found:
        label = _label(name, name in one.bounds, {}) + (f", {one.name}" if names.count(name) > 1 else "")
        own = [point for point in one.points if point.scheme == name]
        line = "--" if name in one.bounds else "-"
        curves.append(Curve(name, label, name in one.bounds, looks[name].colour, looks[name].marker, own, line))
    return curves


def _label(scheme: str, bound: bool, labels: Mapping[str, str]) -> str:
    return labels.get(scheme) or scheme_words(scheme) + (" (bound)" if bound else "")


def make_drawings(sources: Sequence[Source], choice: Choice) -> list[Drawing]:
    """The figures that a choice leads to, each with its curves.

    A dimension with several values that has no role of its own makes one figure each, except that several results
    folders, and schemes, share figures.

    Raises:
        UserError: nothing is left to draw, or a dimension has more values than there are line styles.
    """
    items = _chosen(sources, choice)
    points = [point for _, point in items]
    x = _abscissa(choice, points)
    along = _run(choice, x, points)
    cells: dict[tuple[Any, ...], list[tuple[Source, Point]]] = {}
    for item in items:
        cells.setdefault(tuple(_coordinate(item, one, along) for one in DIMENSIONS), []).append(item)
    several = [name for at, name in enumerate(DIMENSIONS) if len({cell[at] for cell in cells}) > 1]
    role_of = {name: _role(name, choice, cells) for name in several}
    looks = looks_of((cell[0], cell[0] in group[0][0].bounds) for cell, group in cells.items())
    styles = _styles(cells, [name for name, role in role_of.items() if role == "lines"])
    panels = [name for name, role in role_of.items() if role == "panels"]
    figures: dict[tuple[Any, ...], Drawing] = {}
    for cell, group in cells.items():
        at = dict(zip(DIMENSIONS, cell, strict=True))
        key = tuple(at[name] for name, role in role_of.items() if role == "figures")
        apart = "results" if role_of.get("results") == "figures" else ""
        fixed = {n: at[n] for n in ("channel", "snr", "cbr", apart) if n and role_of.get(n, "figures") == "figures"}
        drawing = figures.setdefault(key, Drawing(x, along, [], {k: v for k, v in fixed.items() if v is not None}))
        bound = cell[0] in group[0][0].bounds
        label = _label(cell[0], bound, choice.labels)
        condition, line = styles[_part(at, role_of, "lines")]
        look = looks[cell[0]]
        if condition and "scheme" in panels:  # the title of a panel says its scheme
            look = look_of_condition(LINES.index(line))
        drawing.curves.append(
            Curve(
                *(cell[0], label, bound, look.colour, look.marker),
                points=sorted((point for _, point in group), key=_order(along, x)),
                line="--" if bound and not condition else line,
                condition=condition,
                panel=", ".join(label if n == "scheme" else value_words(n, at[n]) for n in at if n in panels),
            )
        )
    return list(figures.values())


def _chosen(sources: Sequence[Source], choice: Choice) -> list[tuple[Source, Point]]:
    items = [(source, point) for source in sources for point in source.points]
    if not items:
        raise UserError("nothing to draw: the results hold no finished rows; run the sweep first")
    values: dict[str, tuple[Any, ...]] = {
        **{"scheme": choice.schemes, "channel": choice.channels, "snr": choice.snrs_db, "cbr": choice.cbrs}
    }
    for name, wanted in values.items():
        there = list(dict.fromkeys(_coordinate(item, name, "") for item in items))
        for one in wanted:
            if not any(_same(one, value) for value in there):
                raise UserError(f"nothing to draw at --{name} {_said(name, one)}; there are: {_list(name, there)}")
        if wanted:
            items = [item for item in items if any(_same(one, _coordinate(item, name, "")) for one in wanted)]
    return items


def _said(name: str, value: Any) -> str:
    return value_words(name, value).removeprefix("CBR ") if name == "cbr" else f"{value:g}" if name == "snr" else value


def _list(name: str, values: Iterable[Any]) -> str:
    return ", ".join(_said(name, value) for value in values)


def _same(one: Any, other: Any) -> bool:
    return one == other if isinstance(one, str) else abs(one - other) < 1e-9


def _coordinate(item: tuple[Source, Point], name: str, along: str) -> Any:
    """The value of a point in a dimension; None in the one that a curve runs along."""
    source, point = item
    if name == along:
        return None
    if name in ("scheme", "channel") and along not in DIMENSIONS and along:
        return ":".join(part for part in getattr(point, name).split(":") if part.partition("=")[0] != along)
    at = {"channel": point.channel, "snr": point.snr_db, "cbr": point.cbr_target, "results": source.name}
    return at.get(name, point.scheme)


def _abscissa(choice: Choice, points: Sequence[Point]) -> str:
    if choice.x is not None:
        return column_named(choice.x, points)
    only_cbr = len({point.snr_db for point in points}) == 1 < len({point.cbr_target for point in points})
    return "cbr" if only_cbr else "snr_db"


def _run(choice: Choice, x: str, points: Sequence[Point]) -> str:
    """The dimension or option along which a curve connects its points."""
    if choice.along is not None:
        specs = {spec for point in points for spec in (point.scheme, point.channel)}
        options = {part.partition("=")[0] for spec in specs for part in spec.split(":")[1:]}
        if choice.along not in ("snr", "cbr", *options):
            raise UserError(f"no curve varies '{choice.along}'; known: {', '.join(('snr', 'cbr', *sorted(options)))}")
        return choice.along
    if x in AXES[1:]:
        return "cbr"
    only_cbr = len({point.snr_db for point in points}) == 1 < len({point.cbr_target for point in points})
    return "cbr" if x != "snr_db" and only_cbr else "snr"


def _role(name: str, choice: Choice, cells: Collection[tuple[Any, ...]]) -> str:
    if name in choice.by or name == "scheme":
        return choice.by.get(name, "colours")
    if name != "results":
        return "figures"
    apart = {cell[:-1] for cell in cells}  # folders are named only if they share a curve
    return "lines" if len(apart) < len(cells) else "colours"


def _part(at: Mapping[str, Any], role_of: Mapping[str, str], role: str) -> tuple[Any, ...]:
    return tuple(at[name] for name, one in role_of.items() if one == role)


def _styles(cells: Iterable[tuple[Any, ...]], names: Sequence[str]) -> dict[tuple[Any, ...], tuple[str, Any]]:
    """(words, line style) of each combination of the dimensions that line styles stand for."""
    found = dict.fromkeys(tuple(cell[DIMENSIONS.index(name)] for name in names) for cell in cells)
    if len(found) > len(LINES):
        raise UserError(f"{len(found)} line styles are needed and there are {len(LINES)}; choose fewer values")
    return {
        one: (", ".join(value_words(name, value) for name, value in zip(names, one, strict=True)), line)
        for one, line in zip(found, LINES, strict=False)
    }


def _order(along: str, x: str) -> Callable[[Point], float]:
    """The order in which a line connects points."""
    if x in AXES:
        return lambda point: float(getattr(point, x))
    if along in ("snr", "cbr"):
        return lambda point: point.snr_db if along == "snr" else point.cbr_target
    return lambda point: mean if (mean := _mean(point, x)) is not None else float("inf")


def _mean(point: Point, column: str) -> float | None:
    estimate = estimate_of(point, column)
    return None if estimate is None else estimate.mean
