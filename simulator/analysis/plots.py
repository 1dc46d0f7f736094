"""Which figures there are, and what their files are called. The same results give the same bytes."""

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.analysis.curves import AXES, column_named, estimate_of, make_drawings, source_of
from simulator.analysis.drawings import Choice, Curve, Drawing, Source
from simulator.analysis.figure import figure_of
from simulator.analysis.statistics import METRICS, Point, further_names
from simulator.analysis.styles import STYLES
from simulator.analysis.words import billed_words, column_words, file_words, value_words
from simulator.disk import write_atomically
from simulator.results.store import Results

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Write = Callable[[Path, bytes], None]
FORMATS = ("png", "pdf", "svg")
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


@contextmanager
def spared(notify: Callable[[str], None]) -> Iterator[None]:
    """Report a figure that fails inside the block to `notify` in one line, so that no results are lost."""
    try:
        yield
    except Exception as error:  # matplotlib and disks fail in many ways
        notify(
            f"some figures could not be drawn ({type(error).__name__}: {error}); rows and tables are written: fix "
            "the cause and run the same command again"
        )


def draw(
    results: Sequence[Results | Source],
    folder: Path,
    choice: Choice | None = None,
    formats: Sequence[str] = FORMATS[:2],
    style: str = "paper",
    intervals: str = "auto",
    write: Write = write_atomically,
) -> list[Path]:
    """Draw what is chosen of one or more results folders; by default every metric, in a file each.

    Curves of single points are no figure and are left out.

    Args:
        results: results folders, or what is left of them.
        folder: where the files go; made when missing.
        choice: what to draw.
        formats: of `FORMATS`.
        style: of `STYLES`.
        intervals: "bands", "bars", "none" or "auto".
        write: writes a file.

    Returns:
        The files written; none where every curve would be a single point.

    Raises:
        UserError: the results have no rows, or what was chosen is not among them.
    """
    sources = [one if isinstance(one, Source) else source_of(one) for one in results]
    choice = choice or Choice()
    words = _words(sources)
    points = [point for one in sources for point in one.points]
    columns = [column_named(name, points) for name in choice.y] or [*METRICS, *further_names(points)]
    written: list[Path] = []
    taken = Counter[str]()
    for drawing in make_drawings(sources, choice):
        for column in columns:
            shown = _with_column(drawing, column)
            if any(len(curve.points) > 1 for curve in shown.curves):
                figure = figure_of(shown, [column], _title(shown, sources, [column]), words, STYLES[style], intervals)
                name = _file_name(shown, column)
                taken[name] += 1  # two specifications may have the same words
                name += f"-{taken[name]}" * (taken[name] > 1)
                written += save(figure, folder, name, formats, style, write)
    return written


def draw_panels(
    results: Results | Source,
    folder: Path,
    name: str,
    choice: Choice,
    write: Write = write_atomically,
    say_axis: bool = False,
) -> list[Path]:
    """Draw several columns side by side, one figure per value of every dimension that has no other role.

    Args:
        results: the rows, or what is left of them.
        folder: where PNG and PDF go; made when missing.
        name: what the files' names begin with.
        choice: what to draw; its `y` are the panels, and those that the results lack are left out.
        write: writes a file.
        say_axis: whether names tell SNR from CBR as the axis; they always name any other column there.

    Returns:
        The files written.

    Raises:
        UserError: what was chosen is not among the results.
    """
    source = results if isinstance(results, Source) else source_of(results)
    there = [one for one in choice.y if any(estimate_of(point, one) for point in source.points)]
    drawings = make_drawings([source], choice) if there else []
    several = [key for key in ("channel", "snr", "cbr") if len({drawing.fixed.get(key) for drawing in drawings}) > 1]
    written = []
    for drawing in drawings:
        figure = figure_of(drawing, there, _title(drawing, [source], there), _words([source]))
        said = [value_words(key, drawing.fixed[key]) for key in several]
        against = ("vs", _short(drawing.x)) if say_axis or drawing.x not in AXES else ()
        along = ("along", drawing.along) if choice.along else ()
        stem = file_words(name, *map(_short, there), *against, *along, *said)
        written += save(figure, folder, stem, write=write)
    return written


def _words(sources: Sequence[Source]) -> Callable[[str], str]:
    """What the axes of some results are called."""
    backbones = {net for one in sources for net in one.backbones}
    directions = {name: up for one in sources for name, up in one.directions.items()}
    return partial(column_words, backbones=backbones, directions=directions)


def _with_column(drawing: Drawing, column: str) -> Drawing:
    """The same figure without the points that lack one of its two columns."""

    def kept(curve: Curve) -> list[Point]:
        return [point for point in curve.points if estimate_of(point, drawing.x) and estimate_of(point, column)]

    curves = (replace(one, points=kept(one)) for one in drawing.curves)
    return replace(drawing, curves=[one for one in curves if one.points])


def _short(column: str) -> str:
    return column.removesuffix("_db")


def _file_name(drawing: Drawing, column: str) -> str:
    x = _short(drawing.x).replace("_", "-")
    return file_words(_short(column), "vs", x, *(value_words(key, value) for key, value in drawing.fixed.items()))


def _title(drawing: Drawing, sources: Sequence[Source], columns: Sequence[str]) -> str:
    """Conditions in words: channel, CBR with what pilots raise it to, or SNR, number of images, and missing metrics."""
    points = [point for curve in drawing.curves for point in curve.points]
    said = [value_words(key, value) for key, value in drawing.fixed.items() if key != "results"]
    if "cbr" in drawing.fixed:
        said[-1] += billed_words([(point.cbr, point.cbr_data) for point in points])
    if drawing.x not in AXES and "snr" not in drawing.fixed:
        snrs = sorted({point.snr_db for point in points})
        said.append(f"$E_s/N_0$ from {snrs[0]:g} to {snrs[-1]:g} dB")
    shown = [column for column in (drawing.x, *columns) if column not in AXES]
    found = [(point, estimate_of(point, column)) for point in points for column in shown]
    counts = sorted({one.images or point.images for point, one in found if one} or {one.images for one in points})
    images = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    lacking = [f"{name} is missing" for name in dict.fromkeys(name for one in sources for name in one.missing)]
    return ", ".join((*said, f"{images} image{'' if images == '1' else 's'}", *lacking))


def save(
    figure: "Figure",
    folder: Path,
    name: str,
    formats: Sequence[str] = FORMATS[:2],
    style: str = "paper",
    write: Write = write_atomically,
) -> list[Path]:
    """Write a figure without dates or versions, so that the same results give the same files."""
    paths = [folder / f"{name}.{one}" for one in formats]
    with STYLES[style].active():
        for path, one in zip(paths, formats, strict=True):
            file = io.BytesIO()
            figure.savefig(file, format=one, metadata=_METADATA[one])
            write(path, file.getvalue())
    return paths
