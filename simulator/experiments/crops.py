"""The gallery: crops of an image enlarged four times, the source and every scheme side by side, a row per SNR."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from simulator.analysis.plots import Write
from simulator.analysis.tables import cbr_label
from simulator.channels import load_channel
from simulator.disk import write_atomically
from simulator.experiments.schemes import scheme_loader
from simulator.images import load_image
from simulator.images.pixels import to_float, to_uint8
from simulator.link import Bound, Scheme, transmit
from simulator.results.gallery import Gallery
from simulator.results.rows import Row
from simulator.results.store import Results
from simulator.sweep.inputs import SweepConfig, choose_images

SIDE = 48  # pixels of a crop
ZOOM = 4
GAP, CAPTION, LEFT = 6, 18, 46  # pixels: between crops, of a line of text, of the labels of rows
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)


def draw_crops(
    config: SweepConfig,
    results: Results,
    corners: Mapping[str, tuple[int, int]],
    labels: Mapping[str, str],
    folder: Path,
    name: str,
    write: Write = write_atomically,
) -> list[Path]:
    """Draw one lossless WebP per image, channel and CBR of the results, from the first realisation.

    Crops are cut from the kept pictures of the rows (`--keep-images`). Where there is none, the image goes over the air
    once more, through the same channel. The numbers below the crops are those of the rows, of the whole image.

    Args:
        config: what was swept.
        results: its rows.
        corners: (left, top) of the crop in pixels by image; the centre of the others is shown.
        labels: what to call a scheme, by name.
        folder: where the files go; made when missing.
        name: what the files' names begin with.
        write: writes a file.

    Returns:
        The files written.
    """
    images = {image.name: image.pixels for image in choose_images(config)}
    scheme_of, kept = scheme_loader(config, results), Gallery(results.folder)
    groups: dict[tuple[str, str, float], dict[float, list[Row]]] = {}
    for row in results.rows:
        if row.realisation == 0:
            by_snr = groups.setdefault((row.image, row.channel, row.cbr_target), {})
            by_snr.setdefault(row.snr_db, []).append(row)
    channels = {channel for _, channel, _ in groups}
    written = []
    for (image, channel, cbr), by_snr in groups.items():
        source = images[image]
        left, top = corners.get(image, ((source.shape[2] - SIDE) // 2, (source.shape[1] - SIDE) // 2))
        strips = []
        for snr_db, rows in by_snr.items():
            tiles = [("source", "", _crop(source, left, top))]
            for row in rows:
                picture = kept.path(row.key)
                there = picture.exists()
                shown = to_float(load_image(picture)) if there else _send(config, row, source, scheme_of(row.scheme))
                tiles.append((labels.get(row.scheme, row.scheme), _numbers(row), _crop(shown, left, top)))
            strips.append((f"{snr_db:g} dB", tiles))
        said = [channel] * (len(channels) > 1)
        path = folder / ("-".join((name, image, *said, f"cbr-{cbr_label(cbr)}")).replace("/", "-") + ".webp")
        write(path, _webp(_sheet(strips)))
        written.append(path)
    return written


def _send(config: SweepConfig, row: Row, image: torch.Tensor, scheme: Scheme | Bound) -> torch.Tensor:
    cbr = next(one for one in config.cbrs if float(one) == row.cbr_target)
    with torch.inference_mode():
        trip = transmit(scheme, image[None], cbr, load_channel(row.channel), row.snr_db, row.realisation, config.seed)
    return trip.decoded.images[0].cpu()


def _crop(image: torch.Tensor, left: int, top: int) -> np.ndarray:
    """The crop as uint8 [SIDE, SIDE, 3], or less at the edge of a small image, enlarged without smoothing."""
    pixels = to_uint8(image)[top : top + SIDE, left : left + SIDE]
    return pixels.repeat(ZOOM, axis=0).repeat(ZOOM, axis=1)


def _numbers(row: Row) -> str:
    if row.outage:
        return "outage"
    return f"{row.psnr_db:.1f} dB" + ("" if row.lpips is None else f", LPIPS {row.lpips:.3f}")


def _sheet(strips: list[tuple[str, list[tuple[str, str, np.ndarray]]]]) -> Image.Image:
    """Rows of (label, tiles), each tile (title, caption, pixels), on one sheet."""
    step = SIDE * ZOOM + GAP
    width = LEFT + step * max(len(tiles) for _, tiles in strips)
    sheet = Image.new("RGB", (width, CAPTION + (step + CAPTION) * len(strips)), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for line, (label, tiles) in enumerate(strips):
        y = CAPTION + line * (step + CAPTION)
        draw.text((LEFT - GAP, y + step / 2), label, _INK, font, anchor="rm")
        for column, (title, caption, pixels) in enumerate(tiles):
            x = LEFT + column * step
            sheet.paste(Image.fromarray(pixels), (x, y))
            middle = x + SIDE * ZOOM / 2
            draw.text((middle, y + SIDE * ZOOM + 1), caption, _INK, font, anchor="ma")
            if line == 0:
                draw.text((middle, 1), title, _INK, font, anchor="ma")
    return sheet


def _webp(sheet: Image.Image) -> bytes:
    """Without loss, as the sheet is about pixels; a third of the size of a PNG."""
    file = io.BytesIO()
    sheet.save(file, "webp", lossless=True, quality=100, method=6)
    return file.getvalue()
