"""The gallery: crops of an image enlarged four times, the source and every scheme side by side, a row per SNR."""

import io
from collections.abc import Mapping

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from simulator.analysis.tables import cbr_label
from simulator.experiments.swept import Swept
from simulator.images import load_image
from simulator.images.pixels import to_float, to_uint8
from simulator.results.gallery import Gallery
from simulator.results.rows import Row

SIDE = 48  # pixels of a crop
ZOOM = 4
GAP, CAPTION, LEFT = 6, 18, 46  # pixels: between crops, of a line of text, of the labels of rows
_BACKGROUND, _INK = (255, 255, 255), (40, 40, 40)


def draw_crops(swept: Swept, corners: Mapping[str, tuple[int, int]]) -> None:
    """Draw one lossless WebP per image, channel and CBR of the results, from the first realisation.

    Crops are cut from the kept pictures of the rows (`--keep-images`). Where there is none, the image goes over the air
    once more. The numbers below the crops are those of the rows, of the whole image.

    Args:
        swept: the rows.
        corners: (left, top) of the crop in pixels by image; the centre of the others is shown.
    """
    kept = Gallery(swept.results.folder)
    groups: dict[tuple[str, str, float], dict[float, list[Row]]] = {}
    for row in swept.results.rows:
        if row.realisation == 0:
            by_snr = groups.setdefault((row.image, row.channel, row.cbr_target), {})
            by_snr.setdefault(row.snr_db, []).append(row)
    channels = {channel for _, channel, _ in groups}
    for (image, channel, cbr), by_snr in groups.items():
        source = swept.images[image]
        left, top = corners.get(image, ((source.shape[2] - SIDE) // 2, (source.shape[1] - SIDE) // 2))
        strips = []
        for snr_db, rows in by_snr.items():
            tiles = [("source", "", _crop(source, left, top))]
            for row in rows:
                picture = kept.path(row.key)
                shown = to_float(load_image(picture)) if picture.exists() else swept.send(row).decoded.images[0].cpu()
                tiles.append((swept.labels.get(row.scheme, row.scheme), _numbers(row), _crop(shown, left, top)))
            strips.append((f"{snr_db:g} dB", tiles))
        said = [channel] * (len(channels) > 1)
        name = "-".join((swept.name, image, *said, f"cbr-{cbr_label(cbr)}")).replace("/", "-")
        swept.write(swept.figures / f"{name}.webp", _webp(_sheet(strips)))


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
