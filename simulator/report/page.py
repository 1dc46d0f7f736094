"""One HTML file with everything in it: style, program, plotly, numbers, pictures. It loads nothing from anywhere.

Names of schemes and images are untrusted text: they travel as JSON in which no tag can begin, and the page puts
them in place as text only. A policy in the page's head forbids the browser to load anything else.
"""

import base64
import gzip
import html
import json
import re
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from simulator.analysis.statistics import METRICS
from simulator.analysis.words import channel_words
from simulator.citation import PAPER, PROGRAM
from simulator.disk import is_stream, write_atomically, write_file
from simulator.errors import UserError
from simulator.report.album import Album, find_shots, make_album
from simulator.report.data import axes_of, check_comparable, make_series, numbers
from simulator.report.origin import origins
from simulator.results.store import Results

SCRIPTS = ("core.js", "charts.js", "differences.js", "viewer.js", "table.js", "start.js")
SUFFIXES = (".html", ".htm")
MEGABYTE = 1_000_000


def write_report(
    results: Sequence[Results],
    out: Path,
    title: str | None = None,
    max_mb: float = 10.0,
    notify: Callable[[str], None] = print,
    write: Callable[[Path, bytes], None] = write_atomically,
) -> int:
    """Write a report on one or more results folders.

    Args:
        results: what to report.
        out: the file.
        title: heading; None names schemes, channels and images.
        max_mb: megabytes that the file may have; pictures are chosen and compressed to fit.
        notify: receives one-line notes for the user.
        write: writes the file.

    Returns:
        Size of the file in bytes.

    Raises:
        UserError: results that cannot share a report, numbers that do not fit, or an unwritable file.
    """
    if out.is_dir():
        raise UserError(f"'{out}' is a folder; give --out a file such as report.html")
    if out.suffix.lower() not in SUFFIXES and not is_stream(out):  # such as a results folder's own database
        raise UserError(f"cannot write '{out}': its name must end in {' or '.join(SUFFIXES)}")
    page = build_page(results, title, max_mb, notify).encode()
    write_file(out, page, "choose another --out", write)
    return len(page)


def build_page(
    results: Sequence[Results], title: str | None, max_mb: float, notify: Callable[[str], None] = print
) -> str:
    """The text of the page; arguments and errors as for `write_report`."""
    notes = check_comparable(results)
    for note in notes:
        notify(note)
    series = make_series(results)
    axes = axes_of(series)
    data = numbers(results, series, axes)
    heading = title or _title(data)
    data |= {"title": heading, "notes": notes, "origins": origins(results), "citation": f"{PAPER}\n\n{PROGRAM}"}
    shots, sources = find_shots(results, series, axes)
    parts = {
        "title": html.escape(heading),
        "style": _part("style.css"),
        "script": "\n".join(_part(name) for name in SCRIPTS),
        "plotly": _plotly(),
        "pictures": "",
        "data": embedded_json(data | {"pictures": None}),
    }
    room = max_mb * MEGABYTE - len(_fill(parts).encode()) - 400 * (len(shots) + len(sources)) - 10_000
    if room < 0:
        needed = max_mb - room / MEGABYTE
        raise UserError(f"without any picture the page takes {needed:.1f} MB, plotly.js most of it; raise --max-mb")
    album = make_album(shots, sources, room)
    if (album.images, album.conditions) != ((album.images[1],) * 2, (album.conditions[1],) * 2):
        notify(
            f"pictures of {album.images[0]} of {album.images[1]} images at {album.conditions[0]} of "
            f"{album.conditions[1]} conditions fit into {max_mb:g} MB; --max-mb allows more"
        )
    parts["pictures"] = _embedded_pictures(album)
    parts["data"] = embedded_json(data | {"pictures": _pictures(album)})
    return _fill(parts)


def embedded_json(value: Any) -> str:
    """JSON in which no tag can begin or end, fit for a script element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _part(name: str) -> str:
    return (files("simulator.report") / "page" / name).read_text(encoding="utf-8")


def _fill(parts: dict[str, str]) -> str:
    """The template with every part in its place, in one pass: placeholders inside a part are not filled."""
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _part("page.html"))


def _plotly() -> str:
    """plotly.js, compressed: a third of its size, and the browser shows text before it unpacks it."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), 9, mtime=0)).decode()


def _title(data: dict[str, Any]) -> str:
    labels = [one["label"] for one in data["series"] if not one["bound"]] or [one["label"] for one in data["series"]]
    schemes = labels[0] if len(labels) == 1 else f"{len(labels)} schemes"
    channels = data["channels"]
    over = channel_words(channels[0]) if len(channels) == 1 else f"{len(channels)} channels"
    count = len(data["images"])
    return f"{schemes} over {over}, {count} image{'s' * (count > 1)}"


def _embedded_pictures(album: Album) -> str:
    files = [(f"source-{image}", file) for image, file in album.sources.items()]
    files += [(f"shot-{index}", file) for index, (_, file) in enumerate(album.shots)]
    return "\n".join(
        f'<script type="text/plain" id="{name}" data-type="{kind}">{base64.b64encode(data).decode()}</script>'
        for name, (kind, data) in files
    )


def _pictures(album: Album) -> dict[str, Any]:
    """What the viewer needs to know of the pictures: places, and the numbers of the rows themselves."""
    return {
        "quality": album.quality,
        "images": album.images,
        "conditions": album.conditions,
        "shots": [
            [shot.series, *shot.condition, shot.image, shot.row.realisation]
            + [None if (value := getattr(shot.row, name)) is None else round(value, 6) for name in METRICS]
            + [round(shot.row.cbr, 6), shot.row.outage]
            for shot, _ in album.shots
        ],
    }
