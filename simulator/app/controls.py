"""The controls of the page, and what their values mean."""

import json
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from simulator.app import session
from simulator.app.session import LONG_SIDE, Machine, Settings
from simulator.errors import UserError
from simulator.images import SAMPLES, load_image, sample_files
from simulator.spec.plugins import plugin_names

MAX_UPLOAD_MB = 20
FORMATS = f"PNG, JPEG, WebP or TIFF of up to {MAX_UPLOAD_MB} MB. It stays on this machine."
THUMBNAIL = 96  # pixels
FIRST_CBR = "1/16"
Controls = list[gr.components.Component]


@dataclass(frozen=True)
class PictureControls:
    """What is sent."""

    picture: gr.Image
    scale_down: gr.Checkbox

    @property
    def all(self) -> Controls:
        """In the order in which `read_picture` takes their values."""
        return [self.picture, self.scale_down]


@dataclass(frozen=True)
class LinkControls:
    """What it meets: common to two settings that are compared."""

    channel: gr.Dropdown
    options: gr.Textbox
    snr_db: gr.Slider
    realisation: gr.Number
    seed: gr.Number

    @property
    def all(self) -> Controls:
        """In the order in which `read_settings` takes their values."""
        return [self.channel, self.options, self.snr_db, self.realisation, self.seed]


@dataclass(frozen=True)
class CodingControls:
    """How it becomes symbols."""

    scheme: gr.Dropdown
    cbr: gr.Dropdown
    steps: gr.Slider
    gamma: gr.Slider
    options: gr.Textbox

    @property
    def all(self) -> Controls:
        """In the order in which `read_settings` takes their values."""
        return [self.scheme, self.cbr, self.steps, self.gamma, self.options]


def read_picture(picture: dict[str, Any] | None, scale_down: bool) -> np.ndarray:
    """The picture that the controls hold, uint8 [H, W, 3].

    Raises:
        UserError: there is none, or none that can be sent.
    """
    if not picture or not picture.get("path"):
        raise UserError("no picture; drop one in, or choose a sample")
    return session.prepare(Path(picture["path"]), scale_down).rgb


def read_settings(
    link: tuple[Any, ...], coding: tuple[Any, ...], schemes: tuple[str, ...], machine: Machine
) -> Settings:
    """The settings that the controls hold.

    Raises:
        UserError: a value that cannot be.
    """
    channel, channel_options, snr_db, realisation, seed = link
    scheme, cbr, steps, gamma, options = coding
    if scheme not in schemes:
        raise UserError(f"this playground does not offer scheme '{scheme}'; it has: {', '.join(schemes)}")
    if scheme == "lrisc":
        options = f"steps={int(steps)}:gamma={gamma:g}"
    where = session.specification(channel, channel_options)
    how = session.specification(scheme, options)
    return session.read_settings(how, cbr, where, snr_db, realisation, seed, machine)


def picture_controls() -> PictureControls:
    """A place to drop a picture, and samples. The picture that it shows is the one that will be sent."""
    picture = gr.Image(
        label="Picture",
        sources=["upload", "clipboard"],
        format="png",
        height=240,
        buttons=["fullscreen"],
        elem_id="picture",
    )
    caption = gr.Markdown(FORMATS, elem_id="caption", elem_classes="hint")
    samples = gr.Gallery(
        [_thumbnail(path) for path in sample_files()],
        label="Samples",
        show_label=False,
        container=False,
        columns=len(SAMPLES),
        height="auto",
        object_fit="cover",
        allow_preview=False,
        buttons=[],
        elem_id="samples",
    )
    scale_down = gr.Checkbox(
        True,
        label=f"Scale down to {LONG_SIDE} px",
        info="The long side of larger pictures, so that a press takes seconds.",
    )
    origin = gr.State("")  # where the picture came from, to scale it anew
    shown = [picture, caption, origin]
    event: Any = partial(dict, api_visibility="private", show_progress="minimal", show_progress_on=[picture])
    # Without Gradio's own reading: what is no picture, or a bomb, is for our reader to refuse.
    uploaded = [picture, scale_down]
    picture.upload(lambda upload, scale: _take(upload["path"], scale), uploaded, shown, preprocess=False, **event())
    picture.clear(lambda: (FORMATS, ""), None, [caption, origin], **event())
    scale_down.change(_take, [origin, scale_down], shown, **event())

    def take_sample(scale: bool, chosen: gr.SelectData) -> tuple[Any, ...]:
        return _take(str(sample_files()[chosen.index]), scale)

    samples.select(take_sample, [scale_down], shown, **event())
    return PictureControls(picture, scale_down)


def _take(path: str, scale_down: bool) -> tuple[Any, str, str]:
    """Picture, caption and origin; a warning and the place empty again if it cannot be sent."""
    if not path:
        return None, FORMATS, ""
    try:
        picture = session.prepare(Path(path), scale_down)
    except UserError as error:
        gr.Warning(escape(str(error)), title="This picture cannot be sent")
        return None, f"Refused: {error}.", ""
    (height, width), original = picture.rgb.shape[:2], picture.original
    scaled = "" if original == (height, width) else f", scaled down from {original[1]}×{original[0]}"
    return picture.rgb, f"{Path(path).name}: {width}×{height} pixels{scaled}.", path


def _thumbnail(path: Path) -> np.ndarray:
    """The centre of a picture, uint8 [THUMBNAIL, THUMBNAIL, 3]."""
    from PIL import Image, ImageOps

    return np.asarray(ImageOps.fit(Image.fromarray(load_image(path)), (THUMBNAIL, THUMBNAIL)))


def link_controls() -> LinkControls:
    """Channel, SNR and draw."""
    names = plugin_names("simulator.channels")
    channel = gr.Dropdown(names, value="awgn", label="Channel", info="What is between the two ends.")
    snr_db = gr.Slider(-5, 25, 10, step=0.5, label="SNR (dB)", info="Average Es/N0 at the receiver.")
    with gr.Accordion("Channel options, realisation, seed", open=False):
        text = "key=value, colons between: K=6 for rician, speed_kmh=60:csi=lmmse for tdl-a. Empty: defaults."
        options = gr.Textbox("", label="Channel options", info=text, max_lines=1)
        with gr.Row():
            whole: Any = partial(gr.Number, 0, precision=0, minimum=0, min_width=100)
            realisation = whole(label="Realisation", info="Number of the draw.")
            seed = whole(label="Seed", info="Of all draws.")
    return LinkControls(channel, options, snr_db, realisation, seed)


def coding_controls(first: str, schemes: tuple[str, ...], machine: Machine) -> CodingControls:
    """A row of controls for one scheme; what they offer follows the scheme that is chosen."""
    offers = {name: _offer(name, machine) for name in schemes}
    offered = offers[first]
    narrow: Any = {"min_width": 150}
    with gr.Row(equal_height=True):
        text = "From image to symbols."
        scheme = gr.Dropdown(list(schemes), value=first, label="Scheme", info=text, **narrow)
        text = "Channel uses per value; or type."
        cbr = gr.Dropdown(label="CBR", info=text, allow_custom_value=True, **offered[0], **narrow)
        text = "Of the decoder."
        steps = gr.Slider(1, 50, step=1, label="DDIM steps", info=text, **offered[1], **narrow)
        text = "0: best PSNR."
        gamma = gr.Slider(0, 1, step=0.05, label="Gamma", info=text, **offered[2], **narrow)
        text = "Such as 16qam-1/2. Empty: defaults."
        options = gr.Textbox(label="Scheme options", info=text, max_lines=1, **offered[3], **narrow)
    controls = CodingControls(scheme, cbr, steps, gamma, options)
    # In the browser: the answer of a busy server comes late, and would undo what was typed in the meantime.
    scheme.change(None, [scheme, cbr], controls.all[1:], js=_follow(offers), api_visibility="private")
    return controls


def _offer(name: str, machine: Machine) -> list[dict[str, Any]]:
    """What the controls after the scheme's show: its bandwidth ratios, and either steps and gamma or options."""
    try:
        scheme: Any = session.find_scheme(name, machine)
    except Exception:  # a stranger's may break in any way: a press says how, and the other schemes stay
        scheme = None
    cbrs = session.supported_cbrs(scheme)
    diffuses = name == "lrisc" and scheme is not None
    return [
        {"choices": [(cbr, cbr) for cbr in cbrs], "value": FIRST_CBR if FIRST_CBR in cbrs else next(iter(cbrs), None)},
        {"value": scheme.steps if diffuses else 1, "visible": diffuses},
        {"value": scheme.gamma if diffuses else 0, "visible": diffuses},
        {"value": "", "visible": not diffuses},
    ]


def _follow(offers: dict[str, list[dict[str, Any]]]) -> str:
    """JavaScript that shows what the chosen scheme offers; a bandwidth ratio that is among it stays."""
    updates = {name: [gr.update(**one) for one in offered] for name, offered in offers.items()}
    return f"""(name, cbr) => {{
  const [{{value, ...ratios}}, ...others] = {json.dumps(updates)}[name];
  const stays = ratios.choices.some(([, one]) => one === cbr);
  return [stays ? ratios : {{...ratios, value}}, ...others];
}}"""
