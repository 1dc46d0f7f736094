"""The grid of pictures: for one image a row per SNR, with the source, what a scheme shows of its inside, the output."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from simulator.analysis.plots import save
from simulator.analysis.styles import STYLES
from simulator.analysis.words import cbr_label, file_words
from simulator.experiments.swept import Swept
from simulator.link import capabilities
from simulator.results.rows import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: both columns of a paper
LEFT, TOP, CAPTION, GAP = 0.3, 0.2, 0.2, 0.04  # inches: of row labels, of titles, of captions, between pictures


@dataclass(frozen=True)
class Strip:
    """One row of the grid.

    Attributes:
        label: of the row.
        pictures: float32 [3, h, w] in [0, 1] by title, from source to output.
        caption: quality and bill of the output.
    """

    label: str
    pictures: dict[str, torch.Tensor]
    caption: str


def draw_pictures(swept: Swept) -> None:
    """Draw one file per scheme, channel, CBR and image of the results, from the first realisation.

    The images go over the air once more, as rows keep no pictures; the numbers under the outputs are those of the rows.
    """
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in swept.results.rows:
        if row.realisation == 0:
            group = (row.image, row.scheme, row.channel, f"cbr-{cbr_label(row.cbr_target)}")
            groups.setdefault(group, []).append(row)
    axes = [len({where[axis] for where in groups}) for axis in range(4)]
    for where, rows in groups.items():
        figure = figure_of_pictures([_strip(swept, row) for row in rows])
        said = [part for part, count in zip(where[1:], axes[1:], strict=True) if count > 1]
        save(figure, swept.figures, file_words(swept.name, where[0], *said), write=swept.write)


@torch.inference_mode()
def _strip(swept: Swept, row: Row) -> Strip:
    image, trip = swept.images[row.image], swept.send(row)
    inside = capabilities(swept.schemes[row.scheme]).inspect(image, trip.reception) if trip.reception else {}
    lpips = "" if row.lpips is None else f", LPIPS {row.lpips:.3f}"
    caption = "outage" if row.outage else f"{row.psnr_db:.2f} dB{lpips}, CBR {row.cbr:.4f}"
    pictures = {"source": image, **inside, "output": trip.decoded.images[0].cpu()}
    return Strip(f"{row.snr_db:g} dB", pictures, caption)


def figure_of_pictures(strips: list[Strip]) -> "Figure":
    """Lay out the strips, one below the other; what is smaller than the source is enlarged without smoothing."""
    from matplotlib.figure import Figure

    titles = list(strips[0].pictures)
    source = strips[0].pictures[titles[0]]
    width = (WIDTH - LEFT) / len(titles) - GAP
    height = width * source.shape[1] / source.shape[2]
    total = TOP + len(strips) * (height + CAPTION)
    with STYLES["paper"].active():
        figure = Figure(figsize=(WIDTH, total))
        for row, strip in enumerate(strips):
            bottom = total - TOP - height - row * (height + CAPTION)
            middle = (bottom + height / 2) / total
            figure.text(LEFT / 2 / WIDTH, middle, strip.label, rotation=90, ha="center", va="center")
            for column, (title, picture) in enumerate(strip.pictures.items()):
                left = LEFT + column * (width + GAP)
                axes = figure.add_axes((left / WIDTH, bottom / total, width / WIDTH, height / total))
                smooth = "antialiased" if picture.shape == source.shape else "nearest"
                axes.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation=smooth, aspect="auto")
                axes.grid(False)
                axes.set_axis_off()
                if row == 0:
                    axes.set_title(title, fontsize=8, pad=3)
            centre = (LEFT + (len(titles) - 1) * (width + GAP) + width / 2) / WIDTH
            figure.text(centre, (bottom - 0.03) / total, strip.caption, fontsize=6.5, ha="center", va="top")
    return figure
