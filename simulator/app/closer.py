"""A closer look at pictures: pixels enlarged without smoothing, and where they differ from the source."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
import numpy as np

SIDE, ZOOM, GAP = 48, 6, 8  # pixels of a crop, how much they are enlarged, and pixels between crops
GAINS = (1, 2, 4, 8)
FIRST_GAIN = 4
KEPT_S = 3600
Pictures = dict[str, np.ndarray]


def error_map(source: np.ndarray, shown: np.ndarray, gain: int) -> np.ndarray:
    """|difference| times `gain`, the mean of the colours, as uint8 [H, W, 3] in grey: black is no error."""
    difference = np.abs(shown.astype(np.int16) - source).mean(axis=2, keepdims=True)
    return np.minimum(gain * difference, 255).round().astype(np.uint8).repeat(3, axis=2)


def with_errors(pictures: Pictures, gain: int) -> Pictures:
    """The pictures, of which the first is the source, and the error map of each of the others."""
    source, *others = pictures
    what = "error of {}" if len(others) > 1 else "error"
    return pictures | {what.format(name): error_map(pictures[source], pictures[name], gain) for name in others}


def crops(pictures: Mapping[str, np.ndarray], left: int, top: int) -> np.ndarray:
    """The square around a point of each picture, enlarged, side by side: uint8 [h, w, 3]."""
    height, width = next(iter(pictures.values())).shape[:2]
    side = min(SIDE, height, width)
    x = min(max(left - side // 2, 0), width - side)
    y = min(max(top - side // 2, 0), height - side)
    tiles = [one[y : y + side, x : x + side].repeat(ZOOM, axis=0).repeat(ZOOM, axis=1) for one in pictures.values()]
    gap = np.full((side * ZOOM, GAP, 3), 255, np.uint8)
    return np.concatenate([part for tile in tiles for part in (tile, gap)][:-1], axis=1)


class Closer:
    """Error map and enlarged pixels of what was sent last. Gradio puts them where they are made."""

    def __init__(self, elem_id: str) -> None:
        """elem_id: of the enlarged pixels, and the beginning of that of the map."""
        self._pictures = gr.State(None, time_to_live=KEPT_S)
        self._place = gr.State(None)
        with gr.Accordion("Look closer: pixels and errors", open=False):
            gain = gr.Radio(
                [(f"×{one}", one) for one in GAINS],
                value=FIRST_GAIN,
                label="Error map",
                info="How much errors are brightened; click a place in the map to enlarge it.",
            )
            self._map = gr.Image(
                show_label=False,
                format="png",
                interactive=False,
                buttons=["fullscreen", "download"],
                elem_id=f"{elem_id}-map",
            )
            self._caption = gr.Markdown(elem_classes="hint")
            self._zoom = gr.Image(
                show_label=False, format="png", interactive=False, buttons=["download"], elem_id=elem_id
            )
        quiet: Any = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
        inputs, outputs = [self._pictures, self._place, gain], [self._map, self._caption, self._zoom]
        gain.change(self._draw, inputs, outputs, **quiet)
        self._map.select(self._look, [self._pictures, gain], [self._place, self._caption, self._zoom], **quiet)
        self.inputs: list[gr.components.Component] = [gain]
        self.outputs: list[gr.components.Component] = [self._pictures, self._place, *outputs]

    def show(self, pictures: Pictures, gain: int) -> list[object]:
        """Values of `outputs` for new pictures uint8 [H, W, 3], of which the first is the source."""
        height, width = next(iter(pictures.values())).shape[:2]
        place = (width // 2, height // 2)
        return [pictures, place, *self._draw(pictures, place, gain)]

    def _draw(self, pictures: Pictures | None, place: tuple[int, int], gain: int) -> list[object]:
        if pictures is None:
            return [gr.skip()] * 3
        shown = with_errors(pictures, gain)
        maps = [image for name, image in shown.items() if name not in pictures]
        gap = np.full((maps[0].shape[0], GAP, 3), 255, np.uint8)
        side_by_side = np.concatenate([part for one in maps for part in (one, gap)][:-1], axis=1)
        return [side_by_side, *_enlarged(shown, place)]

    def _look(self, pictures: Pictures | None, gain: int, clicked: gr.SelectData) -> list[object]:
        if pictures is None:
            return [gr.skip()] * 3
        width = next(iter(pictures.values())).shape[1]
        x, y = clicked.index
        place = (x % (width + GAP), y)  # whichever map was clicked
        return [place, *_enlarged(with_errors(pictures, gain), place)]


def _enlarged(shown: Pictures, place: tuple[int, int]) -> list[object]:
    """Caption and crops."""
    caption = f"{SIDE}×{SIDE} pixels around ({place[0]}, {place[1]}), ×{ZOOM}: {', '.join(shown)}"
    return [caption, crops(shown, *place)]
